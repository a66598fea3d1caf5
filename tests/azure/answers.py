"""What to publish at the stand-ins, and ways to let something else come back than they have."""

from __future__ import annotations

import itertools
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.local_clouds.azure_carbon import Emission
from tests.local_clouds.azure_cost_query import Cost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import date

ONE, TWO, THREE = (f"aaaaaaaa-0000-0000-0000-00000000000{number}" for number in (1, 2, 3))
SCOPES = ("Scope1", "Scope2", "Scope3")
VM, STORE = "microsoft.compute/virtualmachines", "microsoft.storage/storageaccounts"
PLACES = ("east us", "west europe", "global")


def emissions(
    months: Iterable[str], subscriptions: Iterable[str] = (ONE, TWO), *, resources: int = 3, factor: int = 1
) -> list[Emission]:
    """Emissions with many digits: none of two rows are the same; `factor` restates them."""
    return [
        Emission(
            month=month,
            subscription=subscription,
            resource_group=f"Group{number % 2}",
            name=f"Resource{number}",
            resource_type=(VM, STORE)[number % 2],
            location=PLACES[number % len(PLACES)],
            scope1=factor * Decimal(f"0.{number + 1}0123456789{int(month[5:]):02}{subscription[-1]}"),
            scope3=factor * Decimal(f"{number + 1}.000{int(month[5:]):02}{subscription[-1]}"),
        )
        for month in months
        for subscription in subscriptions
        for number in range(resources)
    ]


def costs(first: date, days: int, *, subscription: str = ONE, amount: str = "1.25") -> list[Cost]:
    """Costs of two services in two places, on each of some days, each day another amount."""
    return [
        Cost(
            day=first + timedelta(number),
            subscription=subscription,
            cost=Decimal(amount) * (number + 1),
            dimensions={"ServiceName": service, "ResourceLocation": place},
        )
        for number in range(days)
        for service, place in (("Storage", "US East"), ("Virtual Machines", "EU West"))
    ]


def overlapping(rows_of: Callable[[Any], list[Any]]) -> Callable[[Any], None]:
    """A change of answers whose second page begins with the last row of the first, instead of its own."""
    last: list[Any] = []

    def changed(answer: Any) -> None:
        rows = rows_of(answer)
        if len(last) == 1:
            rows[0] = last[0]
        last.append(rows[-1])

    return changed


def only(number: int, change: Callable[[Any], object]) -> Callable[[Any], None]:
    """A change of the answer with this number, from 1, that leaves all others as they are."""
    count = itertools.count(1)

    def changed(answer: Any) -> None:
        if next(count) == number:
            change(answer)

    return changed
