from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from tests.aws import truth
from tests.aws.bench import EXPORT, HEADER, LEAST, LINE, PERIOD, line_items, made_up
from tests.aws.driving import LINE_ITEMS
from tests.local_clouds.cur2 import cur2_table
from tests.local_clouds.exports import FolderStore

if TYPE_CHECKING:
    from tests.aws.bench import Bench
    from tests.aws.driving import Run

ROWS = {"2026-08": 137, "2026-09": 61}
DATA = Path(__file__).parent / "data"


class ReadableFolder(FolderStore):
    def get(self, key: str) -> bytes:
        return (self.path / key).read_bytes()


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("mode", ["create-new", "overwrite"])
@pytest.mark.parametrize("where", ["s3", "file"])
def test_every_line_item_of_the_current_deliveries_arrives_once_with_the_values_of_the_file(
    bench: Bench, tmp_path: Path, kind: str, mode: str, where: str
) -> None:
    folder = ReadableFolder(tmp_path / "büro & co")
    options: dict[str, Any] = {"format": kind, "mode": mode, "decoys": True}
    settings: dict[str, Any] = {}
    if where == "file":
        options["store"] = folder
        settings["exports"] = [{"type": "cur2", "url": (folder.path / "exports" / EXPORT).as_uri()}]
    # An earlier delivery, which had more rows and more files, counts no more.
    bench.publish("2026-08", 200, seed=7, chunks=4, **options)
    expected: dict[Any, Any] = {}
    for period, rows in ROWS.items():
        delivery = bench.publish(period, rows, seed=8, chunks=3, **options)
        read = bench.get if where == "s3" else folder.get
        expected |= truth.placed_rows(read, period, delivery)
    run = bench.read(config=bench.config(**settings))
    assert len(expected) == sum(ROWS.values())
    records = truth.by_place(run.records())
    assert truth.differences(records, expected)[:3] == []
    assert {record["export_name"] for record in records.values()} == {EXPORT}
    assert {record["extra"] for record in records.values()} == {None}
    assert {record["line_item_usage_account_id"] for record in records.values()} >= {"012345678901"}
    told = {row["billing_period"]: (row["files"], row["rows"]) for row in run.records("deliveries")}
    assert told == {period: (3, rows) for period, rows in ROWS.items()}
    fits_its_schema(run)


def fits_its_schema(run: Run) -> None:
    for message in run.messages:
        if message["type"] == "SCHEMA":
            schema = jsonschema.Draft202012Validator(message["schema"])
            required = set(message["key_properties"])
            for record in run.records(message["stream"]):
                schema.validate(record)
                assert required <= {name for name, value in record.items() if value is not None}
                assert record.keys() <= message["schema"]["properties"].keys()


@pytest.mark.parametrize("rows", [0, 1, 25_001])
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_no_row_one_row_and_more_rows_than_a_block_arrive(bench: Bench, rows: int, kind: str) -> None:
    wanted = ["identity_line_item_id", "identity_time_interval", *LEAST]
    table = cur2_table(rows, 3).select(wanted)
    bench.publish(PERIOD, table, format=kind, chunks=1)
    unwanted = set(truth.column_types()) - set(wanted)
    run = bench.read(deselect={LINE_ITEMS: unwanted})
    records = run.records()
    assert [record["row_number"] for record in records] == list(range(1, rows + 1))
    ids = table["identity_line_item_id"].to_pylist()
    assert [record["identity_line_item_id"] for record in records] == ids
    assert [row["rows"] for row in run.records("deliveries")] == [rows]
    assert unwanted.isdisjoint(records[0] if records else {})


@pytest.mark.parametrize(
    "empty", [b"", gzip.compress(b""), f"{HEADER}\n"], ids=["no bytes", "gzip of nothing", "header only"]
)
def test_a_csv_file_without_rows_is_read_as_no_rows(bench: Bench, empty: bytes | str) -> None:
    bench.publish_csv(f"{HEADER}\n{LINE}\n", empty, f"{HEADER}\n{LINE}")
    run = bench.read()
    places = [(record["file_ordinal"], record["row_number"]) for record in run.records()]
    assert places == [(1, 1), (3, 1)]


