"""Days of usage: an export that counts first takes a month from others, even if it has a part of it only."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

_DAYS = "usage_days"

#: Deliveries of several exports come at different times, and the first days of a month may be without usage.
_LAG = timedelta(days=3)


def to_remember(groups: pl.DataFrame) -> dict[str, Any]:
    """What is to be remembered of a delivery's usage groups: their first and last day."""
    first, last = groups["first_usage"].min(), groups["last_usage"].max()
    return {_DAYS: [str(first), str(last)]} if first and last else {}


def with_fewer_days(
    groups: pl.DataFrame, before: Iterable[Mapping[str, Any]]
) -> tuple[str, list[str], list[str]] | None:
    """The export that counts before a delivery, but has usage of fewer days of the month.

    Args:
        groups: The usage groups of the delivery.
        before: What is remembered of the exports that count before its own.

    Returns:
        Its name, its first and last day, and those of the delivery.
    """
    mine: list[str] = to_remember(groups).get(_DAYS, [])
    for entry in before:
        theirs: list[str] = entry.get(_DAYS, [])
        if mine and theirs:
            (first, last), (their_first, their_last) = (
                map(date.fromisoformat, days) for days in (mine, theirs)
            )
            if first + _LAG < their_first or their_last + _LAG < last:
                return entry["context"]["export"], theirs, mine
    return None
