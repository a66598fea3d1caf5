"""The token bucket: never too fast, in order, and nobody waits for those who have left."""

from __future__ import annotations

import math
import threading
from heapq import heappop, heappush
from itertools import accumulate
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offgridflow_common.clock import SystemClock
from offgridflow_common.errors import Cancelled, DeadlineExceeded
from offgridflow_common.rate_limit import TokenBucket
from offgridflow_common.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from offgridflow_common.clock import Clock

THREADS = 16
PATIENCE = 30  # Seconds after which a thread that should have ended is taken for hanging.


class _Mine(threading.local):
    last: float


class Watched:
    """A clock that remembers each thread's last reading, which for a grant is the moment of the grant.

    What a thread reads after it was granted its tokens is later by as long as it was not running.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mine = _Mine()
        self.now = clock.now
        self.sleep = clock.sleep

    def monotonic(self) -> float:
        self._mine.last = self._clock.monotonic()
        return self._mine.last

    @property
    def granted(self) -> float:
        return self._mine.last


class Lockstep(FakeClock):
    """Time moves, to the next one's wake-up, only when all threads sleep: as if they took no time."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        self._awake = threads
        self._wakeups: list[float] = []
        self._changed = threading.Condition()

    def sleep(self, seconds: float, cancel: threading.Event | None = None) -> bool:
        with self._changed:
            until = self.monotonic() + seconds
            heappush(self._wakeups, until)
            self.leave()
            self._changed.wait_for(lambda: self.monotonic() >= until)
        return cancel is None or not cancel.is_set()

    def leave(self) -> None:
        """One less to wait for."""
        with self._changed:
            self._awake -= 1
            while self._awake == 0 and self._wakeups:
                self.advance(self._wakeups[0] - self.monotonic())
                while self._wakeups and self._wakeups[0] <= self.monotonic():
                    heappop(self._wakeups)
                    self._awake += 1
            self._changed.notify_all()

    def wait_for_sleepers(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self._wakeups) >= count, PATIENCE)


def exceeds(grants: Sequence[tuple[float, float]], rate: float, capacity: float) -> bool:
    """Whether any window, from one grant to the same or a later one, holds more than is allowed."""
    ordered = sorted(grants)
    sums = [0.0, *accumulate(n for _, n in ordered)]
    return any(
        sums[last + 1] - sums[first] > capacity + rate * (ordered[last][0] - ordered[first][0]) + 1e-6
        for first in range(len(ordered))
        for last in range(first, len(ordered))
    )


def run_all(targets: Sequence[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=target, daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def grants_of_many_threads(
    bucket: TokenBucket, clock: Watched, amounts: Sequence[float], *, done: Callable[[], None] = lambda: None
) -> list[tuple[float, float]]:
    """(moment, tokens) of every grant, when 16 threads each ask for all the amounts."""
    grants: list[tuple[float, float]] = []

    def ask() -> None:
        for n in amounts:
            bucket.acquire(n)
            grants.append((clock.granted, n))
        done()

    run_all([ask] * THREADS)
    assert len(grants) == THREADS * len(amounts)
    return grants


def emptied(clock: Clock, *, rate: float = 1, capacity: float = 10) -> TokenBucket:
    bucket = TokenBucket(rate, capacity, clock)
    assert bucket.try_acquire(capacity)
    return bucket


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(monotonic=12345.678)


def test_the_check_of_windows_finds_one_token_too_many() -> None:
    at_the_limit = [(0.0, 3.0), (1.0, 2.0), (1.5, 1.0)]
    assert not exceeds(at_the_limit, rate=2, capacity=3)
    assert exceeds([*at_the_limit, (1.5, 0.1)], rate=2, capacity=3)


def test_16_threads_never_exceed_the_rate_in_any_window_nor_fall_behind_it() -> None:
    steps = Lockstep(THREADS)
    clock = Watched(steps)
    amounts = [1, 0.5, 3, 1, 7, 0.25, 1, 1, 20, 1, 2, 1]
    grants = grants_of_many_threads(TokenBucket(30, 20, clock), clock, amounts, done=steps.leave)
    assert not exceeds(grants, rate=30, capacity=20)
    needed = (THREADS * sum(amounts) - 20) / 30
    assert needed <= max(grants)[0] <= needed * 1.02


def test_16_threads_never_exceed_the_rate_when_time_leaps() -> None:
    clock = Watched(FakeClock())
    grants = grants_of_many_threads(TokenBucket(5, 10, clock), clock, [1, 10, 2.5] * 10)
    assert not exceeds(grants, rate=5, capacity=10)


def test_16_threads_never_exceed_the_rate_in_real_time() -> None:
    clock = Watched(SystemClock())
    grants = grants_of_many_threads(TokenBucket(2000, 40, clock), clock, [1] * 40)
    assert not exceeds(grants, rate=2000, capacity=40)


operations = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.floats(0, 10)),
        st.tuples(st.just("try"), st.floats(0, 10)),
        st.tuples(st.just("pass"), st.floats(0, 20)),
        st.tuples(st.just("back"), st.floats(0, 20)),
        st.tuples(st.just("pause"), st.floats(-5, 20)),
    ),
    max_size=40,
)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.floats(0.01, 1000), operations)
def test_no_order_of_calls_exceeds_the_rate_or_breaks_a_pause(
    rate: float, calls: list[tuple[str, float]]
) -> None:
    fake = FakeClock()
    clock = Watched(fake)
    bucket = TokenBucket(rate, 10, clock)
    grants: list[tuple[float, float]] = []
    seen = paused = -math.inf
    for call, amount in calls:
        if call in {"pass", "back"}:
            fake.advance(amount if call == "pass" else -amount)
        elif call == "pause":
            paused = max(paused, fake.monotonic() + amount)
            bucket.pause_until(fake.monotonic() + amount)
        else:
            taken = bucket.try_acquire(amount) if call == "try" else bucket.acquire(amount) >= 0
            seen = max(seen, clock.granted)  # To the bucket, time that runs back stands still.
            if taken:
                assert seen >= paused
                grants.append((seen, amount))
    assert not exceeds(grants, rate, capacity=10)