@pytest.mark.parametrize("rows", [None, 0])
def test_a_parquet_file_of_no_bytes_or_no_rows_is_read_as_no_rows(bench: Bench, rows: int | None) -> None:
    whole = line_items(line_item_operation=["a", "b"])
    delivery = bench.publish(PERIOD, iter([whole, whole.slice(0, 0), whole]))
    if rows is None:
        bench.store.put(delivery.data_keys[1], b"")
        bench.put_manifest(delivery)
    run = bench.read()
    places = [(record["file_ordinal"], record["row_number"]) for record in run.records()]
    assert places == [(1, 1), (1, 2), (3, 1), (3, 2)]
    assert [(row["files"], row["rows"]) for row in run.records("deliveries")] == [(3, 4)]


def test_the_public_sample_of_cur2_as_csv_can_be_read(bench: Bench) -> None:
    sample = (DATA / "sample-cur20.csv").read_text("utf-8")
    expected = bench.rows(PERIOD, bench.publish_csv(sample))
    names = [row.pop("product_product_name") for row in expected.values()]
    records = truth.by_place(bench.read().records())
    assert len(records) == 4
    assert truth.differences(records, expected) == []
    # The real export has the product's name in its map `product`; here it is a column of its own.
    assert [record["extra"] for record in records.values()] == [
        {"product_product_name": name} for name in names
    ]


def test_a_file_that_is_not_compressed_is_read_too(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / EXPORT
    (folder / "metadata" / "BILLING_PERIOD=2026-09").mkdir(parents=True)
    (folder / "data" / "BILLING_PERIOD=2026-09").mkdir(parents=True)
    name = f"{EXPORT}/data/BILLING_PERIOD=2026-09/{EXPORT}-00001.csv"
    (tmp_path / name).write_text(f"{HEADER}\n{LINE}\n")
    manifest = {"executionId": "made-by-hand", "dataFiles": [f"s3://elsewhere/{name}"]}
    (folder / "metadata" / "BILLING_PERIOD=2026-09" / "Manifest.json").write_text(json.dumps(manifest))
    run = bench.read(config=bench.config(exports=[{"type": "cur2", "url": folder.as_uri()}]))
    assert len(run.records()) == 1


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize(
    "settings",
    [
        {"stream_maps": {"cost_and_usage": {"added": "line_item_usage_type"}}},
        {"flattening_enabled": True, "flattening_max_depth": 0},
    ],
    ids=["stream map", "flattening"],
)
def test_record_by_record_gives_the_same_records_as_in_blocks(
    bench: Bench, settings: dict[str, Any], kind: str
) -> None:
    table = made_up(30, PERIOD, 5)
    # Every 6th column goes unknown, so that `extra` is not empty.
    names = [
        f"new_{name}" if position % 6 == 5 and name not in LEAST else name
        for position, name in enumerate(table.column_names)
    ]
    bench.publish(PERIOD, table.rename_columns(names), format=kind)
    blocks = bench.read()
    single = bench.read(config=bench.config(**settings))
    assert b'"added"' in single.stdout or "flattening_enabled" in settings
    records = single.records()
    for record in records:
        record.pop("added", None)
    assert records == blocks.records()
    assert [list(record) for record in records] == [list(record) for record in blocks.records()]
    assert single.records("deliveries") == blocks.records("deliveries")
    assert single.states == blocks.states


def test_a_dry_run_gives_the_first_record_of_a_whole_run(bench: Bench) -> None:
    bench.publish(PERIOD, 30)
    first = bench.read().records()[:1]
    dry = bench.read(dry=True, as_process=True)
    assert dry.records() == first
