"""The quota of the Cost Management query: query processing units in three windows of time."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from tests.local_clouds.azure_errors import COSTS, throttled
from tests.local_clouds.azure_messages import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

_WINDOWS = {"QueriesPerHour": (3600, 600), "QueriesPerMin": (60, 60), "QueriesPer10Sec": (10, 12)}


class QpuMeter:
    """Counts what is spent; one unit is about one month of data.

    Args:
        now: Monotonic seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._spent: deque[tuple[float, int]] = deque()

    def spend(self, start: date, end: date) -> Mapping[str, str]:
        """Pay for a range of days.

        Returns:
            The headers of the answer.

        Raises:
            Refused: With a 429 that says how long to wait, if the quota does not suffice.
        """
        now = self._now()
        cost = (end.year - start.year) * 12 + end.month - start.month + 1
        waits = [self._wait(now, cost, *window) for window in _WINDOWS.values()]
        if max(waits) > 0:
            raise Refused(throttled({f"{COSTS}-qpu-retry-after": f"{max(waits):.3f}"}))
        self._spent.append((now, cost))
        left = ",".join(f"{name}:{most - self._used(now, span)}" for name, (span, most) in _WINDOWS.items())
        return {f"{COSTS}-qpu-consumed": str(cost), f"{COSTS}-qpu-remaining": left}

    def _used(self, now: float, span: float) -> int:
        return sum(cost for moment, cost in self._spent if moment > now - span)

    def _wait(self, now: float, cost: int, span: float, most: int) -> float:
        """Seconds until so much is free again in a window."""
        over = self._used(now, span) + cost - most
        for moment, spent in self._spent:
            if over <= 0:
                break
            if moment > now - span:
                over -= spent
                if over <= 0:
                    return moment + span - now
        return 0.0
