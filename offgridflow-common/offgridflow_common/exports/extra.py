"""Columns that a table does not know go out as JSON, also where JSON does not have their types."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from typing import TYPE_CHECKING

import polars as pl

from offgridflow_common.columns import TIMESTAMP_FORMAT, Kind
from offgridflow_common.exports.convert import convert

if TYPE_CHECKING:
    from polars.datatypes import DataTypeClass

#: What JSON has beside numbers.
_SCALARS = (pl.String, pl.Boolean, pl.Null)


def gather_extra(unknown: pl.DataFrame, name: str) -> pl.Series:
    """One object column of the columns that a table does not know."""
    return unknown.select(pl.struct(pl.all().map_batches(_plain)).alias(name)).to_series()


def _plain(values: pl.Series) -> pl.Series:
    """A value of any type as one that JSON has."""
    dtype = values.dtype
    if isinstance(dtype, pl.Datetime):
        return convert(values, Kind.TIMESTAMP).dt.strftime(TIMESTAMP_FORMAT)
    if dtype.is_decimal() or dtype == pl.Float32:
        return values.cast(pl.Float64)
    if dtype == pl.Binary:
        return _binary_text(values)
    if _is_json(dtype):
        return values
    return _json_texts(values) if dtype.is_nested() else values.cast(pl.String)


def _is_json(dtype: pl.DataType | DataTypeClass) -> bool:
    """Whether values are what JSON has, down to the members of objects and lists."""
    match dtype:
        case pl.Map():
            return dtype.key == pl.String and _is_json(dtype.value)
        case pl.List() | pl.Array():
            return _is_json(dtype.inner)
        case pl.Struct():
            return all(_is_json(field.dtype) for field in dtype.fields)
        case _:
            return dtype in _SCALARS or (dtype.is_numeric() and not dtype.is_decimal())


def _binary_text(values: pl.Series) -> pl.Series:
    """Text that a file has as bytes, as old writers of Parquet do."""
    try:
        return values.cast(pl.String)
    except pl.exceptions.PolarsError:
        texts = [None if value is None else _decoded(value) for value in values]
        return pl.Series(values.name, texts, dtype=pl.String)


def _decoded(value: bytes) -> str:
    """Bytes as text; in base64 where they are none."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return b64encode(value).decode()


def _json_texts(values: pl.Series) -> pl.Series:
    """Objects and lists of what JSON does not have, as text with JSON in it."""
    texts = [None if value is None else json.dumps(_json_value(value)) for value in values.to_list()]
    return pl.Series(values.name, texts, dtype=pl.String)


def _json_value(value: object) -> object:
    match value:
        case dict():
            return {_json_key(key): _json_value(member) for key, member in value.items()}
        case list():
            return [_json_value(member) for member in value]
        case bytes():
            return _decoded(value)
        case float():
            return value if math.isfinite(value) else None
        case str() | int() | None:
            return value
        case _:
            return str(value)


def _json_key(key: object) -> str:
    text = _json_value(key)
    return text if isinstance(text, str) else json.dumps(text)
