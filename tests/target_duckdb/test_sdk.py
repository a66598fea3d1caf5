"""The DuckDB target as a target of the Meltano SDK: its standard tests, and what they leave in the tables."""

from __future__ import annotations

import importlib.resources
import json
from typing import TYPE_CHECKING, Any

import pytest
import singer_sdk.testing.target_test_streams as standard_streams
from click.testing import CliRunner
from singer_sdk.testing import TargetTestRunner, get_target_test_class

from target_offgridflow_duckdb.target import TargetOffgridflowDuckdb

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.target_duckdb.loading import Loader

_Standard: Any = get_target_test_class(TargetOffgridflowDuckdb)


class TestStandard(_Standard):
    """The SDK's tests, each into a database of its own."""

    @pytest.fixture
    def runner(self, tmp_path: Path) -> TargetTestRunner:
        config = {"path": str(tmp_path / "standard.duckdb")}
        return TargetTestRunner(TargetOffgridflowDuckdb, config=config)


def standard_stream(name: str) -> Iterator[bytes]:
    file = importlib.resources.files(standard_streams) / f"{name}.singer"
    return (line for line in file.read_bytes().splitlines() if line.strip())


def test_strings_land_as_they_are_with_all_that_json_escapes(loader: Loader) -> None:
    lines = list(standard_stream("encoded_string_data"))
    loader.load(*lines)
    sent = [json.loads(line) for line in lines]
    for stream, column in (
        ("test_strings", "info"),
        ("test_strings_in_objects", "info"),
        ("test_strings_in_arrays", "strings"),
    ):
        expected = [
            message["record"] for message in sent if message.get("stream") == stream and "record" in message
        ]
        landed = loader.rows(stream)
        if stream != "test_strings":
            landed = [{**row, column: json.loads(row[column])} for row in landed]
        assert landed == expected


def test_records_are_updated_by_key(loader: Loader) -> None:
    loader.load(*standard_stream("user_location_data"), *standard_stream("user_location_upsert_data"))
    assert loader.ask("SELECT id, name FROM test_users ORDER BY id") == [
        (1, "Johny"),
        (2, "George"),
        (3, "Jacob"),
        (4, "Josh"),
        (5, "Jim"),
        (8, "Thomas"),
        (12, "Paul"),
        (13, "Mary"),
    ]


def test_records_without_a_key_are_all_kept(loader: Loader) -> None:
    loader.load(*standard_stream("no_primary_keys"))
    loader.load(*standard_stream("no_primary_keys_append"))
    assert loader.ask("SELECT count(*), count(DISTINCT id) FROM test_no_pk") == [(8, 5)]


def test_columns_are_added_as_the_schema_grows(loader: Loader) -> None:
    loader.load(*standard_stream("schema_updates"))
    assert list(loader.types("test_schema_updates")) == ["id", "a1", "a2", "a3", "a4", "a5", "a6"]
    assert loader.ask("SELECT count(a1), count(a3), count(a5), count(a6) FROM test_schema_updates") == [
        (6, 5, 4, 2)
    ]


def test_about_shows_the_settings_that_users_of_duckdb_targets_know() -> None:
    result = CliRunner().invoke(TargetOffgridflowDuckdb.cli, ["--about", "--format", "json"])
    about = json.loads(result.output)
    assert {
        "path",
        "token",
        "default_target_schema",
        "add_record_metadata",
        "load_method",
        "hard_delete",
    } <= set(about["settings"]["properties"])
    assert {"batch_size_rows", "validate_records", "batch_config", "stream_maps"} <= set(
        about["settings"]["properties"]
    )
    assert {"activate-version", "batch", "target-schema", "hard-delete", "validate-records"} <= set(
        about["capabilities"]
    )
