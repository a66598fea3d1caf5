"""Periods of a source that says nothing about what changed: which to read, and what to remember."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from offgridflow_common.months import Period, add_months, floor, iso_text, periods

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


@dataclass(frozen=True, slots=True)
class History:
    """What a source has, and how much of it is wanted.

    Attributes:
        start: First period wanted.
        end: Periods that begin at or after this are not wanted.
        months: Length of a period, :data:`MONTH` or :data:`YEAR`.
        lookback_months: How far back published periods are read again. The newest one always is, since
            only an answer shows that the model behind all of them changed.
        unsettled_from: Periods from this one on still change and are read again, too.
    """

    start: datetime
    end: datetime
    months: int
    lookback_months: int
    unsettled_from: datetime | None = None


class VersionedPeriods:
    """Plans the reading of a source whose whole history changes when its model does, if it has one.

    New periods and those of the lookback are read first. If they show another model version than the one
    that the bookmark names, all older periods follow, and only then the bookmark names the new version. If
    the run is interrupted, or some older periods still have the old version, the next run reads them again.

    Args:
        history: What there is to read.
        bookmark: What is remembered; empty at first. A model version of None means that the history that
            was read is of several versions.
        remember: Writes values to the bookmark.
        replication_key: The column that the newest period is remembered by.
    """

    def __init__(
        self,
        history: History,
        bookmark: Mapping[str, Any],
        remember: Callable[[dict[str, Any]], None],
        replication_key: str = "period_start",
    ) -> None:
        self._history = history
        self._remember = remember
        self._replication_key = replication_key
        self._newest = _parse(bookmark.get("replication_key_value"))
        self._begun_at = _parse(bookmark.get("history_start"))
        self._version: str | None = bookmark.get("model_version")
        self._mixed = "model_version" in bookmark and self._version is None
        self._resume = self._resume_at()
        #: Whether the settings leave a gap between the periods that were read and those of this run.
        self._leaves_gap = self._newest is not None and self._resume > self._after(self._newest)
        self._seen: dict[datetime, str] = {}
        self._is_of_one_model = True

    def pending(self) -> Iterator[Period]:
        """The periods to read; each is to be acknowledged before the next is asked for."""
        history = self._history
        first = list(periods(self._resume, history.end, history.months))
        yield from first
        # Read before the model changed, in the middle of this run.
        outdated = [period for period in first if self._is_outdated(period)]
        yield from outdated
        self._is_of_one_model = not outdated
        older_end = min(self._resume, history.end)
        if older_end > history.start and (self._reaches_further_back() or self._mixed):
            yield from periods(history.start, older_end, history.months)
        # A window that ends before what was read earlier may leave a gap before that.
        if self._newest and self._newest < history.end and self._resume <= history.end:
            self._conclude()

    def acknowledge(self, period: Period, rows: int, versions: set[str]) -> None:
        """Remember that a period is out. A period without rows is not published yet and does not count.

        Args:
            period: The period.
            rows: How many rows it had.
            versions: The model versions that its rows named; none of a source without a model.
        """
        if versions:
            self._note_version(period, max(versions, key=version_key))
        if not rows or (self._newest and period.start < self._newest):
            return
        values = {
            "replication_key": self._replication_key,
            "replication_key_value": iso_text(period.start),
        }
        if self._newest is None or self._leaves_gap:
            values["history_start"] = iso_text(self._history.start)
        self._newest = period.start
        self._remember(values)

    def _note_version(self, period: Period, version: str) -> None:
        self._seen[period.start] = version
        if self._version is None and not self._mixed:
            self._version = version
            self._remember({"model_version": version})
        elif version != self._version and not self._mixed:
            self._mixed = True
            self._remember({"model_version": None})

    def _conclude(self) -> None:
        """Remember that all wanted history is out, and of which version."""
        values: dict[str, Any] = {}
        # With a new version, only what this run has read counts, which may be less than before.
        if self._begun_at is None or self._leaves_gap or self._mixed or self._reaches_further_back():
            values["history_start"] = iso_text(self._history.start)
        if self._seen:
            # A provider that is halfway through a new version still has some months of the old one. Where it
            # changed during the run, what the new one lacks went out in the same batch as what it has.
            is_mixed = len(set(self._seen.values())) > 1 or not self._is_of_one_model
            values["model_version"] = None if is_mixed else self._newest_version()
        self._remember(values)

    def _resume_at(self) -> datetime:
        history = self._history
        if self._newest is None:
            return floor(history.start, history.months)
        again = max(1, -(-history.lookback_months // history.months)) * history.months
        start = floor(history.start, history.months)
        resume = add_months(self._after(self._newest), -again)
        return max(start, min(resume, history.unsettled_from or resume))

    def _after(self, moment: datetime) -> datetime:
        return add_months(floor(moment, self._history.months), self._history.months)

    def _reaches_further_back(self) -> bool:
        return self._begun_at is not None and self._history.start < self._begun_at

    def _newest_version(self) -> str:
        return max(self._seen.values(), key=version_key)

    def _is_outdated(self, period: Period) -> bool:
        return period.start in self._seen and self._seen[period.start] != self._newest_version()


def version_key(version: str) -> tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]:
    """Sorts model versions as versions: ``v3.0.1`` < ``v3.0.10``, and ``v3.0.0-rc.1`` < ``v3.0.0``."""
    core, dash, suffix = version.lstrip("vV").partition("-")
    numbers = tuple(int(part) if part.isdigit() else 0 for part in core.split("."))
    parts = tuple(
        (not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in suffix.split(".")
    )
    return numbers, not dash, parts


def _parse(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
