"""Streams: whole partitions, a state after each, and one place where errors end."""

from __future__ import annotations

import io
import os
import signal
from contextlib import redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import polars as pl
import pytest

from offgridflow_common.errors import ErrorClass, NotFoundError, OutputLost, UnknownError
from offgridflow_common.singer.writer import BlockWriter
from offgridflow_common.testing.clock import FakeClock
from tests.common.tiny_tap import PLAN, Items, TinyTap, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from offgridflow_common.singer.partition import Partition
    from offgridflow_common.singer.streams import OffGridFlowStream

GONE = NotFoundError(asked="reading part 2", got="no such thing", do="look elsewhere")
BROKEN = {"items": {"one": [[1]], "two": [[2, 3], GONE, [4]], "three": [[5]]}, "zebras": {"one": [[9]]}}

#: Settings with which rows go out as blocks, and others with which they go out one by one.
paths = pytest.mark.parametrize(
    "path", [{}, {"stream_maps": {"items": {}, "zebras": {}}}], ids=["blocks", "records"]
)


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@paths
def test_state_names_a_partition_when_all_of_it_is_out_and_not_before(path: dict[str, Any]) -> None:
    outcome = run(**path)
    seen: list[int] = []
    for message in outcome.messages:
        if message["type"] == "RECORD":
            seen.append(message["record"]["id"])
        elif message["type"] == "STATE":
            done = {
                e["context"]["part"] for e in message["value"]["bookmarks"]["items"].get("partitions", [])
            }
            for part, ids in (("one", {1, 2, 3}), ("two", {4})):
                assert (part in done) == (set(seen) >= ids)
    assert outcome.parts() == ["one", "two", "empty"]
    assert outcome.code is None


def test_what_was_read_is_not_read_again() -> None:
    state = run().messages[-1]["value"]
    again = run(state=state)
    assert again.records() == []
    assert again.parts() == ["one", "two", "empty"]


