"""Months and years, in UTC, and the text of moments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Months of a period.
MONTH = 1
YEAR = 12


@dataclass(frozen=True, slots=True)
class Period:
    """A month or a year: first instant (inclusive) and last (exclusive), aware, in UTC."""

    start: datetime
    end: datetime

    @property
    def label(self) -> str:
        """Names the period in messages: ``2026-09``, or ``2026`` for a year."""
        return self.start.strftime("%Y-%m" if self.end == add_months(self.start, MONTH) else "%Y")


def periods(first: datetime, end: datetime, months: int) -> Iterator[Period]:
    """The periods of so many months that begin before ``end``, from the one that ``first`` lies in.

    Args:
        first: A moment of the first period.
        end: Exclusive.
        months: :data:`MONTH` or :data:`YEAR`.
    """
    start = floor(first, months)
    while start < end:
        following = add_months(start, months)
        yield Period(start, following)
        start = following


def floor(moment: datetime, months: int) -> datetime:
    """The first instant of the month or the year that a moment lies in."""
    month = 1 if months == YEAR else moment.month
    return datetime(moment.year, month, 1, tzinfo=UTC)


def ceiling(moment: datetime, months: int) -> datetime:
    """The first instant of a month or year at or after a moment."""
    start = floor(moment, months)
    return start if start == moment else add_months(start, months)


def add_months(start: datetime, months: int) -> datetime:
    """The same day so many months later, or earlier; ``start`` is the first of a month."""
    count = start.year * 12 + start.month - 1 + months
    return start.replace(year=count // 12, month=count % 12 + 1)


def month_of(moment: date | datetime) -> str:
    """The month of a moment as ``YYYY-MM``."""
    return moment.strftime("%Y-%m")


def month_start(month: str) -> datetime:
    """The first instant of a month written ``YYYY-MM``."""
    return datetime.combine(date.fromisoformat(f"{month}-01"), time(), tzinfo=UTC)


def utc_moment(text: str) -> datetime:
    """A moment in ISO 8601, in UTC; without an offset, it is in UTC already.

    Raises:
        ValueError, OverflowError: It is no such text, or a moment before the first year.
    """
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def iso_text(moment: datetime) -> str:
    """A moment in ISO 8601 with microseconds, as state has it."""
    return moment.isoformat(timespec="microseconds")
