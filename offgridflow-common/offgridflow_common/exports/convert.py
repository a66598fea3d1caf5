"""From a file's values to a stream's types."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import polars as pl

from offgridflow_common.columns import TIMESTAMP_FORMAT, Kind
from offgridflow_common.distinct import of_distinct
from offgridflow_common.exports.maps import kind_of_members, maps_of_entries, maps_of_texts, retyped_maps

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Up to here a number of 64 bits holds every integer.
_EXACT_INTEGERS = 2**53

_UTC_MICROSECONDS = pl.Datetime("us", "UTC")

#: The number of a row; no key of a map is called so.
_ROW = "\0"

#: Empty text, and the word that some exports write where there is no number, no time and no map.
_NOTHING = ("", "NULL")

#: How exports write times, nearly always.
_USUAL_TIME = "%Y-%m-%dT%H:%M:%S%.fZ"


def convert(values: pl.Series, kind: Kind) -> pl.Series:
    """The values in the type of a column kind.

    Text of no length, and ``NULL``, is null for every kind but text. What cannot be understood is an
    error; nothing is silently turned into null.

    Raises:
        polars.exceptions.PolarsError, TypeError, ValueError: A value is not of the kind.
    """
    if values.dtype == kind.dtype:
        return values
    if values.null_count() == len(values):
        return _nulls(kind, len(values)).alias(values.name)
    return _CONVERTERS[kind](values)


def prepared(values: pl.Series, prepare: Callable[[pl.Series], pl.Series], kind: Kind) -> pl.Series:
    """The values in the type of a column kind, after something is done to those that are text.

    Raises:
        polars.exceptions.PolarsError, TypeError, ValueError: A value is not of the kind.
    """
    if values.dtype != pl.String:
        return convert(values, kind)
    return of_distinct(values, lambda distinct: convert(prepare(distinct), kind))


def gather_map(block: pl.DataFrame, members: dict[str, list[str]], kind: Kind) -> pl.Series:
    """One map column of several columns; members that are null or empty text are left out.

    Args:
        block: Holds the columns.
        members: The columns of each key. Where a key has several, the first with a value counts.
        kind: The kind of map.
    """
    value_kind = kind_of_members(kind)
    columns = [first_given(block, names, value_kind).alias(key) for key, names in members.items()]
    # Of thousands of tags, a block has few.
    with_values = [column for column in columns if column.null_count() < block.height]
    rows = pl.DataFrame(height=block.height).with_row_index(_ROW).with_columns(with_values)
    entries = rows.unpivot(index=_ROW, variable_name="key", value_name="value")
    given = entries.filter(pl.col("value").is_not_null())
    return maps_of_entries(pl.concat([rows.select(_ROW), given], how="diagonal").rename({_ROW: "row"}), kind)


def map_member(values: pl.Series, key: str, kind: Kind) -> pl.Series:
    """What the maps of a column hold under a key; null where they do not.

    The same as of a converted column, but no map is made for each row.

    Raises:
        polars.exceptions.PolarsError, TypeError, ValueError: A value is no map of the kind.
    """
    if values.dtype != pl.String:
        return convert(values, kind).map.get(key)
    return of_distinct(values, lambda distinct: convert(distinct, kind).map.get(key))


def first_given(block: pl.DataFrame, names: Sequence[str], kind: Kind) -> pl.Series:
    """Of several columns in the type of a column kind, the first value that is neither null nor empty."""
    first, *others = (_empty_is_null(convert(block[name], kind)) for name in names)
    # Not a part of the block, which may have thousands of columns.
    return pl.select(pl.coalesce(first, *others)).to_series() if others else first


def _nulls(kind: Kind, height: int) -> pl.Series:
    return pl.Series([None], dtype=kind.dtype).new_from_index(0, height)


def _text(values: pl.Series) -> pl.Series:
    dtype = values.dtype
    if isinstance(dtype, pl.Datetime):
        return _timestamp(values).dt.strftime(TIMESTAMP_FORMAT)
    if dtype.is_float():
        texts = [None if value is None else _number_text(value) for value in values]
        return pl.Series(values.name, texts, dtype=pl.String)
    if dtype.is_nested():
        raise TypeError(f"expected text, got {dtype}")
    return values.cast(pl.String)


def _number_text(value: float) -> str:
    """An id that became a number on its way stays without a fraction."""
    return str(int(value)) if value.is_integer() and abs(value) < _EXACT_INTEGERS else repr(value)


def _number(values: pl.Series) -> pl.Series:
    if values.dtype.is_temporal():
        raise TypeError(f"expected numbers, got {values.dtype}")
    numbers = _cast(values, pl.Float64())
    # A sum is finite only if all numbers are; if it is not, it may still be that they are.
    if values.dtype == pl.String and not math.isfinite(numbers.sum()) and not numbers.is_finite().all():
        raise ValueError("expected finite numbers of 64 bits, got one that is none")
    return numbers


def _integer(values: pl.Series) -> pl.Series:
    if values.dtype.is_temporal():
        raise TypeError(f"expected integers, got {values.dtype}")
    integers = _cast(values, pl.Int64())
    if (values.dtype.is_float() or values.dtype.is_decimal()) and (integers != values).any():
        raise ValueError("expected integers, got a number with a fraction")
    return integers


def _timestamp(values: pl.Series) -> pl.Series:
    """Times in UTC; a time without an offset means UTC in every export that is read here."""
    if values.dtype == pl.String:
        return of_distinct(values, _parse_times)
    if values.dtype not in (pl.Date, pl.Datetime):
        raise TypeError(f"expected times, got {values.dtype}")
    moments = values.cast(pl.Datetime("us")) if values.dtype == pl.Date else values
    zone = moments.dtype.time_zone if isinstance(moments.dtype, pl.Datetime) else None
    aware = moments.dt.convert_time_zone("UTC") if zone else moments.dt.replace_time_zone("UTC")
    return aware.cast(_UTC_MICROSECONDS)


def _parse_times(texts: pl.Series) -> pl.Series:
    """ISO 8601 in UTC."""
    given = _nothing_is_null(texts)
    moments = given.str.to_datetime(_USUAL_TIME, time_unit="us", strict=False).dt.replace_time_zone("UTC")
    return moments if moments.null_count() == given.null_count() else _parse_unusual_times(given)


def _parse_unusual_times(texts: pl.Series) -> pl.Series:
    """ISO 8601 with ``T`` or a blank; seconds, fraction, and ``Z`` or an offset may be there or not."""
    moments = (
        pl.first()
        .str.replace(" ", "T", literal=True)
        .str.replace(r"(T\d{2}:\d{2})(Z|[+-].*)?$", "${1}:00${2}")
        .str.replace(r"^(\d{4}-\d{2}-\d{2})$", "${1}T00:00:00")
        .str.replace(r"([+-]\d{2}):?(\d{2})$|Z$", "${1}${2}")
        .str.replace(r"(T\d{2}:\d{2}:\d{2}(?:\.\d+)?)$", "${1}+0000")
        .str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", time_zone="UTC")
    )
    return texts.to_frame().select(moments).to_series()


def _map(values: pl.Series, kind: Kind) -> pl.Series:
    if values.dtype != pl.String:
        return retyped_maps(values, kind)
    return of_distinct(values, lambda distinct: maps_of_texts(_nothing_is_null(distinct), kind))


def _empty_is_null(values: pl.Series) -> pl.Series:
    if values.dtype != pl.String:
        return values
    return values.set(values == "", None)


def _cast(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    """The values in a type of numbers; only what stands for nothing becomes null."""
    if values.dtype != pl.String:
        return values.cast(dtype)
    numbers = values.cast(dtype, strict=False)
    nothing = sum(int((values == text).sum()) for text in _NOTHING)
    if numbers.null_count() == values.null_count() + nothing:
        return numbers
    return _nothing_is_null(values).cast(dtype)


def _nothing_is_null(values: pl.Series) -> pl.Series:
    """Null in place of what stands for nothing."""
    if values.dtype != pl.String:
        return values
    return values.set(values.is_in(_NOTHING), None)


_CONVERTERS: dict[Kind, Callable[[pl.Series], pl.Series]] = {
    Kind.STRING: _text,
    Kind.NUMBER: _number,
    Kind.INTEGER: _integer,
    Kind.TIMESTAMP: _timestamp,
    Kind.STRING_MAP: lambda values: _map(values, Kind.STRING_MAP),
    Kind.NUMBER_MAP: lambda values: _map(values, Kind.NUMBER_MAP),
}
