"""The one retry policy: what is tried again, how often, and after how long."""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential

from offgridflow_common.clock import SYSTEM_CLOCK
from offgridflow_common.errors import DeadlineExceeded, SourceChanged, Throttled, TransientError, cancelled

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from datetime import datetime

    from offgridflow_common.clock import Clock

T = TypeVar("T")

_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]*)?|\.[0-9]+")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter, for transient errors only.

    The wait after the k-th failure is random between zero and `initial * 2**(k - 1)`, at most `maximum`.
    An error that says how long to wait (`retry_after`) is obeyed, above `maximum` too. A policy keeps
    nothing between calls, so one can be shared by all threads.

    Attributes:
        max_attempts: How many calls at most, the first one included.
        initial: Seconds that the first wait is at most.
        maximum: Seconds that any wait of its own choice is at most.
        throttled_initial: In place of `initial`, and without jitter, after an answer that asks for a pause
            and does not say how long, or says none at all.
        throttled_maximum: In place of `maximum` then.
        total_deadline: Seconds from the first call after which no further one starts; None for no limit.
        clock: Tells the time and waits.
        random: Gives the jitter, from 0 to 1.

    Raises:
        ValueError: If a number is out of its range.
    """

    max_attempts: int = 5
    initial: float = 1.0
    maximum: float = 30.0
    throttled_initial: float | None = None
    throttled_maximum: float = 300.0
    total_deadline: float | None = 300.0
    clock: Clock = SYSTEM_CLOCK
    random: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(
                f"max_attempts counts the first call, so it must be 1 or more, not {self.max_attempts}"
            )
        if not 0 <= self.initial <= self.maximum < math.inf:
            raise ValueError(f"0 <= initial <= maximum must hold, not {self.initial} and {self.maximum}")
        if self.total_deadline is not None and not self.total_deadline > 0:
            raise ValueError(f"total_deadline must be positive or None, not {self.total_deadline}")

    def call(
        self,
        fn: Callable[[], T],
        *,
        cancel: threading.Event | None = None,
        on_retry: Callable[[TransientError, int, float], None] | None = None,
    ) -> T:
        """Call `fn` until it succeeds, fails for good, or attempts or time run out.

        Args:
            fn: What to do; called in this thread.
            cancel: Ends a wait at once when set; no call is made once it is set.
            on_retry: Called before each wait: the error, the number of failed calls, the seconds to wait.

        Returns:
            What `fn` returned.

        Raises:
            Cancelled: If `cancel` was set; its cause is the last error, if there was one.
            Exception: Whatever `fn` raised last, unchanged. A wait that would not end by the
                deadline is not begun.
        """
        if cancel is not None and cancel.is_set():
            raise cancelled()
        call = _Call(self, cancel, on_retry)
        return Retrying(
            retry=retry_if_exception(call.retryable),
            wait=call.wait,
            stop=call.used_up,
            before_sleep=call.announce,
            sleep=call.sleep,
            reraise=True,
        )(fn)


@dataclass(slots=True)
class _Call:
    """What tenacity asks while one call lasts."""

    policy: RetryPolicy
    cancel: threading.Event | None
    on_retry: Callable[[TransientError, int, float], None] | None
    started: float = field(init=False)
    error: TransientError = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.policy.clock.monotonic()

    def retryable(self, error: BaseException) -> bool:
        """Only transient errors; a deadline that has passed, or an object as it was, will not come back."""
        if not isinstance(error, TransientError) or isinstance(error, DeadlineExceeded | SourceChanged):
            return False
        self.error = error
        return True

    def wait(self, state: RetryCallState) -> float:
        policy = self.policy
        no_wait_given = isinstance(self.error, Throttled) and not self.error.retry_after
        if no_wait_given and policy.throttled_initial is not None:
            return wait_exponential(multiplier=policy.throttled_initial, max=policy.throttled_maximum)(state)
        backoff = wait_exponential(multiplier=policy.initial, max=policy.maximum)(state)
        return max(backoff * policy.random(), self.error.retry_after or 0.0)

    def used_up(self, state: RetryCallState) -> bool:
        deadline = self.policy.total_deadline
        elapsed = self.policy.clock.monotonic() - self.started
        no_time = deadline is not None and elapsed + state.upcoming_sleep > deadline
        return no_time or state.attempt_number >= self.policy.max_attempts

    def announce(self, state: RetryCallState) -> None:
        if self.on_retry is not None:
            self.on_retry(self.error, state.attempt_number, state.upcoming_sleep)

    def sleep(self, seconds: float) -> None:
        if not self.policy.clock.sleep(seconds, self.cancel):
            raise cancelled() from self.error


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Read a Retry-After header.

    Args:
        value: Seconds, whole or with a fraction, or an HTTP date (RFC 9110, 10.2.3 and 5.6.7); None without.
        now: What a date is compared with, aware.

    Returns:
        Seconds to wait, zero for a date that has passed, None for what is neither.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
        return seconds if math.isfinite(seconds) else None
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    # A date that names no zone is in UTC, as every HTTP date is.
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max(0.0, (date - now).total_seconds())
