"""What Azure's APIs report over some months, restated, denied or failing: the views show each fact once."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from offgridflow_common.months import MONTH, add_months, periods
from tests.local_clouds.azure import LocalAzure
from tests.local_clouds.azure_carbon import Emission
from tests.local_clouds.azure_cost_query import Cost
from tests.local_clouds.azure_discovery import Subscription
from tests.local_clouds.azure_errors import arm_error
from tests.local_clouds.mcfs import ImpactRow
from tests.sql.azure_customer import SERVICES, SUBSCRIPTIONS, Reader, month_before, utc
from tests.sql.warehouses import DuckDb, Warehouses

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

STREAMS = ("activities", "carbon_emissions", "cost_query", "deliveries", "emissions_impact")
FIRST = "2023-07"
#: So many months are in Carbon Optimization here; those before it are in Cloud for Sustainability.
CARBON_MONTHS = 4
RESOURCE_TYPE = "microsoft.compute/virtualmachines"
#: By view, the columns that tell what a row is about, the month first, and what is summed.
QUESTIONS = {
    "current_carbon_emissions": ("period_start, subscription_id, carbon_scope", "latest_month_emissions"),
    "current_emissions_impact": ("period_start, subscription_id, scope", "total_emissions"),
    "current_cost_query": ("date_trunc('month', usage_date)::TIMESTAMP, scope, service_name", "cost"),
    "current_activities": ("period_start, account_id, source, scope", "quantity"),
}

Sums = dict[tuple[Any, ...], float]


@pytest.fixture
def azure() -> Iterator[LocalAzure]:
    """A local cloud whose subscriptions can all be seen."""
    with LocalAzure() as running:
        running.discovery.subscriptions = [Subscription(one, one[-1]) for one in SUBSCRIPTIONS]
        running.scopes.subscriptions = set(SUBSCRIPTIONS)
        yield running


class Customer:
    """What Azure has of a customer, and what the views must show of it.

    Attributes:
        now: The present.
        carbon: The emissions of each month in Carbon Optimization, whether it still has it or not.
        told: Of each month and subscription the sums that Carbon Optimization told last.
    """

    def __init__(self, azure: LocalAzure, config: Mapping[str, Any], reader: Reader) -> None:
        self.chance = reader.chance
        self.reader = reader
        self.database = Warehouses({"DuckDB": DuckDb("duckdb", "TIMESTAMP")})
        self.now = utc(2023, 12, 20)
        self.carbon: dict[str, list[Emission]] = {}
        self.impact: dict[str, list[ImpactRow]] = {}
        self.costs: dict[str, list[Cost]] = {}
        self.told: Sums = {}
        self._azure = azure
        self._config = config
        self.pass_time(0)

    def pass_time(self, days: int) -> None:
        """Some days later there are more months, the newest are others, and someone else may be denied."""
        self.now += timedelta(days=days)
        newest, this = month_before(self.now, 2), month_before(self.now, 0)
        restated = {
            month for back in range(3) if self._happens(0.3) for month in [month_before(self.now, back)]
        }
        for month in _months(FIRST, this):
            if month not in self.costs or month in restated or month == this:
                self.costs[month] = list(self._costs(month))
            if month <= newest and (month not in self.impact or month in restated):
                self.impact[month] = list(self._impact(month))
            if month <= newest and (month not in self.carbon or self._happens(0.1)):
                self.carbon[month] = list(self._carbon(month))
        self._azure.carbon.denied = {one: None for one in SUBSCRIPTIONS if self._happens(0.2)}
        self._publish(newest)

    @property
    def available(self) -> tuple[str, str]:
        """The first and the last month of Carbon Optimization."""
        return month_before(self.now, 1 + CARBON_MONTHS), month_before(self.now, 2)

    def read(self) -> None:
        """A run that ends well, after which the views show all that there is."""
        run, messages = self.reader.read(self._settings, self._a_minute_later())
        assert run.exit_code == 0, run.stderr
        self.database.load(messages)
        self.database.install("azure")
        self.told |= self._told_now()
        assert self.shown("current_carbon_emissions") == _close(self.told)
        assert self.shown("current_emissions_impact") == _close(_sums(_impact_facts(self.impact)))
        assert self.shown("current_cost_query") == _close(_sums(self._cost_facts()))
        assert self.shown("current_activities") == _close(self._activities())

    def read_badly(self) -> None:
        """A run that is cut, or to which some requests are not answered: no month is there twice."""
        if self._happens(0.5):
            messages = self.reader.read_cut(self._settings, self._a_minute_later())
        else:
            operation = self.chance.choice(("carbon", "query", "carbon_range"))
            refused = arm_error(400, "BadRequest", "Not now.")
            skip = self.chance.randint(0, 12)
            self._azure.arm.fail_next(refused, 50, operation=operation, skip=skip)
            messages = self.reader.read(self._settings, self._a_minute_later())[1]
            self._azure.arm.clear_faults()
        self.database.load(messages)

    def shown(self, view: str) -> Sums:
        """The sums that a view shows."""
        about, value = QUESTIONS[view]
        answer = self.database.ask(f"SELECT {about}, sum({value}) FROM {view} GROUP BY ALL")
        return _close({(f"{month:%Y-%m}", *rest): total for month, *rest, total in answer})

    def _activities(self) -> Sums:
        """Those of Carbon Optimization; of what it never told of, those of Cloud for Sustainability."""
        of_carbon = {(month, account) for month, account, _ in self.told}
        carbon = {
            (month, account, "azure_carbon_optimization", int(scope[-1])): total
            for (month, account, scope), total in self.told.items()
        }
        impact = {
            (month, account, "azure_emissions_impact", int(scope[-1])): 1000 * total
            for (month, account, scope), total in _sums(_impact_facts(self.impact)).items()
            if (month, account) not in of_carbon
        }
        return carbon | impact

    def _told_now(self) -> Sums:
        first, last = self.available
        allowed = set(SUBSCRIPTIONS) - self._azure.carbon.denied.keys()
        return _sums(
            (month, row.subscription, f"Scope{scope}", getattr(row, f"scope{scope}"))
            for month in _months(first, last)
            for row in self.carbon[month]
            if row.subscription in allowed
            for scope in (1, 2, 3)
        )

    def _cost_facts(self) -> Iterator[tuple[Any, ...]]:
        for month, costs in self.costs.items():
            for cost in costs:
                yield month, f"subscriptions/{cost.subscription}", cost.dimension("ServiceName"), cost.cost

    def _carbon(self, month: str) -> Iterator[Emission]:
        for one in SUBSCRIPTIONS:
            for number in range(self.chance.randint(1, 2)):
                scopes = {f"scope{scope}": self._amount() for scope in (1, 2, 3)}
                yield Emission(month, one, "Shop", f"R{number}", RESOURCE_TYPE, "west europe", **scopes)

    def _impact(self, month: str) -> Iterator[ImpactRow]:
        for one in SUBSCRIPTIONS:
            for scope in (1, 2, 3):
                yield ImpactRow(month, one, self.chance.choice(SERVICES), scope, self._amount())

    def _costs(self, month: str) -> Iterator[Cost]:
        for one in SUBSCRIPTIONS:
            for day in range(1, self.chance.randint(2, 6)):
                when = datetime.fromisoformat(f"{month}-{day:02}").date()
                if when <= self.now.date():
                    service = self.chance.choice(SERVICES)
                    yield Cost(when, one, self._amount(), dimensions={"ServiceName": service})

    def _amount(self) -> Decimal:
        return Decimal(self.chance.randint(1, 99_999)) / 100

    def _happens(self, likely: float) -> bool:
        return self.chance.random() < likely

    def _a_minute_later(self) -> datetime:
        self.now += timedelta(minutes=1)
        return self.now

    def _publish(self, newest: str) -> None:
        self._azure.carbon.publish(row for month in _months(FIRST, newest) for row in self.carbon[month])
        self._azure.carbon.available = self.available
        self._azure.impact.publish(row for rows in self.impact.values() for row in rows)
        self._azure.queries.publish(cost for costs in self.costs.values() for cost in costs)

    @property
    def _settings(self) -> dict[str, Any]:
        return {**self._config, "start_date": f"{FIRST}-01"}


def _months(first: str, last: str) -> list[str]:
    start, end = (datetime.fromisoformat(f"{month}-01T00:00:00+00:00") for month in (first, last))
    return [month.label for month in periods(start, add_months(end, 1), MONTH)]


def _impact_facts(months: Mapping[str, list[ImpactRow]]) -> Iterator[tuple[Any, ...]]:
    for month, rows in months.items():
        yield from ((month, row.subscription, f"Scope {row.scope}", row.emissions) for row in rows)


def _sums(facts: Iterator[tuple[Any, ...]]) -> Sums:
    """Exact sums of the last value by the others."""
    sums: defaultdict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
    for *key, value in facts:
        sums[tuple(key)] += value
    return {key: float(total) for key, total in sums.items()}


def _close(sums: Mapping[tuple[Any, ...], float]) -> Sums:
    """As far as sums of floats are the same."""
    return {key: float(f"{total:.11g}") for key, total in sums.items()}


def test_apis_over_some_months(azure: LocalAzure, spool_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {
        **azure.settings,
        **azure.impact_settings,
        "fail_on_denied": False,
        "rate_limit_per_second": 1000,
        "rate_limit_capacity": 10_000,
        "spool_dir": str(spool_dir),
    }
    chance = random.Random(0)
    customer = Customer(azure, config, Reader(chance, STREAMS, monkeypatch))
    customer.read()
    for _ in range(6):
        customer.pass_time(customer.chance.choice((0, 3, 20, 35, 70)))
        if customer.chance.random() < 0.5:
            customer.read_badly()
        customer.read()
