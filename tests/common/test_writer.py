"""The writer: what is written comes out in order, and no line is ever torn."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import polars as pl
import pytest
from singer_sdk.singerlib.messages import StateMessage

from offgridflow_common.errors import OutputLost
from offgridflow_common.singer.render import Lines
from offgridflow_common.singer.writer import BlockWriter

if TYPE_CHECKING:
    from collections.abc import Iterator


LINES = Lines(pl.DataFrame({"x": ["a"], "y": ["line"]}))


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
    if kind == "lines":
        writer.write_lines(LINES)
    else:
        writer.write_message(StateMessage(value={}))


def test_messages_and_blocks_come_out_in_the_order_they_were_written(writer: BlockWriter) -> None:
    with standard_output() as sink:
        for kind in ("message", "lines", "lines", "message"):
            write(writer, kind)
            assert not writer.deferral.under_way
    state = b'{"type":"STATE","value":{}}'
    assert sink.getvalue().splitlines() == [state, b"a,line", b"a,line", state]


@pytest.mark.parametrize("kind", ["lines", "message"])
def test_what_a_signal_wants_happens_once_when_the_line_is_out(writer: BlockWriter, kind: str) -> None:
    seen: list[bytes] = []

    def interrupt() -> None:
        assert writer.deferral.under_way
        sink.during = None
        writer.deferral.run(lambda: seen.append(sink.getvalue()))

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
        writer.deferral.run(end)

    with standard_output() as sink:
        sink.during = interrupt
        with pytest.raises(SystemExit):
            write(writer, "lines")
    assert sink.getvalue() == b'a,line\n{"type":"STATE","value":{}}\n'


@pytest.mark.parametrize("kind", ["lines", "message"])
@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left on device")]
)
def test_nothing_is_written_behind_a_line_that_is_torn(
    writer: BlockWriter, kind: str, error: OSError
) -> None:
    def break_off() -> NoReturn:
        sink.during = None
        writer.deferral.run(lambda: write(writer, "message"))
        raise error

    with standard_output() as sink:
        sink.during = break_off
        for _ in range(2):
            with pytest.raises(
                OutputLost, match=rf"writing to standard output: .*{error.strerror}\. see why"
            ):
                write(writer, kind)
        assert not writer.deferral.under_way
    assert b"STATE" not in sink.getvalue() or kind == "message"
    assert sink.getvalue().count(b"\n") == 1


PROGRAM = """
    import signal, sys
    import polars as pl
    from singer_sdk.singerlib.messages import RecordMessage, StateMessage
    from offgridflow_common.singer.render import Lines
    from offgridflow_common.singer.writer import BlockWriter

    writer = BlockWriter()
    texts = {"x": '{"type":"RECORD"', "y": '"record":"' + "y" * 500 + '"}'}
    lines = Lines(pl.DataFrame([texts] * 4000))

    def end():
        writer.write_message(StateMessage(value={"ended": True}))
        sys.exit(3)

    def handle(*_):
        writer.deferral.run(end)

    signal.signal(signal.SIGTERM, handle)
    while True:
        if sys.argv[1] == "lines":
            writer.write_lines(lines)
        else:
            writer.write_message(RecordMessage(stream="s", record={"x": "y" * 1_000_000}))
"""


@pytest.mark.parametrize("kind", ["lines", "message"])
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
        [sys.executable, "-c", textwrap.dedent(PROGRAM), "lines"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b'{"type":"RECORD"')
        process.stdout.close()
        assert process.stderr is not None
        assert b"OutputLost: writing to standard output: BrokenPipeError" in process.stderr.read()
        assert process.wait(30) != 0


def test_a_full_disk_is_named_as_what_it_is() -> None:
    with Path("/dev/full").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space") as error:
        LINES.write_to(file)
    assert error.value.errno == errno.ENOSPC
