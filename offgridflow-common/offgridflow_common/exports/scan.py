"""Reading export files in blocks: Parquet and CSV, plain, gzipped or zipped, in the columns of a table."""

from __future__ import annotations

import csv
import zipfile
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Protocol

import polars as pl

from offgridflow_common.errors import FatalError, PermissionDenied, SourceChanged
from offgridflow_common.exports.ahead import each_ahead
from offgridflow_common.exports.csv_blocks import CsvReader
from offgridflow_common.exports.gzipped import DAMAGED, open_gzip
from offgridflow_common.exports.table import Plan

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from offgridflow_common.columns import Column
    from offgridflow_common.exports.table import Table

#: Rows of a block at most: more are no faster.
_MOST_ROWS = 40_000

#: Values of a block: as many as stay below 500 MB while blocks are read, rendered and written.
_VALUES = 2_250_000

#: A map holds many values, and each of them a key.
_VALUES_OF_MAP = 25

#: How files of each form begin; CSV may begin in any way.
_BEGINNINGS = {b"PAR1": ".parquet", b"\x1f\x8b": ".gz", b"PK\x03\x04": ".zip"}

_DAMAGED: tuple[type[Exception], ...] = (*DAMAGED, zipfile.BadZipFile)

#: RuntimeError is what an encrypted archive raises.
_UNREADABLE: tuple[type[BaseException], ...] = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    csv.Error,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def block_rows_of(columns: Iterable[Column]) -> int:
    """How many rows of some columns make a block that is fast to work with and needs little memory."""
    values = sum(_VALUES_OF_MAP if column.kind.is_map else 1 for column in columns)
    return min(_MOST_ROWS, _VALUES // max(1, values))


def read_blocks(  # noqa: PLR0913 - what, of which file, into which columns, and in which way
    path: Path, table: Table, wanted: Sequence[str], *, where: str, block_rows: int, at_once: int = 1
) -> Generator[pl.DataFrame]:
    """The rows of a file in blocks, in the file's order.

    Args:
        path: A Parquet file, or a CSV file, which may be gzipped, or a zip of CSV files, by its first bytes
            whatever its name is. A file of no bytes has no rows.
        table: What the file should contain.
        wanted: The columns to return, as :class:`~offgridflow_common.exports.table.Plan` takes them.
        where: The file's address for messages.
        block_rows: Rows of a block at most.
        at_once: Blocks of a Parquet file that are read at once.

    Raises:
        ContractBroken: A required column is missing.
        FatalError: The file is damaged, or a value is not of its column's type.
        PermissionDenied: The file may not be read.
        SourceChanged: The file was removed since it was listed.
    """
    row = 0
    with _explained(where), closing(_sources(path, block_rows, at_once)) as sources:
        for source in sources:
            if not source.names:
                continue  # an empty file has not even a header
            table.check(source.names, where)
            plan = Plan(table, source.names, wanted)
            # A report may have thousands of columns that become members of few maps.
            source.block_rows = min(block_rows, max(1, _VALUES // max(1, len(plan.sources))))
            for block in source.blocks(plan.sources):
                yield plan.apply(block, first_row=row)
                row += block.height


class _Source(Protocol):
    """Rows with one header.

    Attributes:
        names: The header.
        block_rows: Rows of a block at most.
    """

    names: list[str]
    block_rows: int

    def blocks(self, names: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The rows in blocks, with at least these columns."""


def _sources(path: Path, block_rows: int, at_once: int) -> Generator[_Source]:
    if path.stat().st_size == 0:
        return
    form = _form(path)
    if form == ".parquet":
        yield _ParquetSource(path, block_rows, at_once)
    elif form == ".zip":
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.is_dir() and member.file_size:
                    with archive.open(member) as file:
                        yield CsvReader(file, block_rows)
    elif form == ".gz":
        with open_gzip(path) as unzipped:
            yield CsvReader(unzipped, block_rows)
    else:
        with path.open("rb") as plain:
            yield CsvReader(plain, block_rows)


def _form(path: Path) -> str:
    """What a file is: by its first bytes, else by its name, as of a damaged one."""
    with path.open("rb") as file:
        begin = file.read(max(map(len, _BEGINNINGS)))
    forms = (form for beginning, form in _BEGINNINGS.items() if begin.startswith(beginning))
    return next(forms, path.suffix.lower())


class _ParquetSource:
    """A Parquet file, read slice by slice: memory stays bounded whatever the row groups are."""

    def __init__(self, path: Path, block_rows: int, at_once: int) -> None:
        # A path, whatever stands in it, and never a pattern of paths.
        self._frame = pl.scan_parquet(path, glob=False)
        self.block_rows = block_rows
        self._at_once = at_once
        self.names = self._frame.collect_schema().names()

    def blocks(self, names: Sequence[str]) -> Iterator[pl.DataFrame]:
        rows = self._frame.select(pl.len()).collect().item()

        def read(offset: int) -> pl.DataFrame:
            height = min(self.block_rows, rows - offset)
            if not names:
                return pl.DataFrame(height=height)
            return self._frame.select(names).slice(offset, height).collect()

        offsets = range(0, rows, self.block_rows)
        if self._at_once == 1:
            yield from map(read, offsets)
            return
        with closing(each_ahead(read, offsets, at_once=self._at_once)) as frames:
            yield from frames


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turn what the readers raise about a file into one message that names the file."""
    try:
        yield
    except _DAMAGED as error:
        raise _damaged(where, f"a damaged file ({error})") from error
    except PermissionError as error:
        raise PermissionDenied(
            asked=f"reading {where}", got=f"{error.strerror}", do="let this user read the file"
        ) from error
    except FileNotFoundError as error:
        raise SourceChanged(
            asked=f"reading {where}",
            got="a file that was removed since it was listed",
            do="the period is read again",
        ) from error
    except _UNREADABLE as error:
        raise _damaged(where, f"a file that cannot be read ({_first_line(error)})") from error


def _damaged(where: str, got: str) -> FatalError:
    return FatalError(
        asked=f"reading {where}",
        got=got,
        do="have the period delivered again, or copy the file again; nothing of it counts as read",
    )


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
