"""Parquet files: what DuckDB makes of their columns to put them into those of a stream."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from target_offgridflow_duckdb.columns import Column, Reading
from target_offgridflow_duckdb.database import literal, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_NESTED: Final = re.compile(r"(STRUCT|MAP|UNION)\(|.*\[\d*\]$", re.DOTALL)
#: How integers are read, also those of exact numbers without decimals.
_WHOLE: Final = {Reading.INTEGER, Reading.DIGITS}
_ROUNDABLE: Final = re.compile(r"FLOAT|DOUBLE|DECIMAL")


def relation(paths: Iterable[Path]) -> str:
    """Parquet files with the same columns as a relation in SQL."""
    return f"read_parquet([{', '.join(literal(str(path)) for path in paths)}])"


def values(columns: Iterable[Column], types: Mapping[str, str]) -> dict[str, str]:
    """What goes into each column, in SQL; columns that the file does not have are left out.

    Args:
        columns: The columns of the stream.
        types: The types of the file's columns, as DuckDB spells them.
    """
    return {column.name: _value(column, types[column.name]) for column in columns if column.name in types}


def _value(column: Column, found: str) -> str:
    name = quoted(column.name)
    if _NESTED.match(found):
        return f"to_json({name})"
    if column.reading is Reading.JSON and found == "VARCHAR":
        return f"CASE WHEN json_valid({name}) THEN {name} ELSE CAST(to_json({name}) AS VARCHAR) END"
    if column.reading in _WHOLE and not column.scale and _ROUNDABLE.match(found):
        # DuckDB would round it.
        broken = f"error('a number that is not whole in column ' || {literal(column.name)})"
        return f"CASE WHEN {name} = trunc({name}) OR {name} IS NULL THEN {name} ELSE {broken} END"
    return name
