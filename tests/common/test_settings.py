"""Settings: ranges in the schema, dates and folders checked once, everything wrong named at once."""

from __future__ import annotations

import dataclasses
import tempfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from singer_sdk import typing as th
from singer_sdk.exceptions import ConfigValidationError

from offgridflow_common.redaction import register_secrets
from offgridflow_common.settings import (
    CommonSettings,
    RequestDefaults,
    common_properties,
    export_name,
    parse_common,
    raise_config_errors,
    unknown_settings,
)
from tests.common.tiny_tap import TinyTap

NOW = datetime(2026, 11, 23, 5, 40, tzinfo=UTC)
SCHEMA = th.PropertiesList(*common_properties(RequestDefaults(5, 100, 30))).to_dict()
PROPERTIES = SCHEMA["properties"]


def parsed(**config: Any) -> CommonSettings:
    defaults = {name: schema["default"] for name, schema in PROPERTIES.items() if "default" in schema}
    return parse_common(defaults | config, NOW)


def errors_of(**config: Any) -> list[str]:
    with pytest.raises(ConfigValidationError) as caught:
        parsed(**config)
    assert all(error in str(caught.value) for error in caught.value.errors)
    return caught.value.errors


def test_with_nothing_set_everything_is_wanted_up_to_now() -> None:
    settings = parsed()
    assert (settings.start, settings.end) == (None, NOW)
    assert settings.lookback_months == 3
    assert settings.activity_grain == "month"
    assert (settings.rate_limit_per_second, settings.rate_limit_capacity) == (5, 100)
    assert (settings.max_attempts, settings.request_timeout_seconds) == (5, 30)
    assert settings.spool_dir == Path(tempfile.gettempdir())
    assert (settings.org_id, settings.workspace_id, settings.mapping_overrides_path) == (None, None, None)


def test_settings_do_not_change_and_every_property_becomes_one() -> None:
    settings = parsed()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.end = NOW  # type: ignore[misc]  # the assignment is what is refused
    fields = {field.name for field in dataclasses.fields(CommonSettings)}
    assert fields - {"start", "end"} == set(PROPERTIES) - {"start_date", "end_date"}


@pytest.mark.parametrize("schema", PROPERTIES.values(), ids=PROPERTIES)
def test_every_setting_is_described_and_every_number_has_a_range(schema: dict[str, Any]) -> None:
    assert schema["description"]
    if {"integer", "number"} & set(schema["type"]):
        assert {"minimum", "exclusiveMinimum"} & set(schema)


@pytest.mark.parametrize(
    ("name", "taken", "refused"),
    [
        ("lookback_months", [0, 3, 120], [-1, 121, 1.5, "3"]),
        ("activity_grain", ["month", "day"], ["hour", "", "Month"]),
        ("rate_limit_per_second", [0.1, 5, 1000], [0, -1, 1000.1, "5"]),
        ("rate_limit_capacity", [1, 10_000], [0, 10_001, 2.5]),
        ("max_attempts", [1, 20], [0, 21]),
        ("request_timeout_seconds", [1, 600], [0, 601]),
        ("max_pages", [1, 1_000_000], [0, 1_000_001]),
        ("spool_max_bytes", [1024**2, 10**15], [1024**2 - 1, 0, -1]),
        ("start_date", ["2025-01-01"], [20250101, True]),
    ],
)
def test_the_schema_holds_the_ranges(name: str, taken: list[Any], refused: list[Any]) -> None:
    validator = jsonschema.Draft7Validator(PROPERTIES[name])
    assert [value for value in taken if not validator.is_valid(value)] == []
    assert [value for value in refused if validator.is_valid(value)] == []


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("2025-03-01", datetime(2025, 3, 1, tzinfo=UTC)),
        ("2025-03-31", datetime(2025, 3, 1, tzinfo=UTC)),
        ("2024-02-29T23:59:59.999999Z", datetime(2024, 2, 1, tzinfo=UTC)),
        ("2025-03-01 10:00", datetime(2025, 3, 1, tzinfo=UTC)),
        ("2025-03-01T00:00:00+02:00", datetime(2025, 2, 1, tzinfo=UTC)),
        ("2025-02-28T23:00:00-02:00", datetime(2025, 3, 1, tzinfo=UTC)),
        ("", None),
        (None, None),
    ],
)
def test_the_start_is_the_first_of_a_month_in_utc(text: str | None, start: datetime | None) -> None:
    assert parsed(start_date=text).start == start


def test_the_end_is_kept_to_the_second() -> None:
    end = parsed(end_date="2025-03-15T06:00:00-04:00").end
    assert (end, end.tzinfo) == (datetime(2025, 3, 15, 10, tzinfo=UTC), UTC)


@pytest.mark.parametrize("end", ["2026-11-24", "9999-12-31", None])
def test_nothing_is_wanted_that_lies_ahead(end: str | None) -> None:
    assert parsed(end_date=end).end == NOW


