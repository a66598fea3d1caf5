"""What engines do alone with the same file: read columns and write NDJSON, or group usage.

``python -m benchmarks.engines ENGINE SUBJECT FILE COLUMNS``, with one of `ENGINES`. All write to the null
device.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from benchmarks.subjects import SUBJECTS

if TYPE_CHECKING:
    import polars as pl

    from benchmarks.subjects import Subject


def polars_ndjson(subject: Subject, path: str, columns: str) -> None:
    """Read the columns and write them as NDJSON: as fast as polars can, which holds much of the file."""
    _scan(subject, path).select(column.header for column in subject.sets[columns]).sink_ndjson(os.devnull)


def polars_group(subject: Subject, path: str, _columns: str) -> None:
    """Group physical usage by the keys of an activity and sum it as floats: no mapping, no exact sums."""
    from benchmarks.groups import usage  # noqa: PLC0415 - only the engine that is measured is loaded

    usage(subject, _scan(subject, path)).collect(engine="streaming").write_ndjson(os.devnull)


def duckdb_ndjson(subject: Subject, path: str, columns: str) -> None:
    """Copy the columns into JSON lines."""
    import duckdb  # noqa: PLC0415 - as above

    selected = ", ".join(f'"{column.header}"' for column in subject.sets[columns])
    source = "read_parquet(?)" if subject.format == "parquet" else "read_csv(?, all_varchar = true)"
    query = f"COPY (SELECT {selected} FROM {source}) TO '{os.devnull}' (FORMAT json)"  # noqa: S608 - own names
    duckdb.execute(query, [path])


ENGINES = {"polars-ndjson": polars_ndjson, "polars-group": polars_group, "duckdb-ndjson": duckdb_ndjson}


def _scan(subject: Subject, path: str) -> pl.LazyFrame:
    import polars as pl  # noqa: PLC0415 - as above

    if subject.format == "parquet":
        return pl.scan_parquet(path)
    every = subject.sets[subject.whole]
    numbers = {column.header: pl.Float64() for column in every if column.kind == "double"}
    return pl.scan_csv(path, infer_schema=False, schema_overrides=numbers)


if __name__ == "__main__":
    engine, subject_name, file, column_set = sys.argv[1:]
    ENGINES[engine](SUBJECTS[subject_name], file, column_set)
