"""CSV in blocks: read in chunks, parsed by polars; a file of any size needs little memory.

polars fills short records up with null and cuts long ones, so it must be found out whether each record has as
many fields as the header. To that end each line gets one more field: a mark, which the lines do not hold. A
record fits exactly if polars finds the mark in the field behind the header's last one. Lines that end inside
of quotes got a mark, too; it is taken out of the values again.

A chunk is cut behind its last newline. Now and then that one stands inside of quotes: then the last record
does not fit, and the chunk is cut again, where an even number of quotes says that a record ends.
"""

from __future__ import annotations

import csv
import re
from contextlib import closing
from typing import IO, TYPE_CHECKING

import polars as pl

from offgridflow_common.exports.ahead import ahead

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

_CHUNK_BYTES = 16 * 1024**2

#: A record that is longer is no record: a quote before it was never closed.
_LONGEST_RECORD = 64 * 1024**2

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MARK = b"\x1e"
_LINE_END = re.compile(rb"\r?\n")
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
        self._rows = 0
        self._columns_with_lines: set[str] = set()
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
        with self._stream, closing(ahead(self._chunks())) as chunks:
            for chunk in chunks:
                if (frame := self._take_records(chunk, positions)) is not None:
                    self._rows += frame.height
                    frame.columns = [self.names[position] for position in positions]
                    yield from frame.iter_slices(self._block_rows)

    def _chunks(self) -> Generator[bytes]:
        """The bytes behind the header; at the end, no bytes."""
        while chunk := self._stream.read(_CHUNK_BYTES):
            yield chunk
        yield b""

    def _take_records(self, chunk: bytes, positions: list[int]) -> pl.DataFrame | None:
        """The records that end with this chunk; none where none does. The end completes the last one."""
        cut = chunk.rfind(b"\n") + 1
        lines = b"".join((self._pending, memoryview(chunk)[:cut])) if cut or not chunk else b""
        try:
            frame = self._parse(lines, positions) if lines else None
        except (pl.exceptions.PolarsError, ValueError):
            pending = self._pending + chunk
            end = len(pending) if not chunk else _last_record_end(pending)
            if end == len(lines):
                raise
            frame = self._parse(pending[:end], positions) if end else None
            self._pending = pending[end:]
        else:
            self._pending = chunk[cut:] if lines else self._pending + chunk
        if len(self._pending) > _LONGEST_RECORD:
            raise ValueError(f"a quote that is never closed, after row {self._rows}")
        return frame

    def _parse(self, lines: bytes, positions: list[int]) -> pl.DataFrame:
        """Some columns of whole records.

        Raises:
            polars.exceptions.PolarsError, ValueError: What is wrong with them.
        """
        mark = _MARK
        while mark in lines:
            mark += _MARK
        marked = _with_last_field(lines, mark)
        marks = (len(marked) - len(lines)) // len(b"," + mark)
        behind_last = len(self.names)
        try:
            frame = pl.read_csv(
                # polars drops a byte order mark from each text it is given; only a file's first is one.
                _BYTE_ORDER_MARK + marked if marked.startswith(_BYTE_ORDER_MARK) else marked,
                has_header=False,
                schema={str(position): pl.String() for position in range(behind_last + 1)},
                columns=[*positions, behind_last],
                raise_if_empty=False,
            )
        except pl.exceptions.SchemaError as error:  # all records are too short
            raise ValueError(self._complaint(lines)) from error
        found = frame.drop_in_place(str(behind_last))
        if found.null_count() or (found != mark.decode()).any():
            raise ValueError(self._complaint(lines))
        self._unmark(frame, f",{mark.decode()}", marks - frame.height)
        return frame

    def _unmark(self, frame: pl.DataFrame, text: str, marks: int) -> None:
        """Take marks out of values, where lines ended inside of quotes; look where they were before first."""
        for name in sorted(frame.columns, key=lambda name: name not in self._columns_with_lines):
            if not marks:
                break
            values = frame[name]
            if values.str.contains(text, literal=True).any():
                self._columns_with_lines.add(name)
                marks -= int(values.str.count_matches(text, literal=True).sum())
                unmarked = values.str.replace_all(text, "", literal=True)
                frame.replace_column(frame.get_column_index(name), unmarked)

    def _complaint(self, lines: bytes) -> str:
        """What is wrong with the first record that does not fit the header."""
        structure = _QUOTED.sub(b"", lines.translate(None, _ALL_BUT_STRUCTURE))
        if b'"' in structure:
            return f"a quote that is never closed, after row {self._rows}"
        for number, commas in enumerate(structure.split(b"\n"), start=self._rows + 1):
            if len(commas) + 1 != len(self.names):
                return f"row {number} has {len(commas) + 1} fields, the header has {len(self.names)}"
        return f"quotes where none may stand, after row {self._rows}"

    def _take_header(self) -> bytes:
        while (end := _first_record_end(self._pending)) < 0 and (chunk := self._stream.read(_CHUNK_BYTES)):
            self._pending += chunk
            if len(self._pending) > _LONGEST_RECORD:
                raise ValueError("a quote that is never closed, in the header")
        cut = end if end >= 0 else len(self._pending)
        header, self._pending = self._pending[:cut], self._pending[cut:]
        return header.removeprefix(_BYTE_ORDER_MARK).rstrip(b"\r\n")


def _with_last_field(lines: bytes, field: bytes) -> bytes:
    """The lines with one more field each."""
    if b"\r" in lines:
        marked = _LINE_END.sub(b"," + field + rb"\g<0>", lines)
    else:
        marked = lines.replace(b"\n", b"," + field + b"\n")
    return marked if lines.endswith(b"\n") else marked + b"," + field


def _first_record_end(data: bytes) -> int:
    """Where the first record ends (after its newline); -1 if it does not.

    A newline ends a record if an even number of quotes stands before it.
    """
    start = quotes = 0
    while (end := data.find(b"\n", start)) >= 0:
        quotes += data.count(b'"', start, end)
        if quotes % 2 == 0:
            return end + 1
        start = end + 1
    return -1


def _last_record_end(data: bytes) -> int:
    """Where the last complete record ends (after its newline); 0 if none does."""
    # From the end: quotes are counted once, then only those between one newline and the one before it.
    end = data.rfind(b"\n")
    quotes = data.count(b'"', 0, end) if end >= 0 else 0
    while end >= 0 and quotes % 2:
        before = data.rfind(b"\n", 0, end)
        quotes -= data.count(b'"', max(before, 0), end)
        end = before
    return end + 1


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
