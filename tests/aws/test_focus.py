"""FOCUS 1.0 and 1.2, of Parquet and CSV, and the activities that are made of them."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.aws import truth
from tests.aws.shelf import PERIOD, Shelf, plain
from tests.export_files import decimal, sums
from tests.local_clouds.cur2 import ACCOUNTS, PAYER, cur2_table
from tests.local_clouds.focus import GAPS, focus_columns, focus_table

if TYPE_CHECKING:
    from pathlib import Path

    from tests.aws.conftest import Config, RunTap

    Row = dict[str, Any]

STREAM = "focus_costs"
SELECT = (STREAM, "deliveries")
USAGE = ("activities",)


@pytest.fixture
def shelf(tmp_path: Path, tap_config: Config, run_tap: RunTap) -> Shelf:
    return Shelf(tmp_path / "bucket", tap_config, run_tap)


@cache
def focus(version: Any = "1.0", rows: int = 2000) -> pa.Table:
    return focus_table(cur2_table(rows, 1, PERIOD), version)


def snake(name: str) -> str:
    """A name of FOCUS as the stream has it, letter by letter."""
    text = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return text.replace("x__", "x_").removeprefix("_")


def small(**columns: list[Any]) -> pa.Table:
    """Rows with the least that FOCUS needs, and these columns."""
    count = len(next(iter(columns.values()))) if columns else 1
    least = {
        "BilledCost": 0.25,
        "BillingAccountId": PAYER,
        "BillingCurrency": "USD",
        "ChargeCategory": "Usage",
        "ChargePeriodStart": datetime(2026, 9, 1),  # noqa: DTZ001 - as in the provider's files
        "ConsumedQuantity": 1.0,
        "ConsumedUnit": "Hrs",
        "SubAccountId": ACCOUNTS[1],
    }
    return pa.table({name: pa.array([value] * count) for name, value in least.items()} | columns)


def wrong_values(records: list[Row], table: pa.Table) -> list[Any]:
    """Where records differ from the rows of a table; empty if nowhere."""
    rows = table.to_pylist(maps_as_pydicts="strict")
    return [
        (place, name, record.get(snake(name)), value)
        for place, (record, row) in enumerate(zip(records, rows, strict=True))
        for name, value in row.items()
        if not truth.same(record.get(snake(name)), plain(value))
    ]


@pytest.mark.parametrize(("version", "count"), [("1.0", 48), ("1.2", 60)])
@pytest.mark.parametrize("form", ["parquet", "csv"])
@pytest.mark.parametrize("lower_case", [False, True], ids=["PascalCase", "lowercase"])
def test_rows_are_those_of_the_file(
    shelf: Shelf,
    version: Any,
    count: int,
    form: str,
    lower_case: bool,  # noqa: FBT001 - how names are spelled
) -> None:
    table = focus(version)
    delivery = shelf.focus(PERIOD, table, format=form, lower_case=lower_case, chunks=2)
    run = shelf.read("focus", select=SELECT)
    records = run.records(STREAM)
    assert table.num_columns == count
    assert wrong_values(records, table) == []
    assert {record["extra"] for record in records} == {None}
    assert {record["provider_name"] for record in records} == {"AWS"}
    (told,) = run.records("deliveries")
    assert (told["delivery_id"], told["rows"]) == (delivery.execution_id, table.num_rows)


def test_columns_of_one_version_only_are_null_in_the_other(shelf: Shelf) -> None:
    shelf.focus("2026-08", focus("1.0"))
    shelf.focus("2026-09", focus("1.2"))
    records = shelf.read("focus", select=SELECT).records(STREAM)
    seen = {
        period: {
            name
            for record in records
            if record["billing_period"] == period
            for name, value in record.items()
            if value not in (None, {})
        }
        for period in ("2026-08", "2026-09")
    }
    assert {"x_cost_categories", "x_usage_type"} <= seen["2026-08"] - seen["2026-09"]
    newer = set(map(snake, focus_columns("1.2"))) - set(map(snake, focus_columns("1.0")))
    assert not newer & seen["2026-08"]
    assert {"sku_meter", "sub_account_type", "sku_price_details", "invoice_id"} <= newer & seen["2026-09"]


def test_what_aws_may_leave_null_against_the_specification_is_null(shelf: Shelf) -> None:
    shelf.focus(PERIOD, focus())
    records = shelf.read("focus", select=SELECT).records(STREAM)
    assert {record[snake(name)] for record in records for name in GAPS} == {None}


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_discounts_that_are_text_become_numbers(shelf: Shelf, form: str) -> None:
    discounts = pa.array(
        [[("edp", "0.1"), ("ppa", "-1e-06")], [], None, [("edp", None)]], pa.map_(pa.string(), pa.string())
    )
    shelf.focus(PERIOD, small(x_Discounts=discounts), format=form, chunks=1)
    records = shelf.read("focus", select=SELECT).records(STREAM)
    shown = [record["x_discounts"] for record in records]
    assert shown == [{"edp": 0.1, "ppa": -1e-06}, {}, None, {"edp": None}]


@pytest.mark.parametrize("text", ["", "[]", "{}", None])
def test_maps_without_members_are_all_the_same(shelf: Shelf, text: str | None) -> None:
    shelf.focus(PERIOD, small(Tags=[text, '{"a": "b"}']), format="csv", chunks=1)
    nothing, something = shelf.read("focus", select=SELECT).records(STREAM)
    assert not nothing["tags"]
    assert something["tags"] == {"a": "b"}


def test_literal_null_is_nothing_where_a_number_or_a_time_is_due(shelf: Shelf) -> None:
    """Text stays as it is: a resource may be called so."""
    table = small(
        ListUnitPrice=["NULL", "0.5"],
        BillingPeriodEnd=["NULL", "2026-10-01T00:00:00Z"],
        Tags=["NULL", '{"a": "b"}'],
    )
    shelf.focus(PERIOD, table, format="csv", chunks=1)
    nothing, something = shelf.read("focus", select=SELECT).records(STREAM)
    assert [nothing[name] for name in ("list_unit_price", "billing_period_end", "tags")] == [None] * 3
    assert something["list_unit_price"] == 0.5
    assert something["billing_period_end"] == "2026-10-01T00:00:00.000000+00:00"
    assert something["tags"] == {"a": "b"}


def test_columns_of_a_later_version_are_kept(shelf: Shelf) -> None:
    shelf.focus(PERIOD, small(ServiceProviderName=["AWS"], HostProviderName=["AWS"], Id=[7]))
    (record,) = shelf.read("focus", select=SELECT).records(STREAM)
    assert record["extra"] == {"ServiceProviderName": "AWS", "HostProviderName": "AWS", "Id": 7}


@pytest.mark.parametrize(
    ("stream", "column", "name"),
    [
        (STREAM, "BilledCost", "billed_cost"),
        (STREAM, "ChargeCategory", "charge_category"),
        ("activities", "ConsumedQuantity", "consumed_quantity"),
        ("activities", "SubAccountId", "sub_account_id"),
    ],
)
def test_missing_columns_are_named_before_the_first_row(
    shelf: Shelf, stream: str, column: str, name: str
) -> None:
    shelf.focus(PERIOD, small().drop_columns([column]))
    run = shelf.run("focus", select=(stream, "deliveries"))
    assert run.exit_code == 1
    assert f"no column {name}." in run.stderr
    assert run.records(stream) == run.records("deliveries") == []


@pytest.mark.parametrize("version", ["1.0", "1.2"])
def test_activities_hold_the_consumed_quantity_and_the_billed_cost_of_usage(
    shelf: Shelf, version: Any
) -> None:
    table = focus(version)
    shelf.focus(PERIOD, table)
    records = shelf.read("focus", select=USAGE).records("activities")
    meter = "x_UsageType" if version == "1.0" else "SkuMeter"
    usage = [row for row in table.to_pylist() if row["ChargeCategory"] == "Usage"]
    of_file = ("SubAccountId", "x_ServiceCode", meter)
    of_record = ("account_id", "service_code", "usage_type")
    flat = [record | {"usage_type": record["metadata"]["usage_type"]} for record in records]
    assert sums(flat, of_record, "quantity") == sums(usage, of_file, "ConsumedQuantity")
    assert sums(flat, of_record, "cost") == sums(usage, of_file, "BilledCost")
    assert sum(int(record["metadata"]["line_items"]) for record in records) == len(usage)
    assert {record["activity_type"] for record in records} == {"usage"}
    assert {(record["account_id"], record["external_id"]) for record in records} == {
        (account, f"{PAYER}/{PERIOD}" if account == PAYER else f"{PAYER}/{account}/{PERIOD}")
        for account in {row["SubAccountId"] for row in usage}
    }


def test_edge_locations_are_no_region_whether_the_service_has_a_code_or_only_a_name(shelf: Shelf) -> None:
    table = small(
        x_ServiceCode=["AmazonCloudFront", None, None],
        ServiceName=["Amazon CloudFront", "Amazon CloudFront", "Amazon EC2"],
        SkuMeter=["EU-DataTransfer-Out-Bytes"] * 3,
    )
    shelf.focus(PERIOD, table)
    records = shelf.read("focus", select=USAGE).records("activities")
    places = {(record["service_code"], record["region"], record["location"]) for record in records}
    assert places == {
        ("AmazonCloudFront", None, "GLOBAL"),
        ("Amazon CloudFront", None, "GLOBAL"),
        ("Amazon EC2", "eu-west-1", "EU-WEST"),
    }


def test_activities_take_names_and_categories_from_the_export(shelf: Shelf) -> None:
    """Two names of a service code are two activities, not one fact twice."""
    table = small(
        x_ServiceCode=["AmazonEC2", "AmazonEC2", None],
        ServiceName=["Virtual machines", "Something else", "Only a name"],
        ServiceCategory=["Compute", "Networking", "Other"],
    )
    shelf.focus(PERIOD, table)
    records = shelf.read("focus", select=USAGE).records("activities")
    shown = {(r["service_code"], r["service_name"], r["service_category"]) for r in records}
    assert shown == {
        ("AmazonEC2", "Virtual machines", "Compute"),
        ("AmazonEC2", "Something else", "Networking"),
        ("Only a name", "Only a name", "Other"),
    }
    assert len({record["id"] for record in records}) == 3


def test_what_stands_in_another_column_is_another_fact(shelf: Shelf) -> None:
    table = small(
        SkuMeter=["Compute", None],
        ServiceCategory=[None, "Compute"],
        x_ServiceCode=["AmazonEC2", "AmazonEC2"],
    )
    shelf.focus(PERIOD, table)
    records = shelf.read("focus", select=USAGE).records("activities")
    assert len({record["id"] for record in records}) == 2


def test_rows_that_are_no_usage_make_no_activity(shelf: Shelf) -> None:
    table = small(
        ChargeCategory=["Usage", "Tax", "Credit", "Purchase", "Adjustment", "Usage"],
        ConsumedQuantity=pa.array([2.0, None, None, None, None, None]),
        SubAccountId=[f"{number:012}" for number in range(6)],
    )
    shelf.focus(PERIOD, table)
    (record,) = shelf.read("focus", select=USAGE).records("activities")
    assert (record["account_id"], record["quantity"]) == ("000000000000", 2.0)


def test_corrections_lower_the_usage_they_correct(shelf: Shelf) -> None:
    table = small(ConsumedQuantity=[5.0, -2.0], ChargeClass=[None, "Correction"], BilledCost=[1.0, -0.4])
    shelf.focus(PERIOD, table)
    (record,) = shelf.read("focus", select=USAGE).records("activities")
    assert (record["quantity"], decimal(record["cost"])) == (3.0, Decimal("0.6"))


def test_region_text_of_no_length_is_no_region(shelf: Shelf) -> None:
    table = focus().filter(pc.equal(focus()["RegionId"], ""))
    assert table.num_rows
    usage = table.set_column(
        table.column_names.index("ChargeCategory"), "ChargeCategory", pa.array(["Usage"] * table.num_rows)
    ).set_column(
        table.column_names.index("ConsumedQuantity"), "ConsumedQuantity", pa.array([1.0] * table.num_rows)
    )
    shelf.focus(PERIOD, usage)
    records = shelf.read("focus", select=USAGE).records("activities")
    assert {(record["region"], record["location"]) for record in records} == {(None, "GLOBAL")}


def test_the_second_manifest_is_not_the_manifest(shelf: Shelf) -> None:
    """It sorts before the real one, and is newer here."""
    delivery = shelf.focus(PERIOD, small())
    other = delivery.manifest_key.replace("-Manifest.json", "-Manifest-FOCUS.json")
    schema = json.loads(shelf.path(other).read_text())
    assert list(schema) == ["Schema"]
    assert other < delivery.manifest_key
    run = shelf.read("focus", select=SELECT)
    assert [row["delivery_id"] for row in run.records("deliveries")] == [delivery.execution_id]
