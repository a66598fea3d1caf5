"""The SQL of the guides runs on the tables of the streams, and says what is current."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import polars as pl
import pytest

from offgridflow_common.columns import Kind
from tests.docs.documents import AWS, ROOT, all_blocks, blocks

if TYPE_CHECKING:
    from collections.abc import Mapping

_LOADED_TYPES = {Kind.NUMBER: pl.Float64(), Kind.INTEGER: pl.Int64(), Kind.TIMESTAMP: pl.Datetime("us")}


def _database(rows: Mapping[str, list[dict[str, object]]]) -> duckdb.DuckDBPyConnection:
    """The tables that a loader makes of the streams, with views of what is current."""
    database = duckdb.connect()
    for name, stream in AWS.streams.items():
        schema = {column.name: _LOADED_TYPES.get(column.kind, pl.String()) for column in stream.columns}
        database.register("loaded", pl.DataFrame(rows.get(name, []), schema=schema))
        database.table("loaded").create(name)
    for file in ("deliveries", "activities", "reports", "carbon_emissions", "cost_and_usage"):
        database.execute((ROOT / "sql" / "duckdb" / f"{file}.sql").read_text("utf-8"))
    return database


@pytest.mark.parametrize("block", all_blocks("sql"))
def test_sql_runs_on_the_tables_of_the_streams(block: str) -> None:
    _database({}).execute(block)


@pytest.fixture
def restated() -> duckdb.DuckDBPyConnection:
    """A month delivered twice and half a third time, and emissions that were restated beside usage."""
    october = datetime(2026, 10, 1)  # noqa: DTZ001 - as the loader keeps times
    days = [october, october + timedelta(days=1), october + timedelta(days=2)]
    month = {"export_name": "cur2", "billing_period": "2026-09"}
    delivered = [
        {**month, "delivery_id": delivery_id, "delivered_at": day}
        for delivery_id, day in zip(("one", "two", "half"), days, strict=True)
    ]
    same = {"provider": "aws", "external_id": "111122223333/2026-10", "period_start": october}
    emissions = {**same, "activity_type": "emissions"}
    read = {"period_start": october, "account_id": "111122223333"}
    first, second = "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z"
    return _database(
        {
            "deliveries": delivered[:2],
            "cost_and_usage": [
                {**place, "line_item_unblended_cost": cost}
                for place, cost in zip(delivered, (1.0, 2.0, 4.0), strict=True)
            ],
            "activities": [
                {**emissions, "import_batch_id": first, "quantity": 8.0, "accounting_method": "both"},
                {**emissions, "import_batch_id": second, "quantity": 16.0, "accounting_method": "both"},
                {
                    **emissions,
                    "import_batch_id": second,
                    "quantity": 1.0,
                    "accounting_method": "location_based",
                    "scope": 2,
                },
                {
                    **emissions,
                    "import_batch_id": second,
                    "quantity": 2.0,
                    "accounting_method": "market_based",
                    "scope": 2,
                },
                {**same, "activity_type": "usage", "import_batch_id": first, "quantity": 64.0},
            ],
            "carbon_emissions": [
                {**read, "retrieved_at": day, "total_mbm_carbon_emissions": value}
                for day, value in zip(days, (1.0, 2.0, 4.0), strict=True)
            ],
        }
    )


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("SELECT sum(line_item_unblended_cost) FROM current_cost_and_usage", 2.0),
        ("SELECT sum(total_mbm_carbon_emissions) FROM current_carbon_emissions", 4.0),
    ],
)
def test_the_views_show_what_is_current(
    question: str, answer: float, restated: duckdb.DuckDBPyConnection
) -> None:
    assert restated.execute(question).fetchall() == [(answer,)]


def test_the_sum_of_emissions_takes_each_method_for_itself(restated: duckdb.DuckDBPyConnection) -> None:
    (query,) = (block for block in blocks(AWS.guide, "sql") if "location_based_kg" in block)
    answer = restated.execute(query)
    names = [column[0] for column in answer.description]
    (row,) = answer.fetchall()
    sums = dict(zip(names, row, strict=True))
    assert (sums["location_based_kg"], sums["market_based_kg"]) == (17.0, 18.0)


def test_the_clean_up_leaves_what_is_current_and_what_may_become_it(
    restated: duckdb.DuckDBPyConnection,
) -> None:
    (statement,) = (block for block in blocks(AWS.guide, "sql") if block.startswith("DELETE"))
    restated.execute(statement)
    left = restated.execute("SELECT delivery_id FROM cost_and_usage ORDER BY 1").fetchall()
    assert left == [("half",), ("two",)]
