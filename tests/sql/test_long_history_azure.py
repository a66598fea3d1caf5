"""The long life of a customer of Azure: whatever happens between runs, the views show what there is, once."""

from __future__ import annotations

import random
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.local_clouds.azure import LocalAzure
from tests.local_clouds.azure_discovery import Subscription
from tests.sql.azure_customer import (
    SHOWN,
    SOURCES,
    SUBSCRIPTIONS,
    TYPES,
    Deliveries,
    Line,
    Reader,
    month_before,
    usage_of,
    utc,
)
from tests.sql.warehouses import DuckDb, Warehouses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

EXPORT_STREAMS = ("activities", "cost_details", "deliveries", "focus_costs")
USAGE = """
    SELECT right(external_id, 7), account_id, service_code, sum(quantity) FROM current_activities
    WHERE activity_type = 'usage' GROUP BY 1, 2, 3
"""
TWICE = "SELECT id FROM current_activities GROUP BY id HAVING count(*) > 1"

Shown = dict[tuple[str, str], list[tuple[Any, ...]]]
Usage = dict[tuple[str, str], dict[str, float]]


@pytest.fixture
def config(spool_dir: Path) -> Iterator[dict[str, Any]]:
    """Settings of a tap that may see all subscriptions, none of which has emissions."""
    with LocalAzure() as azure:
        azure.discovery.subscriptions = [Subscription(one, one[-1]) for one in SUBSCRIPTIONS]
        azure.carbon.available = ("2023-12", "2023-12")
        yield {
            **azure.settings,
            "rate_limit_per_second": 1000,
            "rate_limit_capacity": 10_000,
            "spool_dir": str(spool_dir),
        }


class Customer:
    """Exports that come and go, a tap that reads them, and what the views must show.

    Attributes:
        now: The present.
        configured: The exports in the settings, in their order.
        start: The first month of the window.
        shown: Of each export and month the rows that were there after the last run.
    """

    def __init__(self, root: Path, config: Mapping[str, Any], reader: Reader) -> None:
        self.chance = reader.chance
        self.deliveries = Deliveries(root, self.chance)
        self.reader = reader
        self.database = Warehouses({"DuckDB": DuckDb("duckdb", "TIMESTAMP")})
        self.now = utc(2024, 1, 3)
        self.start = "2023-10"
        self.configured = list(SOURCES)
        self.shown: Shown = {}
        self._config = config
        for name in SOURCES:
            self.deliver(name, 0)

    def deliver(self, name: str, back: int, *, empty: bool = False) -> None:
        """Let an export run over a month that is so many before this one."""
        self.now += timedelta(minutes=1)
        self.deliveries.deliver(name, month_before(self.now, back), self.now, empty=empty)

    def pass_time(self) -> None:
        """Some days later, months have grown, ended, or been restated, and the settings may be others."""
        chance = self.chance
        self.now += timedelta(days=chance.choice((0, 1, 4, 12, 33)))
        for name in SOURCES:
            for back, likely in ((0, 0.7), (1, 0.4), (2, 0.2), (chance.randint(3, 9), 0.2)):
                if chance.random() < likely:
                    self.deliver(name, back, empty=chance.random() < 0.1)
        if chance.random() < 0.5:
            self.configured = chance.sample(list(SOURCES), chance.randint(1, len(SOURCES)))
        if chance.random() < 0.3:
            self.start = month_before(self.now, chance.randint(0, 12))
        if chance.random() < 0.1:
            self.reader.state = {}

    @property
    def due(self) -> list[tuple[str, str]]:
        """The exports and months of the window."""
        versions = self.deliveries.versions
        return [(name, month) for name, month in versions if name in self.configured and month >= self.start]

    @property
    def settings(self) -> dict[str, Any]:
        """Those of this run."""
        exports = [{"type": SOURCES[name].kind, "url": self.deliveries.url(name)} for name in self.configured]
        return {
            **self._config,
            "exports": exports,
            "start_date": f"{self.start}-01",
            "activity_grain": self.chance.choice(("month", "day")),
        }

    def read(self) -> None:
        """A run that ends well, after which all of the window is as delivered, and all else as it was."""
        self.now += timedelta(minutes=1)
        run, messages = self.reader.read(self.settings, self.now)
        assert run.exit_code == 0, run.stderr
        self.database.load(messages)
        self.database.install("azure")
        current = {place: _rows(self.deliveries.versions[place][-1]) for place in self.due}
        self.shown = {place: rows for place, rows in (self.shown | current).items() if rows}
        assert self.line_items() == self.shown
        self.check_usage()

    def read_badly(self) -> None:
        """A run that is cut, or that finds a broken file: each month is a whole delivery, old or new."""
        self.now += timedelta(minutes=1)
        with ExitStack() as stack:
            if self.chance.random() < 0.5:
                messages = self.reader.read_cut(self.settings, self.now)
            else:
                place = self.chance.choice(self.due or list(self.deliveries.versions))
                stack.enter_context(self.deliveries.broken(*place))
                messages = self.reader.read(self.settings, self.now)[1]
        self.database.load(messages)
        found = self.line_items()
        for place in found.keys() | self.shown.keys():
            rows, versions = found.get(place, []), self.deliveries.versions.get(place, [])
            assert rows in (self.shown.get(place, []), *map(_rows, versions)), place
        self.shown = found

    def check_usage(self) -> None:
        """Usage of each subscription's month is that of the first export that has any."""
        assert self.database.ask(TWICE) == []
        found: Usage = {}
        for month, account, service, quantity in self.database.ask(USAGE):
            found.setdefault((month, account), {})[service] = quantity
        for month in {month for _, month in self.due}:
            for subscription in SUBSCRIPTIONS:
                if (expected := self.usage(month, subscription)) is not None:
                    assert found.get((month, subscription), {}) == expected, (month, subscription)

    def usage(self, month: str, subscription: str) -> dict[str, float] | None:
        """What counts; None where an export that is not configured now may have had what no other has."""
        versions = self.deliveries.versions
        for name in sorted(self.configured, key=lambda name: TYPES.index(SOURCES[name].kind)):
            if (name, month) in versions and (used := usage_of(versions[name, month][-1], subscription)):
                return used
        ever = (
            usage_of(lines, subscription) for name in SOURCES for lines in versions.get((name, month), [])
        )
        return None if any(ever) else {}

    def line_items(self) -> Shown:
        """What the views of line items show."""
        found: Shown = {}
        for stream, columns in SHOWN.items():
            names = ", ".join(("export_name", "billing_period", *columns))
            for name, month, *row in self.database.ask(f"SELECT {names} FROM current_{stream}"):
                found.setdefault((name, month), []).append(tuple(row))
        return {place: sorted(rows) for place, rows in found.items()}


def _rows(lines: list[Line]) -> list[tuple[Any, ...]]:
    return sorted((*line[:2], line.day.replace(tzinfo=None), *line[3:]) for line in lines)


@pytest.mark.parametrize("seed", range(2))
def test_exports_over_some_months(
    seed: int, tmp_path: Path, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    reader = Reader(chance, EXPORT_STREAMS, monkeypatch)
    customer = Customer(tmp_path / "container", config, reader)
    customer.read()
    for _ in range(7):
        customer.pass_time()
        if customer.chance.random() < 0.4:
            customer.read_badly()
        customer.read()
