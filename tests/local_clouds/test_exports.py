from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.local_clouds.cur2 import (
    ACCOUNTS,
    BLOCK_ROWS,
    cur2_batches,
    cur2_schema,
    cur2_table,
    write_csv_gz,
    write_parquet,
)
from tests.local_clouds.exports import FolderStore, publish_cur2

if TYPE_CHECKING:
    from collections.abc import Sequence

DATA = Path(__file__).parent / "data"
DELIVERED = datetime(2026, 10, 3, 7, 52, 10, 494_000, tzinfo=UTC)
EXECUTION = "3b6f0d52-7d0e-4a57-8a4b-6d1f8f0c2a11"


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return cur2_table(20_000, 1)


def by_kind(table: pa.Table) -> dict[str, pl.DataFrame]:
    frame = pl.DataFrame(pl.from_arrow(table))
    groups = frame.partition_by("line_item_line_item_type", as_dict=True)
    return {str(kind): rows for (kind,), rows in groups.items()}


def test_columns_have_the_names_order_and_types_of_the_real_export(table: pa.Table, tmp_path: Path) -> None:
    with (DATA / "cur2_columns.csv").open(encoding="utf-8", newline="") as file:
        expected = list(csv.DictReader(file))
    write_parquet(table, tmp_path / "x.parquet")
    schema = pq.read_schema(tmp_path / "x.parquet")
    measured = [row for row in expected if row["position"]]
    assert schema.names == [row["name"] for row in measured]
    types = {
        name: re.sub(r" \('.*'\)", "", str(schema.field(name).type)).replace(" ", "") for name in schema.names
    }
    assert types == {row["name"]: row["arrow_type"] for row in measured}
    physical = pq.ParquetFile(tmp_path / "x.parquet").schema
    kinds = {physical.column(i).path: physical.column(i).physical_type for i in range(len(physical))}
    for row in measured:
        if row["parquet_physical"] != "MAP":
            assert kinds[row["name"]] == row["parquet_physical"].split("(")[0]
    optional = [row["name"] for row in expected if not row["position"]]
    assert cur2_schema(iam_principal=True).names == [*schema.names, *optional]


def test_pyarrow_and_polars_read_back_what_was_made(table: pa.Table, tmp_path: Path) -> None:
    assert write_parquet(table, tmp_path / "x.parquet") == table.num_rows
    assert pq.read_table(tmp_path / "x.parquet").equals(table)
    assert pl.read_parquet(tmp_path / "x.parquet").equals(pl.DataFrame(pl.from_arrow(table)))
    assert pq.ParquetFile(tmp_path / "x.parquet").num_row_groups == 1


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path: Path) -> None:
    def files(name: str, seed: int) -> tuple[bytes, bytes]:
        made = cur2_table(3_000, seed)
        write_parquet(made, tmp_path / name)
        write_csv_gz(made, tmp_path / f"{name}.gz")
        return (tmp_path / name).read_bytes(), (tmp_path / f"{name}.gz").read_bytes()

    first, again, other = files("a", 5), files("b", 5), files("c", 6)
    assert first == again
    assert first[0] != other[0]
    assert first[1] != other[1]


@pytest.mark.parametrize("rows", [0, 1, 2, BLOCK_ROWS + 1])
def test_any_number_of_rows_is_the_beginning_of_a_longer_table(rows: int) -> None:
    longer = cur2_table(BLOCK_ROWS + 10, 3)
    assert cur2_table(rows, 3).equals(longer.slice(0, rows))


def test_batches_stay_small_and_lines_get_new_resources_when_the_month_is_full() -> None:
    columns = ["identity_line_item_id", "identity_time_interval"]
    rows = 1_600 * 720 + 100
    pairs = []
    for batch in cur2_batches(rows, 1):
        assert batch.num_rows <= BLOCK_ROWS
        pairs.append(pl.DataFrame(pl.from_arrow(batch.select(columns))))
    frame = pl.concat(pairs)
    assert frame.height == rows == frame.unique().height
    assert frame["identity_line_item_id"].n_unique() < rows / 100


