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

#: The files of ready views that the demo needs, by schema, in the order in which they build on each other.
_VIEWS = {
    "aws": ("deliveries", "cost_and_usage", "carbon_emissions", "water_allocation", "activities", "reports"),
    "azure": ("deliveries", "cost_details", "carbon_emissions_azure", "cost_query", "activities", "reports"),
}
#: Tables that are there only where the cloud has exports in storage.
_OF_EXPORTS = {"cost_details"}

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

_AZURE_ROWS = """
    SELECT 'subscriptions', count(*) FROM azure.subscriptions
    UNION ALL SELECT 'carbon_emissions', count(*) FROM azure.current_carbon_emissions
    UNION ALL SELECT 'activities: emissions', count(*)
        FROM azure.current_activities WHERE activity_type = 'emissions'
"""
_AZURE_ROWS_OF_EXPORTS = """
    SELECT 'cost_details', count(*) FROM azure.current_cost_details
    UNION ALL SELECT 'deliveries', count(*) FROM azure.current_deliveries
    UNION ALL SELECT 'activities: line items of usage', sum((metadata ->> 'line_items')::BIGINT)::BIGINT
        FROM azure.current_activities WHERE activity_type = 'usage'
"""

_EMISSIONS = "SELECT sum(location_based_kg), sum(market_based_kg) FROM {schema}.emissions_by_month"

#: One view over both clouds.
_BOTH_CLOUDS = """
    CREATE OR REPLACE VIEW main.emissions_of_all_clouds AS
    SELECT * FROM aws.emissions_by_country UNION ALL SELECT * FROM azure.emissions_by_country
"""
_OF_BOTH_CLOUDS = """
    SELECT strftime(month, '%Y-%m'), provider, service_category, coalesce(country, 'none'),
        location_based_kg, market_based_kg
    FROM main.emissions_of_all_clouds
    WHERE month = (SELECT max(month) FROM main.emissions_of_all_clouds)
    ORDER BY ALL
"""

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

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings of the loader, as environment variables."""
        return {"TARGET_OFFGRIDFLOW_DUCKDB_PATH": str(self.path)}

    def create_views(self, schema: str = "aws") -> None:
        """Add the ready views of what is current to a schema."""
        with duckdb.connect(self.path) as connection:
            connection.execute(f"USE {schema}")
            for name in _VIEWS[schema]:
                if name not in _OF_EXPORTS or self._has_exports(connection):
                    connection.execute((self._views / f"{name}.sql").read_text("utf-8"))

    def create_view_of_both_clouds(self) -> Sequence[tuple[str, str, str, str, float | None, float | None]]:
        """Add one view over both clouds; what it says of the newest month."""
        with duckdb.connect(self.path) as connection:
            connection.execute(_BOTH_CLOUDS)
        return self._ask(_OF_BOTH_CLOUDS)

    def rows(self) -> Mapping[str, int]:
        """What is current, by stream; of the usage activities, the line items that they stand for."""
        return dict(self._ask(_ROWS))

    def azure_rows(self) -> Mapping[str, int]:
        """The same of Azure."""
        rows = dict(self._ask(_AZURE_ROWS))
        with duckdb.connect(self.path, read_only=True) as connection:
            exports = self._has_exports(connection)
        return rows | (dict(self._ask(_AZURE_ROWS_OF_EXPORTS)) if exports else {})

    def queried_cost(self) -> float:
        """Actual cost of all days that Cost Management was asked for."""
        cost: float = self._ask("SELECT sum(cost) FROM azure.current_cost_query")[0][0]
        return cost

    def emissions(self, schema: str = "aws") -> Mapping[str, float]:
        """Total kgCO2e by accounting method; without those by which scope 2 is not reported."""
        location_based, market_based = self._ask(_EMISSIONS.format(schema=schema))[0]
        totals = {"location_based": location_based, "market_based": market_based}
        return {method: kilograms for method, kilograms in totals.items() if kilograms is not None}

    def emissions_by_service(self, months: int) -> Sequence[tuple[str, str, float, float]]:
        """Month, service, location-based and market-based kgCO2e, for so many of the newest months."""
        return self._ask(_EMISSIONS_BY_SERVICE, months)

    def line_items_by_month(self) -> Sequence[tuple[str, int, float]]:
        """Month, rows and unblended cost of the line items that are current."""
        return self._ask(_LINE_ITEMS_BY_MONTH)

    def written_since(self, moment: datetime) -> Mapping[str, int]:
        """How many rows of each table were written by a run that began at a moment (aware, UTC)."""
        return {table: self._ask(_WRITTEN_SINCE.format(table=table), moment)[0][0] for table in TABLES}

    def line_items_written_since(self, moment: datetime) -> Mapping[str, int]:
        """The same for line items, by month; months without any are absent."""
        return dict(self._ask(_LINE_ITEMS_WRITTEN_SINCE, moment))

    @staticmethod
    def _has_exports(connection: duckdb.DuckDBPyConnection) -> bool:
        found = (
            "SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'azure' AND table_name = 'cost_details'"
        )
        return bool(connection.execute(found).fetchall()[0][0])

    def _ask(self, question: str, *values: object) -> list[Any]:
        with duckdb.connect(self.path, read_only=True) as connection:
            return connection.execute(question, values).fetchall()
