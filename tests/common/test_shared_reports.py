"""Reports that two streams are made of: asked for once, as long as there is room."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest

from offgridflow_common.columns import Column, Kind, polars_schema
from offgridflow_common.singer.shared_reports import SharedReports

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES = {
    Kind.STRING: "Größe",
    Kind.NUMBER: 0.1,
    Kind.INTEGER: 1,
    Kind.TIMESTAMP: datetime(2026, 1, 1, tzinfo=UTC),
    Kind.STRING_MAP: {"a": "b", "c": None},
    Kind.NUMBER_MAP: {"a": 0.3},
    Kind.OBJECT: None,
}
FRAME = pl.DataFrame(
    [{kind.name: value for kind, value in VALUES.items()}, {}],
    schema=polars_schema([Column(kind.name, kind, "") for kind in VALUES]),
)


class Source:
    """A report of some frames, which counts how often it is asked for."""

    def __init__(self, *frames: pl.DataFrame) -> None:
        self._frames = frames
        self.asked = 0

    def __call__(self) -> Iterator[pl.DataFrame]:
        self.asked += 1
        yield from self._frames


def same(found: Iterator[pl.DataFrame], *expected: pl.DataFrame) -> bool:
    frames = list(found)
    return len(frames) == len(expected) and all(map(pl.DataFrame.equals, frames, expected))


def test_what_was_kept_comes_out_once_as_it_was() -> None:
    reports, source = SharedReports(), Source(FRAME, FRAME.clear(), FRAME.head(1))
    assert same(reports.keep("a", source), FRAME, FRAME.clear(), FRAME.head(1))
    found = list(reports.take("a", source))
    assert [frame.schema for frame in found] == [FRAME.schema] * 3
    assert same(iter(found), FRAME, FRAME.clear(), FRAME.head(1))
    assert source.asked == 1
    assert same(reports.take("a", source), FRAME, FRAME.clear(), FRAME.head(1))
    assert source.asked == 2


def test_an_empty_report_is_an_answer() -> None:
    reports, source = SharedReports(), Source()
    assert same(reports.keep("a", source))
    assert same(reports.take("a", source))
    assert source.asked == 1


def test_the_newer_of_two_reports_counts() -> None:
    reports = SharedReports()
    assert same(reports.keep("a", Source(FRAME)), FRAME)
    assert same(reports.keep("a", Source(FRAME.head(1))), FRAME.head(1))
    assert same(reports.take("a", Source()), FRAME.head(1))


def test_a_report_that_broke_off_is_not_kept() -> None:
    def broken() -> Iterator[pl.DataFrame]:
        yield FRAME
        raise ConnectionError

    reports, source = SharedReports(), Source(FRAME, FRAME)
    assert same(reports.keep("a", Source(FRAME)), FRAME)
    with pytest.raises(ConnectionError):
        list(reports.keep("a", broken))
    assert same(reports.take("a", source), FRAME, FRAME)
    assert source.asked == 1


def test_what_finds_no_room_is_asked_for_again_and_room_is_given_back() -> None:
    made = random.Random(1)
    frame = pl.DataFrame({"text": [f"{made.getrandbits(64):x}" for _ in range(2000)]})
    sources = {name: Source(frame) for name in "abc"}
    reports = SharedReports(max_bytes=30_000)
    for name in "ab":
        assert same(reports.keep(name, sources[name]), frame)
    for name in "ab":
        assert same(reports.take(name, sources[name]), frame)
    assert {name: source.asked for name, source in sources.items()} == {"a": 1, "b": 2, "c": 0}
    assert same(reports.keep("c", sources["c"]), frame)
    assert same(reports.take("c", sources["c"]), frame)
    assert sources["c"].asked == 1
