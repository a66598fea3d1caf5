"""The DuckDB file that the loader writes: the ready views, and the demo's questions to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

#: The tables, in the order in which a person wants to see them.
TABLES = ("carbon_emissions", "water_allocation", "activities", "cost_and_usage", "deliveries")

#: The files of ready views that the demo needs, in the order in which they build on each other.
_VIEWS = ("deliveries", "cost_and_usage", "carbon_emissions", "water_allocation", "activities", "reports")

_ROWS = """
    SELECT 'carbon_emissions', count(*) FROM aws.current_carbon_emissions
    UNION ALL SELECT 'water_allocation', count(*) FROM aws.current_water_allocation
    UNION ALL SELECT 'cost_and_usage', count(*) FROM aws.current_cost_and_usage
    UNION ALL SELECT 'deliveries', count(*) FROM aws.current_deliveries
    UNION ALL SELECT 'activities: emissions', count(*)
        FROM aws.current_activities WHERE activity_type = 'emissions'
    UNION ALL SELECT 'activities: water', count(*)
        FROM aws.current_activities WHERE source = 'aws_sustainability_water'
    UNION ALL SELECT 'activities: line items of usage', sum((metadata ->> 'line_items')::BIGINT)::BIGINT
        FROM aws.current_activities WHERE source = 'aws_cost_and_usage'
"""

_EMISSIONS = "SELECT sum(location_based_kg), sum(market_based_kg) FROM aws.emissions_by_month"

_EMISSIONS_BY_SERVICE = """
    SELECT strftime(month, '%Y-%m'), service_code, location_based_kg, market_based_kg
    FROM aws.emissions_by_service
    WHERE month IN (SELECT month FROM aws.emissions_by_month ORDER BY month DESC LIMIT ?)
    ORDER BY ALL
"""

_LINE_ITEMS_BY_MONTH = """
    SELECT billing_period, count(*), sum(line_item_unblended_cost)
    FROM aws.current_cost_and_usage
    GROUP BY ALL
    ORDER BY ALL
"""

#: What came with a run bears the time at which the tap read it.
_WRITTEN_SINCE = "SELECT count(*) FROM aws.{table} WHERE _sdc_extracted_at >= ?"

_LINE_ITEMS_WRITTEN_SINCE = """
    SELECT billing_period, count(*) FROM aws.cost_and_usage WHERE _sdc_extracted_at >= ? GROUP BY ALL
"""


class Warehouse:
    """Answers from a DuckDB file; it is open only for the time of an answer, since the loader needs it alone.

    Args:
        path: The file.
        views: Folder of the ready views.
    """

    def __init__(self, path: Path, views: Path) -> None:
        self.path = path
        self._views = views

    def create_views(self) -> None:
        """Add the ready views of what is current."""
        with duckdb.connect(self.path) as connection:
            connection.execute("USE aws")
            for name in _VIEWS:
                connection.execute((self._views / f"{name}.sql").read_text("utf-8"))

    def rows(self) -> Mapping[str, int]:
        """What is current, by stream; of the usage activities, the line items that they stand for."""
        return dict(self._ask(_ROWS))

    def emissions(self) -> Mapping[str, float]:
        """Total kgCO2e by accounting method."""
        location_based, market_based = self._ask(_EMISSIONS)[0]
        return {"location_based": location_based, "market_based": market_based}

    def emissions_by_service(self, months: int) -> Sequence[tuple[str, str, float, float]]:
        """Month, service, location-based and market-based kgCO2e, for so many of the newest months."""
        return self._ask(_EMISSIONS_BY_SERVICE, months)

    def line_items_by_month(self) -> Sequence[tuple[str, int, float]]:
        """Month, rows and unblended cost of the line items that are current."""
        return self._ask(_LINE_ITEMS_BY_MONTH)

    def written_since(self, moment: datetime) -> Mapping[str, int]:
        """How many rows of each table were written by a run that began at a moment (aware, UTC)."""
        return {
            table: self._ask(_WRITTEN_SINCE.format(table=table), moment.replace(tzinfo=None))[0][0]
            for table in TABLES
        }

    def line_items_written_since(self, moment: datetime) -> Mapping[str, int]:
        """The same for line items, by month; months without any are absent."""
        return dict(self._ask(_LINE_ITEMS_WRITTEN_SINCE, moment.replace(tzinfo=None)))

    def _ask(self, question: str, *values: object) -> list[Any]:
        with duckdb.connect(self.path, read_only=True) as connection:
            return connection.execute(question, values).fetchall()
