"""What the local AWS holds: publishes it, and knows how much of what there is, without asking the tap."""

from __future__ import annotations

import math
import uuid
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from tests.local_clouds.aws import DEMO_ACCOUNTS, DEMO_REGIONS, DEMO_SERVICES
from tests.local_clouds.cur2 import cur2_table
from tests.local_clouds.exports import publish_cur2
from tests.local_clouds.sustainability_data import demo_emissions, demo_water

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.local_clouds.exports import Store

EXPORT = "ofg-cur2"
PREFIX = "exports"

#: The types of line items that are physical usage; the rest is money only.
_PHYSICAL_USAGE = pa.array(["Usage", "DiscountedUsage", "SavingsPlanCoveredUsage"])

#: Emissions by scope and method that the service reports beside the two totals.
_SCOPES_AND_METHODS = 5
_KG_PER_TONNE = 1000


@dataclass(frozen=True, slots=True)
class Bill:
    """What the newest delivery of a month holds.

    Attributes:
        rows: Line items.
        usage_rows: Line items that are physical usage.
        cost: Unblended cost of all line items.
    """

    rows: int
    usage_rows: int
    cost: float

    @classmethod
    def of(cls, table: pa.Table) -> Bill:
        """What is in a table of line items."""
        usage = pc.is_in(table["line_item_line_item_type"], value_set=_PHYSICAL_USAGE)
        costs = table["line_item_unblended_cost"].drop_null().to_pylist()
        return cls(rows=table.num_rows, usage_rows=pc.sum(usage).as_py() or 0, cost=math.fsum(costs))


class AwsSource:
    """Carbon and water as the stand-ins make them, and the bills that were delivered.

    Args:
        seed: Of everything that is made up.
        months: With emissions, `YYYY-MM`.
        years: With water.

    Attributes:
        bills: What is current, by month.
    """

    def __init__(self, seed: int, months: Sequence[str], years: Sequence[int]) -> None:
        dimensions = (DEMO_ACCOUNTS, DEMO_REGIONS, DEMO_SERVICES)
        self._emissions = demo_emissions(months, *dimensions, seed)
        self._water = demo_water(years, *dimensions, seed)
        self.bills: dict[str, Bill] = {}

    def deliver(self, store: Store, month: str, rows: int, seed: int) -> pa.Table:
        """Deliver a month of line items, for the first time or again; they are returned, too."""
        table = cur2_table(rows, seed, month)
        publish_cur2(
            store,
            export=EXPORT,
            prefix=PREFIX,
            period=month,
            data=table,
            execution_id=str(uuid.uuid5(uuid.NAMESPACE_OID, f"{month}/{seed}")),
        )
        self.bills[month] = Bill.of(table)
        return table

    @property
    def rows(self) -> Mapping[str, int]:
        """How many rows each stream has to bring; of exports, those of the current deliveries."""
        carbon = sum(map(len, self._emissions.values()))
        water = sum(map(len, self._water.values()))
        return {
            "carbon_emissions": carbon,
            "water_allocation": water,
            "cost_and_usage": sum(bill.rows for bill in self.bills.values()),
            "deliveries": len(self.bills),
            "activities: emissions": carbon * _SCOPES_AND_METHODS,
            "activities: water": water,
            "activities: line items of usage": sum(bill.usage_rows for bill in self.bills.values()),
        }

    @property
    def cost(self) -> float:
        """Unblended cost of all current line items."""
        return math.fsum(bill.cost for bill in self.bills.values())

    def emissions(self, month: str | None = None) -> Mapping[str, float]:
        """Total kgCO2e of a month or of all months by accounting method, as the service's totals say."""
        totals: defaultdict[str, Decimal] = defaultdict(Decimal)
        for rows in [self._emissions[month]] if month else self._emissions.values():
            for row in rows:
                totals["location_based"] += row.values["TOTAL_LBM_CARBON_EMISSIONS"]
                totals["market_based"] += row.values["TOTAL_MBM_CARBON_EMISSIONS"]
        return {method: float(tonnes * _KG_PER_TONNE) for method, tonnes in totals.items()}
