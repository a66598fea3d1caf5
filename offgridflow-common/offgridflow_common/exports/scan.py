"""Reading export files in blocks: projected to the wanted columns, in the names and types of a table."""

from __future__ import annotations

import gzip
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, cast

import polars as pl

from offgridflow_common.errors import ContractBroken, FatalError
from offgridflow_common.exports.convert import convert, gather_extra
from offgridflow_common.exports.csv_blocks import CsvReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from offgridflow_common.columns import Column

#: Rows of a block: large enough for columnar speed, small enough that 130 columns stay far below 500 MB.
BLOCK_ROWS = 25_000

#: The column that keeps what the table does not know.
EXTRA = "extra"

#: The column that numbers a file's rows from 0, in the file's order.
ROW_NUMBER = "row_number"


@dataclass(frozen=True, slots=True)
class Table:
    """What the files of an export type contain.

    Attributes:
        columns: The known columns, in the names of the stream.
        required: The columns without which the rows mean nothing.
        rename: From a file's column name to the stream's.
    """

    columns: tuple[Column, ...]
    required: frozenset[str] = frozenset()
    rename: Callable[[str], str] = field(default=lambda name: name)

    @property
    def by_name(self) -> dict[str, Column]:
        """The known columns by name."""
        return {column.name: column for column in self.columns}

    def check(self, present: Sequence[str], where: str) -> None:
        """Make sure that all required columns are there, before the first row is read.

        Raises:
            ContractBroken: Some are missing; the message names them.
        """
        missing = sorted(self.required - {self.rename(name) for name in present})
        if missing:
            raise ContractBroken(
                asked=f"reading {where}",
                got=f"no column {', '.join(missing)}",
                do="add the missing columns to the export's query and have the period delivered again",
            )


def read_blocks(
    path: Path, table: Table, wanted: Sequence[str], *, where: str, block_rows: int = BLOCK_ROWS
) -> Iterator[pl.DataFrame]:
    """The rows of a file in blocks, in the file's order.

    Args:
        path: A Parquet file, or a CSV file, which may be gzipped. A file of no bytes has no rows.
        table: What the file should contain.
        wanted: The columns to return, in this order: columns of the table (null where the file lacks
            one), :data:`EXTRA` and :data:`ROW_NUMBER`.
        where: The file's address for messages.
        block_rows: Rows of a block at most.

    Raises:
        ContractBroken: A required column is missing.
        FatalError: The file is damaged, or a value is not of its column's type.
    """
    if path.stat().st_size == 0:
        return
    parquet = path.name.endswith(".parquet")
    with _explained(where):
        source = _ParquetSource(path) if parquet else _CsvSource(path, block_rows)
        table.check(source.names, where)
        plan = _Plan(table, source.names, wanted)
        row = 0
        for block in source.blocks(plan.sources, block_rows):
            yield plan.apply(block, first_row=row)
            row += block.height


class _Plan:
    """Which source columns to read, and how the wanted columns are made of them."""

    def __init__(self, table: Table, present: Sequence[str], wanted: Sequence[str]) -> None:
        self._known = table.by_name
        self._wanted = wanted
        self._source_of: dict[str, str] = {}
        unknown = []
        for name in present:
            renamed = table.rename(name)
            if renamed in self._known and renamed not in self._source_of:
                self._source_of[renamed] = name
            else:
                unknown.append(name)
        self._unknown = unknown if EXTRA in wanted else []
        self.sources = [self._source_of[name] for name in wanted if name in self._source_of] + self._unknown

    def apply(self, block: pl.DataFrame, *, first_row: int) -> pl.DataFrame:
        return pl.DataFrame([self._column(block, name, first_row) for name in self._wanted])

    def _column(self, block: pl.DataFrame, name: str, first_row: int) -> pl.Series:
        if name == ROW_NUMBER:
            return pl.int_range(first_row, first_row + block.height, eager=True).alias(name)
        if name == EXTRA and self._unknown:
            return gather_extra(block.select(self._unknown), name)
        if name not in self._source_of:
            dtype = self._known[name].kind.dtype if name in self._known else pl.Null()
            return pl.Series(name, [None], dtype=dtype).new_from_index(0, block.height)
        return convert(block[self._source_of[name]], self._known[name].kind).alias(name)


class _ParquetSource:
    """A Parquet file, read slice by slice: memory stays bounded whatever the row groups are."""

    def __init__(self, path: Path) -> None:
        self._frame = pl.scan_parquet(path)
        self.names = list(pl.read_parquet_schema(path))

    def blocks(self, names: Sequence[str], block_rows: int) -> Iterator[pl.DataFrame]:
        rows = self._frame.select(pl.len()).collect().item()
        for offset in range(0, rows, block_rows):
            height = min(block_rows, rows - offset)
            if names:
                yield self._frame.select(names).slice(offset, height).collect()
            else:
                yield pl.DataFrame(height=height)


class _CsvSource:
    """A CSV file, gzipped or not, read record by record end; every value is text."""

    def __init__(self, path: Path, block_rows: int) -> None:
        # Closed by the reader, which outlives this call.
        stream = gzip.open(path) if path.name.endswith(".gz") else path.open("rb")  # noqa: SIM115
        self._reader = CsvReader(cast("IO[bytes]", stream), block_rows)
        self.names = self._reader.names

    def blocks(self, names: Sequence[str], block_rows: int) -> Iterator[pl.DataFrame]:
        del block_rows  # the reader cuts its blocks by itself
        return self._reader.blocks(names)


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turn what the readers raise about a file into one message that names the file."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _damaged(where, f"a damaged gzip file ({error})") from error
    except (pl.exceptions.PolarsError, OSError, TypeError, ValueError) as error:
        raise _damaged(where, f"a file that cannot be read ({_first_line(error)})") from error


def _damaged(where: str, got: str) -> FatalError:
    return FatalError(
        asked=f"reading {where}",
        got=got,
        do="have the period delivered again, or copy the file again; nothing of it counts as read",
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
