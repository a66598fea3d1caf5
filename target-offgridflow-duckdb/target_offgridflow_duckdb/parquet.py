"""Parquet files: what DuckDB makes of their columns to put them into those of a stream."""

from __future__ import annotations

import glob
import re
from typing import TYPE_CHECKING, Final

from target_offgridflow_duckdb.columns import TEXT, Column, JsonDecoding
from target_offgridflow_duckdb.database import folded, literal, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_NESTED: Final = re.compile(r"(STRUCT|MAP|UNION)\(|.*\[\d*\]$", re.DOTALL)
#: How exact numbers are read.
_EXACT: Final = {JsonDecoding.INTEGER, JsonDecoding.DIGITS}
_ROUNDABLE: Final = re.compile(r"FLOAT|DOUBLE|DECIMAL|VARCHAR")


def relation(paths: Iterable[Path]) -> str:
    """Parquet files with the same columns as a relation in SQL.

    A path names one file, whatever stands in it: no pattern of files, no folder that gives values.
    """
    files = ", ".join(literal(glob.escape(str(path))) for path in paths)
    return f"read_parquet([{files}], hive_partitioning = false)"


def values(columns: Iterable[Column], types: Mapping[str, str]) -> dict[str, str]:
    """What goes into each column, in SQL; columns that the file does not have are left out.

    Args:
        columns: The columns of the stream.
        types: The types of the file's columns, as DuckDB spells them.
    """
    found = {folded(name): sql_type for name, sql_type in types.items()}
    return {
        column.name: _value(column, found[folded(column.name)])
        for column in columns
        if folded(column.name) in found
    }


def _value(column: Column, found: str) -> str:
    name = quoted(column.name)
    if _NESTED.match(found):
        return f"to_json({name})"
    if column.decoding is JsonDecoding.JSON and found == "VARCHAR":
        return f"CASE WHEN json_valid({name}) THEN {name} ELSE CAST(to_json({name}) AS VARCHAR) END"
    if column.decoding in _EXACT and _ROUNDABLE.match(found):
        # DuckDB would round it.
        what = (
            f"a number of more than {column.scale} decimals" if column.scale else "a number that is not whole"
        )
        broken = f"error({literal(f'{what} in column {column.name}')})"
        return f"CASE WHEN {name} IS NULL OR {_is_exact(column, name, found)} THEN {name} ELSE {broken} END"
    return name


def _is_exact(column: Column, name: str, found: str) -> str:
    """Whether a value is one of the column's type, in SQL."""
    if found == TEXT:
        typed = f"CAST({name} AS {column.sql_type})"
        with_exponent = f"contains(lower({name}), 'e') AND CAST({typed} AS DOUBLE) = CAST({name} AS DOUBLE)"
        plain = f"regexp_full_match({name}, '\\s*[+-]?\\d*(\\.\\d{{0,{column.scale}}}0*)?\\s*')"
        return f"({plain} OR {with_exponent})"
    return f"CAST(CAST({name} AS {column.sql_type}) AS {found}) = {name}"
