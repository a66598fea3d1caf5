"""Costs reconcile: sums over what the tap emits equal those made straight of the files, with decimals."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.answers import ONE, emissions
from tests.azure.shelf import STREAM, Shelf, made
from tests.export_files import SIGNIFICANT, decimal, file_rows, sums
from tests.local_clouds.azure_cost_vocabulary import catalog
from tests.local_clouds.azure_discovery import Subscription

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.azure.conftest import Config
    from tests.local_clouds.azure import LocalAzure
    from tests.local_clouds.exports import PublishedDelivery

    Row = dict[str, Any]

SAMPLES = Path(__file__).parent / "samples"
FOCUS_SAMPLE = Path(__file__).parents[1] / "aws" / "data" / "focus_sample.csv"
ROWS = 900
#: Activities are sums of numbers of twelve places.
TWELVE_PLACES = Decimal("0.5e-12") * ROWS
#: Subscription, kind of meter or service, and kind of charge: in files in lower case, and in records.
EA = ("subscriptionid", "metercategory", "chargetype")
EA_RECORD = ("subscription_id", "meter_category", "charge_type")
FOCUS = ("subaccountid", "servicename", "chargecategory")
FOCUS_RECORD = ("sub_account_id", "service_name", "charge_category")
FORMS: list[tuple[str, str, str]] = [
    (kind, variant, form)
    for kind, variants in {"actual": "ea mca", "amortized": "ea mca", "focus": "1.0r2 1.2"}.items()
    for variant in variants.split()
    for form in ("csv", "gzip", "parquet")
]


@pytest.fixture
def signed_in(azure: LocalAzure, tap_config: Config) -> Row:
    """Settings of a cloud that has emissions, too, which `activities` ask for."""
    azure.discovery.subscriptions = [Subscription(ONE, "Shop")]
    azure.carbon.publish(emissions(["2026-09"], [ONE]))
    return tap_config(auth_method="client_secret")


def rows_of(shelf: Shelf, delivery: PublishedDelivery) -> list[Row]:
    return lower([row for key in delivery.data_keys for row in file_rows(shelf.path(key))])


def lower(rows: Iterable[Row]) -> list[Row]:
    """Rows with their columns in lower case, as agreements spell them differently."""
    return [{name.lower(): value for name, value in row.items()} for row in rows]


def cost_of(rows: Sequence[Row]) -> str:
    return "cost" if "cost" in rows[0] else "costinbillingcurrency"


def publish(shelf: Shelf, kind: str, variant: str, form: Any) -> list[Row]:
    """Deliver a month in three files; give the rows of the files."""
    parts = [made(kind, ROWS // 3, seed, variant=variant) for seed in (1, 2, 3)]
    return rows_of(shelf, shelf.deliver(kind, *parts, form=form))


def agree(got: Mapping[Any, Decimal], true: Mapping[Any, Decimal], off: Decimal = Decimal(0)) -> bool:
    """Whether sums are the same to 15 digits, since some files have more than a float carries.

    Args:
        got: Of records.
        true: Of files.
        off: By how much they may differ besides.
    """
    return got.keys() == true.keys() and all(
        abs(got[key] - value) <= abs(value) * SIGNIFICANT + off for key, value in true.items()
    )


@pytest.mark.parametrize(("kind", "variant", "form"), FORMS)
def test_costs_by_subscription_meter_and_charge_are_those_of_the_files(
    shelf: Shelf, kind: str, variant: str, form: str
) -> None:
    rows = publish(shelf, kind, variant, form)
    records = shelf.read(kind, select=(STREAM[kind],)).records(STREAM[kind])
    assert len(records) == len(rows) == ROWS
    costs = (
        {"billedcost": "billed_cost", "effectivecost": "effective_cost", "listcost": "list_cost"}
        if kind == "focus"
        else {cost_of(rows): "cost_in_billing_currency", "quantity": "quantity"}
    )
    in_file, in_record = (FOCUS, FOCUS_RECORD) if kind == "focus" else (EA, EA_RECORD)
    for of_file, of_record in costs.items():
        expected = sums(rows, in_file, of_file)
        assert sums(records, in_record, of_record) == expected
        assert len(expected) > 40


@pytest.mark.parametrize(
    ("name", "kind", "rows"),
    [("EA_ActualCost_Small", "actual", 11), ("EA_AmortizedCost_Small", "amortized", 28)],
)
def test_the_public_samples_reconcile(shelf: Shelf, name: str, kind: str, rows: int) -> None:
    path = SAMPLES / f"{name}.csv"
    shelf.deliver(kind, path.read_bytes())
    records = shelf.read(kind, select=("cost_details",)).records("cost_details")
    assert len(records) == rows
    expected = sums(lower(file_rows(path)), EA, "cost")
    assert agree(sums(records, EA_RECORD, "cost_in_billing_currency"), expected)
    assert sum(expected.values()) > 0


def test_the_public_sample_of_focus_reconciles(shelf: Shelf) -> None:
    shelf.deliver("focus", FOCUS_SAMPLE.read_bytes())
    records = shelf.read("focus", select=("focus_costs",)).records("focus_costs")
    rows = lower(file_rows(FOCUS_SAMPLE))
    assert len(records) == len(rows) == 1000
    for of_file, of_record in (("billedcost", "billed_cost"), ("effectivecost", "effective_cost")):
        assert sums(records, FOCUS_RECORD, of_record) == sums(rows, FOCUS, of_file)
    assert sum(row["provider_name"] == "Microsoft" for row in records) == 51


def blocks() -> dict[str, int]:
    """How much is in a block of each unit of measure."""
    return {meter["unit_of_measure"]: int(meter["block"]) for meter in catalog()}


def usage_of(shelf: Shelf, kind: str, settings: Row) -> list[Row]:
    """Activities of usage, with their meters as columns."""
    run = shelf.read(kind, select=("activities",), **settings)
    return [
        row | {"meter": row["metadata"].get("usage_type")}
        for row in run.records("activities")
        if row["activity_type"] == "usage"
    ]


@pytest.mark.parametrize("variant", ["ea", "mca"])
@pytest.mark.parametrize("kind", ["actual", "amortized"])
def test_usage_and_its_cost_are_those_of_the_files(
    shelf: Shelf, signed_in: Row, kind: str, variant: str
) -> None:
    """In hours, gigabytes and pieces, where the files count blocks; of no purchase and of nothing unused."""
    rows = [row for row in publish(shelf, kind, variant, "csv") if row["chargetype"] == "Usage"]
    usage = usage_of(shelf, kind, signed_in)
    for row in rows:
        row["meter"] = "/".join(filter(None, (row["metersubcategory"], row["metername"])))
        row["units"] = decimal(row["quantity"]) * blocks()[row["unitofmeasure"]]
    by, of_file = ("account_id", "meter"), ("subscriptionid", "meter")
    assert agree(sums(usage, by, "cost"), sums(rows, of_file, cost_of(rows)), TWELVE_PLACES)
    assert agree(sums(usage, by, "quantity"), sums(rows, of_file, "units"), TWELVE_PLACES)
    assert sum(int(row["metadata"]["line_items"]) for row in usage) == len(rows)


@pytest.mark.parametrize("variant", ["1.0r2", "1.2"])
def test_usage_of_focus_is_what_was_consumed_and_billed(shelf: Shelf, signed_in: Row, variant: str) -> None:
    rows = [
        row | {"account": row["subaccountid"].removeprefix("/subscriptions/")}
        for row in publish(shelf, "focus", variant, "csv")
        if row["chargecategory"] == "Usage" and row["commitmentdiscountstatus"] != "Unused"
    ]
    usage = usage_of(shelf, "focus", signed_in)
    by, of_file = ("account_id", "service_name"), ("account", "servicename")
    assert agree(sums(usage, by, "cost"), sums(rows, of_file, "billedcost"), TWELVE_PLACES)
    assert agree(sums(usage, by, "quantity"), sums(rows, of_file, "consumedquantity"), TWELVE_PLACES)
    assert sum(int(row["metadata"]["line_items"]) for row in usage) == len(rows)