def test_a_full_bucket_gives_at_once_and_tells_so(clock: FakeClock) -> None:
    bucket = TokenBucket(1, 10, clock)
    assert [bucket.acquire(4), bucket.acquire(6)] == [0, 0]
    assert clock.slept == []


def test_the_seconds_waited_are_returned(clock: FakeClock) -> None:
    bucket = emptied(clock, rate=4)
    assert bucket.acquire() == pytest.approx(0.25)
    assert bucket.acquire(10) == pytest.approx(2.5)
    assert sum(clock.slept) == pytest.approx(2.75)


def test_it_never_holds_more_than_its_capacity(clock: FakeClock) -> None:
    bucket = emptied(clock)
    clock.advance(1_000_000)
    assert bucket.try_acquire(10)
    assert not bucket.try_acquire(0.001)


@pytest.mark.parametrize("n", [10.001, 11, -0.001, float("nan"), float("inf")])
def test_what_can_never_be_given_is_refused_at_once(n: float, clock: FakeClock) -> None:
    bucket = TokenBucket(1, 10, clock)
    with pytest.raises(ValueError, match="capacity, 10"):
        bucket.acquire(n)
    with pytest.raises(ValueError, match="capacity, 10"):
        bucket.try_acquire(n)
    assert bucket.try_acquire(10)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_a_bucket_needs_a_rate_and_a_capacity(value: float) -> None:
    with pytest.raises(ValueError, match="rate must be"):
        TokenBucket(value, 1)
    with pytest.raises(ValueError, match="capacity must be"):
        TokenBucket(1, value)


def test_trying_takes_all_or_nothing(clock: FakeClock) -> None:
    bucket = emptied(clock)
    clock.advance(2.5)
    assert [bucket.try_acquire(3), bucket.try_acquire(2), bucket.try_acquire()] == [False, True, False]
    assert clock.slept == []


def test_trying_does_not_overtake_one_who_waits_for_more(clock: FakeClock) -> None:
    bucket = emptied(clock)
    taken: list[bool] = []
    clock.at(clock.monotonic() + 5, lambda: taken.append(bucket.try_acquire(1)))
    assert bucket.acquire(10) == pytest.approx(10)
    assert taken == [False]


def test_a_wait_that_cannot_be_in_time_is_not_begun(clock: FakeClock) -> None:
    bucket = emptied(clock)
    with pytest.raises(DeadlineExceeded, match=r"at most 4\.9 s for 5 tokens.*expected after 5 s"):
        bucket.acquire(5, timeout=4.9)
    assert clock.slept == []
    assert bucket.acquire(5, timeout=5.1) == pytest.approx(5)


def test_no_timeout_at_all_still_gets_what_is_there(clock: FakeClock) -> None:
    bucket = TokenBucket(1, 10, clock)
    assert bucket.acquire(10, timeout=0) == 0
    with pytest.raises(DeadlineExceeded):
        bucket.acquire(1, timeout=0)


def test_a_pause_that_comes_meanwhile_ends_a_wait_that_it_makes_too_long(clock: FakeClock) -> None:
    bucket = emptied(clock)
    begun = clock.monotonic()
    clock.at(begun + 1, lambda: bucket.pause_until(begun + 100))
    with pytest.raises(DeadlineExceeded):
        bucket.acquire(5, timeout=50)
    assert clock.monotonic() - begun == pytest.approx(5)


def test_cancelling_ends_a_wait_and_loses_no_tokens(clock: FakeClock) -> None:
    bucket = emptied(clock)
    cancel = threading.Event()
    clock.at(clock.monotonic() + 5, cancel.set)
    with pytest.raises(Cancelled):
        bucket.acquire(10, cancel=cancel)
    assert not bucket.try_acquire(5.001)
    assert bucket.try_acquire(4.999)


def test_a_timeout_loses_no_tokens(clock: FakeClock) -> None:
    bucket = emptied(clock)
    clock.advance(5)
    with pytest.raises(DeadlineExceeded):
        bucket.acquire(10, timeout=1)
    assert bucket.try_acquire(4.999)


