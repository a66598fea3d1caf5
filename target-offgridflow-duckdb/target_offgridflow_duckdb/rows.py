"""Rows: records as they stand in JSON, turned into columns, with their types checked."""

from __future__ import annotations

from decimal import Context, Decimal, InvalidOperation
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl
from singer_sdk.exceptions import MissingKeyPropertiesError

from offgridflow_common.errors import ContractBroken
from target_offgridflow_duckdb.columns import Column, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

#: Rounds nothing that a record may hold.
_EXACT: Final = Context(prec=10_000)
#: What there is where a record has no such property.
_NOTHING: Final = msgspec.Raw()
#: How JSON is decoded, what stands for nothing, and what polars keeps.
_DECODED: Final[Mapping[Reading, tuple[Any, Any, pl.DataType]]] = {
    Reading.TEXT: (str | None, None, pl.String()),
    # JSON may write a whole number as 1.0.
    Reading.INTEGER: (int | float | None, None, pl.Int64()),
    Reading.NUMBER: (float | None, None, pl.Float64()),
    Reading.BOOLEAN: (bool | None, None, pl.Boolean()),
    Reading.DIGITS: (msgspec.Raw, _NOTHING, pl.String()),
    Reading.JSON: (msgspec.Raw, _NOTHING, pl.String()),
    Reading.ANY: (msgspec.Raw, _NOTHING, pl.String()),
}


class RowReader:
    """Turns the records of a stream into frames.

    Numbers keep all their digits, and JSON stays as it was written. A value that is not of its property's
    type is an error: DuckDB would rather make a 2 of a 1.5 than refuse it.

    Args:
        stream: Names the stream in errors.
        columns: What is read; other properties are left out.
        keys: Names of the columns that every record must have.

    Raises:
        ContractBroken: There is no column for a key.
    """

    def __init__(self, stream: str, columns: Sequence[Column], keys: Sequence[str]) -> None:
        self._stream = stream
        self._columns = columns
        if unknown := set(keys) - {column.name for column in columns}:
            raise self._broken(f"no property for the key `{'`, `'.join(sorted(unknown))}`")
        self._fields = {column.name: f"f{number}" for number, column in enumerate(columns)}
        # msgspec finds members by their names as JSON spells them, and knows none that JSON escapes.
        escaped = any(msgspec.json.encode(name) != f'"{name}"'.encode() for name in self._fields)
        required = set(keys)
        fields = []
        for column in columns:
            kind, nothing, _ = _DECODED[column.reading]
            name = None if escaped else column.name
            default = msgspec.NODEFAULT if column.name in required else nothing
            fields.append((self._fields[column.name], kind, msgspec.field(name=name, default=default)))
        row = msgspec.defstruct("Row", fields, kw_only=True, gc=False)
        self._decoder = msgspec.json.Decoder(row)
        self._escaped = escaped

    def frame(self, records: Iterable[Any]) -> pl.DataFrame:
        """The columns of records.

        Args:
            records: JSON objects, as bytes.

        Raises:
            MissingKeyPropertiesError: A record lacks a key.
            ContractBroken: A value does not have the type that the schema gives to its property.
        """
        decode = self._decoder.decode
        renamed = map(self._renamed, records) if self._escaped else records
        return self._frame(lambda: [decode(record) for record in renamed])

    def frame_of_lines(self, lines: bytes) -> pl.DataFrame:
        """The columns of records, one on each line; the errors are those of :meth:`frame`."""
        if self._escaped:
            return self.frame(line for line in lines.splitlines() if not line.isspace())
        return self._frame(lambda: self._decoder.decode_lines(lines))

    def _frame(self, read: Callable[[], list[Any]]) -> pl.DataFrame:
        try:
            rows = read()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problem = str(error)
            for name, field in self._fields.items():
                problem = problem.replace(f"$.{field}`", f"$.{name}`").replace(f"`{field}`", f"`{name}`")
            if problem.startswith("Object missing required field"):
                raise MissingKeyPropertiesError(f"{self._stream}: {problem}") from error
            raise self._broken(problem) from error
        return pl.DataFrame([self._series(column, rows) for column in self._columns])

    def _renamed(self, record: Any) -> bytes:  # noqa: ANN401 - anything that holds bytes
        """A record whose properties have the names of fields."""
        members = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
        known = {field: members[name] for name, field in self._fields.items() if name in members}
        return msgspec.json.encode(known)

    def _series(self, column: Column, rows: Sequence[Any]) -> pl.Series:
        values = list(map(attrgetter(self._fields[column.name]), rows))
        *_, dtype = _DECODED[column.reading]
        try:
            if convert := _RAW_READINGS.get(column.reading):
                values = [convert(str(value, "utf-8"), column) for value in values]
            elif column.reading is Reading.INTEGER and any(type(value) is float for value in values):
                values = [_whole(value) for value in values]
            return pl.Series(column.name, values, dtype=dtype)
        except (TypeError, ValueError) as error:
            raise self._broken(f"{str(error).splitlines()[0]} - at `$.{column.name}`") from error

    def _broken(self, problem: str) -> ContractBroken:
        return ContractBroken(
            asked=f"reading records of {self._stream}",
            got=problem,
            do="the tap sends what its own schema does not allow: correct the tap, or the schema with the "
            "tap's extra `schema` in Meltano",
        )


def _whole(value: float | None) -> int | None:
    """An integer that JSON may have written with a point.

    Raises:
        ValueError: It is not whole.
    """
    if isinstance(value, float):
        if not value.is_integer():
            raise ValueError(f"Expected `int`, got {value}")
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


_RAW_READINGS: Final[Mapping[Reading, Callable[[str, Column], str | None]]] = {
    Reading.DIGITS: _digits,
    Reading.JSON: _json,
    Reading.ANY: _any,
}
