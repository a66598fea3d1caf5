"""Rows: lines of records turned into columns, with what is wrong with them."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec
import polars as pl
from msgspec.structs import astuple
from singer_sdk.exceptions import MissingKeyPropertiesError

from offgridflow_common.errors import ContractBroken
from target_offgridflow_duckdb.messages import UNREADABLE
from target_offgridflow_duckdb.values import decoded, series

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from target_offgridflow_duckdb.columns import Column


class RecordMessage(Protocol):
    """A RECORD message whose record has been read."""

    record: Any
    time_extracted: str | None
    version: int | None


class RowReader:
    """Turns the records of a stream into frames.

    Numbers keep all their digits, and JSON stays as it was written. A value that is not of its property's
    type is an error: DuckDB would rather make a 2 of a 1.5 than refuse it.

    Args:
        stream: The stream.
        columns: What is read; other properties are left out.
        keys: Names of the columns that every record must have.

    Raises:
        ContractBroken: There is no column for a key.
    """

    def __init__(self, stream: str, columns: Sequence[Column], keys: Sequence[str]) -> None:
        self._stream = stream
        self._columns = columns
        if unknown := set(keys) - {column.name for column in columns}:
            raise self._broken(f"no property for the key `{'`, `'.join(sorted(unknown))}`")
        self._fields = {column.name: f"f{number}" for number, column in enumerate(columns)}
        # msgspec finds members by their names as JSON spells them, and knows none that JSON escapes.
        escaped = any(msgspec.json.encode(name) != f'"{name}"'.encode() for name in self._fields)
        fields = []
        for column in columns:
            kind, nothing = decoded(column.decoding)
            name = None if escaped else column.name
            default = msgspec.NODEFAULT if column.name in keys else nothing
            fields.append((self._fields[column.name], kind, msgspec.field(name=name, default=default)))
        row = msgspec.defstruct("Row", fields, kw_only=True, gc=False)
        self._rows = _Lines(row, "$", self._renamed if escaped else None)
        self._messages = _Lines(
            _message_of(stream, row), "$.record", self._renamed_message if escaped else None
        )

    def messages(self, lines: bytes) -> list[RecordMessage]:
        """Read RECORD messages of the stream, one on each line.

        Raises:
            DecodeError: A line is something else, or a record is not what the schema says.
            UnicodeDecodeError: The same.
        """
        return self._messages.read(lines)

    def refusal(self, lines: bytes) -> Exception:
        """What is wrong with lines that :meth:`messages` does not read."""
        return self._refusal(self._messages, lines)

    def frame(self, messages: Iterable[RecordMessage]) -> pl.DataFrame:
        """The columns of records.

        Raises:
            ContractBroken: A value does not have the type that the schema gives to its property.
        """
        return self._frame(message.record for message in messages)

    def frame_of_lines(self, lines: bytes) -> pl.DataFrame:
        """The columns of records that are lines by themselves.

        Raises:
            MissingKeyPropertiesError: A record lacks a key.
            ContractBroken: A value does not have the type that the schema gives to its property.
        """
        try:
            rows = self._rows.read(lines)
        except UNREADABLE as error:
            raise self._refusal(self._rows, lines) from error
        return self._frame(rows)

    def _frame(self, rows: Iterable[Any]) -> pl.DataFrame:
        with _collector_paused():
            columns = tuple(zip(*map(astuple, rows), strict=True)) or ((),) * len(self._columns)
            return pl.DataFrame(
                [self._series(column, values) for column, values in zip(self._columns, columns, strict=True)]
            )

    def _renamed_message(self, line: bytes) -> bytes:
        """A RECORD message whose record's properties have the names of fields."""
        members = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        if "record" in members:
            members["record"] = msgspec.Raw(self._renamed(members["record"]))
        return msgspec.json.encode(members)

    def _renamed(self, record: bytes | msgspec.Raw) -> bytes:
        """A record whose properties have the names of fields."""
        members = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
        known = {field: members[name] for name, field in self._fields.items() if name in members}
        return msgspec.json.encode(known)

    def _refusal(self, lines: _Lines, text: bytes) -> Exception:
        problem, lacks_key = lines.problem(text)
        for name, field in self._fields.items() if lines.renames else ():
            problem = problem.replace(f"$.{field}`", f"$.{name}`").replace(f"`{field}`", f"`{name}`")
        return MissingKeyPropertiesError(f"{self._stream}: {problem}") if lacks_key else self._broken(problem)

    def _series(self, column: Column, values: Sequence[Any]) -> pl.Series:
        try:
            return series(column, values)
        except (TypeError, ValueError, msgspec.DecodeError) as error:
            raise self._broken(f"{str(error).splitlines()[0]} - at `$.{column.name}`") from error

    def _broken(self, problem: str) -> ContractBroken:
        return ContractBroken(
            asked=f"reading records of {self._stream}",
            got=problem,
            do="correct the tap, or its schema with the tap's extra `schema` in Meltano: a property of "
            "several types takes any value, and a `maximum` makes room for integers beyond BIGINT",
        )


class _Lines:
    """Lines of JSON that are read as one type.

    Args:
        kind: The type.
        record: Where the record is in it, as a path of msgspec.
        renamed: What the properties of each line's record are renamed by first, if they must be.
    """

    def __init__(self, kind: type, record: str, renamed: Callable[[bytes], bytes] | None) -> None:
        self._decoder = msgspec.json.Decoder[Any](kind)
        self._record = record
        self._renamed = renamed

    @property
    def renames(self) -> bool:
        """Whether properties are renamed."""
        return self._renamed is not None

    def read(self, lines: bytes) -> list[Any]:
        """What is on the lines."""
        if self._renamed:
            lines = b"\n".join(map(self._renamed, filter(bytes.strip, lines.splitlines())))
        return self._decoder.decode_lines(lines)

    def problem(self, lines: bytes) -> tuple[str, bool]:
        """What is wrong with the first line that cannot be read, and whether its record lacks a key."""
        for line in filter(bytes.strip, lines.splitlines()):
            try:
                self._decoder.decode(self._renamed(line) if self._renamed else line)
            except UNREADABLE as error:
                what, _, path = str(error).partition(" - at ")
                path = path.strip("`") or "$"
                place = path.replace(self._record, "$", 1)
                lacks_key = path == self._record and what.startswith("Object missing required field")
                return (what if place == "$" else f"{what} - at `{place}`"), lacks_key
        return "lines that are not of one record each", False


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep the garbage collector from looking through thousands of tuples that are gone in a moment."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _message_of(stream: str, row: type) -> type:
    """The type of RECORD messages of a stream."""
    return msgspec.defstruct(
        "RecordMessage",
        [
            ("type", Literal["RECORD"]),
            ("stream", Literal[stream]),
            ("record", row),
            ("time_extracted", str | None, None),
            ("version", int | None, None),
        ],
        gc=False,
    )
