"""CSV in blocks: cut where a record ends, parsed by polars; a file of any size needs little memory."""

from __future__ import annotations

import csv
import re
from typing import IO, TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CHUNK_BYTES = 16 * 1024**2

#: A record that is longer is no record: a quote before it was never closed.
_LONGEST_RECORD = 64 * 1024**2

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_QUOTED = re.compile(rb'"[^"]*"')
_ALL_BUT_STRUCTURE = bytes(byte for byte in range(256) if byte not in b',"\n')


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
        self._rows = 0
        header = self._take_header()
        self.names = _unique(next(csv.reader([header.decode("utf-8")], strict=True), []))

    def blocks(self, names: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The records, every value as text, projected to some columns (in the file's order).

        With no columns asked for, the first one stands in, so that the rows can be counted.

        Raises:
            EOFError, OSError: The stream is damaged.
            polars.exceptions.PolarsError, ValueError: A record has more or fewer fields than the header, a
                quote is never closed, or the text is not UTF-8.
        """
        positions = sorted(self.names.index(name) for name in names) or [0]
        schema = {str(position): pl.String() for position in range(len(self.names))}
        with self._stream:
            for chunk in self._chunks():
                records = self._checked(chunk)
                # polars drops a byte order mark from each text it is given; only a file's first is one.
                mark = _BYTE_ORDER_MARK if chunk.startswith(_BYTE_ORDER_MARK) else b""
                frame = pl.read_csv(
                    mark + chunk,
                    has_header=False,
                    schema=schema,
                    columns=positions,
                    raise_if_empty=False,
                )
                if frame.height != records:
                    raise ValueError(
                        f"expected {records} records before row {self._rows}, got {frame.height}"
                    )
                frame.columns = [self.names[position] for position in positions]
                yield from frame.iter_slices(self._block_rows)

    def _checked(self, chunk: bytes) -> int:
        """The number of a chunk's records, each of which has as many fields as the header.

        polars fills short records up with null and cuts long ones where not all columns are asked for.
        """
        structure = chunk.translate(None, _ALL_BUT_STRUCTURE).replace(b'""', b"")
        plain = _QUOTED.sub(b"", structure)
        if b'"' in plain:
            raise ValueError(f"a quote that is never closed, after row {self._rows}")
        ended = plain if chunk.endswith(b"\n") else plain + b"\n"
        records = ended.count(b"\n")
        record = b"," * (len(self.names) - 1) + b"\n"
        if ended != record * records:
            self._complain(ended)
        self._rows += records
        return records

    def _complain(self, records: bytes) -> None:
        for number, record in enumerate(records.splitlines(), start=self._rows + 1):
            fields = len(record) + 1
            if fields != len(self.names):
                raise ValueError(f"row {number} has {fields} fields, the header has {len(self.names)}")

    def _take_header(self) -> bytes:
        while (end := _record_end(self._pending, first=True)) < 0 and self._fill():
            if len(self._pending) > _LONGEST_RECORD:
                raise ValueError("a quote that is never closed, in the header")
        cut = end if end >= 0 else len(self._pending)
        header, self._pending = self._pending[:cut], self._pending[cut:]
        return header.removeprefix(_BYTE_ORDER_MARK).rstrip(b"\r\n")

    def _chunks(self) -> Iterator[bytes]:
        while self._fill() or self._pending:
            cut = len(self._pending) if self._ended else _record_end(self._pending)
            if cut > 0:
                chunk, self._pending = self._pending[:cut], self._pending[cut:]
                yield chunk
            elif len(self._pending) > _LONGEST_RECORD:
                raise ValueError(f"a quote that is never closed, after row {self._rows}")

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
    if first:
        start = quotes = 0
        while (end := data.find(b"\n", start)) >= 0:
            quotes += data.count(b'"', start, end)
            if quotes % 2 == 0:
                return end + 1
            start = end + 1
        return -1
    # From the end: quotes are counted once, then only those between one newline and the one before it.
    end = data.rfind(b"\n")
    quotes = data.count(b'"', 0, end) if end >= 0 else 0
    while end >= 0 and quotes % 2:
        before = data.rfind(b"\n", 0, end)
        quotes -= data.count(b'"', max(before, 0), end)
        end = before
    return end + 1 if end >= 0 else -1


def _unique(names: Sequence[str]) -> list[str]:
    taken = set(names)
    seen: set[str] = set()
    unique = []
    for name in names:
        free = name
        number = 1
        while free in seen or (free != name and free in taken):
            number += 1
            free = f"{name}_{number}"
        seen.add(free)
        unique.append(free)
    return unique
