"""Shares: what one kind of fact has taken is no matter of another kind."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from offgridflow_common.exports.delivery import Delivery, Export, Manifest
from offgridflow_common.exports.storage import FolderStore, ObjectInfo
from offgridflow_common.singer.bookmarks import Bookmarks
from offgridflow_common.singer.shares import Shares

ACCOUNT = "111122223333"


def moment(day: int) -> datetime:
    return datetime(2026, 11, day, tzinfo=UTC)


def remember(shares: Shares, name: str, day: int, share: list[str]) -> Manifest:
    """Read a delivery of an export on a day, of which a share is taken."""
    export = Export(name=name, type="any", store=FolderStore(Path("nowhere")), prefix=name)
    info = ObjectInfo(key="manifest", size=1, etag=f"{name}-{day}", modified=moment(day))
    manifest = Manifest(export, "2026-09", info)
    notes = shares.to_remember(manifest, share, share, set(), moment(day))
    shares.bookmarks.mark_read(Delivery(manifest, f"{name}-{day}", None, ()), 1, notes)
    return manifest


def test_an_account_that_a_carbon_export_loses_is_no_payer_whose_usage_was_taken() -> None:
    """The id of the account that pays is also that of an account with emissions."""
    state: dict[str, Any] = {}
    payers, accounts = Shares(Bookmarks(state), "payers"), Shares(Bookmarks(state), "accounts")
    costs = remember(payers, "costs", 1, [ACCOUNT])
    remember(accounts, "carbon", 2, [ACCOUNT, "444455556666"])
    remember(accounts, "carbon", 3, ["444455556666"])
    assert not payers.has_changed(costs, [])


def test_a_payer_that_another_export_took_since_is_taken_back() -> None:
    payers = Shares(Bookmarks({}), "payers")
    costs = remember(payers, "costs", 1, [ACCOUNT])
    remember(payers, "others", 2, [ACCOUNT])
    remember(payers, "others", 3, [])
    assert payers.has_changed(costs, [])


def test_an_account_that_another_export_took_since_is_taken_back_from_a_payers_share() -> None:
    payers = Shares(Bookmarks({}), "payers")
    costs = remember(payers, "costs", 1, [ACCOUNT])
    remember(payers, "strangers", 2, ["999900001111/444455556666"])
    assert not payers.has_changed(costs, [])
    remember(payers, "others", 2, [f"{ACCOUNT}/444455556666"])
    assert payers.has_changed(costs, [])


def test_an_account_that_an_export_before_takes_now_is_left_to_it() -> None:
    """As the other one had another account of the same payer before."""
    state: dict[str, Any] = {}
    accounts = Shares(Bookmarks(state), "payers", by_account=True)
    one, two = f"{ACCOUNT}/444455556666", f"{ACCOUNT}/777788889999"
    costs = remember(accounts, "costs", 1, [one])
    assert not accounts.has_changed(costs, [{"payers": [two]}])
    assert accounts.has_changed(costs, [{"payers": [one]}])
