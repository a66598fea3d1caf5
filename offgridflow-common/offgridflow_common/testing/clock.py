"""A clock that only moves when told to, or when someone sleeps."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_START = datetime(2025, 1, 1, tzinfo=UTC)


class FakeClock:
    """A `Clock` whose sleeps pass at once.

    Safe to share between threads; sleeps of several threads overlap as they would in real time when
    they were asked for at the same fake moment.

    Attributes:
        slept: The seconds of every sleep asked for, in order. A sleep that finds its event already set
            is not in it.
    """

    def __init__(self, start: datetime = _START, *, monotonic: float = 0.0) -> None:
        self.slept: list[float] = []
        self._start = start
        self._first = monotonic
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._due: list[tuple[float, int, Callable[[], object]]] = []

    def monotonic(self) -> float:
        """Seconds, from the `monotonic` it was made with."""
        with self._lock:
            return self._monotonic

    def now(self) -> datetime:
        """The `start` it was made with plus what has passed since."""
        return self._start + timedelta(seconds=self.monotonic() - self._first)

    def sleep(self, seconds: float, cancel: threading.Event | None = None) -> bool:
        """Let `seconds` pass at once; False if `cancel` is set before or by an action meanwhile."""
        if cancel is not None and cancel.is_set():
            return False
        with self._lock:
            self.slept.append(seconds)
            until = self._monotonic + max(seconds, 0.0)
        time.sleep(0)  # Other threads get their turn, as they do while one really sleeps.
        return self._move(until, cancel)

    def advance(self, seconds: float) -> None:
        """Move time by `seconds`; negative turns it back, as a broken clock would."""
        with self._lock:
            until = self._monotonic + seconds
            if seconds < 0:
                self._monotonic = until
        self._move(until, None)

    def at(self, monotonic: float, action: Callable[[], object]) -> None:
        """Run `action` in the thread whose sleep or advance reaches this moment, at this moment."""
        with self._lock:
            heapq.heappush(self._due, (monotonic, next(self._order), action))

    def _move(self, until: float, cancel: threading.Event | None) -> bool:
        """Go to `until` by way of every action due before; stop early where `cancel` gets set."""
        while (action := self._next_due(until)) is not None:
            action()
            if cancel is not None and cancel.is_set():
                return False
        return cancel is None or not cancel.is_set()

    def _next_due(self, until: float) -> Callable[[], object] | None:
        """Step to the next action due by `until` and hand it out, else to `until` itself."""
        with self._lock:
            due = self._due[0][0] if self._due else None
            if due is None or due > until:
                self._monotonic = max(self._monotonic, until)
                return None
            self._monotonic = max(self._monotonic, due)
            return heapq.heappop(self._due)[2]
