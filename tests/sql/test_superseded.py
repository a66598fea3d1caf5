"""Deliveries that newer ones overtake, or that are gone: no month is absent from the views because of it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from offgridflow_common.errors import TransientError
from offgridflow_common.exports import delivery
from offgridflow_common.singer.deliveries import DeliveriesStream
from tap_offgridflow_aws.streams.activities import AwsActivitiesStream
from tests.sql.provider import ACCOUNT, carbon, day, emissions, usage
from tests.sql.questions import COSTS, EMISSIONS, SEPTEMBER, STATES, USAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from offgridflow_common.exports.delivery import Deliveries, Export, Manifest
    from tests.sql.provider import Provider
    from tests.sql.warehouses import Warehouses

REPORTED = ("activities", "deliveries")


def before_feeds(monkeypatch: pytest.MonkeyPatch, stream: type[Any], act: Callable[[], object]) -> None:
    """Do something before a stream looks for what there is to read."""
    feeds = stream.feeds

    def changed(self: Any) -> Any:
        act()
        return feeds(self)

    monkeypatch.setattr(stream, "feeds", changed)


def test_a_delivery_that_was_read_is_reported_although_a_newer_one_has_come(
    provider: Provider, warehouses: Warehouses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its activities have replaced those before it already: it must become current until the next run."""
    provider.export("costs", "cur2")
    provider.deliver("costs", usage(("AmazonEC2", "Box", 1, 10)), day(2))
    warehouses.load(provider.read(COSTS, day(3)).messages)
    warehouses.install()
    provider.deliver("costs", usage(("AmazonEC2", "Box", 2, 20)), day(4))
    newest = usage(("AmazonEC2", "Box", 4, 40))
    monkeypatch.setattr(delivery, "_LISTING_SECONDS", 0.0)
    with monkeypatch.context() as patch:
        before_feeds(patch, DeliveriesStream, lambda: provider.deliver("costs", newest, day(5)))
        run = provider.read(COSTS, day(6))
    warehouses.load(run.messages)
    assert warehouses.ask(USAGE) == [("AmazonEC2", 2.0, 20.0)]
    warehouses.load(provider.read(COSTS, day(7)).messages)
    assert warehouses.ask(USAGE) == [("AmazonEC2", 4.0, 40.0)]
    assert provider.read(COSTS, day(8)).records("deliveries") == []


