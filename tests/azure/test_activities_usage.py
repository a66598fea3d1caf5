"""Usage as activities: what counts, that it adds up, and that no export counts beside another."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.answers import ONE
from tests.azure.shelf import PERIOD, made
from tests.azure.usage_lines import EA, FOCUS, text, usage
from tests.export_files import SIGNIFICANT, decimal, file_rows
from tests.local_clouds.azure_cost_vocabulary import REGIONS, catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.azure.shelf import Shelf
    from tests.driving import Message, Run

    Row = dict[str, Any]
    Sums = dict[tuple[Any, ...], list[Decimal]]

STREAM = "activities"
SAMPLES = Path(__file__).parent / "samples"
BLOCKS = {meter["unit_of_measure"]: int(meter["block"]) for meter in catalog()}
PLACES = {spelling: region.id for region in REGIONS for spelling in region.spellings}
MONEY_ONLY = ("Purchase", "Refund", "UnusedReservation", "UnusedSavingsPlan", "Tax", "RoundingAdjustment")


def summed(rows: Iterable[tuple[tuple[Any, ...], tuple[Any, ...]]]) -> Sums:
    """Exact sums of the figures of each key."""
    sums: defaultdict[tuple[Any, ...], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
    for key, values in rows:
        sums[key] = [total + decimal(value) for total, value in zip(sums[key], values, strict=True)]
    return dict(sums)


def of_activities(records: Iterable[Message]) -> Sums:
    """Quantity, cost and number of rows by account, service, region and first day."""
    return summed(
        (
            (row["account_id"], row["service_code"], row["region"], row["period_start"][:10]),
            (row["quantity"], row["cost"], row["metadata"]["line_items"]),
        )
        for row in records
    )


def assert_same(found: Sums, expected: Sums) -> None:
    """Sums are equal, as far as twelve places of each row and the digits of a float go."""
    assert found.keys() == expected.keys()
    for key, sums in expected.items():
        for got, true in zip(found[key], sums, strict=True):
            assert abs(got - true) <= abs(true) * SIGNIFICANT + Decimal("0.5e-12") * sums[2], key


# That it adds up.


@pytest.mark.parametrize("grain", ["month", "day"])
@pytest.mark.parametrize("agreement", ["ea", "mca"])
@pytest.mark.parametrize("kind", ["actual", "amortized"])
def test_usage_adds_up_to_the_file_by_subscription_meter_category_and_region(
    shelf: Shelf, read_usage: Callable[..., Run], kind: str, agreement: str, grain: str
) -> None:
    delivery = shelf.deliver(kind, *(made(kind, 300, seed, variant=agreement) for seed in (1, 2)))
    rows = [
        {name.lower(): value for name, value in row.items()}
        for key in delivery.data_keys
        for row in file_rows(shelf.path(key))
    ]
    found = of_activities(usage(read_usage(kind, activity_grain=grain)))
    expected = summed(
        (
            (
                row["subscriptionid"],
                row["metercategory"] or None,
                PLACES.get(row["resourcelocation"], "global" if row["resourcelocation"] else None),
                f"2026-09-{row['date'][3:5] if grain == 'day' else '01'}",
            ),
            (
                decimal(row["quantity"]) * BLOCKS[row["unitofmeasure"]],
                row["cost" if agreement == "ea" else "costinbillingcurrency"],
                1,
            ),
        )
        for row in rows
        if row["chargetype"] == "Usage"
    )
    assert_same(found, expected)
    assert sum(sums[2] for sums in expected.values()) < len(rows)
    assert {key[0] for key in expected} == {f"a0000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3)}


@pytest.mark.parametrize(("name", "kind"), [("ActualCost", "actual"), ("AmortizedCost", "amortized")])
def test_the_public_samples_add_up(
    shelf: Shelf, read_usage: Callable[..., Run], name: str, kind: str
) -> None:
    path = SAMPLES / f"EA_{name}_Small.csv"
    shelf.deliver(kind, path.read_bytes(), period="2023-09")
    found = of_activities(usage(read_usage(kind, start_date="2023-01-01", activity_grain="day")))
    expected = summed(
        (
            (
                row["SubscriptionId"].lower() or None,
                row["MeterCategory"],
                row["ResourceLocation"].lower() or None,
                f"2023-09-{row['Date'][3:5]}",
            ),
            (decimal(row["Quantity"]) * (10_000 if row["UnitOfMeasure"] == "10K" else 1), row["Cost"], 1),
        )
        for row in file_rows(path)
        if row["ChargeType"] == "Usage"
    )
    assert_same(found, expected)


def test_an_export_without_rows_makes_no_activity(shelf: Shelf, read_usage: Callable[..., Run]) -> None:
    shelf.deliver("actual", (SAMPLES / "EA_NoRows.csv").read_bytes())
    assert usage(read_usage("actual")) == []


# What counts.


def test_only_usage_counts_and_whatever_a_commitment_covers_does(
    shelf: Shelf, read_usage: Callable[..., Run]
) -> None:
    models = ("OnDemand", "Reservation", "SavingsPlan", "Spot")
    counting = [
        {"PricingModel": model, "Quantity": str(2**place)} for place, model in enumerate(models, start=10)
    ]
    others = [{"ChargeType": kind, "Quantity": str(2**place)} for place, kind in enumerate(MONEY_ONLY)]
    shelf.deliver("amortized", text(EA, *others, *counting))
    (record,) = usage(read_usage("amortized"))
    assert (record["quantity"], record["cost"]) == (15 * 2**10, 4)
    assert record["metadata"]["line_items"] == "4"


def test_of_focus_only_usage_counts_that_was_not_left_unused(
    shelf: Shelf, read_usage: Callable[..., Run]
) -> None:
    rows: list[Row] = [
        {"ConsumedQuantity": "1"},
        {"ConsumedQuantity": "2", "CommitmentDiscountStatus": "Used", "BilledCost": "0"},
        {"ConsumedQuantity": "4", "CommitmentDiscountStatus": "Unused"},
        {"ConsumedQuantity": ""},
        *({"ChargeCategory": kind} for kind in ("Purchase", "Tax", "Credit", "Adjustment")),
    ]
    shelf.deliver("focus", text(FOCUS, *rows))
    (record,) = usage(read_usage("focus"))
    assert (record["quantity"], record["cost"], record["metadata"]["line_items"]) == (3, 1, "2")
    assert (record["service_code"], record["category"]) == ("Virtual Machines", "cloud_compute")
    assert record["metadata"]["usage_type"] == "BS Series/B2s"


def test_usage_of_nothing_is_kept_and_what_is_negative_in_sum_is_reported(
    shelf: Shelf, read_usage: Callable[..., Run]
) -> None:
    amounts = {"none": ["0"], "less": ["1", "-1.5"], "more": ["4", "-1"]}
    rows = [
        {"MeterName": name, "Quantity": amount, "Cost": "0"}
        for name, those in amounts.items()
        for amount in those
    ]
    shelf.deliver("actual", text(EA, *rows))
    done = read_usage("actual")
    found = {row["metadata"]["usage_type"]: row["quantity"] for row in usage(done)}
    assert found == {"BS Series/none": 0, "BS Series/more": 3}
    assert "1 of 3 groups of usage are negative in sum" in done.stderr


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (("1 Hour", "24", "2.4", "0.1"), (24.0, "Hours")),
        (("100 Hours", "24", "2.4", "10"), (24.0, "Hours")),
        (("100 Hours", "0.24", "2.4", "10"), (24.0, "Hours")),
        (("100 Hours", "0.24", "0", "0"), (24.0, "Hours")),
        (("10K", "0.5", "0.02", "0.04"), (5000.0, "Units")),
        (("1B", "0.5", "1", "2"), (500_000_000.0, "Units")),
        (("1 GB/Month", "3", "0.3", "0.1"), (3.0, "GB-Months")),
        (("50000 GB Seconds", "2", "1.6", "0.8"), (100_000.0, "GB-Seconds")),
        (("", "3", "0.3", "0.1"), (3.0, None)),
    ],
)
def test_quantities_are_in_units_and_never_in_blocks(
    shelf: Shelf, read_usage: Callable[..., Run], row: tuple[str, ...], expected: tuple[float, str | None]
) -> None:
    names = ("UnitOfMeasure", "Quantity", "Cost", "UnitPrice")
    values = dict(zip(names, row, strict=True))
    shelf.deliver("actual", text(EA, values | {"EffectivePrice": values["UnitPrice"]}))
    (record,) = usage(read_usage("actual"))
    assert (record["quantity"], record["unit"]) == expected
    assert record["cost"] == float(values["Cost"])


#: What other agreements call the columns of an Enterprise Agreement, and those that they lack.
MCA_NAMES = {
    "SubscriptionId": "SubscriptionId",
    "MeterSubCategory": "meterSubCategory",
    "Cost": "costInBillingCurrency",
    "BillingCurrency": "billingCurrency",
    "Date": "date",
    "Quantity": "quantity",
}
PAYG_NAMES = {
    "SubscriptionId": "SubscriptionGuid",
    "Date": "UsageDateTime",
    "MeterSubCategory": "MeterSubcategory",
    "Quantity": "UsageQuantity",
    "Cost": "PreTaxCost",
    "UnitPrice": "ResourceRate",
    "BillingCurrency": "Currency",
    "ChargeType": None,
    "EffectivePrice": None,
    "PricingModel": None,
}


@pytest.mark.parametrize("names", [{}, MCA_NAMES, PAYG_NAMES], ids=["enterprise", "customer", "as you go"])
def test_headers_of_all_agreements_make_the_same_activity(
    shelf: Shelf, read_usage: Callable[..., Run], names: dict[str, str | None]
) -> None:
    row = {names.get(name, name): value for name, value in EA.items()}
    row.pop(None, None)
    shelf.deliver("actual", text(row, {}, {}))
    (record,) = usage(read_usage("actual"))
    shown = ("account_id", "service_code", "region", "country", "unit", "currency", "quantity", "cost")
    assert tuple(record[name] for name in shown) == (
        *(ONE, "Virtual Machines", "westeurope", "NLD", "Hours", "USD", 4, 2),
    )
    assert record["metadata"] == {"usage_type": "BS Series/B2s", "line_items": "2", "export": "ofg-actual"}
    assert (record["category"], record["service_category"]) == ("cloud_compute", "Compute")
    assert record["external_id"] == f"{ONE}/{PERIOD}"


@pytest.mark.parametrize(
    ("place", "region", "country"),
    [
        ("EU West", "westeurope", "NLD"),
        ("WestEurope", "westeurope", "NLD"),
        ("West Europe", "westeurope", "NLD"),
        ("Unassigned", "global", None),
        ("", None, None),
        ("Mars North", "Mars North", None),
    ],
)
def test_a_region_is_known_in_all_spellings(
    shelf: Shelf, read_usage: Callable[..., Run], place: str, region: str | None, country: str | None
) -> None:
    shelf.deliver("actual", text(EA, {"ResourceLocation": place}))
    (record,) = usage(read_usage("actual"))
    assert (record["region"], record["country"]) == (region, country)


def test_what_cannot_be_mapped_is_named_once_and_kept(shelf: Shelf, read_usage: Callable[..., Run]) -> None:
    odd = {"ResourceLocation": "Mars North", "MeterCategory": "Domes"}
    for month in ("08", "09"):
        rows = [odd | {"Date": f"{month}/04/2026"}] * 2
        shelf.deliver("actual", text(EA, *rows), period=f"2026-{month}")
    done = read_usage("actual")
    assert [(row["category"], row["quantity"]) for row in usage(done)] == [("cloud_other", 4)] * 2
    for word in ("Mars North", "Domes"):
        assert sum(word in line for line in done.stderr.splitlines()) == 1


def test_a_day_is_a_day_and_a_month_a_month_over_new_year(
    shelf: Shelf, read_usage: Callable[..., Run]
) -> None:
    dates = ("12/01/2025", "12/31/2025", "12/31/2025")
    shelf.deliver("actual", text(EA, *({"Date": date} for date in dates)), period="2025-12")

    def periods(**settings: Any) -> list[tuple[str, str, float]]:
        found = usage(read_usage("actual", start_date="2025-01-01", **settings))
        return sorted((row["period_start"][:10], row["period_end"][:10], row["quantity"]) for row in found)

    assert periods() == [("2025-12-01", "2026-01-01", 6)]
    assert periods(activity_grain="day") == [
        ("2025-12-01", "2025-12-02", 2),
        ("2025-12-31", "2026-01-01", 4),
    ]
