"""Progress lines for long work."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from offgridflow_common.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable
    from types import TracebackType

    from offgridflow_common.clock import Clock


class Progress:
    """Tells how far long work is, at most every `interval` seconds; short work stays silent.

    Thread-safe. As a context manager it closes itself.

    Args:
        logger: Where the lines go, at level INFO, with the figures as extra fields too.
        what: What is being worked on, as the line should begin.
        clock: The time.
        interval: Seconds between lines.
        total_files: Files there are, if known; shown, and the base of the time left.
        total_bytes: Bytes there are, if known; the better base of the time left.
    """

    def __init__(  # noqa: PLR0913 - all but two are optional and named
        self,
        logger: logging.Logger,
        what: str,
        *,
        clock: Clock = SYSTEM_CLOCK,
        interval: float = 10.0,
        total_files: int | None = None,
        total_bytes: int | None = None,
    ) -> None:
        self._logger = logger
        self._what = what
        self._clock = clock
        self._interval = interval
        self._total_files = total_files
        self._total_bytes = total_bytes
        self._files = self._bytes = self._rows = 0
        self._start = self._last = clock.monotonic()
        self._spoke = False
        self._lock = threading.Lock()

    def add(self, files: int = 0, bytes: int = 0, rows: int = 0) -> None:  # noqa: A002 - the unit's name
        """Count work done since the last call, and log a line if one is due."""
        with self._lock:
            self._files += files
            self._bytes += bytes
            self._rows += rows
            now = self._clock.monotonic()
            if now - self._last >= self._interval:
                self._last = now
                self._spoke = True
                self._line(now - self._start)

    def close(self) -> None:
        """Log the final figures, once, and only if there was a line before."""
        with self._lock:
            if self._spoke:
                self._spoke = False
                self._line(self._clock.monotonic() - self._start, done=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _line(self, elapsed: float, *, done: bool = False) -> None:
        left = None if done else self._seconds_left(elapsed)
        figures = {
            "files": self._files,
            "bytes": self._bytes,
            "rows": self._rows,
            "rows_per_second": round(self._rows / elapsed, 1) if elapsed else 0.0,
            "seconds": round(elapsed, 1),
            "seconds_left": None if left is None else round(left, 1),
        }
        parts = [
            f"{_of(self._files, self._total_files, '{:,}'.format)} files",
            _of(self._bytes, self._total_bytes, _size),
            f"{self._rows:,} rows",
            f"{figures['rows_per_second']:,.0f} rows/s",
            f"took {_duration(elapsed)}" if done else "",
            f"about {_duration(left)} left" if left is not None else "",
        ]
        self._logger.info("%s: %s", self._what, ", ".join(filter(None, parts)), extra=figures)

    def _seconds_left(self, elapsed: float) -> float | None:
        for done, total in ((self._bytes, self._total_bytes), (self._files, self._total_files)):
            if total is not None and 0 < done <= total:
                return elapsed * (total - done) / done
        return None


def _of(done: int, total: int | None, show: Callable[[int], str]) -> str:
    return show(done) if total is None else f"{show(done)} of {show(total)}"


def _size(count: float) -> str:
    """Bytes as people read them, in decimal units: 999 B, 1.5 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        # 999.95 would be shown as 1000.0.
        if count < 999.95:  # noqa: PLR2004
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
