"""The writer: blocks say what single messages say, and no line is ever torn."""

from __future__ import annotations

import io
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager, redirect_stdout
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from singer_sdk.singerlib.encoding import SimpleSingerWriter
from singer_sdk.singerlib.messages import RecordMessage, StateMessage

from offgridflow_common.columns import Kind
from offgridflow_common.singer.writer import BlockWriter, as_json_values, render_records

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = datetime(2026, 11, 23, 5, 40, 0, 123, tzinfo=UTC)


def by_block(frame: pl.DataFrame, stream: str = "things") -> list[dict[str, Any]]:
    block = render_records(stream, frame, NOW)
    assert block == b"" or block.endswith(b"\n")
    return [json.loads(line) for line in block.split(b"\n")[:-1]]


def by_message(frame: pl.DataFrame, stream: str = "things") -> list[dict[str, Any]]:
    writer = SimpleSingerWriter()
    return [
        json.loads(writer.format_message(RecordMessage(stream=stream, record=row, time_extracted=NOW)))
        for row in as_json_values(frame).iter_rows(named=True)
    ]


MOMENTS = pl.Datetime("us", "UTC")
FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["a\nb\r", '"\\/', "\x00\x1f\x7f\x85\u2028", "é大😀\ufeff", "", None], pl.String),
        ([0.1, -0.0, 1e300, 5e-324, 1e22, 1e-7, 123456789012345.678, 2.0**53, None], pl.Float64),
        ([math.nan, math.inf, -math.inf], pl.Float64),
        ([2**63 - 1, -(2**63), 0, None], pl.Int64),
        ([NOW, FIRST, LAST, None], MOMENTS),
        ([{"a\n": '"x', "": None}, {}, None], Kind.STRING_MAP.dtype),
        ([{"a": 1.5, "b": None, "c": math.nan}, {}, None], Kind.NUMBER_MAP.dtype),
        ([{"new": 1, "list": ["x", None]}, {"new": None, "list": []}, None], None),
        ([None, None], pl.Null),
    ],
    ids=str,
)  # fmt: skip
def test_a_block_says_what_single_messages_say(values: list[Any], dtype: Any) -> None:
    frame = pl.DataFrame({"x": pl.Series(values, dtype=dtype), "other": range(len(values))})
    assert by_block(frame) == [
        {**message, "time_extracted": "2026-11-23T05:40:00.000123+00:00"} for message in by_message(frame)
    ]


texts = st.none() | st.text(st.characters(codec="utf-8"), max_size=8)
rows = st.tuples(
    texts, st.none() | st.floats(), st.none() | st.dictionaries(st.text(max_size=3), texts, max_size=2)
)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(rows, max_size=5))
def test_whatever_the_values_are(rows: list[tuple[Any, ...]]) -> None:
    schema = {"text": pl.String(), "number": pl.Float64(), "map": Kind.STRING_MAP.dtype}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    assert by_block(frame) == by_message(frame)


def test_columns_stand_in_the_order_of_the_frame() -> None:
    block = render_records("t", pl.DataFrame({"b": [1], "a": ["x"], "c": [None]}), NOW)
    assert block == (
        b'{"type":"RECORD","stream":"t","record":{"b":1,"a":"x","c":null},'
        b'"time_extracted":"2026-11-23T05:40:00.000123+00:00"}\n'
    )


def test_no_rows_are_no_lines() -> None:
    assert render_records("t", pl.DataFrame({"a": []}), NOW) == b""


@pytest.mark.parametrize("stream", ['odd "name"\n', "größe"])
def test_the_name_of_a_stream_may_hold_anything(stream: str) -> None:
    [message] = by_block(pl.DataFrame({"a": [1]}), stream)
    assert message["stream"] == stream


