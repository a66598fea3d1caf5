"""Compares what a loader wrote with the files it came from, and databases with each other, value by value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: Line items of delivered Parquet files with the columns that say where each is from.
_DELIVERED = r"""
    SELECT
        * EXCLUDE (filename, file_row_number),
        regexp_extract(filename, 'BILLING_PERIOD=([^/]+)/', 1) AS billing_period,
        regexp_extract(filename, 'Z-([0-9a-f-]{36})/', 1) AS delivery_id,
        regexp_extract(filename, '-(\d{5})\.', 1)::BIGINT AS file_ordinal,
        file_row_number + 1 AS row_number
    FROM read_parquet(?, filename = true, file_row_number = true, hive_partitioning = false)
"""
_COMPARED = "SELECT {} FROM delivered AS d FULL JOIN loaded.{} AS l USING ({})"
_PLACE = ("billing_period", "delivery_id", "file_ordinal", "row_number")


def ask(database: Path, question: str, *values: object) -> list[Any]:
    """The rows that answer a question."""
    with duckdb.connect(database, read_only=True) as connection:
        return connection.execute(question, values).fetchall()


def differences(database: Path, files: Path, table: str = "aws.cost_and_usage") -> dict[str, int]:
    """How many values of each column differ between a table of line items and the files below a folder.

    Numbers must be equal to the last bit. Rows that are on one side only are counted as `row_number`.
    """
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"ATTACH '{database}' AS loaded (READ_ONLY)")
        connection.execute(f"CREATE TABLE delivered AS {_DELIVERED}", [f"{files}/**/*.parquet"])
        types = _types(connection, f"loaded.{table}")
        columns = {name: kind for name, kind in _types(connection, "delivered").items() if name in types}
        tests = [f"count_if({_differs(name, kind, types[name])})" for name, kind in columns.items()]
        question = _COMPARED.format(", ".join(tests), table, ", ".join(_PLACE))
        (counts,) = connection.execute(question).fetchall()
    return {name: count for name, count in zip(columns, counts, strict=True) if count}


def _types(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {table}").fetchall()}


def _differs(name: str, delivered: str, loaded: str) -> str:
    if name == "row_number":
        return "d.row_number IS NULL OR l.row_number IS NULL"
    if loaded == "JSON":
        return f"""d.{name} IS DISTINCT FROM from_json(l.{name}, '"{delivered}"')"""
    return f"d.{name} IS DISTINCT FROM l.{name}"


def in_one_only(one: Path, other: Path, relation: str, without: Iterable[str] = ()) -> int:
    """How many rows of a table or view one database has and the other has not, in both directions."""
    columns = f"* EXCLUDE ({', '.join(without)})" if without else "*"
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH '{one}' AS one (READ_ONLY)")
        connection.execute(f"ATTACH '{other}' AS other (READ_ONLY)")
        question = "SELECT count(*) FROM (SELECT {0} FROM {1} EXCEPT ALL SELECT {0} FROM {2})"
        here, there = f"one.{relation}", f"other.{relation}"
        counts = [
            connection.execute(question.format(columns, *sides)).fetchall()[0][0]
            for sides in ((here, there), (there, here))
        ]
    return sum(counts)
