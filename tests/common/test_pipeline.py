"""The way of a request: limit, span, send, translate, retry."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from offgridflow_common.errors import (
    BadRequestError,
    Cancelled,
    ContractBroken,
    DeadlineExceeded,
    OffGridFlowError,
    Throttled,
    TransientError,
)
from offgridflow_common.observability import Telemetry
from offgridflow_common.pipeline import RequestPipeline
from offgridflow_common.rate_limit import TokenBucket
from offgridflow_common.retry import RetryPolicy
from offgridflow_common.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.trace import ReadableSpan


class World:
    """A pipeline on a fake clock, and what can be seen of it from outside."""

    def __init__(
        self,
        *,
        rate: float = 1000,
        capacity: float = 1000,
        max_attempts: int = 3,
        total_deadline: float | None = 300,
    ) -> None:
        self.clock = FakeClock()
        self.cancel = threading.Event()
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.pipeline = RequestPipeline(
            limiter=TokenBucket(rate, capacity, self.clock),
            retry=RetryPolicy(
                max_attempts=max_attempts,
                total_deadline=total_deadline,
                clock=self.clock,
                random=lambda: 1.0,
            ),
            telemetry=Telemetry("tap-test", tracer_provider=provider),
            cancel=self.cancel,
        )

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def call(self, *steps: object, cost: float = 1) -> object:
        """Send; each attempt takes one of the steps, raising it if it is an exception."""
        return self.pipeline.call("GET things", script(*steps), translate, cost=cost)


def script(*steps: object) -> Callable[[], object]:
    rest = list(steps)

    def send() -> object:
        step = rest.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step

    return send


def translate(error: Exception) -> OffGridFlowError:
    cls = BadRequestError if isinstance(error, ValueError) else TransientError
    return cls(asked="GET things", got=str(error), do="Wait.")


def throttled(retry_after: float | None) -> Throttled:
    return Throttled(asked="GET things", got="HTTP 429", do="Wait.", retry_after=retry_after)


def test_returns_what_was_sent_back() -> None:
    world = World()
    assert world.call("answer") == "answer"
    assert world.clock.slept == []


def test_an_error_of_others_is_translated_and_stays_the_cause() -> None:
    world = World()
    original = ValueError("no such column")
    with pytest.raises(BadRequestError, match="no such column") as caught:
        world.call(original, "never reached")
    assert caught.value.__cause__ is original


def test_an_error_of_ours_is_not_translated() -> None:
    original = ContractBroken(asked="a", got="b", do="c")
    with pytest.raises(ContractBroken) as caught:
        World().call(original)
    assert caught.value is original


def test_what_is_not_an_error_passes_untouched() -> None:
    with pytest.raises(KeyboardInterrupt):
        World().call(KeyboardInterrupt())


def test_transient_errors_are_tried_again_and_others_are_not() -> None:
    world = World()
    assert world.call(OSError("reset"), OSError("reset"), "answer") == "answer"
    assert world.clock.slept == [1, 2]
    with pytest.raises(BadRequestError):
        world.call(OSError("reset"), ValueError("wrong"), "never reached")


def test_the_last_error_comes_out_when_attempts_run_out() -> None:
    with pytest.raises(TransientError, match="third"):
        World(max_attempts=3).call(OSError("first"), OSError("second"), OSError("third"))


def test_every_attempt_costs_its_tokens() -> None:
    world = World(rate=1, capacity=10)
    assert world.call(throttled(0), "answer", cost=8) == "answer"
    # Ten tokens, eight taken, one more after the first backoff: five are missing.
    assert world.clock.slept == [1, 5]


def test_every_attempt_has_a_span_of_its_own() -> None:
    world = World(rate=1, capacity=1)
    world.call(OSError("reset"), "answer")
    first, second = world.spans
    assert first.name == second.name == "request"
    assert dict(first.attributes) == {
        "connector": "tap-test",
        "operation": "GET things",
        "attempt": 1,
        "waited_seconds": 0,
        "error_class": "transient",
    }
    assert second.attributes["attempt"] == 2
    assert "error_class" not in second.attributes


def test_a_wait_for_the_limiter_is_on_the_span() -> None:
    world = World(rate=1, capacity=1)
    world.call("first")
    world.call("second")
    assert [span.attributes["waited_seconds"] for span in world.spans] == [0, 1]


def test_a_pause_the_provider_asks_for_holds_for_everyone() -> None:
    world = World(max_attempts=1)
    with pytest.raises(Throttled):
        world.call(throttled(20))
    assert world.clock.monotonic() == 0
    assert world.call("someone else's answer") == "someone else's answer"
    assert world.clock.monotonic() == 20


def test_a_translated_throttle_pauses_too() -> None:
    world = World(max_attempts=1)
    with pytest.raises(Throttled):
        world.pipeline.call("GET things", script(OSError("429")), lambda _: throttled(7))
    world.call("answer")
    assert world.clock.monotonic() == 7


def test_the_throttled_one_waits_as_long_as_it_was_told_and_no_longer() -> None:
    world = World()
    assert world.call(throttled(20), "answer") == "answer"
    assert world.clock.monotonic() == 20


def test_a_throttle_without_a_time_backs_off_and_pauses_nobody() -> None:
    world = World(max_attempts=1)
    with pytest.raises(Throttled):
        world.call(throttled(None))
    world.call("answer")
    assert world.clock.monotonic() == 0


def test_a_pause_beyond_the_deadline_fails_at_once() -> None:
    world = World(total_deadline=60)
    with pytest.raises(Throttled):
        world.call(throttled(3600), "never reached")
    with pytest.raises(DeadlineExceeded):
        world.call("never reached")
    assert world.clock.slept == []


def test_the_deadline_counts_from_the_first_attempt_on() -> None:
    world = World(rate=0.1, capacity=1, total_deadline=12)
    # The token for the second attempt is there after 10 s, the one for the third after 20 s.
    with pytest.raises(DeadlineExceeded, match="at most"):
        world.call(OSError("reset"), OSError("reset"), "never reached")
    assert world.clock.monotonic() == pytest.approx(12)


def test_without_a_deadline_it_waits_as_long_as_it_takes() -> None:
    world = World(rate=0.001, capacity=1, total_deadline=None)
    assert world.call(OSError("reset"), "answer") == "answer"
    assert world.clock.monotonic() == pytest.approx(1000)


def test_nothing_is_sent_once_the_run_is_cancelled() -> None:
    world = World()
    world.cancel.set()
    with pytest.raises(Cancelled):
        world.call()


def test_a_cancelled_run_does_not_wait_for_the_next_attempt() -> None:
    world = World()
    world.clock.at(0.5, world.cancel.set)
    with pytest.raises(Cancelled):
        world.call(OSError("reset"), "never reached")
    assert world.clock.monotonic() == 0.5


def test_a_cancelled_run_does_not_wait_for_the_limiter() -> None:
    world = World(rate=0.1, capacity=1)
    world.call("answer")
    world.clock.at(0.5, world.cancel.set)
    with pytest.raises(Cancelled):
        world.call("never reached")
    assert world.clock.monotonic() == 0.5


def test_a_wait_lasts_as_long_as_it_is_told_unless_the_run_is_cancelled() -> None:
    world = World()
    world.pipeline.wait(30)
    assert world.clock.monotonic() == 30
    world.clock.at(31, world.cancel.set)
    with pytest.raises(Cancelled):
        world.pipeline.wait(30)
    assert world.clock.monotonic() == 31


def test_what_arrives_in_parts_ends_with_the_part_that_a_cancelled_run_was_at() -> None:
    world = World()
    assert list(world.pipeline.unless_cancelled(["a", "b"])) == ["a", "b"]
    parts = world.pipeline.unless_cancelled(["a", "b"])
    assert next(parts) == "a"
    world.cancel.set()
    with pytest.raises(Cancelled):
        next(parts)


def test_a_request_that_costs_more_than_the_bucket_holds_is_a_bug() -> None:
    with pytest.raises(ValueError, match="capacity"):
        World(capacity=5).call("never reached", cost=6)


def test_each_retry_is_logged_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        World().call(OSError("at https://h/?sig=hunter2"), "answer")
    [record] = caplog.records
    assert record.getMessage().startswith(
        "Attempt 1 failed, the next in 1.0 s: GET things: at https://h/?sig=***"
    )
    assert record.operation == "GET things"
    assert record.error_class == "transient"


def test_a_pipeline_apart_has_pauses_of_its_own() -> None:
    world = World()
    apart = world.pipeline.apart(TokenBucket(1000, 1000, world.clock))
    apart.pause(100)
    started = world.clock.monotonic()
    assert world.pipeline.call("here", lambda: 1, as_it_is) == 1
    assert world.clock.monotonic() == started
    assert apart.call("there", lambda: 2, as_it_is) == 2
    assert world.clock.monotonic() - started == pytest.approx(100)


def as_it_is(error: Exception) -> OffGridFlowError:
    raise AssertionError(f"{error!r} is one of ours, or none")
