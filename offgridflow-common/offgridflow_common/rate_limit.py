"""A token bucket: how often requests may leave, whatever the number of threads that send them."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from offgridflow_common.clock import SYSTEM_CLOCK
from offgridflow_common.errors import DeadlineExceeded, cancelled

if TYPE_CHECKING:
    from offgridflow_common.clock import Clock

# A waiter sleeps on its own cancel event and cannot be woken by anything else. So one that stands behind
# others never sleeps longer than this before it looks whether they have left the queue ...
_LOOK_AGAIN: Final = 0.1
# ... and looks this often when its time has come but the one before it has not yet woken up.
_OVERDUE: Final = 0.001


@dataclass(slots=True, eq=False)
class _Place:
    """A place in the queue, found again by identity."""

    tokens: float


class TokenBucket:
    """A thread-safe token bucket that serves its waiters in the order they came.

    It starts full. In any window of `w` seconds it hands out at most `capacity + rate * w` tokens. Nobody
    overtakes, so a large request is not starved by small ones. Time that a clock runs backwards counts as
    no time at all.

    Args:
        rate: Tokens that are added per second.
        capacity: Tokens that it holds at most, which is the largest burst.
        clock: Tells the time and waits.

    Raises:
        ValueError: If rate or capacity is not a positive finite number.
    """

    def __init__(self, rate: float, capacity: float, clock: Clock = SYSTEM_CLOCK) -> None:
        for name, value in (("rate", rate), ("capacity", capacity)):
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be a positive finite number, not {value}")
        self._rate = rate
        self._capacity = capacity
        self._clock = clock
        self._lock = threading.Lock()
        self._queue: deque[_Place] = deque()
        self._latest = -math.inf
        # The whole state of the bucket: the moment at which it was, or will be, empty. What it holds is
        # the time since then, times the rate. Absolute moments do not add up rounding errors as a
        # count of tokens would.
        self._empty_at = -math.inf
        self._paused_until = -math.inf

    def acquire(
        self, n: float = 1, *, timeout: float | None = None, cancel: threading.Event | None = None
    ) -> float:
        """Wait for the turn and take `n` tokens.

        Args:
            n: How many; zero waits for its turn, too, and takes nothing.
            timeout: The longest wait in seconds; None waits as long as it takes.
            cancel: Ends the wait at once when set.

        Returns:
            The seconds waited.

        Raises:
            ValueError: If `n` is negative or more than the bucket can ever hold.
            DeadlineExceeded: As soon as it is known that, as the queue stands, `timeout` will not do.
            Cancelled: If `cancel` is set, even if there are tokens.
        """
        self._check(n)
        place = _Place(n)
        with self._lock:
            start = self._now()
            self._queue.append(place)
        deadline = math.inf if timeout is None else start + timeout
        try:
            while not (cancel is not None and cancel.is_set()):
                with self._lock:
                    now = self._now()
                    if self._queue[0] is place and self._take(n, now):
                        self._queue.popleft()
                        return now - start
                    nap, expected = self._nap(place, now)
                if max(expected, now) > deadline:
                    raise _too_late(n, deadline - start, max(expected, now) - start)
                self._clock.sleep(nap, cancel)
            raise cancelled(f"wait for {n:g} tokens of the rate limit")
        finally:
            self._leave(place)

    def try_acquire(self, n: float = 1) -> bool:
        """Take `n` tokens if they are there and nobody waits for them; never waits.

        Raises:
            ValueError: If `n` is negative or more than the bucket can ever hold.
        """
        self._check(n)
        with self._lock:
            return not self._queue and self._take(n, self._now())

    def pause_until(self, monotonic: float) -> None:
        """Hand out nothing before this moment of the clock's `monotonic()`; never shortens a pause.

        It holds for those who already wait, too. The bucket fills meanwhile.
        """
        with self._lock:
            self._paused_until = max(self._paused_until, monotonic)

    def _check(self, n: float) -> None:
        if not 0 <= n <= self._capacity:
            raise ValueError(f"n must be from 0 to the capacity, {self._capacity:g}, not {n}")

    def _now(self) -> float:
        """The latest moment seen, so that no stretch of time counts twice."""
        self._latest = max(self._latest, self._clock.monotonic())
        return self._latest

    def _take(self, n: float, now: float) -> bool:
        """Take the tokens if they are there."""
        cost = n / self._rate
        if now < max(self._paused_until, self._empty_at + cost):
            return False
        self._empty_at = max(self._empty_at, now - self._capacity / self._rate) + cost
        return True

    def _nap(self, place: _Place, now: float) -> tuple[float, float]:
        """How long to sleep before looking again, and when the tokens are expected."""
        ahead = sum(other.tokens for other in takewhile(lambda other: other is not place, self._queue))
        opens = max(now, self._paused_until)
        empty_at = max(self._empty_at, opens - self._capacity / self._rate)
        expected = max(opens, empty_at + (ahead + place.tokens) / self._rate)
        nap = expected - now
        if self._queue[0] is not place:
            nap = min(max(nap, _OVERDUE), _LOOK_AGAIN)
        return nap, expected

    def _leave(self, place: _Place) -> None:
        """Make way for those behind one who gave up."""
        with self._lock:
            if place in self._queue:
                self._queue.remove(place)


def _too_late(n: float, timeout: float, needed: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        asked=f"wait at most {timeout:g} s for {n:g} tokens of the rate limit",
        got=f"they are expected after {needed:.3g} s",
        do="Allow more time, send less at once, or raise the rate limit if the provider allows it.",
    )
