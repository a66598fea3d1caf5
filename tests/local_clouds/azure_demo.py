"""A small made-up tenant: three subscriptions, their resources, emissions and costs.

Values depend on the seed, the month and the resource only, so that a longer range repeats the shorter one.
"""

from __future__ import annotations

import random
from calendar import monthrange
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from tests.local_clouds.azure_carbon import Emission
from tests.local_clouds.azure_cost_query import Cost
from tests.local_clouds.azure_discovery import ManagementGroup, Subscription
from tests.local_clouds.mcfs import ImpactRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

SUBSCRIPTIONS = (
    Subscription("a0000000-0000-4000-8000-000000000001", "Production", tags={"env": "prod"}),
    Subscription("a0000000-0000-4000-8000-000000000002", "Development"),
    Subscription("a0000000-0000-4000-8000-000000000003", "Retired", "Disabled"),
)
GROUPS = (
    ManagementGroup(
        "contoso",
        [SUBSCRIPTIONS[0].id, ManagementGroup("contoso-inner", [one.id for one in SUBSCRIPTIONS[1:]])],
    ),
)
BILLING_ACCOUNT = "providers/Microsoft.Billing/billingAccounts/1234567"
MANAGEMENT_GROUP = "providers/Microsoft.Management/managementGroups/contoso"
_CENT = Decimal("0.01")
_NANO = Decimal("0.000000001")
_KG_PER_TONNE = 1000


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of thing that every subscription has one of; regions as carbon and as cost spell them."""

    name: str
    group: str
    type: str
    location: str
    cost_location: str
    service: str
    daily_cost: int


RESOURCES = (
    Resource(
        "vm-web", "rg-web", "microsoft.compute/virtualmachines", "east us", "US East", "Virtual Machines", 24
    ),
    Resource(
        "vm-batch",
        "rg-batch",
        "microsoft.compute/virtualmachines",
        "west europe",
        "EU West",
        "Virtual Machines",
        60,
    ),
    Resource("stlogs", "rg-web", "microsoft.storage/storageaccounts", "east us", "US East", "Storage", 3),
    Resource(
        "sqlmain",
        "rg-data",
        "microsoft.sql/servers/databases",
        "north europe",
        "EU North",
        "SQL Database",
        35,
    ),
    Resource(
        "aks-core",
        "RG-Platform",
        "microsoft.containerservice/managedclusters",
        "west europe",
        "EU West",
        "Azure Kubernetes Service",
        48,
    ),
)


def demo_emissions(seed: int, months: Iterable[str]) -> list[Emission]:
    """Emissions in kg with nine decimals; scope 2 is nothing in nine rows of ten."""
    return [
        Emission(
            month,
            subscription,
            resource.group,
            resource.name,
            resource.type,
            resource.location,
            *_scopes(_random(seed, month, subscription, resource.name), resource.daily_cost),
        )
        for month in months
        for subscription, resource in _everything()
    ]


def demo_costs(seed: int, months: Iterable[str]) -> list[Cost]:
    """Costs of every day, and on the first of each month a purchase that is spread over its days."""
    return [cost for month in months for cost in _month(seed, month)]


def demo_impact(emissions: Iterable[Emission]) -> list[ImpactRow]:
    """The same emissions as Cloud for Sustainability has them: metric tons, by service and region."""
    services = {resource.type: resource.service for resource in RESOURCES}
    sums: dict[tuple[str, str, str, str, int], Decimal] = defaultdict(Decimal)
    for row in emissions:
        for scope in (1, 2, 3):
            key = (row.month, row.subscription, services[row.resource_type], row.location, scope)
            sums[key] += row.sum([f"Scope{scope}"]) / _KG_PER_TONNE
    return [
        ImpactRow(month, subscription, service, scope, amount, region=location.title())
        for (month, subscription, service, location, scope), amount in sums.items()
    ]


def month_range(first: str, last: str) -> list[str]:
    """All months (`YYYY-MM`) from first to last, both included."""
    low, high = (int(month[:4]) * 12 + int(month[5:]) - 1 for month in (first, last))
    return [f"{ordinal // 12}-{ordinal % 12 + 1:02}" for ordinal in range(low, high + 1)]


def _everything() -> Iterator[tuple[str, Resource]]:
    for subscription in SUBSCRIPTIONS:
        # What is retired has little left.
        for resource in RESOURCES[:2] if subscription.state == "Disabled" else RESOURCES:
            yield subscription.id, resource


def _random(*parts: object) -> random.Random:
    """Chance that is the same for the same parts."""
    return random.Random("/".join(map(str, parts)))


def _scopes(chance: random.Random, size: int) -> Sequence[Decimal]:
    scope1 = chance.lognormvariate(-4, 1) * size
    scope2 = chance.lognormvariate(0, 1) * size if chance.random() < 0.1 else 0
    scope3 = chance.lognormvariate(-1, 0.5) * size
    return [Decimal(amount).quantize(_NANO) for amount in (scope1, scope2, scope3)]


def _month(seed: int, month: str) -> Iterator[Cost]:
    year, number = (int(part) for part in month.split("-"))
    days = [date(year, number, day + 1) for day in range(monthrange(year, number)[1])]
    for subscription, resource in _everything():
        chance = _random(seed, "cost", month, subscription, resource.name)
        for day in days:
            used = Decimal(chance.randint(80, 120)) / 100
            yield _cost(day, subscription, resource, (resource.daily_cost * used).quantize(_CENT), used * 24)
    owner = SUBSCRIPTIONS[0].id
    dimensions = {"ServiceName": "Reservations", "MeterCategory": "Reservations", "ChargeType": "Purchase"}
    yield Cost(days[0], owner, Decimal(300), "", amortized=Decimal(0), dimensions=dimensions)
    for day in days:
        spread = Decimal(300) / len(days)
        unused = dimensions | {"ChargeType": "UnusedReservation"}
        yield Cost(day, owner, Decimal(0), "", amortized=spread.quantize(_NANO), dimensions=unused)


def _cost(day: date, subscription: str, resource: Resource, amount: Decimal, hours: Decimal) -> Cost:
    identity = f"/subscriptions/{subscription}/resourceGroups/{resource.group}/providers/{resource.type}"
    return Cost(
        day,
        subscription,
        amount,
        resource.group,
        quantity=hours,
        dimensions={
            "ServiceName": resource.service,
            "MeterCategory": resource.service,
            "ConsumedService": resource.type.partition("/")[0].title(),
            "ResourceType": resource.type,
            "ResourceId": f"{identity}/{resource.name}",
            "ResourceLocation": resource.cost_location,
            "UnitOfMeasure": "1 Hour",
            "ChargeType": "Usage",
            "PublisherType": "Azure",
        },
    )
