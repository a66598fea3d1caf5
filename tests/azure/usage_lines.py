"""Rows of usage for exports of cost, and what activities say of them."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from tests.azure.answers import ONE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.driving import Message, Run

    Row = dict[str, Any]

#: A row of an Enterprise Agreement, and of FOCUS; tests say what is different.
EA: Row = {
    "SubscriptionId": ONE,
    "Date": "09/04/2026",
    "MeterCategory": "Virtual Machines",
    "MeterSubCategory": "BS Series",
    "MeterName": "B2s",
    "Quantity": "2",
    "Cost": "1",
    "UnitPrice": "0.5",
    "EffectivePrice": "0.5",
    "UnitOfMeasure": "1 Hour",
    "BillingCurrency": "USD",
    "ResourceLocation": "EU West",
    "ChargeType": "Usage",
    "PricingModel": "OnDemand",
}
FOCUS: Row = {
    "SubAccountId": f"/subscriptions/{ONE}",
    "ChargePeriodStart": "2026-09-04T00:00:00Z",
    "ChargeCategory": "Usage",
    "CommitmentDiscountStatus": "",
    "ConsumedQuantity": "2",
    "ConsumedUnit": "Hours",
    "BilledCost": "1",
    "BillingCurrency": "USD",
    "RegionId": "westeurope",
    "ServiceName": "Virtual Machines",
    "ServiceCategory": "Compute",
    "x_SkuMeterCategory": "Virtual Machines",
    "x_SkuMeterSubcategory": "BS Series",
    "SkuMeter": "B2s",
}


def text(base: Row, *rows: Row) -> bytes:
    """A CSV file of rows that differ from another."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(base))
    writer.writeheader()
    writer.writerows(base | row for row in rows)
    return file.getvalue().encode()


def usage(run: Run) -> list[Message]:
    """Its activities, each with an id of its own."""
    records = run.records("activities")
    assert len({record["id"] for record in records}) == len(records)
    return records


def figures(records: Iterable[Message], *by: str) -> dict[Any, tuple[float, float]]:
    """Quantity and cost of the one activity of each key."""
    found: dict[Any, tuple[float, float]] = {}
    for record in records:
        key = tuple(record[name] for name in by)
        assert key not in found
        found[key if len(by) > 1 else key[0]] = record["quantity"], record["cost"]
    return found
