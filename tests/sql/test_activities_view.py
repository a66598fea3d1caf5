"""The view of activities: whole periods, each fact once, whichever source it is from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sql.provider import (
    ACCOUNT,
    OTHER_ACCOUNT,
    PAYER,
    carbon,
    day,
    emissions,
    focus,
    half_loaded,
    usage,
)
from tests.sql.questions import CARBON, COSTS, EMISSIONS, OCTOBER, SEPTEMBER, STATES, USAGE

if TYPE_CHECKING:
    import pyarrow as pa

    from tests.sql.provider import Provider
    from tests.sql.warehouses import Warehouses

# Activities of deliveries.


@pytest.mark.parametrize("rows", [1, 2])
def test_a_month_of_activities_is_whole_or_absent_while_it_is_replaced(
    rows: int, provider: Provider, warehouses: Warehouses
) -> None:
    provider.export("costs", "cur2")
    provider.deliver("costs", usage(("AmazonEC2", "Box", 1, 10), ("AmazonS3", "Store", 2, 20)), day(2))
    provider.deliver("costs", usage(("AmazonRDS", "Base", 4, 40), month=OCTOBER), day(2), month=OCTOBER)
    warehouses.load(provider.read(COSTS, day(3)).messages)
    warehouses.install()
    other = ("AmazonRDS", 4.0, 40.0)
    assert warehouses.ask(USAGE) == [("AmazonEC2", 1.0, 10.0), other, ("AmazonS3", 2.0, 20.0)]
    new = usage(("AmazonEC2", "Box", 8, 80), ("AmazonEFS", "Files", 1, 1), ("AWSLambda", "Run", 2, 2))
    provider.deliver("costs", new, day(4))
    run = provider.read(COSTS, day(5))
    warehouses.load(half_loaded(run.messages, "activities", rows))
    assert warehouses.ask(USAGE) == [other]
    assert warehouses.ask(STATES) == [
        (f"{PAYER}/{ACCOUNT}/{SEPTEMBER}", "loading"),
        (f"{PAYER}/{ACCOUNT}/{OCTOBER}", "current"),
    ]
    warehouses.load(run.messages)
    assert warehouses.ask(USAGE) == [
        ("AWSLambda", 2.0, 2.0),
        ("AmazonEC2", 8.0, 80.0),
        ("AmazonEFS", 1.0, 1.0),
        other,
    ]
    assert {state for _, state in warehouses.ask(STATES)} == {"current"}


def test_an_account_that_vanished_from_a_restated_month_is_not_current(
    provider: Provider, warehouses: Warehouses
) -> None:
    provider.export("carbon", "carbon")
    both = carbon((ACCOUNT, "AmazonEC2", 1.0), (OTHER_ACCOUNT, "AmazonEC2", 2.0))
    provider.deliver("carbon", both, day(2), version="v3.0.1")
    warehouses.load(provider.read(CARBON, day(3)).messages)
    warehouses.install()
    provider.deliver("carbon", carbon((ACCOUNT, "AmazonEC2", 3.0)), day(4), version="v3.0.1")
    warehouses.load(provider.read(CARBON, day(5)).messages)
    assert warehouses.ask(EMISSIONS) == [(ACCOUNT, "AmazonEC2", 3000.0)]
    assert warehouses.ask(STATES) == [
        (f"{ACCOUNT}/{SEPTEMBER}", "current"),
        (f"{OTHER_ACCOUNT}/{SEPTEMBER}", "vanished"),
    ]


def test_a_delivery_that_was_replaced_while_it_was_read_never_counts(
    provider: Provider, warehouses: Warehouses
) -> None:
    provider.export("costs", "cur2")
    provider.deliver("costs", usage(("AmazonEC2", "Box", 1, 10)), day(2), delivery_id="z-was-first")
    first = provider.read_as_another(COSTS, day(3))
    warehouses.load(half_loaded(first.messages, "deliveries", 0))
    provider.deliver("costs", usage(("AmazonS3", "Store", 2, 20)), day(3), delivery_id="a-was-second")
    warehouses.load(provider.read_as_another(COSTS, day(3)).messages)
    warehouses.install()
    assert warehouses.ask(USAGE) == [("AmazonS3", 2.0, 20.0)]
    assert warehouses.ask(STATES) == [(f"{PAYER}/{ACCOUNT}/{SEPTEMBER}", "current")]


def test_activities_that_are_read_again_by_day_replace_those_by_month(
    provider: Provider, warehouses: Warehouses
) -> None:
    """The grain is part of what a fact is, so these are other ids of the same delivery."""
    provider.export("costs", "cur2")
    provider.deliver("costs", usage(("AmazonEC2", "Box", 1, 10)), day(2))
    warehouses.load(provider.read_as_another(COSTS, day(3)).messages)
    warehouses.load(provider.read_as_another(COSTS, day(4), activity_grain="day").messages)
    warehouses.install()
    assert warehouses.ask("SELECT count(*) FROM activities") == [(2,)]
    assert warehouses.ask(USAGE) == [("AmazonEC2", 1.0, 10.0)]


# From one source to another.


@pytest.mark.parametrize("delivered", [1, 4], ids=["delivered before the API was read", "delivered after"])
def test_emissions_that_move_from_the_api_to_a_carbon_export_count_once(
    delivered: int, provider: Provider, warehouses: Warehouses
) -> None:
    provider.server.set_month(
        SEPTEMBER,
        emissions((ACCOUNT, "AmazonEC2", 1.0), (ACCOUNT, "Other", 2.0), (OTHER_ACCOUNT, "Other", 4.0)),
    )
    warehouses.load(provider.read(CARBON, day(3)).messages)
    warehouses.install()
    provider.export("carbon", "carbon")
    exported = carbon(
        (ACCOUNT, "AmazonEC2", 1.0), (ACCOUNT, "AmazonS3", 2.0), (OTHER_ACCOUNT, "AmazonS3", 4.0)
    )
    provider.deliver("carbon", exported, day(delivered), version="v3.0.1")
    warehouses.load(provider.read(CARBON, day(5)).messages)
    assert warehouses.ask(EMISSIONS) == [
        (ACCOUNT, "AmazonEC2", 1000.0),
        (ACCOUNT, "AmazonS3", 2000.0),
        (OTHER_ACCOUNT, "AmazonS3", 4000.0),
    ]
    assert warehouses.ask("SELECT DISTINCT source FROM current_activities") == [("aws_carbon_export",)]


def test_emissions_that_move_back_to_the_api_count_once(provider: Provider, warehouses: Warehouses) -> None:
    provider.export("carbon", "carbon")
    exported = carbon((ACCOUNT, "AmazonEC2", 1.0), (ACCOUNT, "AmazonS3", 2.0))
    provider.deliver("carbon", exported, day(2), version="v3.0.1")
    warehouses.load(provider.read(CARBON, day(3)).messages)
    warehouses.install()
    provider.exports.clear()
    provider.server.set_month(SEPTEMBER, emissions((ACCOUNT, "AmazonEC2", 1.0), (ACCOUNT, "Other", 2.0)))
    warehouses.load(provider.read(CARBON, day(4)).messages)
    assert warehouses.ask(EMISSIONS) == [(ACCOUNT, "AmazonEC2", 1000.0), (ACCOUNT, "Other", 2000.0)]


@pytest.mark.parametrize("delivered", [1, 4], ids=["delivered before", "delivered after"])
@pytest.mark.parametrize("kind", ["cur2", "focus"], ids=["the same ids", "other ids"])
def test_usage_that_moves_to_another_export_counts_once(
    kind: str, delivered: int, provider: Provider, warehouses: Warehouses
) -> None:
    old: dict[str, pa.Table] = {
        "cur2": usage(("AmazonEC2", "Box", 1, 10), ("AmazonS3", "Old", 2, 20)),
        "focus": focus(("AmazonEC2", 1, 10), ("AmazonS3", 2, 20)),
    }
    provider.export("old", kind)
    provider.deliver("old", old[kind], day(2))
    warehouses.load(provider.read(COSTS, day(3)).messages)
    warehouses.install()
    assert warehouses.ask(USAGE) == [("AmazonEC2", 1.0, 10.0), ("AmazonS3", 2.0, 20.0)]
    provider.export("new", "cur2")
    provider.exports.reverse()
    new = usage(("AmazonEC2", "Box", 1, 10), ("AmazonS3", "New", 2, 20))
    provider.deliver("new", new, day(delivered))
    warehouses.load(provider.read(COSTS, day(5)).messages)
    assert warehouses.ask(USAGE) == [("AmazonEC2", 1.0, 10.0), ("AmazonS3", 2.0, 20.0)]
    assert warehouses.ask(STATES) == [(f"{PAYER}/{ACCOUNT}/{SEPTEMBER}", "current")]
    provider.deliver("old", old[kind].slice(0, 1), day(6))
    warehouses.load(provider.read(COSTS, day(7)).messages)
    assert warehouses.ask(USAGE) == [("AmazonEC2", 1.0, 10.0), ("AmazonS3", 2.0, 20.0)]


def test_usage_and_emissions_of_one_account_and_month_do_not_replace_each_other(
    provider: Provider, warehouses: Warehouses
) -> None:
    provider.export("costs", "cur2")
    provider.deliver("costs", usage(("AmazonEC2", "Box", 1, 10), payer=ACCOUNT), day(2))
    provider.server.set_month(SEPTEMBER, emissions((ACCOUNT, "AmazonEC2", 1.0)))
    warehouses.load(provider.read(COSTS, day(3)).messages)
    warehouses.install()
    assert warehouses.ask(STATES) == [(f"{ACCOUNT}/{SEPTEMBER}", "current")] * 2
    assert warehouses.ask(USAGE) == [("AmazonEC2", 1.0, 10.0)]
    assert warehouses.ask(EMISSIONS) == [(ACCOUNT, "AmazonEC2", 1000.0)]
