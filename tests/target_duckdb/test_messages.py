"""Reading messages: in whatever pieces they come, and what is not a message is refused."""

from __future__ import annotations

import io
import json
import os
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from singer_sdk.exceptions import RecordsWithoutSchemaException
from singer_sdk.singerlib.exceptions import InvalidInputLine

from offgridflow_common.errors import ContractBroken
from target_offgridflow_duckdb.messages import RecordReader
from tests.target_duckdb.loading import INTEGER, TEXT, InPieces, record, schema, state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.target_duckdb.loading import Loader

LINES = [
    *(json.dumps({"type": "SCHEMA", "stream": stream}) for stream in ("a", "b")),
    *(
        json.dumps({"type": "RECORD", "stream": "ab"[n % 3 == 0], "record": {"n": n, "t": "é" * n}})
        for n in range(50)
    ),
    json.dumps({"type": "STATE", "value": {"cents": 1.5}}),
]
TEXT_OF_ALL = "\n".join(LINES)


@dataclass
class Taking:
    """Takes records of a stream."""

    stream: str
    taken: list[Any]

    def take(self, lines: bytes) -> int:
        messages = [msgspec.json.decode(line) for line in lines.splitlines() if line.strip()]
        if not all(message["type"] == "RECORD" and message["stream"] == self.stream for message in messages):
            raise msgspec.ValidationError
        self.taken.extend((self.stream, message["record"]) for message in messages)
        return len(messages)

    def refusal(self, lines: bytes) -> Exception:
        return ValueError(lines)


def read(file: Any, taken: Sequence[str] = ()) -> tuple[list[Any], dict[str, int]]:
    """All messages in the order they were handled: those that are taken, and those that go to the SDK."""
    handled: list[Any] = []
    reader = RecordReader()
    reader.takers.update({stream: Taking(stream, handled) for stream in taken})
    callbacks = dict.fromkeys(("SCHEMA", "RECORD", "STATE"), handled.append)
    counts = reader.process_lines(file, callbacks)
    return handled, dict(counts)


@pytest.mark.parametrize("taken", ["", "a", "ab"])
@pytest.mark.parametrize("size", [1, 7, 100, 10**6])
@pytest.mark.parametrize("end", ["", "\n", "\n\n \r\n"])
def test_messages_are_handled_in_their_order_whatever_pieces_they_come_in(
    size: int, taken: str, end: str
) -> None:
    handled, counts = read(InPieces(f"{TEXT_OF_ALL}{end}".encode(), size), taken)
    expected: list[Any] = [json.loads(line) for line in LINES]
    for place, message in enumerate(expected):
        if message["type"] == "RECORD" and message["stream"] in taken:
            expected[place] = (message["stream"], message["record"])
    assert handled == expected
    assert counts == {"SCHEMA": 2, "RECORD": 50, "STATE": 1}


@pytest.mark.parametrize(
    "file",
    [io.StringIO(TEXT_OF_ALL), io.TextIOWrapper(io.BytesIO(TEXT_OF_ALL.encode()), encoding="utf-8")],
    ids=["text", "text over bytes"],
)
def test_text_can_be_read_as_well_as_bytes(file: Any) -> None:
    handled, _ = read(file)
    assert handled == [json.loads(line) for line in LINES]


def test_lines_may_end_as_on_windows_and_be_empty() -> None:
    handled, counts = read(io.BytesIO(TEXT_OF_ALL.replace("\n", "\r\n\r\n").encode()), "ab")
    assert len(handled) == len(LINES)
    assert counts["RECORD"] == 50


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"not json", "malformed"),
        (b'{"type": "RECORD"', "truncated"),
        (b'{"stream": "s"}', "missing required field `type`"),
        (b'{"type": "RECORD", "stream": "s", "record": {"v": NaN}}', "malformed"),
        (b"[]", "Expected `object`"),
        (b'{"type": "STATE", "value": 1} {"type": "STATE", "value": 2}', "trailing characters"),
    ],
)
def test_what_is_not_a_message_is_refused_by_its_number(loader: Loader, line: bytes, problem: str) -> None:
    before = [schema("s", v=TEXT), record("s", v="a")]
    with pytest.raises(ContractBroken, match=r"reading message [23] of the tap") as caught:
        loader.load(*before, line, record("s", v="b"))
    assert problem in caught.value.got


def test_a_type_of_message_that_nobody_knows_is_refused(loader: Loader) -> None:
    with pytest.raises(ValueError, match="Unknown message type 'WHAT'"):
        loader.load(schema("s", v=TEXT), {"type": "WHAT"})


def test_a_record_of_a_stream_without_a_schema_is_refused(loader: Loader) -> None:
    with pytest.raises(RecordsWithoutSchemaException):
        loader.load(record("s", v=1))
    with pytest.raises(InvalidInputLine):
        loader.load(schema("s", v=INTEGER), {"type": "RECORD", "record": {"v": 1}})


def test_a_record_that_is_no_object_is_refused(loader: Loader) -> None:
    with pytest.raises(ContractBroken, match="Expected `object`, got `array`"):
        loader.load(schema("s", v=INTEGER), {"type": "RECORD", "stream": "s", "record": []})
    with pytest.raises(ContractBroken, match="missing required field `record`"):
        loader.load(schema("s", v=INTEGER), {"type": "RECORD", "stream": "s"})


def test_records_of_many_streams_in_turn_reach_their_tables(loader: Loader) -> None:
    streams = [f"s{number}" for number in range(7)]
    loader.load(
        *(schema(stream, ["n"], n=INTEGER, name=TEXT) for stream in streams),
        *(record(stream, n=n, name=stream) for n in range(200) for stream in streams[: n % 7 + 1]),
        batch_size_rows=30,
    )
    for number, stream in enumerate(streams):
        expected = [{"n": n, "name": stream} for n in range(200) if n % 7 >= number]
        assert loader.rows(stream) == expected


def test_a_line_of_many_megabytes_is_read(loader: Loader) -> None:
    text = "x" * 20_000_000
    loader.load(schema("s", v=TEXT), record("s", v=text), record("s", v="small"), state({"done": True}))
    assert loader.ask("SELECT length(v) FROM s ORDER BY 1") == [(5,), (len(text),)]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has pipes of other sizes")
def test_pipes_are_widened_to_a_whole_block() -> None:
    fcntl = import_module("fcntl")
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as reading:
        before = fcntl.fcntl(ours, fcntl.F_GETPIPE_SZ)
        os.close(theirs)
        assert read(reading) == ([], {})
        assert before < fcntl.fcntl(ours, fcntl.F_GETPIPE_SZ) == 1024**2
