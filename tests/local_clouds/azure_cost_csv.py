"""CSV files of cost details in the two shapes of today's agreements, from the rows that queries sum."""

from __future__ import annotations

import csv
import io
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.local_clouds.azure_cost_query import Cost

_DATA = Path(__file__).parent / "data"
BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


@cache
def columns(agreement: str) -> tuple[str, ...]:
    """The header of `ea` or `mca` files, in order."""
    text = (_DATA / f"cost_details_{agreement}_columns.csv").read_text("utf-8")
    return tuple(text.split()[1:])


def cost_details_csv(
    costs: Iterable[Cost], metric: str = "ActualCost", *, agreement: str = "ea", rows_per_blob: int = 1000
) -> list[bytes]:
    """The files of a report, each with a byte order mark and a header."""
    rows = [_row(cost, metric, agreement) for cost in costs]
    header = columns(agreement)
    return [
        _file(header, rows[start : start + rows_per_blob]) for start in range(0, len(rows), rows_per_blob)
    ]


def _file(header: Sequence[str], rows: Iterable[dict[str, str]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, header, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return (BYTE_ORDER_MARK + text.getvalue()).encode()


def _row(cost: Cost, metric: str, agreement: str) -> dict[str, str]:
    """One line; what both agreements have is found by its name in any case."""
    day = f"{cost.day:%m/%d/%Y}"
    amount = str(cost.measure("Cost", metric))
    tags = json.dumps(dict(cost.tags)) if cost.tags else ""
    values = {
        "date": day,
        "subscriptionid": cost.subscription,
        "subscriptionname": f"Name of {cost.subscription[-4:]}",
        "resourcegroup": cost.resource_group,
        "resourcegroupname": cost.resource_group,
        "resourceid": cost.dimension("ResourceId"),
        "resourcelocation": cost.dimension("ResourceLocation"),
        "consumedservice": cost.dimension("ConsumedService"),
        "metercategory": cost.dimension("MeterCategory") or cost.dimension("ServiceName"),
        "metersubcategory": cost.dimension("MeterSubCategory"),
        "metername": cost.dimension("Meter"),
        "servicefamily": cost.dimension("ServiceFamily"),
        "quantity": str(cost.quantity),
        "unitofmeasure": cost.dimension("UnitOfMeasure"),
        "chargetype": cost.dimension("ChargeType") or "Usage",
        "billingcurrency": cost.currency,
        # Enterprise agreements write the object without its braces.
        "tags": tags.strip("{}") if agreement == "ea" else tags,
        "cost": amount,
        "costinbillingcurrency": amount,
    }
    return {name: values[name.lower()] for name in columns(agreement) if name.lower() in values}
