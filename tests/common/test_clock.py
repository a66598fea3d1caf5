"""The real clock and the one that tests use."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from offgridflow_common.clock import SYSTEM_CLOCK, Clock, SystemClock
from offgridflow_common.testing.clock import FakeClock


def test_a_real_sleep_ends_at_once_when_cancelled() -> None:
    cancel = threading.Event()
    threading.Timer(0.01, cancel.set).start()
    begun = time.monotonic()
    assert not SYSTEM_CLOCK.sleep(60, cancel)
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("seconds", [60, 0, -1])
def test_a_real_sleep_does_not_begin_once_cancelled(seconds: float) -> None:
    cancel = threading.Event()
    cancel.set()
    assert not SystemClock().sleep(seconds, cancel)


@pytest.mark.parametrize("cancel", [None, threading.Event()])
@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.002])
def test_a_real_sleep_that_is_not_cancelled_passes(seconds: float, cancel: threading.Event | None) -> None:
    clock = SystemClock()
    begun = clock.monotonic()
    assert clock.sleep(seconds, cancel)
    assert clock.monotonic() - begun >= seconds * 0.9


def test_a_real_sleep_longer_than_the_system_can_wait_is_no_error() -> None:
    cancel = threading.Event()
    threading.Timer(0.01, cancel.set).start()
    assert not SystemClock().sleep(float("inf"), cancel)


def test_real_time_is_aware_and_in_utc() -> None:
    now = SystemClock().now()
    assert now.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - now) < timedelta(minutes=1)


def test_a_fake_sleep_moves_both_times_and_nothing_else_does() -> None:
    clock: Clock = FakeClock(datetime(2025, 6, 1, tzinfo=UTC), monotonic=100.0)
    assert (clock.monotonic(), clock.now()) == (100.0, datetime(2025, 6, 1, tzinfo=UTC))
    assert clock.sleep(90.0)
    assert clock.sleep(-5.0)
    assert (clock.monotonic(), clock.now()) == (190.0, datetime(2025, 6, 1, 0, 1, 30, tzinfo=UTC))


def test_the_fake_clock_remembers_what_was_slept() -> None:
    clock = FakeClock()
    clock.sleep(1.5)
    clock.advance(10)
    clock.sleep(0)
    assert clock.slept == [1.5, 0]
    assert clock.monotonic() == 11.5


def test_a_fake_sleep_finds_the_event_that_is_set_already() -> None:
    clock, cancel = FakeClock(), threading.Event()
    cancel.set()
    assert not clock.sleep(5, cancel)
    assert clock.slept == []
    assert clock.monotonic() == 0


def test_a_fake_sleep_ends_where_an_action_cancels_it() -> None:
    clock, cancel = FakeClock(), threading.Event()
    clock.at(3, cancel.set)
    assert not clock.sleep(5, cancel)
    assert clock.monotonic() == 3


def test_actions_run_in_the_order_of_their_moments_and_see_them() -> None:
    clock = FakeClock()
    seen: list[tuple[str, float]] = []
    for name, moment in (("late", 4.0), ("early", 1.0), ("second at once", 4.0), ("never", 9.0)):
        clock.at(moment, lambda name=name: seen.append((name, clock.monotonic())))  # type: ignore[misc]
    clock.sleep(2)
    clock.advance(3)
    assert seen == [("early", 1.0), ("late", 4.0), ("second at once", 4.0)]
    assert clock.monotonic() == 5


def test_the_fake_clock_can_be_turned_back() -> None:
    clock = FakeClock(monotonic=10)
    clock.advance(-4)
    assert clock.monotonic() == 6


def test_fake_sleeps_of_many_threads_are_all_counted() -> None:
    clock = FakeClock()
    threads = [threading.Thread(target=clock.sleep, args=(1.0,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.slept == [1.0] * 16
    assert 1 <= clock.monotonic() <= 16
