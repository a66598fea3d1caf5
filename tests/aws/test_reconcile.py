"""Costs reconcile: sums over what the tap emits equal those made straight of the files, with decimals."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.aws.bench import line_items
from tests.aws.shelf import PERIOD, Shelf, emitted
from tests.export_files import decimal, file_rows, sums
from tests.local_clouds.carbon_export import carbon_table
from tests.local_clouds.cur2 import cur2_table
from tests.local_clouds.focus import focus_table
from tests.local_clouds.legacy_cur import legacy_table
from tests.local_clouds.sustainability import demo_emissions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    import pyarrow as pa

    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run
    from tests.local_clouds.exports import PublishedDelivery

    Row = dict[str, Any]

SAMPLES = Path(__file__).parent / "data"
ROWS = 900
#: Account, service, charge type and cost: in the files of each type, and in the stream's records.
CUR = (
    "line_item_usage_account_id",
    "line_item_product_code",
    "line_item_line_item_type",
    "line_item_unblended_cost",
)
LEGACY = (
    "lineItem/UsageAccountId",
    "lineItem/ProductCode",
    "lineItem/LineItemType",
    "lineItem/UnblendedCost",
)
FOCUS = ("SubAccountId", "ServiceName", "ChargeCategory", "BilledCost")
FOCUS_RECORD = ("sub_account_id", "service_name", "charge_category", "billed_cost")
#: Account, service, usage type and amount of usage.
CUR_USAGE = (*CUR[:2], "line_item_usage_type", "line_item_usage_amount")
LEGACY_USAGE = (*LEGACY[:2], "lineItem/UsageType", "lineItem/UsageAmount")
PHYSICAL = {"Usage", "DiscountedUsage", "SavingsPlanCoveredUsage"}
FORMS: list[tuple[str, dict[str, Any]]] = [
    ("cur2", {"format": "parquet"}),
    ("cur2", {"format": "csv", "mode": "overwrite"}),
    ("cur", {"format": "gzip"}),
    ("cur", {"format": "zip", "members": ("a.csv", "b.csv")}),
    ("cur", {"mode": "athena"}),
    ("focus", {"format": "parquet"}),
    ("focus", {"format": "csv", "lower_case": True}),
]
IDS = ["-".join([kind, *map(str, options.values())]) for kind, options in FORMS]


@pytest.fixture
def shelf(tmp_path: Path, tap_config: Config, run_tap: RunTap) -> Shelf:
    return Shelf(tmp_path / "bucket", tap_config, run_tap)


@cache
def data(kind: str) -> pa.Table:
    lines = cur2_table(ROWS, 7, PERIOD)
    return {"cur2": lambda: lines, "cur": lambda: legacy_table(lines), "focus": lambda: focus_table(lines)}[
        kind
    ]()


def publish(shelf: Shelf, kind: str, options: dict[str, Any]) -> list[Row]:
    """Deliver a month in three files; give the rows of the files."""
    deliver = {"cur2": shelf.cur2, "cur": shelf.cur, "focus": shelf.focus}[kind]
    delivery = deliver(PERIOD, data(kind), chunks=3, **options)
    return rows_of(shelf, delivery)


def rows_of(shelf: Shelf, delivery: PublishedDelivery) -> list[Row]:
    return [row for key in delivery.data_keys for row in file_rows(shelf.path(key))]


def spelled(rows: list[Row], names: Iterable[str]) -> list[str]:
    """These columns as the rows spell them: the header's form, Parquet's, or in lower case."""
    present = {name.replace("_", "").replace("/", "").lower(): name for name in rows[0]}
    return [present[name.replace("_", "").replace("/", "").lower()] for name in names]


def totals(rows: list[Row], names: Iterable[str]) -> dict[tuple[Any, ...], Decimal]:
    *by, of = spelled(rows, names)
    return sums(rows, by, of)


def usage_of(run: Run) -> list[Row]:
    return [
        record | {"usage_type": record["metadata"].get("usage_type")}
        for record in run.records("activities")
        if record["activity_type"] == "usage"
    ]


def deliver_sample(shelf: Shelf, kind: str, name: str) -> None:
    """Deliver a sample file as it is, as the single file of a delivery."""
    template = {"cur2": shelf.cur2, "cur": shelf.cur, "focus": shelf.focus}[kind]
    options: dict[str, Any] = {"mode": "overwrite", "chunks": 1}
    delivery = template(PERIOD, data(kind).slice(0, 1), **options)
    key = delivery.data_keys[0].rpartition("/")[0] + f"/{name}"
    manifest = json.loads(shelf.path(delivery.manifest_key).read_text(encoding="utf-8"))
    where = "reportKeys" if kind == "cur" else "dataFiles"
    manifest[where] = [key if kind == "cur" else f"s3://{shelf.store.bucket}/{key}"]
    manifest["columns"] = []
    shelf.store.put(key, (SAMPLES / name).read_bytes())
    shelf.store.put(delivery.manifest_key, json.dumps(manifest).encode())
    shelf.set_time(delivery.delivered_at, key, delivery.manifest_key)


@pytest.mark.parametrize(("kind", "options"), FORMS, ids=IDS)
def test_costs_by_account_service_and_charge_type_are_those_of_the_files(
    shelf: Shelf, kind: str, options: dict[str, Any]
) -> None:
    rows = publish(shelf, kind, options)
    stream = "focus_costs" if kind == "focus" else "cost_and_usage"
    in_file = {"cur2": CUR, "cur": LEGACY, "focus": FOCUS}[kind]
    in_record = FOCUS_RECORD if kind == "focus" else CUR
    records = shelf.read(kind, select=(stream,)).records(stream)
    assert len(records) == len(rows)
    assert totals(records, in_record) == totals(rows, in_file)
    assert len(totals(rows, in_file)) > 20


@pytest.mark.parametrize(("kind", "options"), FORMS, ids=IDS)
@pytest.mark.parametrize("grain", ["month", "day"])
def test_usage_and_its_cost_are_those_of_the_files(
    shelf: Shelf, kind: str, options: dict[str, Any], grain: str
) -> None:
    rows = publish(shelf, kind, options)
    usage = usage_of(shelf.read(kind, select=("activities",), activity_grain=grain))
    if kind == "focus":
        (category,) = spelled(rows, ["ChargeCategory"])
        physical = [row for row in rows if row[category] == "Usage"]
        names, cost = ("SubAccountId", "x_ServiceCode", "x_UsageType", "ConsumedQuantity"), "BilledCost"
    else:
        kind_of_line = spelled(rows, [CUR[2]])[0] if kind == "cur2" else spelled(rows, [LEGACY[2]])[0]
        physical = [row for row in rows if row[kind_of_line] in PHYSICAL]
        names, cost = (CUR_USAGE, CUR[3]) if kind == "cur2" else (LEGACY_USAGE, LEGACY[3])
    by = ("account_id", "service_code", "usage_type")
    assert sums(usage, by, "quantity") == totals(physical, names)
    assert sums(usage, by, "cost") == totals(physical, (*names[:3], cost))
    assert sum(int(record["metadata"]["line_items"]) for record in usage) == len(physical)


@pytest.mark.parametrize(
    ("kind", "name", "in_file", "in_record"),
    [
        # Those of cost and usage have no column of charge types.
        ("cur2", "sample-cur20.csv", (*CUR[:2], CUR[3]), (*CUR[:2], CUR[3])),
        ("cur", "sample-legacy-csv.csv", (*LEGACY[:2], LEGACY[3]), (*CUR[:2], CUR[3])),
        ("focus", "focus_sample.csv", FOCUS, FOCUS_RECORD),
    ],
)
def test_the_public_samples_reconcile(
    shelf: Shelf, kind: str, name: str, in_file: tuple[str, ...], in_record: tuple[str, ...]
) -> None:
    deliver_sample(shelf, kind, name)
    rows = file_rows(SAMPLES / name)
    stream = "focus_costs" if kind == "focus" else "cost_and_usage"
    records = shelf.read(kind, select=(stream,)).records(stream)
    assert len(records) == len(rows)
    assert totals(records, in_record) == totals(rows, in_file)


def test_both_samples_of_cost_and_usage_tell_the_same(shelf: Shelf) -> None:
    deliver_sample(shelf, "cur2", "sample-cur20.csv")
    deliver_sample(shelf, "cur", "sample-legacy-csv.csv")
    place = {"billing_period", "delivery_id", "file_ordinal", "row_number", "delivered_at", "export_name"}

    def read(kind: str) -> list[Row]:
        return shelf.read(kind, select=("cost_and_usage",)).records()

    new, old = (
        [{k: v for k, v in r.items() if k not in place} for r in read(kind)] for kind in ("cur2", "cur")
    )
    # A name that CUR 2.0 does not have as a column: a query's alias in the one, a product attribute here.
    assert [row.pop("extra") for row in new] == [
        {"product_product_name": row["product"]["product_name"]} for row in old
    ]
    assert [row.pop("extra") for row in old] == [None] * len(old)
    assert [{**row, "product": None} for row in old] == new


def test_usage_of_the_focus_sample_is_its_consumed_quantity(shelf: Shelf) -> None:
    """Of AWS's rows: the sample has some of other providers, among them corrections that make no activity."""
    deliver_sample(shelf, "focus", "focus_sample.csv")
    rows = [
        row
        for row in file_rows(SAMPLES / "focus_sample.csv")
        if (row["ProviderName"], row["ChargeCategory"]) == ("AWS", "Usage")
        and row["ConsumedQuantity"] != "NULL"
    ]
    accounts = {row["SubAccountId"] for row in rows}
    usage = usage_of(shelf.read("focus", select=("activities",)))
    of_aws = [record for record in usage if record["account_id"] in accounts]
    by = ("account_id", "service_name")
    assert sums(of_aws, by, "cost") == sums(rows, ("SubAccountId", "ServiceName"), "BilledCost")
    assert sum(int(record["metadata"]["line_items"]) for record in of_aws) == len(rows)


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_emissions_by_account_and_service_are_those_of_the_file(shelf: Shelf, form: str) -> None:
    accounts = ["111122223333", "012345678901"]
    rows = demo_emissions([PERIOD], accounts, ["us-east-1"], ["AmazonEC2", "AmazonCloudFront", "Other"], 5)
    delivery = shelf.carbon(PERIOD, carbon_table(PERIOD, rows[PERIOD]), format=form)
    run = shelf.read("carbon", select=("carbon_export", "activities"))
    written = rows_of(shelf, delivery)
    for method in ("lbm", "mbm"):
        column = f"total_{method}_emissions_value"
        by = ("usage_account_id", "product_code")
        expected = sums(written, by, column)
        assert sums(run.records("carbon_export"), by, column) == expected
        kind = {"lbm": "location_based", "mbm": "market_based"}[method]
        told = [r for r in run.records("activities") if r["accounting_method"] in {kind, "both"}]
        in_kilograms = {key: value * 1000 for key, value in expected.items()}
        assert sums(told, ("account_id", "service_code"), "quantity") == in_kilograms


