"""What a stream that reads the Sustainability API may show, and what it must."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.sql.history.deliveries import Delivered
    from tests.sql.history.world import Row, World


@dataclass
class Settings:
    """What the tap is run with."""

    exports: list[str]
    start: str = "2025-09"
    end: str = "2099-01"
    lookback: int = 3
    grain: str = "month"
    select: tuple[str, ...] = ()

    @property
    def config(self) -> dict[str, Any]:
        """The settings as the tap takes them, without exports."""
        return {
            "start_date": f"{self.start}-01",
            "end_date": f"{self.end}-01",
            "lookback_months": self.lookback,
            "activity_grain": self.grain,
            "rate_limit_per_second": 1000,
            "rate_limit_capacity": 10_000,
        }

    def reads(self, made: Delivered) -> bool:
        """Whether a delivery is one that these settings ask for."""
        return made.export in self.exports and self.covers(made.month)

    def covers(self, month: str) -> bool:
        """Whether a month is in the window."""
        return self.start <= month < self.end


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        is_cut: The target got a part of its messages only.
        failing: The exports that something was wrong with; `api` stands for the API.
    """

    is_cut: bool = False
    failing: frozenset[str] = frozenset()

    @property
    def is_good(self) -> bool:
        """Whether nothing went wrong."""
        return not self.is_cut and not self.failing

    def is_whole_of(self, source: str) -> bool:
        """Whether all of a source came."""
        return not self.is_cut and source not in self.failing


class Reader:
    """A stream that reads a report: of each period, the states of the API that it may show.

    What must be shown is clear only of periods that a run has to read; of others, it may be any state since.

    Attributes:
        report: The report.
        months: The length of its periods.
        newest: The newest period that was read, as far as the state may know.
    """

    def __init__(self, report: str, months: int) -> None:
        self.report = report
        self.months = months
        self.newest: str | None = None
        #: By period, the place of the oldest state that may still be shown.
        self._since: dict[str, int] = {}
        #: The settings of runs that were cut since the last whole one: what those read in part, a run with
        #: less lookback or a smaller window does not read again.
        self._cut_with: list[Settings] = []

    def follow(self, world: World, settings: Settings, outcome: Outcome) -> None:
        """Note what a run has read."""
        states = world.states(self.report)
        window = sorted(period for period in states if self._is_covered(period, settings, world))
        if not outcome.is_whole_of("api"):
            self.newest = max([*window, self.newest or ""]) or None
            self._cut_with.append(replace(settings))
            return
        known = sorted(period for period in states if self.newest is None or period <= self.newest)
        again = known[-max(1, -(-settings.lookback // self.months)) :]
        must = [one for one in window if one in again or self.newest is None or one > self.newest]
        self._forgive_what_was_cut(settings, whole=must == window)
        self._since |= {period: len(states[period]) - 1 for period in must}
        for period in window if must else ():  # a new model is seen, and all history is read
            oldest = world.first_of_model(self.report, period)
            if period in self._since or not self._cut_with:
                self._since[period] = max(self._since.get(period, 0), oldest)
        self.newest = max([*must, self.newest or ""]) or None

    def may_show(self, world: World, period: str) -> list[frozenset[Row]]:
        """The states of a period that may be shown; none where that is not clear."""
        if period not in self._since:
            return []
        return world.states(self.report)[period][self._since[period] :]

    def _forgive_what_was_cut(self, settings: Settings, *, whole: bool) -> None:
        if any(
            cut.start < settings.start or cut.end > settings.end or cut.lookback > settings.lookback
            for cut in self._cut_with
        ):
            self._since.clear()
            if not whole:
                return
        self._cut_with = []

    def _is_covered(self, period: str, settings: Settings, world: World) -> bool:
        if self.months == 1:
            return settings.covers(period)
        return settings.start[:4] <= period and f"{period}-01" < min(settings.end, f"{world.month}-99")