@paths
def test_a_partition_that_fails_in_the_middle_does_not_count_and_ends_its_stream_only(
    path: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    outcome = run(BROKEN, **path)
    assert outcome.ids() == [1, 2, 3]
    assert outcome.parts() == ["one"]
    assert (outcome.ids("zebras"), outcome.parts("zebras")) == ([9], ["one"])
    assert outcome.code == 1
    assert outcome.tap.failures == {"items": GONE}
    assert str(GONE) in caplog.text
    assert "1 of 2 streams failed: items (not_found)" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_stream_that_cannot_even_know_its_feeds_ends_itself_only(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Items.feeds

    def feeds(stream: Items) -> Iterable[Callable[[], Iterator[Partition]]]:
        if stream.name == "items":
            raise GONE
        return known(stream)

    monkeypatch.setattr(Items, "feeds", feeds)
    outcome = run({"items": {"one": [[1]]}, "zebras": {"one": [[9]]}})
    assert (outcome.ids(), outcome.ids("zebras")) == ([], [9])
    assert outcome.code == 1
    assert outcome.tap.failures == {"items": GONE}


def test_what_failed_is_read_whole_by_the_next_run() -> None:
    state = run(BROKEN).messages[-1]["value"]
    repaired = {**BROKEN, "items": {"one": [[1]], "two": [[2, 3], [4]], "three": [[5]]}}
    again = run(repaired, state=state)
    assert again.ids() == [2, 3, 4, 5]
    assert (again.parts(), again.code) == (["one", "two", "three"], None)


@pytest.mark.parametrize("where", ["in a block", "before the first", "while planning"])
def test_what_nobody_foresaw_is_unknown_and_logged_with_its_traceback(
    where: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = ZeroDivisionError("by s3cr3t-t0ken")
    parts: dict[str, Any] = {"one": [[1]], "two": error if where == "while planning" else [error]}
    if where == "in a block":
        parts["two"].insert(0, [2])
    outcome = run({"items": parts, "zebras": {"one": [[9]]}}, api_token="s3cr3t-t0ken")
    failure = outcome.tap.failures["items"]
    assert isinstance(failure, UnknownError)
    assert failure.error_class is ErrorClass.UNKNOWN
    assert "reading items: ZeroDivisionError" in str(failure)
    assert "Traceback" in caplog.text
    assert "s3cr3t-t0ken" not in caplog.text
    assert (outcome.parts(), outcome.ids("zebras"), outcome.code) == (["one"], [9], 1)


def test_a_panic_of_polars_ends_its_stream_only() -> None:
    panic = pl.exceptions.PanicException("index out of bounds")
    outcome = run({"items": {"one": [[1]], "two": [panic]}, "zebras": {"one": [[9]]}})
    assert "PanicException" in str(outcome.tap.failures["items"])
    assert (outcome.parts(), outcome.ids("zebras"), outcome.code) == (["one"], [9], 1)


@pytest.mark.parametrize(("seconds", "written"), [(0, 2), (11, 11)], ids=["at once", "in minutes"])
def test_a_large_state_is_written_seldom_and_at_the_end(seconds: float, written: int) -> None:
    """Each state is the whole state: after each partition, it would be more than all records."""
    clock = FakeClock()

    def prepare(tap: TinyTap) -> None:
        writer = tap.message_writer
        assert isinstance(writer, BlockWriter)
        writer.clock = clock

    known = [{"context": {"part": f"known {number}"}, "rows": 1} for number in range(2000)]
    parts = {f"new {number}": [[number], lambda: clock.sleep(seconds)] for number in range(10)}
    outcome = run({"items": parts}, state={"bookmarks": {"items": {"partitions": known}}}, prepare=prepare)
    states = [message for message in outcome.messages if message["type"] == "STATE"]
    assert len(states) == written
    assert outcome.messages[-1] is states[-1]
    assert outcome.parts()[2000:] == list(parts)


def test_each_partition_and_each_failure_is_counted() -> None:
    counted: list[tuple[Any, ...]] = []

    def listen(tap: TinyTap) -> None:
        tap.telemetry.success = lambda stream, items, *_: counted.append((stream, items))  # type: ignore[method-assign]
        tap.telemetry.failure = lambda stream, kind, _: counted.append((stream, str(kind)))  # type: ignore[method-assign]

    run(
        {"items": {"one": [[1], [2, 3]], "two": [[4], GONE]}, "zebras": {"one": [KeyError()]}}, prepare=listen
    )
    assert counted == [("items", 3), ("items", "not_found"), ("zebras", "unknown")]


def test_output_that_cannot_be_written_ends_the_whole_run(caplog: pytest.LogCaptureFixture) -> None:
    closed: list[bool] = []

    def prepare(tap: TinyTap) -> None:
        tap.resources.callback(closed.append, True)  # noqa: FBT003 - what is to be called with

    def break_off() -> NoReturn:
        raise OutputLost(asked="writing", got="nobody", do="see to it")

    outcome = run({"items": {"one": [[1], break_off]}, "zebras": {"one": [pytest.fail]}}, prepare=prepare)
    assert outcome.code == 1
    assert "writing: nobody. see to it" in caplog.text
    assert closed == [True]


def test_a_signal_ends_the_run_with_the_state_of_what_is_out() -> None:
    cancelled: list[Callable[[], bool]] = []
    closed: list[bool] = []

    def prepare(tap: TinyTap) -> None:
        cancelled.append(tap.cancel.is_set)
        tap.resources.callback(closed.append, True)  # noqa: FBT003 - what is to be called with

    terminate = partial(os.kill, os.getpid(), signal.SIGTERM)
    plan = {"items": {"one": [[1]], "two": [[2], terminate, [3]]}, "zebras": {"one": [[9]]}}
    outcome = run(plan, prepare=prepare)
    assert (outcome.ids(), outcome.ids("zebras"), outcome.parts()) == ([1, 2], [], ["one"])
    assert cancelled[0]()
    assert closed == [True]


def test_one_feed_that_fails_keeps_no_other_from_being_read() -> None:
    class Fed(Items):
        def feeds(self) -> Iterable[Callable[[], Iterator[Partition]]]:
            def broken() -> Iterator[Partition]:
                raise GONE

            return [broken, *super().feeds()]

    class FedTap(TinyTap):
        plan = PLAN

        def discover_streams(self) -> list[OffGridFlowStream]:
            return [Fed(self)]

    raw = io.BytesIO()
    with io.TextIOWrapper(raw) as stdout, redirect_stdout(stdout):
        tap = FedTap(config={})
        with pytest.raises(SystemExit):
            tap.run()
    assert tap.failures == {"items": GONE}
    assert len(tap.streams["items"].bookmarks._state["partitions"]) == 3  # type: ignore[attr-defined]