@pytest.mark.parametrize("spellings", [("global", "Global"), ("us-east-1", "US East (N. Virginia)")])
def test_spellings_of_a_place_are_summed(shelf: Shelf, spellings: tuple[str, str]) -> None:
    """Two of them in a month are no fact that is told twice."""
    shelf.cur2(PERIOD, line_items(product_region_code=list(spellings)))
    shelf.carbon(PERIOD, carbon_table(PERIOD, [emitted("0.25", region) for region in spellings]))
    records = shelf.read("cur2", "carbon", select=("activities",)).records("activities")
    assert {record["region"] for record in records} == {spellings[0]}
    assert sums(records, ["activity_type"], "quantity") == {("usage",): 2, ("emissions",): 5 * 500}


def test_the_generators_tell_the_same_costs() -> None:
    """What FOCUS bills is what CUR bills, apart from what savings plans cover and take back."""
    lines = cur2_table(ROWS, 7, PERIOD).to_pylist()
    legacy = data("cur").to_pylist()
    assert totals(legacy, LEGACY) == totals(lines, CUR)
    apart = {"SavingsPlanCoveredUsage", "SavingsPlanNegation"}
    billed = sum(decimal(row["BilledCost"]) for row in data("focus").to_pylist())
    assert billed == sum(decimal(row[CUR[3]]) for row in lines if row[CUR[2]] not in apart)
