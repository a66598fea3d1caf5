"""The views of deliveries and of their rows, over what the tap really emits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from offgridflow_common.singer.periods import version_key
from tests.sql.provider import (
    ACCOUNT,
    OTHER_ACCOUNT,
    carbon,
    day,
    focus,
    half_loaded,
    usage,
)
from tests.sql.questions import (
    CARBON,
    COSTS,
    EMISSIONS,
    EXPORTED,
    LINE_ITEMS,
    OCTOBER,
    SEPTEMBER,
    USAGE,
)

if TYPE_CHECKING:
    from tests.sql.provider import Provider
    from tests.sql.warehouses import Warehouses

# Deliveries and line items.


def test_a_month_restated_with_fewer_rows_ends_with_fewer_rows(
    provider: Provider, warehouses: Warehouses
) -> None:
    provider.export("costs", "cur2")
    provider.deliver("costs", usage(("AmazonEC2", "Box", 1, 10), ("AmazonS3", "Store", 2, 20)), day(2))
    provider.deliver("costs", usage(("AmazonEC2", "Box", 4, 40), month=OCTOBER), day(2), month=OCTOBER)
    warehouses.load(provider.read(COSTS, day(3)).messages)
    warehouses.install()
    october = (OCTOBER, "AmazonEC2", 40.0)
    assert warehouses.ask(LINE_ITEMS) == [
        (SEPTEMBER, "AmazonEC2", 10.0),
        (SEPTEMBER, "AmazonS3", 20.0),
        october,
    ]
    provider.deliver("costs", usage(("AmazonS3", "Store", 3, 30)), day(4))
    warehouses.load(provider.read(COSTS, day(5)).messages)
    assert warehouses.ask(LINE_ITEMS) == [(SEPTEMBER, "AmazonS3", 30.0), october]
    assert warehouses.ask(USAGE) == [("AmazonEC2", 4.0, 40.0), ("AmazonS3", 3.0, 30.0)]
    assert warehouses.ask("SELECT count(*) FROM cost_and_usage") == [(4,)]


def test_a_month_restated_to_nothing_ends_with_nothing(provider: Provider, warehouses: Warehouses) -> None:
    provider.export("costs", "cur2")
    lines = usage(("AmazonEC2", "Box", 1, 10))
    provider.deliver("costs", lines, day(2))
    warehouses.load(provider.read(COSTS, day(3)).messages)
    provider.deliver("costs", lines.slice(0, 0), day(4))
    warehouses.load(provider.read(COSTS, day(5)).messages)
    warehouses.install()
    assert warehouses.ask(LINE_ITEMS) == []
    assert warehouses.ask(USAGE) == []


@pytest.mark.parametrize("rows", [1, 2])
def test_a_half_loaded_delivery_leaves_the_line_items_that_were_there(
    rows: int, provider: Provider, warehouses: Warehouses
) -> None:
    provider.export("costs", "cur2")
    provider.deliver("costs", usage(("AmazonEC2", "Box", 1, 10)), day(2))
    warehouses.load(provider.read(COSTS, day(3)).messages)
    warehouses.install()
    before = warehouses.ask(LINE_ITEMS)
    provider.deliver("costs", usage(*[("AmazonS3", "Store", 1, 1)] * 3), day(4))
    run = provider.read(COSTS, day(5))
    warehouses.load(half_loaded(run.messages, "cost_and_usage", rows))
    assert warehouses.ask("SELECT count(*) FROM cost_and_usage") == [(1 + rows,)]
    assert warehouses.ask(LINE_ITEMS) == before
    warehouses.load(run.messages)
    assert warehouses.ask(LINE_ITEMS) == [(SEPTEMBER, "AmazonS3", 1.0)] * 3


def test_a_first_delivery_shows_when_all_of_it_is_there(provider: Provider, warehouses: Warehouses) -> None:
    provider.export("costs", "cur2")
    provider.deliver("costs", usage(("AmazonEC2", "Box", 1, 10)), day(2))
    run = provider.read(COSTS, day(3))
    warehouses.load(half_loaded(run.messages, "deliveries", 0))
    warehouses.install()
    assert warehouses.ask("SELECT count(*) FROM cost_and_usage") == [(1,)]
    assert warehouses.ask(LINE_ITEMS) == []
    warehouses.load(run.messages)
    assert warehouses.ask(LINE_ITEMS) == [(SEPTEMBER, "AmazonEC2", 10.0)]


def test_each_export_of_a_month_has_its_own_newest_delivery(
    provider: Provider, warehouses: Warehouses
) -> None:
    for number, name in enumerate(("one", "two")):
        provider.export(name, "cur2")
        provider.deliver(name, usage(("AmazonEC2", "Box", 1, 1 + number)), day(2 + number))
    warehouses.load(provider.read(COSTS, day(4)).messages)
    provider.deliver("one", usage(("AmazonEC2", "Box", 1, 8)), day(5))
    warehouses.load(provider.read(COSTS, day(6)).messages)
    warehouses.install()
    question = "SELECT export_name, line_item_unblended_cost FROM current_cost_and_usage"
    assert warehouses.ask(question) == [("one", 8.0), ("two", 2.0)]


def test_of_deliveries_of_one_moment_that_of_the_greater_id_counts(
    provider: Provider, warehouses: Warehouses
) -> None:
    provider.export("costs", "cur2")
    for delivery_id, cost in (("B", 2), ("a", 3), ("A", 1)):
        provider.deliver("costs", usage(("AmazonEC2", "Box", 1, cost)), day(2), delivery_id=delivery_id)
        warehouses.load(provider.read(COSTS, day(3)).messages)
    warehouses.install()
    assert warehouses.ask(LINE_ITEMS) == [(SEPTEMBER, "AmazonEC2", 3.0)]


def test_an_id_that_deliveries_of_several_months_share_is_told_apart_by_month(
    provider: Provider, warehouses: Warehouses
) -> None:
    provider.export("costs", "cur2")
    both = [usage(("AmazonEC2", "Box", 1, 10)), usage(("AmazonS3", "Store", 2, 20), payer=OTHER_ACCOUNT)]
    provider.deliver("costs", pa.concat_tables(both), day(2), delivery_id="same")
    october = usage(("AmazonRDS", "Base", 4, 40), payer=OTHER_ACCOUNT, month=OCTOBER)
    provider.deliver("costs", october, day(2), month=OCTOBER, delivery_id="same")
    warehouses.load(provider.read(COSTS, day(3)).messages)
    provider.deliver("costs", usage(("AmazonEC2", "Box", 8, 80)), day(4), delivery_id="other")
    warehouses.load(provider.read(COSTS, day(5)).messages)
    warehouses.install()
    assert warehouses.ask(LINE_ITEMS) == [(SEPTEMBER, "AmazonEC2", 80.0), (OCTOBER, "AmazonRDS", 40.0)]
    assert warehouses.ask(USAGE) == [("AmazonEC2", 8.0, 80.0), ("AmazonRDS", 4.0, 40.0)]


def test_rows_of_focus_follow_their_deliveries(provider: Provider, warehouses: Warehouses) -> None:
    select = ["focus_costs", "activities", "deliveries"]
    provider.export("focus", "focus")
    provider.deliver("focus", focus(("AmazonEC2", 1, 10), ("AmazonS3", 2, 20)), day(2))
    warehouses.load(provider.read(select, day(3)).messages)
    warehouses.install()
    provider.deliver("focus", focus(("AmazonS3", 3, 30)), day(4))
    run = provider.read(select, day(5))
    question = "SELECT x_service_code, billed_cost FROM current_focus_costs"
    warehouses.load(half_loaded(run.messages, "deliveries", 0))
    assert warehouses.ask(question) == [("AmazonEC2", 10.0), ("AmazonS3", 20.0)]
    warehouses.load(run.messages)
    assert warehouses.ask(question) == [("AmazonS3", 30.0)]


# Model versions.


#: Of each pair the second is newer.
VERSIONS = (
    ("v3.0.0", "v3.0.1"),
    ("v3.0.9", "v3.0.10"),
    ("v3.9.0", "v3.10.0"),
    ("v9.0.0", "v10.0.0"),
    ("v3.0.0-rc1", "v3.0.0"),
    ("v3.0.0-rc1", "v3.0.0-rc2"),
    ("v3.0.0-rc.1", "v3.0.0-rc1"),
    ("v3.0.0", "v3.0.1-rc1"),
    ("v3.0.10-rc1", "v3.0.10"),
    ("3.0.0", "v3.0.1"),
    ("V3.0.0", "v3.0.1"),
    ("v3", "v3.1"),
    ("v3.0.0-9", "v3.0.0"),
    ("latest", "v0.0.1"),
)


@pytest.mark.parametrize("newest_comes", ["last", "first"])
def test_of_a_month_the_newest_model_version_counts_whenever_it_came(
    newest_comes: str, provider: Provider, warehouses: Warehouses
) -> None:
    """An export for each pair of versions, made after the one that was read."""
    provider.export("carbon", "carbon")
    provider.deliver("carbon", carbon((ACCOUNT, "AmazonEC2", 1.0)), day(2), version="v3.0.1")
    messages = provider.read(["carbon_export", "deliveries"], day(5)).messages
    (delivery,) = (
        message["record"]
        for message in messages
        if message.get("stream") == "deliveries" and message["type"] == "RECORD"
    )
    moments = (day(2), day(4)) if newest_comes == "last" else (day(4), day(2))
    warehouses.load(messages)
    warehouses.install()
    for pair in VERSIONS:
        assert version_key(pair[0]) < version_key(pair[1])
        records = [
            {
                **delivery,
                "export_name": " ".join(pair),
                "delivery_id": version,
                "delivered_at": moment.isoformat(),
                "model_version": version,
            }
            for version, moment in zip(pair, moments, strict=True)
        ]
        warehouses.load({"type": "RECORD", "stream": "deliveries", "record": record} for record in records)
    question = "SELECT export_name, model_version FROM current_deliveries WHERE export_name <> 'carbon'"
    assert dict(warehouses.ask(question)) == {" ".join(pair): pair[1] for pair in VERSIONS}


def test_model_versions_are_never_summed_and_a_half_loaded_one_does_not_show(
    provider: Provider, warehouses: Warehouses
) -> None:
    provider.export("carbon", "carbon")
    old = carbon((ACCOUNT, "AmazonEC2", 8.0), (ACCOUNT, "AmazonS3", 16.0), version="v3.0.9")
    provider.deliver("carbon", old, day(2), version="v3.0.9")
    warehouses.load(provider.read(CARBON, day(3)).messages)
    warehouses.install()
    shown = [(ACCOUNT, "AmazonEC2", 1.0), (ACCOUNT, "AmazonS3", 2.0)]
    assert warehouses.ask(EXPORTED) == shown
    assert warehouses.ask(EMISSIONS) == [(ACCOUNT, "AmazonEC2", 8000.0), (ACCOUNT, "AmazonS3", 16000.0)]
    new = carbon((ACCOUNT, "AmazonEC2", 24.0), version="v3.0.10")
    provider.deliver("carbon", new, day(4), version="v3.0.10")
    run = provider.read(CARBON, day(5))
    warehouses.load(half_loaded(run.messages, "deliveries", 0))
    assert warehouses.ask(EXPORTED) == shown
    warehouses.load(run.messages)
    assert warehouses.ask(EXPORTED) == [(ACCOUNT, "AmazonEC2", 3.0)]
    assert warehouses.ask(EMISSIONS) == [(ACCOUNT, "AmazonEC2", 24000.0)]


def test_an_older_model_version_that_is_delivered_again_changes_nothing(
    provider: Provider, warehouses: Warehouses
) -> None:
    provider.export("carbon", "carbon")
    for version, moment, tonnes in (("v3.0.0", 2, 8.0), ("v3.0.1", 3, 16.0), ("v3.0.0", 5, 24.0)):
        rows = carbon((ACCOUNT, "AmazonEC2", tonnes), version=version)
        provider.deliver("carbon", rows, day(moment), version=version)
        warehouses.load(provider.read(CARBON, day(moment + 1)).messages)
    warehouses.install()
    assert warehouses.ask("SELECT count(*) FROM deliveries") == [(3,)]
    assert warehouses.ask(EXPORTED) == [(ACCOUNT, "AmazonEC2", 2.0)]
    assert warehouses.ask(EMISSIONS) == [(ACCOUNT, "AmazonEC2", 16000.0)]
