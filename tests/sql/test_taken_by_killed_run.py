"""Activities that a killed run has overwritten: the source that counts again gives them once more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sql.provider import ACCOUNT, carbon, day, emissions, usage
from tests.sql.questions import CARBON, COSTS, EMISSIONS, SEPTEMBER, USAGE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.sql.provider import Provider
    from tests.sql.warehouses import Warehouses


@pytest.fixture(params=[False, True], ids=["state", "large state"], autouse=True)
def _state(request: pytest.FixtureRequest, provider: Provider) -> None:
    """Large states are written every ten seconds at most."""
    if request.param:
        read = [
            {"context": {"export": "other", "billing_period": f"{year}-01"}, "pad": "x" * 1000}
            for year in range(1900, 2000)
        ]
        provider.state = {"bookmarks": {"deliveries": {"partitions": read}}}


def killed(
    provider: Provider, warehouses: Warehouses, select: Iterable[str], at: int, *, missing: int
) -> None:
    """A run that is killed when the target has its activities but for the last ones, and no later state."""
    messages = provider.attempt(select, day(at), provider.state).messages
    places = [
        place
        for place, message in enumerate(messages)
        if message["type"] == "RECORD" and message["stream"] == "activities"
    ]
    loaded = messages[: places[-1] + 1 - missing]
    warehouses.load(loaded)
    provider.state = [message["value"] for message in loaded if message["type"] == "STATE"][-1]


def test_usage_comes_back_from_the_export_that_is_left_when_the_other_was_read_by_a_killed_run(
    provider: Provider, warehouses: Warehouses
) -> None:
    provider.export("kept", "cur2")
    provider.deliver("kept", usage(("AmazonEC2", "Box", 1, 10)), day(2))
    warehouses.load(provider.read(COSTS, day(3)).messages)
    warehouses.install()
    provider.export("tried", "cur2")
    provider.exports.reverse()
    provider.deliver("tried", usage(("AmazonEC2", "Box", 2, 20)), day(4))
    killed(provider, warehouses, COSTS, 5, missing=0)
    assert warehouses.ask(USAGE) == []
    del provider.exports[0]
    warehouses.load(provider.read(COSTS, day(6)).messages)
    assert warehouses.ask(USAGE) == [("AmazonEC2", 1.0, 10.0)]
    quiet = provider.read(COSTS, day(7)).messages
    assert [message for message in quiet if message["type"] == "RECORD"] == []


def test_emissions_come_back_from_the_carbon_export_that_is_left(
    provider: Provider, warehouses: Warehouses
) -> None:
    provider.export("kept", "carbon")
    provider.deliver("kept", carbon((ACCOUNT, "AmazonEC2", 1.0)), day(2), version="v3.0.1")
    warehouses.load(provider.read(CARBON, day(3)).messages)
    warehouses.install()
    provider.export("tried", "carbon")
    provider.exports.reverse()
    provider.deliver("tried", carbon((ACCOUNT, "AmazonEC2", 2.0)), day(4), version="v3.0.1")
    killed(provider, warehouses, CARBON, 5, missing=0)
    del provider.exports[0]
    warehouses.load(provider.read(CARBON, day(6)).messages)
    assert warehouses.ask(EMISSIONS) == [(ACCOUNT, "AmazonEC2", 1000.0)]


def test_emissions_come_back_from_the_carbon_export_after_a_killed_run_read_the_api(
    provider: Provider, warehouses: Warehouses
) -> None:
    services = ("AmazonEC2", "AmazonS3")
    provider.server.set_month(SEPTEMBER, emissions(*((ACCOUNT, service, 2.0) for service in services)))
    provider.export("carbon", "carbon")
    exported = carbon(*((ACCOUNT, service, 1.0) for service in services))
    provider.deliver("carbon", exported, day(2), version="v3.0.1")
    warehouses.load(provider.read(CARBON, day(3)).messages)
    warehouses.install()
    configured, provider.exports = provider.exports, []
    killed(provider, warehouses, CARBON, 4, missing=5)
    provider.exports = configured
    warehouses.load(provider.read(CARBON, day(5)).messages)
    assert warehouses.ask(EMISSIONS) == [(ACCOUNT, service, 1000.0) for service in services]