def test_an_export_that_only_activities_cannot_list_is_not_reported(
    provider: Provider, warehouses: Warehouses, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider.export("carbon", "carbon")
    provider.deliver("carbon", carbon((ACCOUNT, "AmazonEC2", 1.0)), day(2), version="v3.0.1")
    warehouses.load(provider.read(REPORTED, day(3)).messages)
    warehouses.install()
    provider.deliver("carbon", carbon((ACCOUNT, "AmazonEC2", 2.0)), day(4), version="v3.0.1")
    down: list[bool] = []
    manifests = delivery.Deliveries.manifests

    def listed(self: Deliveries, export: Export) -> list[Manifest]:
        if down:
            raise TransientError(asked="listing", got="SlowDown", do="run again later")
        return manifests(self, export)

    with monkeypatch.context() as patch:
        patch.setattr(delivery.Deliveries, "manifests", listed)
        before_feeds(patch, AwsActivitiesStream, lambda: down.append(True))
        before_feeds(patch, DeliveriesStream, down.clear)
        run = provider.attempt(REPORTED, day(5), provider.state)
    assert run.exit_code == 1
    assert run.records("activities") == run.records("deliveries") == []
    warehouses.load(run.messages)
    assert warehouses.ask(EMISSIONS) == [(ACCOUNT, "AmazonEC2", 1000.0)]


def test_an_older_version_takes_no_place_of_a_newer_one_that_is_gone(
    provider: Provider, warehouses: Warehouses
) -> None:
    provider.export("carbon", "carbon")
    for number, version in ((1, "v3.0.0"), (2, "v3.0.1")):
        rows = carbon((ACCOUNT, "AmazonEC2", number), version=version)
        provider.deliver("carbon", rows, day(2 * number), version=version)
        warehouses.load(provider.read(REPORTED, day(2 * number + 1)).messages)
    warehouses.install()
    for folder in ("data", "metadata"):
        shutil.rmtree(provider.folder / "exports/carbon" / folder / "carbon_model_version=v3.0.1")
    for at in (6, 7):
        run = provider.read(REPORTED, day(at))
        assert run.stderr.count("version v3.0.1, which was read, is gone") == 1
        warehouses.load(run.messages)
        assert warehouses.ask(EMISSIONS) == [(ACCOUNT, "AmazonEC2", 2000.0)]
        assert {state for _, state in warehouses.ask(STATES)} == {"current"}


def test_an_older_version_is_not_reported_while_a_newer_one_cannot_be_read(
    provider: Provider, warehouses: Warehouses
) -> None:
    provider.export("carbon", "carbon")
    old = carbon((ACCOUNT, "AmazonEC2", 1.0), version="v3.0.0")
    provider.deliver("carbon", old, day(2), version="v3.0.0")
    warehouses.load(provider.read(REPORTED, day(3)).messages)
    warehouses.install()
    provider.deliver("carbon", old, day(4), version="v3.0.0", delivery_id="again")
    new = carbon((ACCOUNT, "AmazonEC2", 2.0))
    broken = new.set_column(new.schema.get_field_index("usage_period_start"), "usage_period_start", [["x"]])
    provider.deliver("carbon", broken, day(5), version="v3.0.1")
    run = provider.attempt(REPORTED, day(6), provider.state)
    assert run.exit_code == 1
    warehouses.load(run.messages)
    assert warehouses.ask(EMISSIONS) == [(ACCOUNT, "AmazonEC2", 1000.0)]


def test_a_carbon_export_takes_its_months_back_from_the_api(
    provider: Provider, warehouses: Warehouses
) -> None:
    """Its months are not delivered anew, so the deliveries of before are read again."""
    provider.server.set_month(SEPTEMBER, emissions((ACCOUNT, "AmazonEC2", 1.0), (ACCOUNT, "Other", 2.0)))
    provider.export("carbon", "carbon")
    rows = carbon((ACCOUNT, "AmazonEC2", 1.0), (ACCOUNT, "AmazonS3", 2.5))
    provider.deliver("carbon", rows, day(2), version="v3.0.1")
    exported = [(ACCOUNT, "AmazonEC2", 1000.0), (ACCOUNT, "AmazonS3", 2500.0)]
    reported = [exported[0], (ACCOUNT, "Other", 2000.0)]
    exports = list(provider.exports)
    for at, given, expected in ((3, exports, exported), (4, [], reported), (5, exports, exported)):
        provider.exports[:] = given
        warehouses.load(provider.read(REPORTED, day(at)).messages)
        warehouses.install()
        assert warehouses.ask(EMISSIONS) == expected
    assert provider.read(REPORTED, day(6)).records("activities") == []


def test_a_delivery_that_nobody_read_is_reported_again_with_its_rows(provider: Provider) -> None:
    """Such as one whose export had another type in the settings at first."""
    provider.export("costs", "focus")
    provider.deliver("costs", usage(("AmazonEC2", "Box", 1, 10)), day(2))
    select = ("cost_and_usage", "deliveries")
    (first,) = provider.read(select, day(3)).records("deliveries")
    assert (first["export_type"], first["rows"]) == ("focus", None)
    provider.exports[0]["type"] = "cur2"
    (again,) = provider.read(select, day(4)).records("deliveries")
    assert (again["export_type"], again["rows"], again["delivery_id"]) == ("cur2", 1, first["delivery_id"])
    assert provider.read(select, day(5)).records("deliveries") == []