def test_even_a_short_table_has_every_kind_of_line() -> None:
    kinds = Counter(cur2_table(200, 1)["line_item_line_item_type"].to_pylist())
    assert set(kinds) == {
        "Usage", "Tax", "Credit", "DiscountedUsage", "SavingsPlanCoveredUsage", "SavingsPlanNegation",
        "SavingsPlanRecurringFee", "RIFee", "Fee", "Refund",
    }  # fmt: skip
    assert set(cur2_table(200, 1, commitments=False)["line_item_line_item_type"].to_pylist()) == {
        "Usage", "Tax", "Credit",
    }  # fmt: skip


def test_amounts_and_intervals_follow_the_kind_of_line(table: pa.Table) -> None:
    kinds = by_kind(table)
    hours = (pl.col("line_item_usage_end_date") - pl.col("line_item_usage_start_date")).dt.total_hours()
    assert kinds["Usage"].select(hours.unique()).to_series().to_list() == [1]
    assert kinds["Tax"].select(hours.unique()).to_series().to_list() == [720]
    assert set(kinds["Credit"].select(hours.unique()).to_series()) == set(range(1, 25))
    assert kinds["Tax"]["line_item_usage_type"].null_count() == kinds["Tax"].height
    for kind in ("Credit", "SavingsPlanNegation", "Refund"):
        assert kinds[kind]["line_item_unblended_cost"].max() <= 0
    assert kinds["DiscountedUsage"]["reservation_effective_cost"].min() > 0
    assert kinds["SavingsPlanCoveredUsage"]["savings_plan_savings_plan_effective_cost"].max() > 0
    free = kinds["Usage"].filter(
        (pl.col("line_item_unblended_cost") == 0) & (pl.col("line_item_usage_amount") > 0)
    )
    assert free.height > 0
    costs = [
        repr(value)
        for value in kinds["Usage"]["line_item_unblended_cost"].to_list()
        if "e" not in repr(value)
    ]
    assert max(len(cost.partition(".")[2]) for cost in costs) == 10


def test_intervals_agree_and_lie_in_the_month(table: pa.Table) -> None:
    frame = pl.DataFrame(pl.from_arrow(table))
    text = pl.concat_str(
        pl.col("line_item_usage_start_date").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        pl.col("line_item_usage_end_date").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        separator="/",
    )
    assert frame.filter(pl.col("identity_time_interval") != text).is_empty()
    assert frame["line_item_usage_start_date"].min() == datetime(2026, 9, 1)  # noqa: DTZ001 - the column is naive
    assert frame["line_item_usage_end_date"].max() == datetime(2026, 10, 1)  # noqa: DTZ001 - the column is naive


def test_regions_are_where_the_real_export_has_them(table: pa.Table) -> None:
    rows = table.select(["product", "product_region_code", "line_item_line_item_type"]).to_pylist(
        maps_as_pydicts="strict"
    )
    for row in rows:
        region = row["product"].get("region")
        if row["line_item_line_item_type"] in ("Usage", "Credit"):
            assert region
        if row["line_item_line_item_type"] == "Tax":
            assert region is row["product_region_code"] is None
        if row["product_region_code"]:
            assert row["product_region_code"] == region
    assert 0.45 < table["product_region_code"].null_count / table.num_rows < 0.62
    regions = Counter(row["product_region_code"] for row in rows)
    assert regions["global"]
    assert any(row["product"].get("region") == "global" and not row["product_region_code"] for row in rows)
    sizes = {len(row["product"]) for row in rows if row["line_item_line_item_type"] == "Usage"}
    assert min(sizes) >= 10
    assert max(sizes) > 20


def test_nothing_has_the_forms_of_the_real_export() -> None:
    table = cur2_table(20_000, 1, commitments=False)
    assert sum(column.null_count == table.num_rows for column in table.columns) == 48
    assert table["reservation_total_reserved_units"].unique().to_pylist() == [""]
    assert table["reservation_effective_cost"].unique().to_pylist() == [0.0]
    assert all(table[name].null_count == 0 for name in ("product", "resource_tags", "tags", "discount"))
    assert [] in table["resource_tags"].to_pylist()
    assert "012345678901" in table["line_item_usage_account_id"].unique().to_pylist()
    assert cur2_table(10, 1, final=False)["bill_invoice_id"].null_count == 10


