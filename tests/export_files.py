"""What data files of exports say, read without a tap and compared with what it gives."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    Row = dict[str, Any]

#: An empty field of a CSV file, where the csv module cannot tell no text from text of no length.
EMPTY = object()
#: Places that agree between two numbers: what a float surely carries.
SIGNIFICANT = Decimal("1e-15")


def file_rows(path: Path) -> list[Row]:
    """The rows of a data file as they stand there: text of CSV, values of Parquet."""
    content = path.read_bytes()
    if not content:
        return []
    if path.name.endswith(".parquet"):
        rows: list[Row] = pq.read_table(io.BytesIO(content)).to_pylist(maps_as_pydicts="strict")
        return rows
    if path.name.endswith(".zip"):
        with zipfile.ZipFile(path) as archive:
            return [row for name in archive.namelist() for row in _csv_rows(archive.read(name))]
    return _csv_rows(gzip.decompress(content) if path.name.endswith(".gz") else content)


def _csv_rows(content: bytes) -> list[Row]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def decimal(value: Any) -> Decimal:
    """A number of a file or a record without loss; zero for none."""
    return Decimal(0) if value in (None, "", "NULL") else Decimal(str(value))


def sums(rows: Iterable[Row], by: Sequence[str], of: str) -> dict[tuple[Any, ...], Decimal]:
    """Exact sums of a column by others; nothing and text of no length are the same."""
    totals: defaultdict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
    for row in rows:
        totals[tuple(row.get(name) or None for name in by)] += decimal(row.get(of))
    return dict(totals)


def same(got: Any, true: Any) -> bool:
    """Whether a record's value is the file's: numbers to 15 significant digits, all else exactly."""
    if true is EMPTY:
        return got in (None, "")
    if isinstance(true, dict):
        return (
            isinstance(got, dict)
            and got.keys() == true.keys()
            and all(same(got[key], value) for key, value in true.items())
        )
    if isinstance(true, Decimal):
        return type(got) in (int, float) and abs(Decimal(repr(got)) - true) <= abs(true) * SIGNIFICANT
    return type(got) is type(true) and got == true


def iso(moment: datetime) -> str:
    """A time as it stands in a record."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat(timespec="microseconds")
