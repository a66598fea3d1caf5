"""Columns: what a property of a stream's schema becomes in DuckDB, and how its values are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The digits that DuckDB's exact numbers have at most.
_DIGITS = 38
#: Decimals of exact numbers whose schema does not say how many they have.
_SCALE = 18

#: The type that holds everything.
TEXT: Final = "VARCHAR"
#: The type of instants.
INSTANT: Final = "TIMESTAMP WITH TIME ZONE"

#: Times of day stay texts: DuckDB's TIME drops the offset that RFC 3339 gives them.
_DATES: Final = {"date-time": INSTANT, "date": "DATE"}
_DECIMALS: Final = {"singer.decimal", "x-singer.decimal"}
_DECIMAL: Final = re.compile(r"DECIMAL\((\d+),(\d+)\)")
_INTEGER_DIGITS: Final = {"TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19, "HUGEINT": 39}
_FLOATS: Final = {"FLOAT", "DOUBLE"}
#: What BIGINT holds.
BIGINTS: Final = range(-(2**63), 2**63)
_BOUNDS: Final = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_NULL: Final = ("null", ["null"])
_TIMES: Final = ("TIMESTAMP", "TIMESTAMP_NS", INSTANT)


class JsonDecoding(Enum):
    """How the values of a column are read from JSON."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    #: Digits as they are written, of numbers or of texts.
    DIGITS = "digits"
    #: JSON as it is written.
    JSON = "JSON"
    #: Texts as they are, anything else as JSON: for properties with several types or none.
    ANY = "any"


_WHOLE: Final = ("BIGINT", JsonDecoding.INTEGER)
_NUMBER: Final = ("DOUBLE", JsonDecoding.NUMBER)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        name: The name of the property.
        sql_type: DuckDB's type, as its catalog spells it.
        decoding: How values are decoded from JSON.
    """

    name: str
    sql_type: str
    decoding: JsonDecoding

    @property
    def scale(self) -> int:
        """Decimals of an exact number."""
        _, decimals = _integers_and_decimals(self.sql_type) or (0, 0)
        return decimals


def columns_of(properties: Mapping[str, Mapping[str, Any]]) -> tuple[Column, ...]:
    """The columns for the properties of a stream's schema."""
    return tuple(Column(name, *_type(schema)) for name, schema in properties.items())


def widest(present: str, coming: str) -> str:
    """The type that holds what a column has and what is to come, both as DuckDB spells them.

    A column that is wide enough stays as it is, also where others made it: a timestamp without zone holds
    UTC. Floating point wins over exact numbers, as in DuckDB, and text over everything.
    """
    if present in (coming, TEXT):
        return present
    here, there = _integers_and_decimals(present), _integers_and_decimals(coming)
    if here and there:
        if here == there:
            # Of as many digits, a DECIMAL holds more than a type of integers.
            return present if present.startswith("DECIMAL") else coming
        both = max(here[0], there[0]), max(here[1], there[1])
        return {here: present, there: coming}.get(both, _decimal(sum(both), both[1]))
    if (here or present in _FLOATS) and (there or coming in _FLOATS):
        return "DOUBLE"
    if {present, coming} <= {*_TIMES, "DATE"}:
        return present if present in _TIMES else coming
    return TEXT


def is_integer(sql_type: str) -> bool:
    """Whether a type holds integers alone."""
    integers_and_decimals = _integers_and_decimals(sql_type)
    return integers_and_decimals is not None and not integers_and_decimals[1]


def rounds(present: str, coming: str) -> bool:
    """Whether a column of one type, wide enough as it is, may still change exact numbers of another."""
    return present in _FLOATS and _integers_and_decimals(coming) is not None


def given_back(value: str, own: str, held: str) -> str:
    """What is left of a value that a column of another type held, or null, in SQL.

    Args:
        value: The value, in SQL.
        own: Its type.
        held: The column's type.
    """
    held_value = f"TRY_CAST({value} AS {held})"
    _, decimals = _integers_and_decimals(own) or (0, 0)
    if held in _FLOATS and decimals:
        # As text a 0.1 is a 0.1, whatever the digits that it has as a number of base two.
        held_value = f"CAST({held_value} AS {TEXT})"
    return f"TRY_CAST({held_value} AS {own})"


def instant(value: str) -> str:
    """A value as an instant, in SQL; RFC 3339 lets texts have a small t and z, which DuckDB does not read."""
    texts = (value, f"upper(CAST({value} AS {TEXT}))")
    first, second = (f"TRY_CAST({text} AS {INSTANT})" for text in texts)
    return f"coalesce({first}, {second}, CAST({value} AS {INSTANT}))"


def _type(schema: Mapping[str, Any]) -> tuple[str, JsonDecoding]:
    """DuckDB's type for a property, and how its values are read; text, if it may be of several types.

    Of several formats of text the first counts, as for the SDK: many taps call a time a time, or else a text.
    """
    types = [_type_of_one(alternative) for alternative in _alternatives(schema)]
    if set(types) == {_WHOLE, _NUMBER}:
        return _NUMBER
    if len(set(types)) == 1 or {decoding for _, decoding in types} == {JsonDecoding.TEXT}:
        return types[0]
    return TEXT, JsonDecoding.ANY


def _type_of_one(schema: Mapping[str, Any]) -> tuple[str, JsonDecoding]:
    kinds = _kinds(schema)
    if kinds == {"string"}:
        form = schema.get("format")
        if form in _DECIMALS:
            precision, scale = schema.get("precision") or _DIGITS, schema.get("scale")
            return _decimal(precision, _SCALE if scale is None else scale), JsonDecoding.DIGITS
        return _DATES.get(str(form), TEXT), JsonDecoding.TEXT
    if kinds in ({"number"}, {"number", "integer"}):
        step = schema.get("multipleOf")
        return (_decimal(_DIGITS, _decimals(step)), JsonDecoding.DIGITS) if step else _NUMBER
    if kinds and kinds <= {"object", "array"}:
        return "JSON", JsonDecoding.JSON
    if kinds == {"integer"}:
        bounds = filter(None, map(schema.get, _BOUNDS))
        fits = all(BIGINTS.start <= bound < BIGINTS.stop for bound in bounds)
        return _WHOLE if fits else (_decimal(_DIGITS, 0), JsonDecoding.DIGITS)
    return ("BOOLEAN", JsonDecoding.BOOLEAN) if kinds == {"boolean"} else (TEXT, JsonDecoding.ANY)


def _alternatives(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a property may be beside null: what its schema itself says, or what is listed there."""
    listed = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    if _kinds(schema) or not listed:
        return [schema]
    # The SDK lists null by its bare name, too.
    others = [other for other in listed if isinstance(other, dict) and other.get("type") not in _NULL]
    return [each for other in others for each in _alternatives(other)]


def _kinds(schema: Mapping[str, Any]) -> set[str]:
    """The types that values have beside null."""
    named = schema.get("type", ())
    return ({named} if isinstance(named, str) else set(named)) - {"null"}


def _decimals(number: float) -> int:
    """How many decimals a number has."""
    exponent = Decimal(str(number)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _decimal(precision: int, scale: int) -> str:
    precision = min(precision, _DIGITS)
    return f"DECIMAL({precision},{min(scale, precision)})"


def _integers_and_decimals(sql_type: str) -> tuple[int, int] | None:
    """How many digits an exact type has before and after the point."""
    if sql_type in _INTEGER_DIGITS:
        return _INTEGER_DIGITS[sql_type], 0
    if match := _DECIMAL.fullmatch(sql_type):
        return int(match[1]) - int(match[2]), int(match[2])
    return None
