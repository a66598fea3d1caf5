"""CSV in blocks: cut where a record ends, parsed by polars; a file of any size needs little memory."""

from __future__ import annotations

import csv
import re
from typing import IO, TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CHUNK_BYTES = 16 * 1024**2
_QUOTED = re.compile(rb'"[^"]*"')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class CsvReader:
    """Reads CSV with a header from a stream of bytes (UTF-8, comma, RFC 4180 quoting).

    Args:
        stream: The bytes, decompressed; closed when all is read.
        block_rows: Rows of a block at most.

    Attributes:
        names: The header's names, in order; names that occur again get the suffix ``_2``, ``_3``, ...
    """

    def __init__(self, stream: IO[bytes], block_rows: int) -> None:
        self._stream = stream
        self._block_rows = block_rows
        self._pending = b""
        self._ended = False
        header = self._take_header()
        self.names = _unique(next(csv.reader([header.decode("utf-8")], strict=True), []))

    def blocks(self, names: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The records, every value as text, projected to some columns (in the file's order).

        The last column always comes along: it counts the rows, and shows records that end too early.

        Raises:
            EOFError, OSError: The stream is damaged.
            polars.exceptions.PolarsError: A record has more fields than the header.
            ValueError: A record has fewer fields than the header.
        """
        positions = sorted({self.names.index(name) for name in names} | {len(self.names) - 1})
        with self._stream:
            for chunk in self._chunks():
                frame = pl.read_csv(
                    chunk, has_header=False, schema=dict.fromkeys(self.names, pl.String()), columns=positions
                )
                self._refuse_short_records(chunk, frame)
                yield from frame.iter_slices(self._block_rows)

    def _refuse_short_records(self, chunk: bytes, frame: pl.DataFrame) -> None:
        """Short records are filled up with null by polars: only a null in the last column can be one."""
        if not frame[self.names[-1]].null_count():
            return
        separators = _QUOTED.sub(b"", chunk).count(b",")
        missing = frame.height * (len(self.names) - 1) - separators
        if missing:
            raise ValueError(
                f"records with {missing} fields less than the header's {len(self.names)} columns"
            )

    def _take_header(self) -> bytes:
        while (end := _record_end(self._pending, first=True)) < 0 and self._fill():
            pass
        cut = end if end >= 0 else len(self._pending)
        header, self._pending = self._pending[:cut], self._pending[cut:]
        return header.removeprefix(_BYTE_ORDER_MARK).rstrip(b"\r\n")

    def _chunks(self) -> Iterator[bytes]:
        while self._fill() or self._pending:
            cut = len(self._pending) if self._ended else _record_end(self._pending)
            if cut > 0:
                chunk, self._pending = self._pending[:cut], self._pending[cut:]
                yield chunk

    def _fill(self) -> bool:
        if self._ended:
            return False
        data = self._stream.read(_CHUNK_BYTES)
        self._ended = not data
        self._pending += data
        return bool(data)


def _record_end(data: bytes, *, first: bool = False) -> int:
    """Where the first or last complete record ends (after its newline); -1 if none does.

    A newline ends a record if an even number of quotes stands before it.
    """
    find = data.find if first else data.rfind
    position = find(b"\n")
    while position >= 0 and data.count(b'"', 0, position) % 2:
        position = data.find(b"\n", position + 1) if first else data.rfind(b"\n", 0, position)
    return position + 1 if position >= 0 else -1


def _unique(names: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return unique
