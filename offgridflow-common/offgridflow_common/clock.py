"""Time as a seam: whatever waits or dates takes a `Clock`, so that tests never wait.

`SystemClock` is the real one; the fake one is in `offgridflow_common.testing.clock`.
"""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import Final, Protocol


class Clock(Protocol):
    """What reads time and waits."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment; only differences mean anything."""

    def now(self) -> datetime:
        """The date and time, aware, in UTC."""

    def sleep(self, seconds: float, cancel: threading.Event | None = None) -> bool:
        """Wait, but end at once when `cancel` is set.

        Args:
            seconds: How long to wait; zero or less only looks at `cancel`.
            cancel: Ends the wait when set, also when it was set before.

        Returns:
            True if the whole time has passed, False if the wait was cancelled.
        """


class SystemClock:
    """The clock of the machine."""

    def monotonic(self) -> float:
        """Seconds of the operating system's monotonic clock."""
        return time.monotonic()

    def now(self) -> datetime:
        """The date and time, aware, in UTC."""
        return datetime.now(UTC)

    def sleep(self, seconds: float, cancel: threading.Event | None = None) -> bool:
        """Wait, but end at once when `cancel` is set; False if it was."""
        # Beyond this the operating system refuses to wait at all.
        seconds = min(max(seconds, 0.0), threading.TIMEOUT_MAX)
        if cancel is None:
            time.sleep(seconds)
            return True
        return not cancel.wait(seconds)


SYSTEM_CLOCK: Final[Clock] = SystemClock()
"""The default of everything that takes a clock."""
