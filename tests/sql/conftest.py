"""The warehouses and the provider of the tests of the project's SQL."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.local_clouds.sustainability import SustainabilityServer
from tests.sql.postgres import running_postgres
from tests.sql.provider import Provider
from tests.sql.warehouses import DuckDb, Postgres, Warehouses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SCHEMAS = itertools.count()


@pytest.fixture(autouse=True)
def _no_aws_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine knows about AWS stays outside."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "TAP_OFFGRIDFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """What libpq needs to connect to this worker's server."""
    with running_postgres() as address:
        yield address


@pytest.fixture
def warehouses(postgres: str) -> Iterator[Warehouses]:
    """Empty warehouses, with the types that loaders give to columns."""
    with (
        psycopg.connect(postgres, autocommit=True) as aware,
        psycopg.connect(postgres, autocommit=True) as naive,
    ):
        yield Warehouses(
            {
                "DuckDB": DuckDb("duckdb", "TIMESTAMP"),
                "DuckDB, times with zone": DuckDb("duckdb", "TIMESTAMPTZ"),
                "PostgreSQL": Postgres(aware, f"aware_{next(_SCHEMAS)}", "timestamptz"),
                "PostgreSQL, times without zone": Postgres(naive, f"naive_{next(_SCHEMAS)}", "timestamp"),
                "Snowflake, in translation": DuckDb("snowflake", "TIMESTAMPTZ"),
                "BigQuery, in translation": DuckDb("bigquery", "TIMESTAMP"),
            }
        )


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """A provider that has not reported anything yet, and a tap that has not read anything."""
    with SustainabilityServer() as server:
        yield Provider(tmp_path, server, monkeypatch)
