"""What engines do alone with the same file: write it as NDJSON, group usage, or load it into a table.

``python -m benchmarks.engines ENGINE SUBJECT COLUMNS FILE DATABASE``, with one of `ENGINES`. What does not
load writes to the null device.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from benchmarks.subjects import SUBJECTS

if TYPE_CHECKING:
    import polars as pl

    from benchmarks.subjects import Subject


def polars_ndjson(subject: Subject, columns: str, path: str, _database: str) -> None:
    """Read the columns and write them as NDJSON: as fast as polars can, which holds much of the file."""
    _scan(subject, path).select(column.header for column in subject.sets[columns]).sink_ndjson(os.devnull)


def polars_group(subject: Subject, _columns: str, path: str, _database: str) -> None:
    """Group physical usage by the keys of an activity and sum it as floats: no mapping, no exact sums."""
    from benchmarks.groups import usage  # noqa: PLC0415 - only the engine that is measured is loaded

    usage(subject, _scan(subject, path)).collect(engine="streaming").write_ndjson(os.devnull)


def duckdb_ndjson(subject: Subject, columns: str, path: str, _database: str) -> None:
    """Copy the columns into JSON lines."""
    import duckdb  # noqa: PLC0415 - as above

    duckdb.execute(f"COPY ({_selecting(subject, columns)}) TO '{os.devnull}' (FORMAT json)", [path])


def duckdb_load(subject: Subject, columns: str, path: str, database: str) -> None:
    """Make a table of the columns: Parquet with its types, CSV as text."""
    import duckdb  # noqa: PLC0415 - as above

    with duckdb.connect(database) as connection:
        connection.execute(f"CREATE TABLE {subject.stream} AS {_selecting(subject, columns)}", [path])


def duckdb_count(subject: Subject, _columns: str, _path: str, database: str) -> None:
    """Print how many rows the subject's table has."""
    import duckdb  # noqa: PLC0415 - as above

    with duckdb.connect(database, read_only=True) as connection:
        print(connection.table(subject.stream).shape[0])


ENGINES = {
    "polars-ndjson": polars_ndjson,
    "polars-group": polars_group,
    "duckdb-ndjson": duckdb_ndjson,
    "duckdb-load": duckdb_load,
    "duckdb-count": duckdb_count,
}


def _selecting(subject: Subject, columns: str) -> str:
    selected = ", ".join(f'"{column.header}"' for column in subject.sets[columns])
    source = "read_parquet(?)" if subject.format == "parquet" else "read_csv(?, all_varchar = true)"
    return f"SELECT {selected} FROM {source}"  # noqa: S608 - own names


def _scan(subject: Subject, path: str) -> pl.LazyFrame:
    import polars as pl  # noqa: PLC0415 - as above

    if subject.format == "parquet":
        return pl.scan_parquet(path)
    every = subject.sets[subject.whole]
    numbers = {column.header: pl.Float64() for column in every if column.kind == "double"}
    return pl.scan_csv(path, infer_schema=False, schema_overrides=numbers)


if __name__ == "__main__":
    engine, subject_name, *arguments = sys.argv[1:]
    ENGINES[engine](SUBJECTS[subject_name], *arguments)