def test_once_cancelled_nothing_is_taken(clock: FakeClock) -> None:
    bucket = TokenBucket(1, 10, clock)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        bucket.acquire(cancel=cancel)
    assert bucket.try_acquire(10)


def test_nobody_gets_anything_during_a_pause(clock: FakeClock) -> None:
    bucket = TokenBucket(1, 10, clock)
    bucket.pause_until(clock.monotonic() + 30)
    assert not bucket.try_acquire(0.1)
    with pytest.raises(DeadlineExceeded):
        bucket.acquire(timeout=29)
    assert bucket.acquire() == pytest.approx(30)


def test_a_pause_is_never_shortened(clock: FakeClock) -> None:
    bucket = TokenBucket(1, 10, clock)
    for seconds in (30, 5, -100):
        bucket.pause_until(clock.monotonic() + seconds)
    assert bucket.acquire() == pytest.approx(30)


def test_a_pause_holds_for_one_who_already_waits(clock: FakeClock) -> None:
    bucket = emptied(clock)
    begun = clock.monotonic()
    clock.at(begun + 1, lambda: bucket.pause_until(begun + 60))
    assert bucket.acquire(2) == pytest.approx(60)


def test_a_pause_does_not_let_the_bucket_overflow(clock: FakeClock) -> None:
    bucket = emptied(clock)
    bucket.pause_until(clock.monotonic() + 1000)
    clock.advance(1000)
    assert bucket.try_acquire(10)
    assert not bucket.try_acquire(0.001)


def test_a_clock_that_stands_still_adds_nothing(clock: FakeClock) -> None:
    bucket = emptied(clock)
    assert not any(bucket.try_acquire(0.001) for _ in range(100))


def test_a_clock_that_swings_adds_nothing(clock: FakeClock) -> None:
    bucket = emptied(clock)
    for _ in range(10):
        clock.advance(-50)
        assert not bucket.try_acquire(0.001)
        clock.advance(50)
        assert not bucket.try_acquire(0.001)


def test_a_clock_turned_back_delays_and_does_no_other_harm(clock: FakeClock) -> None:
    bucket = emptied(clock)
    clock.advance(-50)
    assert bucket.acquire(2) == pytest.approx(2, abs=0.001)
    assert not bucket.try_acquire(0.1)


def test_waiters_are_served_in_order_and_a_large_one_does_not_starve() -> None:
    amounts = [10, 0.1, 0.1, 8, 0.1, 0.1, 0.1, 5]
    steps = Lockstep(len(amounts))
    clock = Watched(steps)
    bucket = emptied(clock)
    served: list[tuple[float, int]] = []

    def ask(place: int) -> None:
        bucket.acquire(amounts[place])
        served.append((clock.granted, place))
        steps.leave()

    threads = [threading.Thread(target=ask, args=(place,), daemon=True) for place in range(len(amounts))]
    for place, thread in enumerate(threads[:-1]):
        thread.start()
        steps.wait_for_sleepers(place + 1)
        assert not bucket.try_acquire(0.001), "nobody overtakes those who wait"
    run_all([threads[-1].run])
    for thread in threads[:-1]:
        thread.join(PATIENCE)
    assert [place for _, place in sorted(served)] == list(range(len(amounts)))
    assert [moment for moment, _ in sorted(served)] == pytest.approx(list(accumulate(amounts)), abs=0.01)


class Announced(SystemClock):
    """The real clock, which tells how many times someone went to sleep."""

    def __init__(self) -> None:
        self.asleep = threading.Semaphore(0)

    def sleep(self, seconds: float, cancel: threading.Event | None = None) -> bool:
        self.asleep.release()
        return super().sleep(seconds, cancel)


def test_one_who_leaves_makes_way_for_those_behind_while_all_really_sleep() -> None:
    clock = Announced()
    bucket = emptied(clock, capacity=1000)
    cancel = threading.Event()
    ended: list[str] = []

    def large() -> None:
        with pytest.raises(Cancelled):
            bucket.acquire(1000, cancel=cancel)
        ended.append("large")

    def small() -> None:
        bucket.acquire(0.01)
        ended.append("small")

    def leave() -> None:
        assert clock.asleep.acquire(timeout=PATIENCE)
        cancel.set()

    first = threading.Thread(target=large, daemon=True)
    first.start()
    assert clock.asleep.acquire(timeout=PATIENCE)
    run_all([small, leave])
    first.join(PATIENCE)
    assert sorted(ended) == ["large", "small"]


def test_cancelling_ends_all_real_waits_at_once() -> None:
    clock = Announced()
    bucket = emptied(clock, rate=0.001, capacity=100)
    cancel = threading.Event()
    cancelled: list[Cancelled] = []

    def ask() -> None:
        with pytest.raises(Cancelled) as caught:
            bucket.acquire(5, cancel=cancel)
        cancelled.append(caught.value)

    def stop() -> None:
        for _ in range(THREADS):
            assert clock.asleep.acquire(timeout=PATIENCE)
        cancel.set()

    run_all([*[ask] * THREADS, stop])
    assert len(cancelled) == THREADS
    assert bucket.try_acquire(0), "nobody is left waiting"
