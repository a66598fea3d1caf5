"""What values become: no digit, letter or instant is lost, and what does not fit is refused."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from offgridflow_common.errors import ContractBroken, FatalError
from tests.target_duckdb.loading import (
    BOOLEAN,
    DATE,
    INTEGER,
    MOMENT,
    NUMBER,
    OBJECT,
    TEXT,
    TIME,
    record,
    schema,
)

if TYPE_CHECKING:
    from tests.target_duckdb.loading import Loader

CENTS = {"type": ["number", "null"], "multipleOf": 0.01}
MONEY = {"type": ["string", "null"], "format": "x-singer.decimal", "precision": 20, "scale": 4}
ANY_DECIMAL = {"type": ["string", "null"], "format": "singer.decimal"}
TZ = "TIMESTAMP WITH TIME ZONE"
UNSIGNED = {"type": ["integer", "null"], "maximum": 2**64 - 1}


def any_of(*alternatives: Any) -> dict[str, Any]:
    return {"anyOf": list(alternatives)}


def sent(value: str) -> bytes:
    """A record with one value, spelled as given."""
    return b'{"type": "RECORD", "stream": "s", "record": {"v": %s}}' % value.encode()


@pytest.mark.parametrize(
    ("kind", "sql_type"),
    [
        (TEXT, "VARCHAR"),
        (INTEGER, "BIGINT"),
        (NUMBER, "DOUBLE"),
        ({"type": ["integer", "number"]}, "DOUBLE"),
        (BOOLEAN, "BOOLEAN"),
        (MOMENT, TZ),
        (DATE, "DATE"),
        (TIME, "VARCHAR"),
        (CENTS, "DECIMAL(38,2)"),
        ({"type": "number", "multipleOf": 1e-10}, "DECIMAL(38,10)"),
        ({"type": "number", "multipleOf": 100}, "DECIMAL(38,0)"),
        (MONEY, "DECIMAL(20,4)"),
        (ANY_DECIMAL, "DECIMAL(38,18)"),
        ({"type": "string", "format": "x-singer.decimal", "precision": 76, "scale": 0}, "DECIMAL(38,0)"),
        (OBJECT, "JSON"),
        ({"type": ["array", "object", "null"]}, "JSON"),
        ({"type": ["string", "integer", "null"]}, "VARCHAR"),
        ({"type": ["string", "object"]}, "VARCHAR"),
        ({}, "VARCHAR"),
        ({"enum": ["a"]}, "VARCHAR"),
        ({"type": "string", "format": "uuid"}, "VARCHAR"),
        (any_of({"type": "null"}, {"type": "string", "format": "date-time"}), TZ),
        (
            any_of({"type": ["null", "string"], "format": "date"}, {"format": "date", "type": "string"}),
            "DATE",
        ),
        (any_of({"type": "string", "format": "uri"}, "null", {"type": ["null"]}), "VARCHAR"),
        (any_of({"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}), TZ),
        (any_of({"type": "null"}, {"type": "string", "format": "date-time"}, {"type": "string"}), TZ),
        (any_of({"type": "string"}, {"type": "string", "format": "date-time"}), "VARCHAR"),
        (any_of({"type": "integer"}, {"type": "number"}), "DOUBLE"),
        (any_of({"type": "object"}, {"type": "array"}), "JSON"),
        (any_of({"type": "null", "title": "Nothing"}, {"type": "integer"}), "BIGINT"),
        (any_of({"type": "null"}), "VARCHAR"),
        (any_of({}, {"type": "integer"}), "VARCHAR"),
        ({"oneOf": [{"type": "null"}, {"type": "integer"}]}, "BIGINT"),
        ({"oneOf": [any_of({"type": "null"}, {"type": "boolean"}), {"type": "null"}]}, "BOOLEAN"),
        ({"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}, "BIGINT"),
        ({"type": "integer", "exclusiveMaximum": True, "maximum": 5}, "BIGINT"),
        (UNSIGNED, "DECIMAL(38,0)"),
        ({"type": "integer", "minimum": -(2**64)}, "DECIMAL(38,0)"),
    ],
    ids=str,
)
def test_each_kind_of_property_has_a_type(loader: Loader, kind: dict[str, Any], sql_type: str) -> None:
    loader.load(schema("s", v=kind), sent("null"))
    assert loader.types("s") == {"v": sql_type}
    assert loader.rows("s") == [{"v": None}]


@pytest.mark.parametrize(
    ("kind", "spelled", "value"),
    [
        (TEXT, '""', ""),
        (TEXT, r'"a\u0000b \"q\" \\ \n \ud83d\ude00 é"', 'a\0b "q" \\ \n 😀 é'),
        (TEXT, '"NULL"', "NULL"),
        (INTEGER, "9223372036854775807", 2**63 - 1),
        (INTEGER, "-9223372036854775808", -(2**63)),
        (INTEGER, "5.0", 5),
        (INTEGER, "1e3", 1000),
        (NUMBER, "1", 1.0),
        (NUMBER, "0.1", 0.1),
        (NUMBER, "-1.7976931348623157e308", -1.7976931348623157e308),
        (NUMBER, "5e-324", 5e-324),
        (BOOLEAN, "false", False),
        (MOMENT, '"2026-01-31T23:59:59.123456+05:30"', datetime(2026, 1, 31, 18, 29, 59, 123456, UTC)),
        (MOMENT, '"2026-01-31T23:59:59Z"', datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)),
        (MOMENT, '"2026-01-31t23:59:59z"', datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)),
        (MOMENT, '"2026-01-31 23:59:59"', datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)),
        (MOMENT, '"2026-01-31"', datetime(2026, 1, 31, tzinfo=UTC)),
        (MOMENT, '"0001-01-01T00:00:00+00:00"', datetime(1, 1, 1, tzinfo=UTC)),
        (MOMENT, '"9999-12-31T23:59:59.999999Z"', datetime(9999, 12, 31, 23, 59, 59, 999999, UTC)),
        (DATE, '"2026-02-28"', date(2026, 2, 28)),
        (DATE, '"2026-02-28T00:00:00.000000+00:00"', date(2026, 2, 28)),
        (TIME, '"23:59:59.5"', "23:59:59.5"),
        (TIME, '"12:00:00+02:00"', "12:00:00+02:00"),
        (TIME, '"12:00:00.123456789Z"', "12:00:00.123456789Z"),
        (CENTS, "12345678901234567890123456789012.34", Decimal("12345678901234567890123456789012.34")),
        (CENTS, "1e2", Decimal("100.00")),
        (CENTS, "0.10000", Decimal("0.10")),
        (MONEY, '"-1234567890123456.7890"', Decimal("-1234567890123456.7890")),
        (ANY_DECIMAL, '"0.000000000000000001"', Decimal("0.000000000000000001")),
        ({"type": ["string", "number", "null"]}, '"1.50"', "1.50"),
        ({"type": ["string", "number", "null"]}, "1.50", "1.50"),
        (any_of({"type": "integer"}, {"type": "string"}), '"x"', "x"),
        (any_of({"type": "integer"}, {"type": "string"}), "5", "5"),
        (any_of({"type": "string"}, {"type": "string", "format": "date-time"}), '"hello"', "hello"),
        (any_of({"type": "object"}, {"type": "string"}), '{"a": [1.0]}', '{"a": [1.0]}'),
        ({"oneOf": [{"type": "integer"}, {"type": "boolean"}]}, "true", "true"),
        (UNSIGNED, "18446744073709551615", Decimal(2**64 - 1)),
        (UNSIGNED, "5.0", Decimal(5)),
        ({}, "true", "true"),
        ({}, '{"a":[1]}', '{"a":[1]}'),
    ],
    ids=str,
)
def test_values_land_whole(loader: Loader, kind: dict[str, Any], spelled: str, value: object) -> None:
    loader.load(schema("s", v=kind), sent(spelled))
    assert loader.rows("s") == [{"v": value}]


def test_json_stays_as_it_was_written(loader: Loader) -> None:
    spelled = (
        r'{"big": 12345678901234567890.123456789, "cents": 1.50, "n": null, "text": "\u0000é\n", "l": [{}]}'
    )
    loader.load(schema("s", v=OBJECT), sent(spelled), sent("{}"), sent("null"))
    assert {row["v"] for row in loader.rows("s")} == {spelled, "{}", None}
    assert loader.ask("SELECT v->>'$.text' FROM s WHERE v->>'$.text' IS NOT NULL") == [("\0é\n",)]


@pytest.mark.parametrize(
    ("kind", "spelled", "problem"),
    [
        (INTEGER, "1.5", "Expected `int`, got 1.5 - at `$.v`"),
        (INTEGER, '"12"', "Expected `int | float | null`, got `str` - at `$.v`"),
        (INTEGER, "true", "got `bool` - at `$.v`"),
        (INTEGER, "9223372036854775808", "an integer that BIGINT holds, got 9223372036854775808 - at `$.v`"),
        (INTEGER, "-9223372036854775809", "got -9223372036854775809 - at `$.v`"),
        (UNSIGNED, "1.5", "at most 0 decimals, got 1.5 - at `$.v`"),
        (NUMBER, "1e999", "at `$.v`"),
        (NUMBER, '"1.5"', "got `str` - at `$.v`"),
        (TEXT, "5", "got `int` - at `$.v`"),
        (TEXT, '{"a": 1}', "got `object` - at `$.v`"),
        (BOOLEAN, "1", "got `int` - at `$.v`"),
        (CENTS, "1.005", "at most 2 decimals, got 1.005 - at `$.v`"),
        (CENTS, '"NaN"', "at most 2 decimals"),
        (CENTS, '"x"', 'Expected a number, got "x" - at `$.v`'),
        (CENTS, "{}", "Expected a number, got {} - at `$.v`"),
    ],
    ids=str,
)
def test_a_value_of_another_type_is_refused_by_the_name_of_its_column(
    loader: Loader, kind: dict[str, Any], spelled: str, problem: str
) -> None:
    with pytest.raises(ContractBroken) as caught:
        loader.load(schema("s", v=kind), sent(spelled))
    assert problem in str(caught.value)
    assert "s: " in str(caught.value)
    assert "a `maximum` makes room for integers beyond BIGINT" in caught.value.do
    assert loader.rows("s") == []


@pytest.mark.parametrize(
    ("kind", "spelled", "problem"),
    [
        (MOMENT, '"yesterday"', "yesterday"),
        (MOMENT, '"2026-02-30T00:00:00Z"', "2026-02-30"),
        (DATE, '""', "date"),
        (DATE, '"2026-01-01T23:00:00-05:00"', "`date-time` would keep the time"),
        (DATE, '"2026-01-01T00:00:00-05:00"', "`date-time` would keep the time"),
        (DATE, '"infinity"', "is no date"),
        (MONEY, '"12345678901234567.1"', "12345678901234567.1"),
    ],
    ids=str,
)
def test_a_text_that_is_no_date_or_number_of_its_type_is_refused(
    loader: Loader, kind: dict[str, Any], spelled: str, problem: str
) -> None:
    with pytest.raises(FatalError) as caught:
        loader.load(schema("s", v=kind), sent(spelled))
    assert problem in caught.value.got
    assert caught.value.asked == "loading 1 records into table main.s"
    assert loader.rows("s") == []


def test_what_a_record_lacks_is_null_and_what_the_schema_lacks_is_left_out(loader: Loader) -> None:
    loader.load(schema("s", a=TEXT, b=OBJECT, c=CENTS, d={}), record("s", a="x", z=1), record("s"))
    assert loader.rows("s") == [
        {"a": "x", "b": None, "c": None, "d": None},
        {"a": None, "b": None, "c": None, "d": None},
    ]


def test_a_null_is_kept_even_if_the_schema_says_there_is_none(loader: Loader) -> None:
    loader.load(schema("s", v={"type": "string"}, n={"type": "integer"}), record("s", v=None, n=None))
    assert loader.rows("s") == [{"v": None, "n": None}]


def test_numbers_and_instants_of_many_rows_are_those_that_were_sent(loader: Loader) -> None:
    rows = [
        {"n": number, "v": number / 7, "t": datetime(2026, 1, 1, 0, number % 60, number % 59, number, UTC)}
        for number in range(12_345)
    ]
    lines = [record("s", **row | {"t": row["t"].isoformat()}) for row in rows]
    loader.load(schema("s", n=INTEGER, v=NUMBER, t=MOMENT), *lines, batch_size_rows=1000)
    assert loader.rows("s") == rows


def test_a_json_text_in_a_column_of_several_types_can_be_told_from_a_text(loader: Loader) -> None:
    loader.load(schema("s", v={"type": ["string", "array"]}), sent(json.dumps([1])), sent('"[2]"'))
    assert {row["v"] for row in loader.rows("s")} == {"[1]", "[2]"}
