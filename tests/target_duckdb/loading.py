"""Driving the target in tests: messages in, states and tables out."""

from __future__ import annotations

import io
import json
import signal
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

from target_offgridflow_duckdb.target import TargetOffgridflowDuckdb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    Message = dict[str, Any]

TEXT = {"type": ["string", "null"]}
NUMBER = {"type": ["number", "null"]}
INTEGER = {"type": ["integer", "null"]}
BOOLEAN = {"type": ["boolean", "null"]}
OBJECT = {"type": ["object", "null"]}
MOMENT = {"type": ["string", "null"], "format": "date-time"}
#: So few that blocks hold records only, and records among other messages.
PIECE_BYTES = 200
DATE = {"type": ["string", "null"], "format": "date"}
TIME = {"type": ["string", "null"], "format": "time"}


def schema(stream: str, keys: Sequence[str] = (), **properties: Mapping[str, Any]) -> Message:
    """A SCHEMA message."""
    return {
        "type": "SCHEMA",
        "stream": stream,
        "schema": {"type": "object", "properties": dict(properties)},
        "key_properties": list(keys),
    }


def record(stream: str, /, **values: Any) -> Message:
    """A RECORD message."""
    return {"type": "RECORD", "stream": stream, "record": values}


def state(value: Any) -> Message:
    """A STATE message."""
    return {"type": "STATE", "value": value}


class InPieces(io.BytesIO):
    """Gives so many bytes at once, as a pipe may."""

    def __init__(self, content: bytes, size: int) -> None:
        super().__init__(content)
        self._size = size

    def read1(self, size: int | None = -1, /) -> bytes:
        del size
        return super().read1(self._size)


@dataclass(frozen=True)
class Loader:
    """Loads into a database of its own.

    Attributes:
        path: The database.
        config: Settings beside the path.
    """

    path: Path
    config: Mapping[str, Any]

    def load(self, *messages: Message | bytes, **config: Any) -> list[Any]:
        """Load messages in one run; gives the states that went out."""
        lines = (line if isinstance(line, bytes) else json.dumps(line).encode() for line in messages)
        output = io.StringIO()
        with kept_signal_handlers(), redirect_stdout(output):
            target = TargetOffgridflowDuckdb(config={"path": str(self.path), **self.config, **config})
            try:
                target.listen(InPieces(b"\n".join(lines), PIECE_BYTES))
            finally:
                target.tables.database.close()
        return [json.loads(line) for line in output.getvalue().splitlines()]

    def ask(self, question: str, *values: Any) -> list[Any]:
        """The rows that answer a question."""
        with duckdb.connect(str(self.path)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(question, values).fetchall()

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table, in the order of its first column."""
        with duckdb.connect(str(self.path)) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            cursor = connection.execute(f"FROM {table} ORDER BY 1")
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def types(self, table: str) -> dict[str, str]:
        """The types of a table's columns."""
        return {name: kind for name, kind, *_ in self.ask(f"DESCRIBE {table}")}


def records_of(stream: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[Message]:
    """RECORD messages."""
    return ({"type": "RECORD", "stream": stream, "record": dict(row)} for row in rows)


@contextmanager
def kept_signal_handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
