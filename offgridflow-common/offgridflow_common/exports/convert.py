"""From a file's values to a stream's types."""

from __future__ import annotations

import json

import polars as pl

from offgridflow_common.columns import TIMESTAMP_FORMAT, Kind

_UTC_MICROSECONDS = pl.Datetime("us", "UTC")


def convert(values: pl.Series, kind: Kind) -> pl.Series:
    """The values in the type of a column kind.

    Text of no length is null for every kind but text. A number or time that cannot be understood is an
    error of polars; nothing is silently turned into null.

    Raises:
        polars.exceptions.PolarsError: A value is not of the kind.
    """
    if values.dtype == kind.dtype:
        return values
    return _CONVERTERS[kind](values)


def gather_extra(unknown: pl.DataFrame, name: str) -> pl.Series:
    """One object column of the columns that a table does not know."""
    return unknown.select(pl.struct(pl.all().map_batches(_plain)).alias(name)).to_series()


def gather_map(block: pl.DataFrame, members: dict[str, list[str]], kind: Kind) -> pl.Series:
    """One map column of several columns; members that are null or empty text are left out.

    Args:
        block: Holds the columns.
        members: The columns of each key. Where a key has several, the first with a value counts.
        kind: The kind of map.
    """
    value_kind = Kind.STRING if kind is Kind.STRING_MAP else Kind.NUMBER
    entries = []
    for key, names in members.items():
        values = [_empty_is_null(convert(block[name], value_kind)) for name in names]
        entries.append(pl.struct(key=pl.lit(key), value=pl.coalesce(values)))
    given = pl.element().struct.field("value").is_not_null()
    return block.select(pl.concat_list(entries).list.filter(given).cast(kind.dtype)).to_series()


def _plain(values: pl.Series) -> pl.Series:
    """A value of any type as one that JSON has."""
    dtype = values.dtype
    if isinstance(dtype, pl.Datetime):
        return _timestamp(values).dt.strftime(TIMESTAMP_FORMAT)
    if isinstance(dtype, pl.Decimal):
        return values.cast(pl.Float64)
    if dtype.is_numeric() or dtype.is_nested() or dtype in (pl.String, pl.Boolean):
        return values
    return values.cast(pl.String)


def _text(values: pl.Series) -> pl.Series:
    if isinstance(values.dtype, pl.Datetime):
        return values.dt.strftime(TIMESTAMP_FORMAT)
    return values.cast(pl.String)


def _number(values: pl.Series) -> pl.Series:
    return _empty_is_null(values).cast(pl.Float64)


def _integer(values: pl.Series) -> pl.Series:
    return _empty_is_null(values).cast(pl.Int64)


def _timestamp(values: pl.Series) -> pl.Series:
    """Times in UTC; a time without an offset means UTC in every export that is read here."""
    if values.dtype == pl.String:
        return _parse_times(_empty_is_null(values))
    moments = values.cast(pl.Datetime("us")) if not isinstance(values.dtype, pl.Datetime) else values
    zone = moments.dtype.time_zone if isinstance(moments.dtype, pl.Datetime) else None
    aware = moments.dt.convert_time_zone("UTC") if zone else moments.dt.replace_time_zone("UTC")
    return aware.cast(_UTC_MICROSECONDS)


def _parse_times(texts: pl.Series) -> pl.Series:
    """ISO 8601 with ``T`` or a blank, with or without fraction, with ``Z``, an offset or neither."""
    distinct = texts.unique()
    moments = (
        distinct.str.replace(" ", "T", literal=True)
        .str.replace(r"^(\d{4}-\d{2}-\d{2})$", "${1}T00:00:00")
        .str.replace(r"([+-]\d{2}):?(\d{2})$|Z$", "${1}${2}")
        .str.replace(r"(T\d{2}:\d{2}:\d{2}(?:\.\d+)?)$", "${1}+0000")
        .str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", time_zone="UTC")
    )
    return texts.replace_strict(distinct, moments, return_dtype=_UTC_MICROSECONDS)


def _string_map(values: pl.Series) -> pl.Series:
    return _map(values, Kind.STRING_MAP.dtype)


def _number_map(values: pl.Series) -> pl.Series:
    return _map(values, Kind.NUMBER_MAP.dtype)


def _map(values: pl.Series, dtype: pl.DataType) -> pl.Series:
    if values.dtype != pl.String:
        return values.cast(dtype)
    texts = _empty_is_null(values)
    # Few distinct maps stand in many rows: each is parsed once.
    distinct = texts.unique()
    value_type = str if dtype == Kind.STRING_MAP.dtype else float
    maps = pl.Series([_parse_map(text, value_type) for text in distinct], dtype=dtype)
    positions = pl.int_range(len(distinct), eager=True)
    return maps.gather(texts.replace_strict(distinct, positions, return_dtype=pl.UInt32))


def _parse_map(text: str | None, value_type: type[str | float]) -> dict[str, str | float | None] | None:
    if text is None:
        return None
    members = json.loads(text)
    if members == []:
        return {}
    if not isinstance(members, dict):
        raise TypeError(f"expected a JSON object of keys and values, got {text[:80]!r}")
    return {key: None if value is None else value_type(value) for key, value in members.items()}


def _empty_is_null(values: pl.Series) -> pl.Series:
    if values.dtype != pl.String:
        return values
    return values.set(values == "", None)


_CONVERTERS = {
    Kind.STRING: _text,
    Kind.NUMBER: _number,
    Kind.INTEGER: _integer,
    Kind.TIMESTAMP: _timestamp,
    Kind.STRING_MAP: _string_map,
    Kind.NUMBER_MAP: _number_map,
}
