"""The retry policy, and the header that tells it how long to wait."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offgridflow_common.clock import SystemClock
from offgridflow_common.errors import (
    AuthError,
    BadRequestError,
    Cancelled,
    ContractBroken,
    DeadlineExceeded,
    FatalError,
    NotFoundError,
    OffGridFlowError,
    SourceChanged,
    Throttled,
    TransientError,
    UnknownError,
)
from offgridflow_common.retry import RetryPolicy, parse_retry_after
from offgridflow_common.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOW = datetime(1994, 11, 6, 8, 49, 30, tzinfo=UTC)


def an_error(
    cls: type[OffGridFlowError] = TransientError, retry_after: float | None = None
) -> OffGridFlowError:
    return cls(asked="ask", got="nothing", do="try", retry_after=retry_after)


class Script:
    """Raises one error per call, then returns "done"; each call takes some time."""

    def __init__(self, errors: Sequence[BaseException], clock: FakeClock, *, takes: float = 0) -> None:
        self.errors = errors
        self.clock = clock
        self.takes = takes
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        self.clock.advance(self.takes)
        if self.calls <= len(self.errors):
            raise self.errors[self.calls - 1]
        return "done"


def highest() -> float:
    return 1.0


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.mark.parametrize(
    "error",
    [
        *(
            an_error(cls)
            for cls in (
                AuthError,
                BadRequestError,
                NotFoundError,
                FatalError,
                UnknownError,
                ContractBroken,
                Cancelled,
                DeadlineExceeded,
                SourceChanged,
            )
        ),
        ValueError("a mistake of ours"),
        ConnectionError("not translated"),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_not_transient_is_raised_at_once(error: BaseException, clock: FakeClock) -> None:
    script = Script([error], clock)
    with pytest.raises(type(error)) as caught:
        RetryPolicy(clock=clock).call(script)
    assert caught.value is error
    assert (script.calls, clock.slept) == (1, [])


def test_a_permanent_error_after_a_transient_one_is_raised_at_once(clock: FakeClock) -> None:
    script = Script([an_error(), an_error(AuthError)], clock)
    with pytest.raises(AuthError):
        RetryPolicy(clock=clock).call(script)
    assert script.calls == 2


@pytest.mark.parametrize("cls", [TransientError, Throttled])
def test_transient_errors_are_tried_again(cls: type[OffGridFlowError], clock: FakeClock) -> None:
    assert RetryPolicy(clock=clock).call(Script([an_error(cls)] * 4, clock)) == "done"


def test_the_number_of_attempts_counts_the_first_call(clock: FakeClock) -> None:
    script = Script([an_error() for _ in range(9)], clock)
    with pytest.raises(TransientError):
        RetryPolicy(clock=clock, max_attempts=3).call(script)
    assert script.calls == 3
    assert len(clock.slept) == 2


def test_one_attempt_never_waits(clock: FakeClock) -> None:
    script = Script([an_error()], clock)
    with pytest.raises(TransientError):
        RetryPolicy(clock=clock, max_attempts=1).call(script)
    assert (script.calls, clock.slept) == (1, [])


def test_the_last_error_is_raised_unchanged(clock: FakeClock) -> None:
    errors = [an_error() for _ in range(5)]
    cause = OSError("the reason")
    errors[-1].__cause__ = cause
    with pytest.raises(TransientError) as caught:
        RetryPolicy(clock=clock).call(Script(errors, clock))
    assert caught.value is errors[-1]
    assert caught.value.__cause__ is cause
    assert caught.value.__context__ is None


def test_success_at_once_waits_for_nothing(clock: FakeClock) -> None:
    assert RetryPolicy(clock=clock).call(lambda: None) is None
    assert clock.slept == []


def test_waits_double_up_to_the_maximum(clock: FakeClock) -> None:
    policy = RetryPolicy(clock=clock, random=highest, max_attempts=9)
    policy.call(Script([an_error()] * 8, clock))
    assert clock.slept == [1, 2, 4, 8, 16, 30, 30, 30]


def test_throttling_that_names_no_pause_can_have_pauses_of_its_own(clock: FakeClock) -> None:
    policy = RetryPolicy(
        max_attempts=7,
        total_deadline=None,
        clock=clock,
        random=lambda: 0.0,
        throttled_initial=30.0,
        throttled_maximum=300.0,
    )
    errors = [
        *(an_error(Throttled, wait) for wait in (None, None, 0.0, None, None)),
        an_error(Throttled, 7.0),
    ]
    assert policy.call(Script(errors, clock)) == "done"
    assert clock.slept == [30.0, 60.0, 120.0, 240.0, 300.0, 7.0]


def test_jitter_takes_any_part_of_the_wait(clock: FakeClock) -> None:
    parts = iter([0.0, 0.5, 0.25])
    RetryPolicy(clock=clock, random=lambda: next(parts)).call(Script([an_error()] * 3, clock))
    assert clock.slept == [0, 1, 1]


def test_a_great_many_attempts_do_not_overflow(clock: FakeClock) -> None:
    policy = RetryPolicy(clock=clock, random=highest, max_attempts=2000, total_deadline=None)
    policy.call(Script([an_error()] * 1500, clock))
    assert clock.slept[-1] == 30


@pytest.mark.parametrize(
    ("retry_after", "slept"), [(0.0, 1), (0.5, 1), (7.25, 7.25), (45, 45), (300, 300), (-1, 1), (None, 1)]
)
def test_the_wait_is_at_least_what_the_provider_asks_for(
    retry_after: float | None, slept: float, clock: FakeClock
) -> None:
    RetryPolicy(clock=clock, random=highest).call(Script([an_error(Throttled, retry_after)], clock))
    assert clock.slept == [slept]


def test_a_wait_beyond_the_deadline_is_not_begun(clock: FakeClock) -> None:
    script = Script([an_error(), an_error(Throttled, 299.5)], clock)
    with pytest.raises(Throttled) as caught:
        RetryPolicy(clock=clock, random=highest).call(script)
    assert caught.value is script.errors[-1]
    assert clock.slept == [1]


def test_the_time_that_calls_take_counts(clock: FakeClock) -> None:
    script = Script([an_error()] * 9, clock, takes=4)
    with pytest.raises(TransientError):
        RetryPolicy(clock=clock, random=highest, max_attempts=9, total_deadline=10.9).call(script)
    assert (script.calls, clock.slept) == (2, [1])


def test_each_call_has_its_own_deadline(clock: FakeClock) -> None:
    policy = RetryPolicy(clock=clock, random=highest, total_deadline=5)
    for _ in range(3):
        assert policy.call(Script([an_error()] * 2, clock)) == "done"


def test_without_a_deadline_any_wait_is_waited(clock: FakeClock) -> None:
    policy = RetryPolicy(clock=clock, total_deadline=None)
    assert policy.call(Script([an_error(Throttled, 86_400)], clock)) == "done"


def test_cancelling_a_wait_ends_it_with_the_last_error_as_cause(clock: FakeClock) -> None:
    cancel = threading.Event()
    clock.at(2, cancel.set)
    script = Script([an_error() for _ in range(4)], clock)
    with pytest.raises(Cancelled) as caught:
        RetryPolicy(clock=clock, random=highest).call(script, cancel=cancel)
    assert clock.monotonic() == 2
    assert caught.value.__cause__ is script.errors[1]
    assert script.calls == 2


def test_nothing_is_called_once_cancelled(clock: FakeClock) -> None:
    cancel = threading.Event()
    cancel.set()
    script = Script([], clock)
    with pytest.raises(Cancelled):
        RetryPolicy(clock=clock).call(script, cancel=cancel)
    assert script.calls == 0


def test_an_error_that_is_final_anyway_is_not_hidden_by_cancelling(clock: FakeClock) -> None:
    cancel = threading.Event()
    clock.at(1, cancel.set)
    with pytest.raises(AuthError):
        RetryPolicy(clock=clock).call(Script([an_error(AuthError)], clock, takes=2), cancel=cancel)


def test_cancelling_ends_a_real_wait_at_once() -> None:
    cancel = threading.Event()
    threading.Timer(0.02, cancel.set).start()
    begun = time.monotonic()
    with pytest.raises(Cancelled):
        RetryPolicy(clock=SystemClock()).call(Script([an_error(Throttled, 60)], FakeClock()), cancel=cancel)
    assert time.monotonic() - begun < 30


def test_each_retry_is_announced_before_its_wait(clock: FakeClock) -> None:
    told: list[tuple[TransientError, int, float, float]] = []
    errors = [an_error(), an_error(Throttled, 9.0)]
    RetryPolicy(clock=clock, random=highest).call(
        Script(errors, clock),
        on_retry=lambda error, failed, wait: told.append((error, failed, wait, clock.monotonic())),
    )
    assert told == [(errors[0], 1, 1.0, 0.0), (errors[1], 2, 9.0, 1.0)]


def test_the_last_failure_announces_no_retry(clock: FakeClock) -> None:
    told: list[int] = []
    with pytest.raises(TransientError):
        RetryPolicy(clock=clock, max_attempts=2).call(
            Script([an_error()] * 2, clock), on_retry=lambda _error, failed, _wait: told.append(failed)
        )
    assert told == [1]


def test_threads_that_share_a_policy_do_not_share_attempts() -> None:
    policy = RetryPolicy(clock=FakeClock(), total_deadline=None)
    scripts = [Script([an_error() for _ in range(n % 5)], FakeClock()) for n in range(16)]
    results: list[str] = []
    threads = [
        threading.Thread(target=lambda script=script: results.append(policy.call(script)))
        for script in scripts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == ["done"] * 16
    assert [script.calls for script in scripts] == [n % 5 + 1 for n in range(16)]


@settings(derandomize=True, deadline=None, max_examples=80)
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 120)), max_size=12),
    st.floats(0.1, 400),
    st.floats(0, 1),
    st.integers(1, 12),
)
def test_whatever_happens_waits_are_long_enough_and_within_the_deadline(
    retry_afters: list[float | None], deadline: float, part: float, attempts: int
) -> None:
    clock = FakeClock()
    script = Script([an_error(Throttled, after) for after in retry_afters], clock)
    policy = RetryPolicy(clock=clock, random=lambda: part, max_attempts=attempts, total_deadline=deadline)
    try:
        policy.call(script)
    except Throttled as error:
        assert error is script.errors[script.calls - 1]  # noqa: PT017 - success is fine, too
    assert script.calls == len(clock.slept) + 1 <= attempts
    assert clock.monotonic() <= deadline
    for failed, (slept, asked) in enumerate(zip(clock.slept, retry_afters, strict=False)):
        assert max(part * min(30, 2**failed), asked or 0) == pytest.approx(slept)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RetryPolicy(max_attempts=0),
        lambda: RetryPolicy(initial=-1),
        lambda: RetryPolicy(initial=31),
        lambda: RetryPolicy(maximum=float("inf")),
        lambda: RetryPolicy(maximum=float("nan")),
        lambda: RetryPolicy(total_deadline=0),
        lambda: RetryPolicy(total_deadline=float("nan")),
    ],
)
def test_a_policy_out_of_range_is_refused(make: Callable[[], RetryPolicy]) -> None:
    with pytest.raises(ValueError, match="must"):
        make()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        (".25", 0.25),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 7.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 7.0),
        ("Sun Nov  6 08:49:37 1994", 7.0),
        ("Sun, 06 Nov 1994 09:49:37 +0100", 7.0),
        ("Sun, 06 Nov 1994 08:49:37 -0000", 7.0),
        ("Sun, 06 Nov 1994 08:49:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("1,5", None),
        ("٣", None),
        ("9" * 400, None),
        ("Sun, 06 Nov 99999 08:49:37 GMT", None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 +9999999", None),
    ],
)
def test_retry_after_is_read_or_refused(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


def test_retry_after_compares_dates_across_zones() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=-8)))
    assert parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", there) == 7.0


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.text(alphabet="0123456789 .:,+-GMTSunNovJan\t\n\x00é"))
def test_no_header_whatsoever_is_an_exception_or_a_negative_wait(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or seconds >= 0
