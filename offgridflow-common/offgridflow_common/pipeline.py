"""The one way a request takes: limit, span, send, translate, retry."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, TypeVar

from offgridflow_common.errors import OffGridFlowError, Throttled, TransientError, cancelled
from offgridflow_common.rate_limit import TokenBucket

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator

    from offgridflow_common.clock import Clock
    from offgridflow_common.observability import Telemetry
    from offgridflow_common.retry import RetryPolicy

T = TypeVar("T")

logger = logging.getLogger(__name__)

#: Requests that object storage gets a second, and in one burst.
_STORAGE_RATE, _STORAGE_BURST = 200, 1000


class RequestPipeline:
    """Sends requests of any client under one rate limit and one retry policy.

    One pipeline is shared by all threads that talk to one provider, so that a pause the provider asks
    for is a pause for all of them.

    Args:
        limiter: Gives the tokens that every attempt costs.
        retry: Says what is tried again; its clock is the pipeline's.
        telemetry: Gives the span around every attempt.
        cancel: Ends all waiting when set.
    """

    def __init__(
        self,
        *,
        limiter: TokenBucket,
        retry: RetryPolicy,
        telemetry: Telemetry,
        cancel: threading.Event | None = None,
    ) -> None:
        self._limiter = limiter
        self._retry = retry
        self._telemetry = telemetry
        self._cancel = cancel

    @property
    def clock(self) -> Clock:
        """The clock that all waiting goes by."""
        return self._retry.clock

    def apart(self, limiter: TokenBucket) -> RequestPipeline:
        """A pipeline with a limit of its own, whose pauses hold up nobody else."""
        return RequestPipeline(
            limiter=limiter, retry=self._retry, telemetry=self._telemetry, cancel=self._cancel
        )

    def apart_for_storage(self) -> RequestPipeline:
        """A pipeline for requests to object storage, which serves thousands a second.

        Limits of reporting APIs would make an export of many small files take hours.
        """
        return self.apart(TokenBucket(_STORAGE_RATE, _STORAGE_BURST, self.clock))

    def pause(self, seconds: float) -> None:
        """Send nothing for so long; it holds for requests that already wait, too."""
        self._limiter.pause_until(self.clock.monotonic() + seconds)

    def wait(self, seconds: float) -> None:
        """Wait before asking again for what takes its time.

        Raises:
            Cancelled: The run was asked to stop, before or meanwhile.
        """
        if not self.clock.sleep(seconds, self._cancel):
            raise cancelled()

    def unless_cancelled(self, parts: Iterable[T]) -> Iterator[T]:
        """The parts of what takes long to arrive, such as a large file.

        Raises:
            Cancelled: The run was asked to stop, before or meanwhile.
        """
        for part in parts:
            if self._cancel is not None and self._cancel.is_set():
                raise cancelled()
            yield part

    def call(
        self,
        operation: str,
        send: Callable[[], T],
        translate: Callable[[Exception], OffGridFlowError],
        *,
        cost: float = 1,
    ) -> T:
        """Send one request, again where that can help.

        Args:
            operation: What is asked, for spans and logs.
            send: Makes one attempt, without retries of its own.
            translate: Turns what `send` raised into an error of ours; one of ours passes as it is.
            cost: Tokens of the limiter that one attempt costs.

        Returns:
            What `send` returned.

        Raises:
            OffGridFlowError: The last attempt's error. `DeadlineExceeded` if the limiter would keep the
                request waiting beyond the policy's deadline, `Cancelled` if the run was cancelled.
        """
        attempts = itertools.count(1)
        started = self.clock.monotonic()

        def attempt() -> T:
            waited = self._limiter.acquire(cost, timeout=self._time_left(started), cancel=self._cancel)
            with self._telemetry.span(
                "request", operation=operation, attempt=next(attempts), waited_seconds=waited
            ):
                try:
                    return _translated(send, translate)
                except Throttled as error:
                    if error.retry_after is not None:
                        self.pause(error.retry_after)
                    raise

        def log_retry(error: TransientError, attempt: int, delay: float) -> None:
            logger.warning(
                "Attempt %d failed, the next in %.1f s: %s",
                attempt,
                delay,
                error,
                extra={"operation": operation, "error_class": error.error_class.value},
            )

        return self._retry.call(attempt, cancel=self._cancel, on_retry=log_retry)

    def _time_left(self, started: float) -> float | None:
        deadline = self._retry.total_deadline
        return None if deadline is None else max(0.0, started + deadline - self.clock.monotonic())


def _translated(send: Callable[[], T], translate: Callable[[Exception], OffGridFlowError]) -> T:
    try:
        return send()
    except OffGridFlowError:
        raise
    except Exception as error:
        raise translate(error) from error
