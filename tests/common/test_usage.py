"""Sums of usage, taken block by block."""

from __future__ import annotations

import weakref
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl

from offgridflow_common import usage

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

ACCOUNTS = 25
SCHEMA = {
    "period_start": pl.Datetime("us", "UTC"),
    "payer_id": pl.String(),
    "account_id": pl.String(),
    "region": pl.String(),
    "service_code": pl.String(),
    "service_name": pl.String(),
    "service_category": pl.String(),
    "usage_type": pl.String(),
    "unit": pl.String(),
    "currency": pl.String(),
    "quantity": pl.Decimal(38, 12),
    "cost": pl.Decimal(38, 12),
    "line_items": pl.Int64(),
    "first_usage": pl.Date(),
    "last_usage": pl.Date(),
}


def block(number: int) -> pl.DataFrame:
    """The usage of ten accounts; what else it could be grouped by is not known."""
    sums = {"quantity": Decimal("0.1"), "cost": Decimal(number), "line_items": 1}
    rows = [{"account_id": str((number + place) % ACCOUNTS), **sums} for place in range(10)]
    return pl.DataFrame(rows, schema=SCHEMA)


def test_blocks_are_summed_as_they_come_and_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "_UNSUMMED_ROWS", 30)
    given: list[weakref.ref[pl.DataFrame]] = []
    held = 0

    def blocks() -> Iterator[pl.DataFrame]:
        nonlocal held
        for number in range(100):
            held = max(held, sum(reference() is not None for reference in given))
            one = block(number)
            given.append(weakref.ref(one))
            yield one

    merged = usage.merge_groups(blocks())
    assert merged is not None
    whole = pl.concat(map(block, range(100)))
    expected = whole.group_by("account_id").agg(pl.col("quantity", "cost", "line_items").sum())
    assert merged.select(expected.columns).sort("account_id").equals(expected.sort("account_id"))
    assert held < 10


def test_no_block_gives_nothing() -> None:
    assert usage.merge_groups([]) is None
