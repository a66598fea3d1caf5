"""Writing tables of an export as the provider does: Parquet with INT96 times and maps, or CSV in gzip."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

CSV_TIME = "%Y-%m-%dT%H:%M:%S.000Z"
CSV_BATCH_ROWS = 65_536
# What JSON text cannot hold as it is; the backslash comes first, since the others bring new ones.
_ESCAPES = (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t"))


def write_parquet(
    data: pa.Table | Iterable[pa.RecordBatch], path: Path, *, row_group_rows: int = 262_144
) -> int:
    """Write one snappy Parquet file and return its rows; batches are held for one row group only.

    A table becomes one row group if it is not longer than `row_group_rows`. The Arrow schema is left out of
    the file, so readers see what the provider's files show.
    """
    rows = 0
    writer: pq.ParquetWriter | None = None
    try:
        for group in _groups(data, row_group_rows):
            if writer is None:
                writer = pq.ParquetWriter(
                    path,
                    group.schema,
                    compression="snappy",
                    use_deprecated_int96_timestamps=True,
                    store_schema=False,
                )
            writer.write_table(group, row_group_size=row_group_rows)
            rows += group.num_rows
    finally:
        if writer is not None:
            writer.close()
    if writer is None:
        raise ValueError("no batches and so no schema to write: give an empty table")
    return rows


def _groups(data: pa.Table | Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    if isinstance(data, pa.Table):
        yield data
        return
    held: list[pa.RecordBatch] = []
    for batch in data:
        held.append(batch)
        if sum(part.num_rows for part in held) >= rows:
            yield pa.Table.from_batches(held)
            held = []
    if held:
        yield pa.Table.from_batches(held)


def write_csv_gz(
    data: pa.Table | Iterable[pa.RecordBatch],
    path: Path,
    *,
    time_format: str = CSV_TIME,
    level: int = 6,
    header: bool = True,
) -> int:
    """Write one gzip CSV file and return its rows: maps as JSON text, quotes where needed, no time stamp."""
    batches = data.to_batches(CSV_BATCH_ROWS) if isinstance(data, pa.Table) else data
    rows = 0
    with path.open("wb") as raw, gzip.GzipFile("", "wb", level, raw, mtime=0) as file:
        if isinstance(data, pa.Table) and not data.num_rows:
            batches = [pa.RecordBatch.from_pylist([], schema=data.schema)]
        for batch in batches:
            frame = pl.DataFrame(pl.from_arrow(_text_maps(batch)))
            frame.write_csv(
                file, include_header=header and not rows, datetime_format=time_format, quote_style="necessary"
            )
            rows += batch.num_rows
    return rows


def _text_maps(batch: pa.RecordBatch) -> pa.Table:
    columns = [json_maps(column) if pa.types.is_map(column.type) else column for column in batch.columns]
    return pa.table(dict(zip(batch.schema.names, columns, strict=True)))


def json_maps(maps: pa.MapArray) -> pa.StringArray:
    """Each map as the text of a JSON object, without a Python object per entry."""
    starts = maps.offsets[0].as_py()
    length = maps.offsets[-1].as_py() - starts
    keys, items = (part.slice(starts, length) for part in (maps.keys, maps.items))
    pairs = pc.binary_join_element_wise(_json_texts(keys), _json_texts(items), ": ")
    lists = pa.ListArray.from_arrays(pc.subtract(maps.offsets, starts), pairs)
    text = pc.binary_join_element_wise("{", pc.binary_join(lists, ", "), "}", "")
    return pc.if_else(maps.is_valid(), text, pa.scalar(None, pa.string()))


def _json_texts(values: pa.Array) -> pa.StringArray:
    """Each value as JSON; every distinct string is escaped once."""
    if not pa.types.is_string(values.type):
        return pc.fill_null(pc.cast(values, pa.string()), "null")
    encoded = values.dictionary_encode()
    text = encoded.dictionary
    for plain, escaped in _ESCAPES:
        text = pc.replace_substring(text, plain, escaped)
    quoted = pc.binary_join_element_wise('"', text, '"', "")
    return pc.fill_null(quoted.take(encoded.indices), "null")
