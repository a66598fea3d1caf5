"""Several exports that have the same usage or emissions: each counts once, whatever changes in between."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from tests.sql.provider import ACCOUNT, OTHER_ACCOUNT, PAYER, carbon, day, focus, usage
from tests.sql.questions import CARBON, COSTS, EMISSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.sql.provider import Provider
    from tests.sql.warehouses import Warehouses

AMOUNTS = """
    SELECT account_id, sum(quantity) FROM current_activities
    WHERE activity_type = 'usage' GROUP BY account_id
"""
#: Exports of an organisation and of its members, those that count first before the others.
KINDS = {"all": "cur2", "one": "cur2", "two": "cur2", "both": "cur2", "other": "focus"}
HOLDS: dict[str, Sequence[str]] = {
    "all": (PAYER, ACCOUNT, OTHER_ACCOUNT),
    "one": (ACCOUNT,),
    "two": (OTHER_ACCOUNT,),
    "both": (PAYER, OTHER_ACCOUNT),
    "other": (PAYER, ACCOUNT, OTHER_ACCOUNT),
}


def lines(kind: str, amounts: dict[str, float]) -> pa.Table:
    """An export's rows: how much each account used."""
    if not amounts:
        return lines(kind, {ACCOUNT: 0}).slice(0, 0)
    if kind == "focus":
        return pa.concat_tables(
            focus(("AmazonEC2", amount, amount), account=account) for account, amount in amounts.items()
        )
    return pa.concat_tables(
        usage(("AmazonEC2", "Box", amount, amount), account=account) for account, amount in amounts.items()
    )


def is_second(name: str) -> bool:
    return KINDS[name] == "focus"


def shares(ranked: Iterable[dict[str, float]]) -> dict[str, float]:
    """How much each account used, of exports in their order: it comes from the first that has the account."""
    found: dict[str, float] = {}
    for amounts in ranked:
        found = amounts | found
    return found


