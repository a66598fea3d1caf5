"""Values: what each kind of column is decoded to from JSON, and how its values become a series."""

from __future__ import annotations

from decimal import Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from target_offgridflow_duckdb.columns import BIGINTS, Column, JsonDecoding

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Up to here a float holds every integer.
_EXACT_FLOATS: Final = 2**53
#: Rounds nothing that a record may hold.
_EXACT: Final = Context(prec=10_000)
#: What there is where a record has no such property.
_NOTHING: Final = msgspec.Raw()
#: How JSON is decoded, what stands for nothing, and what polars keeps.
_DECODED: Final[Mapping[JsonDecoding, tuple[Any, Any, pl.DataType]]] = {
    JsonDecoding.TEXT: (str | None, None, pl.String()),
    # JSON may write a whole number as 1.0.
    JsonDecoding.INTEGER: (int | float | None, None, pl.Int64()),
    JsonDecoding.NUMBER: (float | None, None, pl.Float64()),
    JsonDecoding.BOOLEAN: (bool | None, None, pl.Boolean()),
    JsonDecoding.DIGITS: (msgspec.Raw, _NOTHING, pl.String()),
    JsonDecoding.JSON: (msgspec.Raw, _NOTHING, pl.String()),
    JsonDecoding.ANY: (msgspec.Raw, _NOTHING, pl.String()),
}


def decoded(decoding: JsonDecoding) -> tuple[Any, Any]:
    """The type that msgspec decodes values to, and what stands for a missing one."""
    kind, nothing, _ = _DECODED[decoding]
    return kind, nothing


def series(column: Column, values: Sequence[Any]) -> pl.Series:
    """The decoded values of a column.

    Raises:
        ValueError: One is not of the column's type.
        TypeError: The same.
        DecodeError: The same.
    """
    *_, dtype = _DECODED[column.decoding]
    if convert := _RAW_READINGS.get(column.decoding):
        values = [convert(str(value, "utf-8"), column) for value in values]
    elif column.decoding is JsonDecoding.INTEGER and any(type(value) is float for value in values):
        values = [_whole(value) for value in values]
    try:
        return pl.Series(column.name, values, dtype=dtype)
    except TypeError:
        large = next((value for value in values if isinstance(value, int) and value not in BIGINTS), None)
        if large is None:
            raise
        raise ValueError(f"Expected an integer that BIGINT holds, got {large}") from None


def _whole(value: float | None) -> int | None:
    """An integer that JSON may have written with a point.

    Raises:
        ValueError: It is not whole, or so large that a number with a point has lost digits.
    """
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError(f"Expected `int`, got {value}")
        if abs(value) > _EXACT_FLOATS:
            raise ValueError(
                f"Expected `int`, got {value}, which may have lost digits: write it without a point"
            )
        return int(value)
    return value


def _digits(raw: str, column: Column) -> str | None:
    """A number as it is written, if it is one that the column's type has room for.

    Raises:
        ValueError: It is not a number, or would be rounded.
    """
    if raw in ("", "null"):
        return None
    text = raw.strip('"')
    try:
        exponent = Decimal(text).normalize(_EXACT).as_tuple().exponent
    except InvalidOperation:
        raise ValueError(f"Expected a number, got {raw}") from None
    if not isinstance(exponent, int) or -exponent > column.scale:
        raise ValueError(f"Expected a number with at most {column.scale} decimals, got {raw}")
    return text


def _json(raw: str, column: Column) -> str | None:
    del column
    return None if raw in ("", "null") else raw


def _any(raw: str, column: Column) -> str | None:
    if raw.startswith('"'):
        return msgspec.json.decode(raw, type=str)
    return _json(raw, column)


_RAW_READINGS: Final[Mapping[JsonDecoding, Callable[[str, Column], str | None]]] = {
    JsonDecoding.DIGITS: _digits,
    JsonDecoding.JSON: _json,
    JsonDecoding.ANY: _any,
}