class Sink(io.BytesIO):
    """Standard output: calls back while something is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.during: Any = None

    def write(self, data: Any) -> int:
        count = super().write(data)
        if self.during is not None:
            self.during()
        return count


@contextmanager
def standard_output() -> Iterator[Sink]:
    sink = Sink()
    stdout = io.TextIOWrapper(sink, encoding="utf-8", newline="\n")
    with redirect_stdout(stdout):
        yield sink
    sink.during = None
    stdout.detach()


@pytest.fixture
def writer() -> BlockWriter:
    return BlockWriter()


def write(writer: BlockWriter, kind: str) -> None:
    if kind == "block":
        writer.write_block(b"a line\n")
    else:
        writer.write_message(StateMessage(value={}))


def test_messages_and_blocks_come_out_in_the_order_they_were_written(writer: BlockWriter) -> None:
    with standard_output() as sink:
        for kind in ("message", "block", "block", "message"):
            write(writer, kind)
            assert not writer.writing
    state = b'{"type":"STATE","value":{}}'
    assert sink.getvalue().splitlines() == [state, b"a line", b"a line", state]


@pytest.mark.parametrize("kind", ["block", "message"])
def test_what_a_signal_wants_happens_once_when_the_line_is_out(writer: BlockWriter, kind: str) -> None:
    seen: list[bytes] = []

    def interrupt() -> None:
        assert writer.writing
        sink.during = None
        writer.defer(lambda: seen.append(sink.getvalue()))

    with standard_output() as sink:
        sink.during = interrupt
        write(writer, kind)
        assert seen == [sink.getvalue()]
        write(writer, kind)
    assert len(seen) == 1


def test_a_signal_may_write_state_and_end_the_process(writer: BlockWriter) -> None:
    def end() -> NoReturn:
        write(writer, "message")
        raise SystemExit(3)

    def interrupt() -> None:
        sink.during = None
        writer.defer(end)

    with standard_output() as sink:
        sink.during = interrupt
        with pytest.raises(SystemExit):
            write(writer, "block")
    assert sink.getvalue() == b'a line\n{"type":"STATE","value":{}}\n'


@pytest.mark.parametrize("kind", ["block", "message"])
def test_a_reader_that_went_away_is_an_error_that_holds_up_no_signal(writer: BlockWriter, kind: str) -> None:
    ended: list[bool] = []

    def break_off() -> NoReturn:
        sink.during = None
        writer.defer(lambda: ended.append(writer.writing))
        raise BrokenPipeError

    with standard_output() as sink:
        sink.during = break_off
        with pytest.raises(BrokenPipeError):
            write(writer, kind)
    assert ended == [False]


PROGRAM = """
    import signal, sys
    from singer_sdk.singerlib.messages import RecordMessage, StateMessage
    from offgridflow_common.singer.writer import BlockWriter

    writer = BlockWriter()

    def end():
        writer.write_message(StateMessage(value={"ended": True}))
        sys.exit(3)

    def handle(*_):
        writer.defer(end) if writer.writing else end()

    signal.signal(signal.SIGTERM, handle)
    while True:
        if sys.argv[1] == "block":
            writer.write_block(b'{"type":"RECORD","record":{"x":"%b"}}\\n' % (b"y" * 500) * 4000)
        else:
            writer.write_message(RecordMessage(stream="s", record={"x": "y" * 1_000_000}))
"""


@pytest.mark.parametrize("kind", ["block", "message"])
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_signal_that_arrives_while_the_reader_is_slow_tears_nothing(kind: str, unbuffered: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), kind],
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        bufsize=0,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        # The pipe holds less than what is written at once: the writer is in the middle of it.
        begin = process.stdout.read(100_000)
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=30)
    messages = [json.loads(line) for line in (begin + output).splitlines()]
    assert messages[-1] == {"type": "STATE", "value": {"ended": True}}
    assert {message["type"] for message in messages[:-1]} == {"RECORD"}
    assert (process.returncode, errors) == (3, b"")


def test_a_reader_that_closes_the_pipe_ends_the_process() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), "block"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b'{"type":"RECORD"')
        process.stdout.close()
        assert process.stderr is not None
        assert b"BrokenPipeError" in process.stderr.read()
        assert process.wait(30) != 0
