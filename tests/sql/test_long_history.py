"""Long lives of one customer: after each run of the tap, the views show what is true and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.local_clouds.sustainability import SustainabilityServer
from tests.sql.history.customer import Customer, events
from tests.sql.history.world import World
from tests.sql.warehouses import DuckDb, Warehouses

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = 24


@pytest.mark.parametrize("seed", [2, 4])
def test_the_views_show_what_is_true_whatever_happens(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SustainabilityServer() as server:
        warehouses = Warehouses({"DuckDB": DuckDb("duckdb", "TIMESTAMP")})
        customer = Customer(World(server), warehouses, monkeypatch, tmp_path)
        problems = customer.live(events(seed, EVENTS))
    assert not problems, "\n".join([*customer.happened, *problems])
    assert customer.runs > EVENTS // 6
