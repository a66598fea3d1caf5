"""Every row lands: the tap's command line, piped into loaders as they are installed by users."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tap_offgridflow_aws.tap import TapOffgridflowAws
from tests.e2e.loaded import ask, differences
from tests.e2e.piping import messages_of_the_tap, pipe
from tests.local_clouds.cur2 import cur2_table
from tests.local_clouds.exports import FolderStore, publish_cur2

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.installed import Once

MONTHS = ("2026-08", "2026-09")
ROWS = 1000
BATCH_ROWS = 300
EXECUTION_ID = "3b6f0d52-7d0e-4a57-8a4b-6d1f8f0c0011"


@pytest.fixture(scope="module")
def duckdb_loader(plugins: Path) -> Path:
    name = "target-offgridflow-duckdb"
    return plugins / "loaders" / name / "venv" / "bin" / name


@pytest.fixture(scope="module")
def source(once: Once) -> Path:
    """A folder with two months of an export with all columns, and what the tap makes of it."""

    def make(folder: Path) -> None:
        for seed, month in enumerate(MONTHS):
            publish_cur2(
                FolderStore(folder),
                export="bills",
                period=month,
                data=cur2_table(ROWS, seed, month),
                execution_id=EXECUTION_ID.replace("0011", month.replace("-", "")[2:]),
            )
        exports = [{"type": "cur2", "url": (folder / "exports/bills").as_uri()}]
        messages = messages_of_the_tap(folder, {"exports": exports}, ["cost_and_usage", "deliveries"])
        (folder / "messages").write_bytes(messages)

    return once("export", make)


def test_every_value_of_every_column_lands_in_duckdb_in_whatever_batches(
    source: Path, duckdb_loader: Path, tmp_path: Path
) -> None:
    database = tmp_path / "loaded.duckdb"
    config = {"path": str(database), "default_target_schema": "aws", "batch_size_rows": BATCH_ROWS}
    pipe(duckdb_loader, config, (source / "messages").read_bytes(), tmp_path)
    counts = ask(database, "SELECT billing_period, count(*) FROM aws.cost_and_usage GROUP BY ALL ORDER BY 1")
    assert counts == [(month, ROWS) for month in MONTHS]
    assert differences(database, source) == {}


def streams() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = TapOffgridflowAws(config={}).catalog_dict["streams"]
    return found


@pytest.mark.parametrize("stream", [stream["stream"] for stream in streams()])
def test_no_batch_loses_a_row_even_if_it_holds_nothing_but_its_key(
    stream: str, duckdb_loader: Path, tmp_path: Path
) -> None:
    (entry,) = [entry for entry in streams() if entry["stream"] == stream]
    database, rows = tmp_path / "loaded.duckdb", 10
    config = {"path": str(database), "default_target_schema": "aws", "batch_size_rows": 4}
    pipe(duckdb_loader, config, b"\n".join(bare_messages(entry, rows)) + b"\n", tmp_path)
    assert ask(database, "SELECT count(*) FROM query_table(?)", f"aws.{stream}") == [(rows,)]


def bare_messages(entry: dict[str, Any], rows: int) -> Iterable[bytes]:
    """A schema and records that have values where they must, and nowhere else."""
    keys, schema = entry["key_properties"], entry["schema"]
    message = {"type": "SCHEMA", "stream": entry["stream"], "schema": schema, "key_properties": keys}
    yield json.dumps(message).encode()
    required = {name: kind for name, kind in schema["properties"].items() if "null" not in kind["type"]}
    for row in range(rows):
        record = {name: least_value(kind, row) for name, kind in required.items()}
        yield json.dumps({"type": "RECORD", "stream": entry["stream"], "record": record}).encode()


def least_value(kind: dict[str, Any], row: int) -> object:
    if kind.get("format") == "date-time":
        return datetime(2026, 1, 1 + row, tzinfo=UTC).isoformat(timespec="microseconds")
    return {"string": f"v{row}", "integer": row, "number": row / 7}[kind["type"][0]]


def test_every_row_lands_in_csv_and_passes_a_loader_that_checks_each_against_its_schema(
    source: Path, csv_loader: Path, tmp_path: Path
) -> None:
    config = {"output_path": str(tmp_path), "file_naming_scheme": "{stream_name}.csv"}
    pipe(csv_loader, config, (source / "messages").read_bytes(), tmp_path)
    with (tmp_path / "cost_and_usage.csv").open(newline="", encoding="utf-8") as file:
        landed = list(csv.DictReader(file))
    places = {(row["billing_period"], row["file_ordinal"], row["row_number"]) for row in landed}
    assert len(landed) == len(places) == ROWS * len(MONTHS)
    sent = [message["record"] for message in records(source) if message["stream"] == "cost_and_usage"]
    for column in ("line_item_unblended_cost", "line_item_usage_amount"):
        assert [number(row[column]) for row in landed] == [record[column] for record in sent]


def records(source: Path) -> list[dict[str, Any]]:
    messages = map(json.loads, (source / "messages").read_bytes().splitlines())
    return [message for message in messages if message["type"] == "RECORD"]


def number(text: str) -> float | None:
    return float(text) if text else None