def test_accounts_and_month_are_as_asked() -> None:
    table = cur2_table(500, 1, "2024-02", payer="000000000007", accounts=["000000000007", "000000000008"])
    assert set(table["line_item_usage_account_id"].to_pylist()) == {"000000000007", "000000000008"}
    assert table["bill_payer_account_id"].unique().to_pylist() == ["000000000007"]
    assert "2024-02-01T00:00:00Z/2024-03-01T00:00:00Z" in table["identity_time_interval"].to_pylist()


def test_csv_holds_the_same_values_as_the_table(table: pa.Table, tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    table = table.slice(0, 5_000)
    assert write_csv_gz(table, path) == table.num_rows
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == table.column_names
    awkward = set()
    for got, want in zip(rows, table.to_pylist(maps_as_pydicts="strict"), strict=True):
        assert {name: parsed(name, text) for name, text in got.items()} == {
            name: "" if value is None else value for name, value in want.items()
        }
        awkward |= {char for char in '"\n\\,東' if char in "".join(got.values())}
    assert awkward == set('"\n\\,東')


def parsed(name: str, text: str) -> Any:
    kind = cur2_schema().field(name).type
    if pa.types.is_map(kind):
        return json.loads(text)
    if pa.types.is_timestamp(kind):
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")  # noqa: DTZ007 - the column is naive
    return float(text) if text and pa.types.is_floating(kind) else text


def test_csv_times_can_have_another_form_and_an_empty_table_has_a_header(tmp_path: Path) -> None:
    write_csv_gz(cur2_table(1, 1), tmp_path / "a.gz", time_format="%Y-%m-%d %H:%M:%SZ")
    assert b",2026-10-01 00:00:00Z," in gzip.decompress((tmp_path / "a.gz").read_bytes())
    assert write_csv_gz(cur2_table(0, 1), tmp_path / "b.gz") == 0
    assert (
        gzip.decompress((tmp_path / "b.gz").read_bytes()).decode().strip().split(",") == cur2_schema().names
    )


def publish(store: FolderStore, table: Any, execution: str = EXECUTION, **options: Any) -> Any:
    given = {"export": "ofg-cur2", "period": "2026-09", "delivered_at": DELIVERED} | options
    return publish_cur2(store, data=table, execution_id=execution, **given)


def manifest(store: FolderStore, key: str) -> dict[str, Any]:
    return json.loads((store.path / key).read_text("utf-8"))


def test_a_delivery_has_the_manifest_of_the_real_service(table: pa.Table, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    delivery = publish(store, table)
    expected = json.loads((DATA / "manifest_cur2.json").read_text("utf-8"))
    assert manifest(store, delivery.manifest_key) == expected
    run = f"2026-10-03T07:52:10.494Z-{EXECUTION}"
    metadata = "exports/ofg-cur2/metadata/BILLING_PERIOD=2026-09"
    assert store.keys("exports/ofg-cur2/metadata/") == [
        f"{metadata}/{run}/ofg-cur2-Manifest.json",
        f"{metadata}/ofg-cur2-Manifest.json",
    ]
    assert manifest(store, f"{metadata}/{run}/ofg-cur2-Manifest.json") == expected
    assert store.keys("exports/ofg-cur2/data/") == list(delivery.data_keys)
    assert pa.concat_tables(pq.read_table(tmp_path / key) for key in delivery.data_keys).equals(table)
    assert (delivery.rows, delivery.bytes) == (
        table.num_rows,
        sum((tmp_path / key).stat().st_size for key in delivery.data_keys),
    )


class Journal(FolderStore):
    """A folder that remembers the order of writes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.puts: list[str] = []

    def put(self, key: str, data: bytes | Path) -> None:
        self.puts.append(key)
        super().put(key, data)


def test_data_files_are_there_before_any_manifest(table: pa.Table, tmp_path: Path) -> None:
    store = Journal(tmp_path)
    publish(store, table, chunks=3, decoys=True)
    manifests = [place for place, key in enumerate(store.puts) if key.endswith("-Manifest.json")]
    data = [place for place, key in enumerate(store.puts) if key.endswith(".snappy.parquet")]
    assert max(data) < min(manifests)
    assert store.puts[-1].endswith("BILLING_PERIOD=2026-09/ofg-cur2-Manifest.json")
    assert sum("-Manifest-FOCUS.json" in key for key in store.puts) == 1


def test_create_new_keeps_what_was_delivered_before(table: pa.Table, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    first = publish(store, table)
    second = publish(store, cur2_table(10, 2), "second", chunks=1, delivered_at=DELIVERED.replace(day=4))
    assert set(first.data_keys) | set(second.data_keys) == set(store.keys("exports/ofg-cur2/data/"))
    assert manifest(store, second.manifest_key)["executionId"] == "second"


def test_overwrite_empties_the_files_it_no_longer_needs(table: pa.Table, tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    first = publish(store, table, mode="overwrite", chunks=3)
    second = publish(store, table, "second", mode="overwrite", chunks=1)
    assert (
        first.data_keys[0]
        == second.data_keys[0]
        == "exports/ofg-cur2/data/BILLING_PERIOD=2026-09/ofg-cur2-00001.snappy.parquet"
    )
    assert [(tmp_path / key).stat().st_size for key in first.data_keys[1:]] == [0, 0]
    assert len(manifest(store, second.manifest_key)["dataFiles"]) == 1
    assert store.keys("exports/ofg-cur2/metadata/") == [second.manifest_key]


@pytest.mark.parametrize(("rows", "chunks", "files"), [(0, 1, 1), (1, 3, 3), (5, 0, 0)])
def test_deliveries_may_have_empty_files_or_none(tmp_path: Path, rows: int, chunks: int, files: int) -> None:
    store = FolderStore(tmp_path)
    delivery = publish(store, cur2_table(rows, 1), chunks=chunks)
    assert len(delivery.data_keys) == files
    assert sum(pq.read_table(tmp_path / key).num_rows for key in delivery.data_keys) == (rows if files else 0)
    assert len(manifest(store, delivery.manifest_key)["columns"]) == 130


@pytest.mark.parametrize(
    "columns", [None, ["line_item_usage_amount", "product", "line_item_usage_start_date"]]
)
def test_csv_deliveries_in_other_spellings(tmp_path: Path, columns: Sequence[str] | None) -> None:
    store = FolderStore(tmp_path)
    options = {"format": "csv", "prefix": "", "partition_key": "billing_period", "manifest_bucket": "origin"}
    delivery = publish(store, cur2_table(5, 1), columns=columns, **options)
    assert all(key.startswith("ofg-cur2/data/billing_period=2026-09/") for key in delivery.data_keys)
    said = manifest(store, delivery.manifest_key)
    assert said["dataFiles"] == [f"s3://origin/{key}" for key in delivery.data_keys]
    assert [column["name"] for column in said["columns"]] == list(columns or cur2_schema().names)
    first = gzip.decompress((tmp_path / delivery.data_keys[0]).read_bytes()).decode().split("\n")[0]
    assert first.split(",") == list(columns or cur2_schema().names)


def test_batches_are_delivered_without_holding_a_file(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    rows = 3 * BLOCK_ROWS + 5
    delivery = publish(store, cur2_batches(rows, 1), chunk_rows=2 * BLOCK_ROWS)
    counts = [pq.read_metadata(tmp_path / key).num_rows for key in delivery.data_keys]
    assert counts == [2 * BLOCK_ROWS, BLOCK_ROWS + 5]
    assert delivery.rows == rows


def test_several_accounts_share_a_bill(table: pa.Table) -> None:
    assert set(table["line_item_usage_account_id"].to_pylist()) == set(ACCOUNTS)