@pytest.mark.parametrize("name", ["start_date", "end_date"])
@pytest.mark.parametrize(
    "text",
    [
        *("2025-02-30", "2025-13-01", "01/02/2025", "yesterday", "2025", "2025-01", " 2025-01-01", "-1"),
        "2025-01-01T25:00:00",
        "2025-01-01T00:00:00+99:00",
        "0001-01-01T00:00:00+02:00",
    ],
)
def test_a_bad_date_names_the_setting_the_value_and_what_is_expected(name: str, text: str) -> None:
    [error] = errors_of(**{name: text})
    assert error.startswith(f"{name} must be a date like 2025-01-01")
    assert f"'{text}'" in error


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2025-02-01", "2025-02-01"),
        ("2025-02-01", "2025-01-01"),
        ("2025-02-10", "2025-02-05"),
        ("2026-12-01", None),
    ],
)
def test_an_empty_window_is_refused_and_both_ends_are_shown(start: str, end: str | None) -> None:
    [error] = errors_of(start_date=start, end_date=end)
    assert start in error
    assert (end or "2026-11-23T05:40:00+00:00") in error
    assert "exclusive" in error


def test_a_window_within_one_month_is_that_month() -> None:
    settings = parsed(start_date="2025-02-10", end_date="2025-02-11")
    assert settings.start == datetime(2025, 2, 1, tzinfo=UTC)
    assert settings.end == datetime(2025, 2, 11, tzinfo=UTC)


def test_folders_and_files_must_exist(tmp_path: Path) -> None:
    table = tmp_path / "regions.csv"
    table.touch()
    settings = parsed(spool_dir=str(tmp_path), mapping_overrides_path=str(table))
    assert (settings.spool_dir, settings.mapping_overrides_path) == (tmp_path, table)
    [error] = errors_of(spool_dir=str(table))
    assert error == f"spool_dir must be an existing folder, got '{table}'"
    [error] = errors_of(mapping_overrides_path=str(tmp_path))
    assert error == f"mapping_overrides_path must be an existing CSV file, got '{tmp_path}'"


def test_a_setting_that_is_null_has_its_default() -> None:
    settings = TinyTap(config=dict.fromkeys([*PROPERTIES, "stream_maps", "batch_config"])).settings
    unset = TinyTap(config={}).settings
    assert settings == unset


@pytest.mark.parametrize(
    ("text", "expected"), [("null", 10_000), ("1e3", 1000), ("1000.0", 1000), ("1000", 1000)]
)
def test_a_number_in_a_variable_is_one_of_python(
    text: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAP_TINY_MAX_PAGES", text)
    found = TinyTap(config={}, parse_env_config=True).settings.max_pages
    assert (found, type(found)) == (expected, int)


@pytest.mark.parametrize("rate", [float("nan"), Decimal("NaN")])
def test_a_rate_that_is_no_number_is_refused(rate: float | Decimal) -> None:
    with pytest.raises(ConfigValidationError, match="rate_limit_per_second"):
        _ = TinyTap(config={"rate_limit_per_second": rate}).settings


@pytest.mark.parametrize("name", [None, "", " "])
def test_an_export_without_a_name_has_that_of_its_folder(name: str | None) -> None:
    assert export_name({"name": name, "url": "s3://bucket/prefix/carbon/"}) == "carbon"


def test_all_that_is_wrong_is_reported_at_once() -> None:
    errors = errors_of(start_date="x", end_date="y", spool_dir="no/where", mapping_overrides_path="no.csv")
    assert [error.split()[0] for error in errors] == [
        *("start_date", "end_date", "spool_dir", "mapping_overrides_path"),
    ]


def test_what_a_tap_found_wrong_is_reported_with_the_rest_and_without_secrets() -> None:
    defaults = {name: schema["default"] for name, schema in PROPERTIES.items() if "default" in schema}
    register_secrets(["hunter2-hunter2"])
    with pytest.raises(ConfigValidationError) as caught:
        parse_common(defaults | {"end_date": "y"}, NOW, ["password 'hunter2-hunter2' is too short"])
    assert caught.value.errors[0] == "password '***' is too short"
    assert caught.value.errors[1].startswith("end_date must be")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("start_dat", "did you mean 'start_date'?"),
        ("startdate", "did you mean 'start_date'?"),
        ("START_DATE", "see --about for the settings there are"),
        ("rate_limit", "did you mean 'rate_limit_capacity'?"),
        ("zzz", "see --about for the settings there are"),
    ],
)
def test_an_unknown_setting_is_named_with_the_nearest_that_is_known(name: str, hint: str) -> None:
    assert unknown_settings({name: "v", "org_id": "o"}, PROPERTIES) == [f"unknown setting '{name}': {hint}"]


def test_unknown_settings_are_named_without_their_values_and_in_order() -> None:
    messages = unknown_settings({"zz": "secret-2", "aa": "secret-1"}, PROPERTIES)
    assert [message.split("'")[1] for message in messages] == ["aa", "zz"]
    assert "secret" not in str(messages)


def test_nothing_wrong_raises_nothing() -> None:
    raise_config_errors(unknown_settings({"org_id": "o"}, PROPERTIES))
