"""Interrupted runs of the AWS tap into the loader: what is delivered, how it is read, and what must hold."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from demo.pipeline import Pipeline
from tests.e2e.conftest import PROJECT
from tests.e2e.loaded import ask, in_one_only
from tests.local_clouds.cur2 import cur2_table
from tests.local_clouds.exports import FolderStore, publish_cur2
from tests.local_clouds.sustainability import SustainabilityServer, demo_emissions, demo_water

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: What differs between two runs over the same source.
OF_A_RUN = {
    "carbon_emissions": ("retrieved_at",),
    "water_allocation": ("retrieved_at",),
    "activities": ("import_batch_id",),
    "cost_and_usage": (),
    "deliveries": (),
}
LOADER_TIMES = (
    "_sdc_extracted_at",
    "_sdc_received_at",
    "_sdc_batched_at",
    "_sdc_sequence",
    "_sdc_sync_started_at",
)

LISTED = """
    SELECT rows, (SELECT count(*) FROM aws.cost_and_usage AS c WHERE c.delivery_id = d.delivery_id)
    FROM aws.deliveries AS d
"""

BATCH_ROWS = 500


def deliver(store: FolderStore, bills: Mapping[str, int], seed: int, *, files: int = 2) -> None:
    """Deliver months of so many line items each."""
    for month, rows in bills.items():
        publish_cur2(
            store,
            export="bills",
            period=month,
            data=cur2_table(rows, seed, month),
            execution_id=f"00000000-0000-4000-8000-{seed:04}{month.replace('-', ''):0>8}",
            chunks=files,
        )


@contextmanager
def reporting() -> Iterator[SustainabilityServer]:
    """A Sustainability service that always reports the same emissions and water."""
    dimensions = (["111122223333"], ["eu-west-1", "us-east-1"], ["AmazonEC2", "AmazonS3"])
    with SustainabilityServer() as server:
        server.set_months(demo_emissions(["2026-08", "2026-09", "2026-10"], *dimensions, 1))
        server.set_years(demo_water([2026], *dimensions, 1))
        yield server


def pipeline(folder: Path, home: Path, export: Path, sustainability: SustainabilityServer) -> Pipeline:
    tap = {
        "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key": "local-secret-of-nobody",
        "aws_endpoint_urls": json.dumps({"sustainability": sustainability.url}),
        "exports": json.dumps(
            [{"name": "bills", "type": "cur2", "url": (export / "exports/bills").as_uri()}]
        ),
        "start_date": "2026-08-01",
        "end_date": "2026-11-01",
    }
    loader = {"path": str(folder / "demo.duckdb"), "batch_size_rows": str(BATCH_ROWS)}
    settings = {f"TAP_OFFGRIDFLOW_AWS_{name.upper()}": value for name, value in tap.items()}
    settings |= {f"TARGET_OFFGRIDFLOW_DUCKDB_{name.upper()}": value for name, value in loader.items()}
    return Pipeline(PROJECT, folder, settings, waiting=lambda _: None, home=home)


def assert_listed_deliveries_are_complete(database: Path, count: int | None = None) -> None:
    """Each delivery that is listed has all its rows; with a count, so many are."""
    tables = ask(database, "SELECT table_name FROM duckdb_tables()") if database.exists() else []
    listed = ask(database, LISTED) if ("deliveries",) in tables else []
    assert count in {None, len(listed)}
    assert all(said == there for said, there in listed)


def assert_same(database: Path, expected: Path, prefix: str = "") -> None:
    """Both databases hold the same, but for what differs between two runs.

    Args:
        database: One.
        expected: The other.
        prefix: Of the names: none for the tables, ``current_`` for the views.
    """
    for table, of_a_run in OF_A_RUN.items():
        ignored = (*LOADER_TIMES, *of_a_run)
        assert in_one_only(database, expected, f"aws.{prefix}{table}", without=ignored) == 0, table
