"""CSV in blocks: read in chunks, parsed by polars; a file of any size needs little memory.

polars fills short records up with null and cuts long ones, so it must be found out whether each record has as
many fields as the header. To that end each line gets one more field: a mark, which the lines do not hold. A
record fits exactly if polars finds the mark in the field after the header's last one. Lines inside of quoted
values are marked, too; these marks are taken out of the values again.

A chunk is cut after its last newline. If that newline is inside of quotes, the last record does not fit, and
the chunk is cut again after the last newline that an even number of quotes precedes.
"""

from __future__ import annotations

import csv
import re
from contextlib import closing
from itertools import chain
from typing import IO, TYPE_CHECKING

import polars as pl

from offgridflow_common.exports.ahead import ahead
from offgridflow_common.exports.marked_lines import MarkedLines

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

#: What is parsed at once, and in how many pieces it is read. Where blocks have fewer rows than this, because
#: many columns are wanted, less is as fast, and needs less memory.
_CHUNK_BYTES = 16 * 1024**2
_PIECES = 16
_NARROW_ROWS = 20_000

#: Of files with more columns than this less is parsed at once: most of their values are empty.
_MANY_COLUMNS = 500

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
        block_rows: May be made smaller before blocks are read.
    """

    def __init__(self, stream: IO[bytes], block_rows: int) -> None:
        self._stream = stream
        self.block_rows = block_rows
        self._chunk_bytes = _CHUNK_BYTES if block_rows >= _NARROW_ROWS else _CHUNK_BYTES * 3 // 4
        self._pieces_left = self._pieces()
        #: Of a record whose end is still to be read.
        self._pending = b""
        self._rows = 0
        #: Columns with values of several lines; these are read even if nobody wants them.
        self._with_lines: set[int] = set()
        header = self._take_header()
        self.names = _unique(next(csv.reader([header.decode("utf-8")], strict=True), []))
        self._chunk_bytes = self._chunk_bytes * _MANY_COLUMNS // max(_MANY_COLUMNS, len(self.names))

    def blocks(self, names: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The records, every value as text, projected to some columns (in the file's order).

        With no columns asked for, the first one stands in, so that the rows can be counted.

        Raises:
            EOFError, OSError: The stream is damaged.
            polars.exceptions.PolarsError, ValueError: A record has more or fewer fields than the header, a
                quote is never closed, or the text is not UTF-8.
        """
        positions = sorted(self.names.index(name) for name in names) or [0]
        with closing(self._frames(positions)) as frames:
            for block in _blocks_of(frames, self.block_rows):
                block.columns = [self.names[position] for position in positions]
                yield block

    def _frames(self, positions: list[int]) -> Generator[pl.DataFrame]:
        """The records, as many at a time as a chunk of the file holds."""
        with self._stream, closing(ahead(self._chunks())) as chunks:
            for chunk in chunks:
                if (frame := self._take_records(chunk, positions)) is not None:
                    self._rows += frame.height
                    yield frame
            if self._pending:
                yield self._parse(MarkedLines.of(self._pending), positions)

    def _pieces(self) -> Iterator[bytes]:
        """The bytes, a few at a time; none ends inside of CRLF."""
        while piece := self._stream.read(max(1, self._chunk_bytes // _PIECES)):
            while piece.endswith(b"\r") and (more := self._stream.read(1)):
                piece += more
            yield piece

    def _chunks(self) -> Generator[MarkedLines]:
        """The lines after the header, many at a time; each piece is marked while the processor has it."""
        parts: list[MarkedLines] = []
        size = ended = 0
        for piece in self._pieces_left:
            end = piece.rfind(b"\n") + 1
            ended = size + end if end else ended
            size += len(piece)
            cut = end if size >= self._chunk_bytes else 0
            parts.append(MarkedLines.of(piece[:cut] if cut else piece))
            if cut:
                yield MarkedLines.joined(parts)
                parts = [MarkedLines.of(piece[cut:])]
                size, ended = len(piece) - cut, 0
            elif size - ended > _LONGEST_RECORD:
                raise ValueError("a line that does not end: no CSV, or a quote that is never closed")
        if size:
            yield MarkedLines.joined(parts if size == ended else [*parts, MarkedLines.of(b"\n")])

    def _take_records(self, lines: MarkedLines, positions: list[int]) -> pl.DataFrame | None:
        """The records that end with these lines; none where none does."""
        if self._pending:
            lines = MarkedLines.of(self._pending + lines.lines)
        frame: pl.DataFrame | None
        try:
            frame = self._parse(lines, positions)
        except (pl.exceptions.PolarsError, ValueError):
            unmarked = lines.lines
            end = _last_record_end(unmarked)
            if end == len(unmarked):
                raise
            frame = self._parse(MarkedLines.of(unmarked[:end]), positions) if end else None
            self._pending = unmarked[end:]
            if len(self._pending) > _LONGEST_RECORD:
                raise ValueError(f"a quote that is never closed, after row {self._rows}") from None
        else:
            self._pending = b""
        return frame

    def _parse(self, lines: MarkedLines, positions: list[int]) -> pl.DataFrame:
        """Some columns of whole records.

        Raises:
            polars.exceptions.PolarsError, ValueError: What is wrong with them.
        """
        after_last = len(self.names)
        try:
            frame = self._read(lines, {*positions, *self._with_lines, after_last})
        except pl.exceptions.SchemaError as error:  # all records are too short
            raise ValueError(self._complaint(lines.lines)) from error
        found = frame.drop_in_place(str(after_last))
        if found.null_count() or (found != lines.mark.decode()).any():
            raise ValueError(self._complaint(lines.lines))
        self._unmark(frame, lines)
        return frame.select(map(str, positions))

    def _read(self, lines: MarkedLines, positions: Iterable[int]) -> pl.DataFrame:
        """Some fields of each record; after the header's last one stands the mark."""
        text = lines.text
        return pl.read_csv(
            # polars drops a byte order mark from each text it is given; only a file's first is one.
            _BYTE_ORDER_MARK + text if text.startswith(_BYTE_ORDER_MARK) else text,
            has_header=False,
            schema={str(position): pl.String() for position in range(len(self.names) + 1)},
            columns=sorted(positions),
            raise_if_empty=False,
        )

    def _unmark(self, frame: pl.DataFrame, lines: MarkedLines) -> None:
        """Take marks out of values, where lines ended inside of quotes; look where they were before first.

        Looking for them everywhere costs more than to read some more columns, which are known to hold lines.
        """
        text = lines.field.decode()
        marks = lines.count - frame.height
        marks -= _unmark_columns(frame, text, self._with_lines)
        if marks:
            held = _columns_with(frame, text)
            marks -= _unmark_columns(frame, text, held)
            self._with_lines |= held
        if marks:
            others = {*range(len(self.names))}.difference(map(int, frame.columns))
            self._with_lines |= _columns_with(self._read(lines, others), text)

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
        head = b""
        while (end := _first_record_end(head)) < 0 and (piece := next(self._pieces_left, b"")):
            head += piece
            if len(head) > _LONGEST_RECORD:
                raise ValueError("a quote that is never closed, in the header")
        cut = end if end >= 0 else len(head)
        if cut < len(head):
            self._pieces_left = chain([head[cut:]], self._pieces_left)
        return head[:cut].removeprefix(_BYTE_ORDER_MARK).rstrip(b"\r\n")


def _columns_with(frame: pl.DataFrame, text: str) -> set[int]:
    """The columns in some value of which a text stands."""
    holds = frame.select(pl.all().str.contains(text, literal=True).any()).row(0, named=True)
    return {int(name) for name, held in holds.items() if held}


def _unmark_columns(frame: pl.DataFrame, text: str, positions: Iterable[int]) -> int:
    """Take marks out of some columns, and say how many there were."""
    length = 0
    for position in positions:
        index = frame.get_column_index(str(position))
        values = frame.to_series(index)
        unmarked = values.str.replace_all(text, "", literal=True)
        length += _bytes_in(values) - _bytes_in(unmarked)
        frame.replace_column(index, unmarked)
    return length // len(text)


def _bytes_in(values: pl.Series) -> int:
    return int(values.str.len_bytes().sum())


def _blocks_of(frames: Iterable[pl.DataFrame], rows: int) -> Iterator[pl.DataFrame]:
    """The same rows in frames of at most so many rows: small ones are put together, large ones are cut."""
    held: list[pl.DataFrame] = []
    for frame in frames:
        held.append(frame)
        if sum(one.height for one in held) + frame.height > rows:  # another one would be too much
            yield from pl.concat(held).iter_slices(rows)
            held.clear()
    if held:
        yield from pl.concat(held).iter_slices(rows)


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