def hours() -> Iterator[datetime]:
    """One hour after the other in November 2026."""
    return (datetime(2026, 11, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in itertools.count(1))


@pytest.mark.parametrize("seed", range(6))
def test_usage_counts_once_whatever_exports_are_added_removed_and_restated(
    seed: int, provider: Provider, warehouses: Warehouses
) -> None:
    chance = random.Random(seed)
    clock = hours()
    delivered: dict[str, dict[str, float]] = {}
    read: dict[str, dict[str, float]] = {}
    installed = False
    for step in range(10):
        configured = chance.sample(list(KINDS), chance.randint(1, len(KINDS)))
        for name, kind in KINDS.items():
            if name not in delivered or chance.random() < 0.4:
                having = [account for account in HOLDS[name] if chance.random() < 0.8]
                delivered[name] = {account: float(chance.randint(1, 1000)) for account in having}
                provider.deliver(
                    name,
                    lines(kind, delivered[name]),
                    next(clock),
                    delivery_id=f"{chance.getrandbits(64):x}-{name}-{step}",
                )
        provider.exports.clear()
        for name in configured:
            provider.export(name, KINDS[name])
        warehouses.load(provider.read(COSTS, next(clock)).messages)
        if not installed:
            warehouses.install()
            installed = True
        expected = shares([delivered[name] for name in sorted(configured, key=is_second)])
        read |= {name: delivered[name] for name in configured}
        somewhere = {account for amounts in read.values() for account in amounts}
        found = dict(warehouses.ask(AMOUNTS))
        for account in HOLDS["all"]:
            # What only an export has that does not count may have been taken from it before.
            if account in expected or account not in somewhere:
                assert found.get(account) == expected.get(account), (step, configured)
        again = provider.read(COSTS, next(clock))
        assert [message for message in again.messages if message["type"] == "RECORD"] == []


def test_usage_that_names_no_payer_counts_once_when_its_export_is_renamed(
    provider: Provider, warehouses: Warehouses
) -> None:
    for number, name in ((2, "billing"), (4, "costs")):
        provider.exports.clear()
        provider.export(name, "cur2")
        provider.deliver(name, usage(("AmazonEC2", "Box", number, 10), payer=None), day(number))
        warehouses.load(provider.read(COSTS, day(number + 1)).messages)
    warehouses.install()
    assert warehouses.ask(AMOUNTS) == [(ACCOUNT, 4.0)]


def test_an_account_that_leaves_the_carbon_export_that_counts_first_is_taken_from_the_other(
    provider: Provider, warehouses: Warehouses
) -> None:
    for name in ("first", "second"):
        provider.export(name, "carbon")
        both = carbon((ACCOUNT, "AmazonEC2", 1.0), (OTHER_ACCOUNT, "AmazonEC2", 2.0))
        provider.deliver(name, both, day(2), version="v3.0.1")
    warehouses.load(provider.read(CARBON, day(3)).messages)
    warehouses.install()
    assert warehouses.ask(EMISSIONS) == [(ACCOUNT, "AmazonEC2", 1000.0), (OTHER_ACCOUNT, "AmazonEC2", 2000.0)]
    provider.deliver("first", carbon((ACCOUNT, "AmazonEC2", 4.0)), day(4), version="v3.0.1")
    warehouses.load(provider.read(CARBON, day(5)).messages)
    assert warehouses.ask(EMISSIONS) == [(ACCOUNT, "AmazonEC2", 4000.0), (OTHER_ACCOUNT, "AmazonEC2", 2000.0)]
    provider.deliver("first", carbon((ACCOUNT, "AmazonEC2", 4.0)).slice(0, 0), day(6), version="v3.0.1")
    warehouses.load(provider.read(CARBON, day(7)).messages)
    assert warehouses.ask(EMISSIONS) == [(ACCOUNT, "AmazonEC2", 1000.0), (OTHER_ACCOUNT, "AmazonEC2", 2000.0)]


def test_an_export_that_is_put_back_is_read_again_though_the_other_one_lost_the_account(
    provider: Provider, warehouses: Warehouses
) -> None:
    def read(at: int, *names: str) -> None:
        provider.exports.clear()
        for name in names:
            provider.export(name, "carbon")
        warehouses.load(provider.read(CARBON, day(at)).messages)

    mine, other = (ACCOUNT, "AmazonEC2", 1.0), (OTHER_ACCOUNT, "AmazonEC2", 2.0)
    provider.export("member", "carbon")
    provider.deliver("member", carbon(mine), day(2), version="v3.0.1")
    read(3, "member")
    warehouses.install()
    provider.export("organisation", "carbon")
    provider.deliver("organisation", carbon(mine, other), day(4), version="v3.0.1")
    read(5, "organisation")
    provider.deliver("organisation", carbon(other), day(6), version="v3.0.1")
    read(7, "organisation")
    assert warehouses.ask(EMISSIONS) == [(OTHER_ACCOUNT, "AmazonEC2", 2000.0)]
    read(8, "member", "organisation")
    both = [(ACCOUNT, "AmazonEC2", 1000.0), (OTHER_ACCOUNT, "AmazonEC2", 2000.0)]
    assert warehouses.ask(EMISSIONS) == both
    quiet = provider.read(CARBON, day(9)).messages
    assert [message for message in quiet if message["type"] == "RECORD"] == []


def test_carbon_exports_that_were_read_before_accounts_were_remembered_count_once(
    provider: Provider, warehouses: Warehouses
) -> None:
    """Version 0.1.0 read the one with the newest model version only."""
    provider.export("newer", "carbon")
    provider.deliver("newer", carbon((ACCOUNT, "AmazonEC2", 4.0)), day(2), version="v3.0.1")
    warehouses.load(provider.read(CARBON, day(3)).messages)
    warehouses.install()
    (entry,) = (
        entry
        for entry in provider.state["bookmarks"]["activities"]["partitions"]
        if "export" in entry["context"]
    )
    for note in ("accounts", "taken_by_others", "read_at"):
        del entry[note]
    provider.export("older", "carbon")
    provider.exports.reverse()
    both = carbon((ACCOUNT, "AmazonEC2", 1.0), (OTHER_ACCOUNT, "AmazonEC2", 2.0), version="v3.0.0")
    provider.deliver("older", both, day(2), version="v3.0.0")
    warehouses.load(provider.read(CARBON, day(4)).messages)
    assert warehouses.ask(EMISSIONS) == [(ACCOUNT, "AmazonEC2", 4000.0), (OTHER_ACCOUNT, "AmazonEC2", 2000.0)]


def test_an_export_of_which_nothing_is_taken_has_no_large_state_written_for_it(provider: Provider) -> None:
    """Those are written every ten seconds at most, or where rows go out that others may have had."""
    read = [{"context": {"billing_period": f"{year}-01"}, "pad": "x" * 1000} for year in range(1900, 2000)]
    large = {"bookmarks": {"deliveries": {"partitions": read}}}
    counts = []
    for name in ("first", "second"):
        provider.export(name, "cur2")
        provider.deliver(name, usage(("AmazonEC2", "Box", 1, 10)), day(2))
        messages = provider.read_as_another(["activities"], day(3), large).messages
        counts.append(sum(message["type"] == "STATE" for message in messages))
    assert counts[0] == counts[1]
