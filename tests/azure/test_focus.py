"""FOCUS exports of Azure: 1.0, 1.0r2, 1.2-preview and 1.2, of CSV and Parquet."""

from __future__ import annotations

import csv
import io
import sys
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from tests.azure.shelf import Shelf, made, time_format
from tests.azure.truth import focus_rows, snake, wrong_values
from tests.local_clouds.azure_cost_files import focus_columns

if TYPE_CHECKING:
    Row = dict[str, Any]

STREAM = "focus_costs"
VERSIONS = {"1.0": 96, "1.0r2": 96, "1.2-preview": 105, "1.2": 104}
LEAST = {
    "BilledCost": "1.5",
    "BillingCurrency": "EUR",
    "ChargeCategory": "Usage",
    "ChargePeriodStart": "2026-09-04T00:00:00Z",
}


def lines_of(shelf: Shelf, *parts: Any, **options: Any) -> list[Row]:
    """What the tap makes of the files of a run."""
    shelf.deliver("focus", *parts, **options)
    return shelf.read("focus", select=(STREAM,)).records(STREAM)


def text(*rows: dict[str, str]) -> bytes:
    """Rows as a CSV file."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode("utf-8-sig")


@pytest.mark.parametrize("form", ["csv", "gzip", "parquet"])
@pytest.mark.parametrize("version", VERSIONS)
def test_rows_are_those_of_the_files(shelf: Shelf, version: str, form: Any) -> None:
    parts = [made("focus", 100, seed, variant=version) for seed in (1, 2)]
    options = {"time_format": time_format(version), "data_version": version}
    delivery = shelf.deliver("focus", *parts, form=form, **options)
    run = shelf.read("focus")
    rows = [row for key in delivery.data_keys for row in focus_rows(shelf.path(key))]
    assert len(rows[0]) == VERSIONS[version]
    assert wrong_values(run.records(STREAM), rows) == []
    assert {record["extra"] for record in run.records(STREAM)} == {None}
    assert [row["rows"] for row in run.records("deliveries")] == [200]


def test_a_folder_is_read_without_loading_azures_sdk(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.deliver("focus", made("focus"))
    monkeypatch.setitem(sys.modules, "tap_offgridflow_azure.client", None)
    run = shelf.read("focus", select=("focus_costs", "deliveries"))
    assert len(run.records("focus_costs")) == made("focus").height
    assert "tap_offgridflow_azure.client" in shelf.run("focus", select=("subscriptions",)).stderr


def test_columns_of_other_versions_are_there_and_null(shelf: Shelf) -> None:
    shelf.deliver("focus", made("focus", 60, variant="1.0"), period="2026-08", time_format=time_format("1.0"))
    shelf.deliver("focus", made("focus", 60, variant="1.2"), period="2026-09")
    records = shelf.read("focus", select=(STREAM,)).records(STREAM)
    filled: dict[str, set[str]] = {"2026-08": set(), "2026-09": set()}
    for record in records:
        filled[record["billing_period"]] |= {name for name, value in record.items() if value is not None}
    old, new = ({snake(name) for name in focus_columns(version)} for version in ("1.0", "1.2"))
    assert not filled["2026-08"] & (new - old)
    assert not filled["2026-09"] & (old - new)
    assert {"x_sku_meter_name", "x_invoice_id", "x_pricing_currency"} <= filled["2026-08"]
    assert {"sku_meter", "invoice_id", "pricing_currency", "service_subcategory"} <= filled["2026-09"]
    assert set(records[0]) >= old | new | {"x_sku_details"}


def test_what_the_manifest_says_of_the_version_does_not_matter(shelf: Shelf) -> None:
    """Files go by what they have; a month may have been exported before and after a change of version."""
    parts = [made("focus", 20, 1, variant=version) for version in ("1.2", "1.0r2")]
    delivery = shelf.deliver("focus", *parts, data_version="1.0")
    records = shelf.read("focus", select=(STREAM,)).records(STREAM)
    rows = [row for key in delivery.data_keys for row in focus_rows(shelf.path(key))]
    assert wrong_values(records, rows) == []


def test_decimals_of_parquet_keep_fifteen_digits(shelf: Shelf) -> None:
    frame = made("focus", 60)
    frame = frame.with_columns(pl.col(pl.Float64).cast(pl.Decimal(38, 18)))
    delivery = shelf.deliver("focus", frame, form="parquet")
    records = shelf.read("focus", select=(STREAM,)).records(STREAM)
    assert wrong_values(records, focus_rows(shelf.path(delivery.data_keys[0]))) == []


@pytest.mark.parametrize(
    "written", ["2026-09-04T00:00Z", "2026-09-04T00:00:00Z", "2026-09-04 00:00:00", "2026-09-04T02:00+02:00"]
)
def test_times_with_and_without_seconds_are_the_same(shelf: Shelf, written: str) -> None:
    (record,) = lines_of(shelf, text(LEAST | {"ChargePeriodStart": written}))
    assert record["charge_period_start"] == "2026-09-04T00:00:00.000000+00:00"


@pytest.mark.parametrize(
    ("written", "tags"),
    [
        ('{"env": "prod", "n": 1}', {"env": "prod", "n": "1"}),
        ('"env": "prod","team": "a"', {"env": "prod", "team": "a"}),
        ("{}", {}),
        ("", None),
    ],
)
def test_tags_are_objects_with_braces_and_without(shelf: Shelf, written: str, tags: Any) -> None:
    (record,) = lines_of(shelf, text(LEAST | {"Tags": written}))
    assert record["tags"] == tags


def test_what_is_unused_or_rounding_has_no_sub_account(shelf: Shelf) -> None:
    records = lines_of(shelf, made("focus", 400))
    nobodys = [record for record in records if record["sub_account_id"] is None]
    unused = [record for record in nobodys if record["commitment_discount_status"] == "Unused"]
    assert {record["charge_category"] for record in nobodys} == {"Usage", "Tax", "Adjustment"}
    assert unused
    assert all(record["billed_cost"] == 0 and record["effective_cost"] > 0 for record in unused)


def test_columns_of_a_later_version_are_kept(shelf: Shelf) -> None:
    (record,) = lines_of(shelf, text(LEAST | {"HostProviderName": "Microsoft", "x_New": "1"}))
    assert record["extra"] == {"HostProviderName": "Microsoft", "x_New": "1"}


@pytest.mark.parametrize("missing", ["BilledCost", "BillingCurrency", "ChargeCategory", "ChargePeriodStart"])
def test_missing_columns_are_named_before_the_first_row(shelf: Shelf, missing: str) -> None:
    row = dict(LEAST, ServiceName="Storage")
    del row[missing]
    shelf.deliver("focus", text(row))
    run = shelf.run("focus")
    assert run.exit_code == 1
    assert f"no column {snake(missing)}." in run.stderr
    assert run.records(STREAM) == run.records("deliveries") == []
