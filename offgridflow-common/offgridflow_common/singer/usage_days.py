"""Days of usage: an export that counts first takes a month from others, even if it has a part of it only."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

_DAYS = "usage_days"

#: Deliveries of several exports come at different times, and the first days of a month may be without usage.
_LAG = timedelta(days=3)


def to_remember(groups: pl.DataFrame) -> dict[str, Any]:
    """What is to be remembered of a delivery's usage groups: their first and last day."""
    first, last = groups["first_usage"].min(), groups["last_usage"].max()
    return {_DAYS: [str(first), str(last)]} if first and last else {}


class Days(NamedTuple):
    """The first and the last day of the same usage: in a delivery, and in an export that counts before it."""

    here: list[str]
    there: list[str]


def fewer_days(groups: pl.DataFrame, entry: Mapping[str, Any]) -> Days | None:
    """The days, if an export has fewer of them.

    Args:
        groups: The usage groups of a delivery that are taken from the export.
        entry: What is remembered of the export.
    """
    here: list[str] = to_remember(groups).get(_DAYS, [])
    there: list[str] = entry.get(_DAYS, [])
    if not here or not there:
        return None
    first, last, their_first, their_last = map(date.fromisoformat, (*here, *there))
    return Days(here, there) if first + _LAG < their_first or their_last + _LAG < last else None
