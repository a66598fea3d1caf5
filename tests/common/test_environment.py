"""Settings in variables: read as what their schemas ask for, and named where they cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from singer_sdk import typing as th

from offgridflow_common.environment import settings_in, unknown_variables

SCHEMA = th.PropertiesList(
    th.Property("name", th.StringType),
    th.Property("months", th.IntegerType),
    th.Property("rate", th.NumberType),
    th.Property("on", th.BooleanType),
    th.Property("ids", th.ArrayType(th.StringType)),
    th.Property("exports", th.ArrayType(th.ObjectType())),
    th.Property("urls", th.ObjectType(additional_properties=th.StringType)),
    th.Property("key", th.IntegerType, secret=True),
).to_dict()["properties"]


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("name", "007", "007"),
        ("name", '{"a": 1}', '{"a": 1}'),
        ("months", "3", 3),
        ("rate", "0.5", 0.5),
        ("rate", "5", 5),
        *(("on", text, True) for text in ("true", "True", "1", "yes", "on")),
        *(("on", text, False) for text in ("false", "FALSE", "0", "no", "off")),
        ("ids", "a", ["a"]),
        ("ids", "a, b", ["a", "b"]),
        ("ids", '["a", "b"]', ["a", "b"]),
        ("exports", '[{"url": "file:///x"}]', [{"url": "file:///x"}]),
        ("urls", '{"s3": "https://x"}', {"s3": "https://x"}),
    ],
)
def test_a_variable_is_read_as_what_its_setting_is(name: str, text: str, value: Any) -> None:
    found, errors = settings_in({f"TAP_{name.upper()}": f" {text}\n"}, "TAP_", SCHEMA)
    assert (found, errors) == ({name: value}, [])
    assert type(found[name]) is type(value)


def test_a_variable_of_no_setting_is_named_with_the_nearest() -> None:
    given = {"TAP_MONTH": "3", "TAP_NAME": "x", "TAP_LOGLEVEL": "DEBUG", "TAP__SELECT": "y", "TAP_RATES": ""}
    assert unknown_variables({**given, "PATH": "z"}, "TAP_", SCHEMA) == [
        "unknown setting 'TAP_MONTH': did you mean 'TAP_MONTHS'?"
    ]


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_variable_is_none(text: str) -> None:
    assert settings_in({f"TAP_{name.upper()}": text for name in SCHEMA}, "TAP_", SCHEMA) == ({}, [])


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("months", "two", "integer"),
        ("rate", "0,5", "number"),
        ("on", "maybe", "boolean"),
        ("ids", "[a, b]", "array"),
        ("exports", "s3://bucket/export", "array"),
        ("urls", "https://x", "object"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_variable(name: str, text: str, kind: str) -> None:
    found, errors = settings_in({f"TAP_{name.upper()}": text}, "TAP_", SCHEMA)
    assert found == {}
    assert errors == [f"TAP_{name.upper()} must be {kind}, as JSON writes it, got '{text}'"]


def test_a_secret_that_cannot_be_read_is_not_shown() -> None:
    (error,) = settings_in({"TAP_KEY": "hush"}, "TAP_", SCHEMA)[1]
    assert error.startswith("TAP_KEY must be integer")
    assert "hush" not in error
