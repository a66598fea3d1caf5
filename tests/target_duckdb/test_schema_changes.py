"""Schemas that change: columns are added and widened, in the middle of a run too, and no row is lost."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from offgridflow_common.errors import BadRequestError, FatalError
from tests.target_duckdb.loading import (
    BOOLEAN,
    DATE,
    INTEGER,
    MOMENT,
    NUMBER,
    OBJECT,
    TEXT,
    TIME,
    Loader,
    record,
    schema,
)

if TYPE_CHECKING:
    from pathlib import Path

CENTS = {"type": "number", "multipleOf": 0.01}
MILLS = {"type": "number", "multipleOf": 0.001}
LONG = {"type": "string", "format": "singer.decimal", "precision": 38, "scale": 2}
ANY_DECIMAL = {"type": "string", "format": "singer.decimal"}
WHOLE = {"type": "string", "format": "singer.decimal", "precision": 19, "scale": 0}
PRECISE = {"type": "string", "format": "singer.decimal", "precision": 38, "scale": 10}
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def spelled(key: int, value: str) -> bytes:
    """A record whose value is written with all its digits."""
    return b'{"type": "RECORD", "stream": "s", "record": {"k": %d, "v": %s}}' % (key, value.encode())


@pytest.mark.parametrize(
    ("before", "after", "sql_type", "values"),
    [
        ((INTEGER, 1), (NUMBER, 1.5), "DOUBLE", [1.0, 1.5]),
        ((NUMBER, 1.5), (INTEGER, 2), "DOUBLE", [1.5, 2.0]),
        ((INTEGER, 7), (CENTS, 1.25), "DECIMAL(38,2)", [Decimal("7.00"), Decimal("1.25")]),
        ((CENTS, 1.25), (MILLS, 1.125), "DECIMAL(38,3)", [Decimal("1.250"), Decimal("1.125")]),
        ((MILLS, 1.125), (CENTS, 1.25), "DECIMAL(38,3)", [Decimal("1.125"), Decimal("1.250")]),
        ((CENTS, 1.25), (INTEGER, 7), "DECIMAL(38,2)", [Decimal("1.25"), Decimal("7.00")]),
        ((CENTS, 1.25), (NUMBER, 1.5), "DOUBLE", [1.25, 1.5]),
        ((ANY_DECIMAL, "12.34567891"), (NUMBER, 1.5), "DOUBLE", [12.34567891, 1.5]),
        ((NUMBER, 1.5), (ANY_DECIMAL, "12.34567891"), "DOUBLE", [1.5, 12.34567891]),
        ((INTEGER, 2**60), (NUMBER, 1.5), "DOUBLE", [2.0**60, 1.5]),
        (
            (DATE, "2026-01-01"),
            (MOMENT, "2026-01-01T12:00:00Z"),
            "TIMESTAMP WITH TIME ZONE",
            [datetime(2026, 1, 1, tzinfo=UTC), NOON],
        ),
        (
            (MOMENT, "2026-01-01T12:00:00Z"),
            (DATE, "2026-01-01"),
            "TIMESTAMP WITH TIME ZONE",
            [NOON, datetime(2026, 1, 1, tzinfo=UTC)],
        ),
        (
            (WHOLE, "9999999999999999999"),
            (INTEGER, 7),
            "DECIMAL(19,0)",
            [Decimal(9999999999999999999), Decimal(7)],
        ),
        (
            (INTEGER, 7),
            (WHOLE, "9999999999999999999"),
            "DECIMAL(19,0)",
            [Decimal(7), Decimal(9999999999999999999)],
        ),
        ((INTEGER, 1), (TEXT, "x"), "VARCHAR", ["1", "x"]),
        ((TEXT, "x"), (INTEGER, 1), "VARCHAR", ["x", "1"]),
        ((BOOLEAN, True), (INTEGER, 1), "VARCHAR", ["true", "1"]),
        ((OBJECT, {"a": 1}), (TEXT, "x"), "VARCHAR", ['{"a": 1}', "x"]),
        ((TEXT, "x"), (OBJECT, {"a": 1}), "VARCHAR", ["x", '{"a": 1}']),
        ((DATE, "2026-01-01"), (TEXT, "x"), "VARCHAR", ["2026-01-01", "x"]),
        ((INTEGER, 1), (MOMENT, "2026-01-01T12:00:00Z"), "VARCHAR", ["1", "2026-01-01T12:00:00Z"]),
    ],
    ids=str,
)
@pytest.mark.parametrize("in_one_run", [True, False])
def test_a_column_becomes_wide_enough_for_both(
    loader: Loader,
    before: tuple[dict[str, Any], Any],
    after: tuple[dict[str, Any], Any],
    sql_type: str,
    values: list[Any],
    *,
    in_one_run: bool,
) -> None:
    messages = [
        [schema("s", ["k"], k=INTEGER, v=kind), record("s", k=key, v=value)]
        for key, (kind, value) in enumerate((before, after))
    ]
    if in_one_run:
        loader.load(*messages[0], *messages[1])
    else:
        loader.load(*messages[0])
        loader.load(*messages[1])
    assert loader.types("s")["v"] == sql_type
    assert [row["v"] for row in loader.rows("s")] == values


@pytest.mark.parametrize(
    ("before", "after", "value"),
    [
        (INTEGER, NUMBER, "9007199254740993"),
        (INTEGER, NUMBER, "-9007199254740993"),
        (INTEGER, NUMBER, "9223372036854775807"),
        (CENTS, NUMBER, "123456789012345678.12"),
        (LONG, PRECISE, "123456789012345678901234567890.12"),
    ],
    ids=str,
)
@pytest.mark.parametrize("keys", [["v"], ["k"]], ids=["as the key", "as a value"])
def test_a_change_that_would_round_what_a_column_holds_is_refused(
    loader: Loader, before: dict[str, Any], after: dict[str, Any], value: str, keys: list[str]
) -> None:
    """As a key, rounded values would even make one row of two."""
    loader.load(
        schema("s", keys, k=INTEGER, v=before), spelled(1, "1"), spelled(2, value), spelled(3, "null")
    )
    types, rows = loader.types("s"), loader.rows("s")
    with pytest.raises(BadRequestError) as caught:
        loader.load(schema("s", keys, k=INTEGER, v=after, more=TEXT), spelled(4, "1"))
    assert caught.value.asked == "preparing table main.s"
    assert f"changes values of {types['v']} that it holds: 1, such as {value}" in caught.value.got
    assert "multipleOf" in caught.value.do
    assert (loader.types("s"), loader.rows("s")) == (types, rows)


@pytest.mark.parametrize("encoding", ["records", "parquet"])
@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        (INTEGER, ("9007199254740992", "9007199254740993")),
        (INTEGER, ("-9223372036854775808", "9223372036854775807")),
        (CENTS, ("1.25", "123456789012345678.12")),
    ],
    ids=str,
)
def test_an_exact_number_that_a_column_of_floating_point_would_round_is_refused(
    loader: Loader, tmp_path: Path, kind: dict[str, Any], numbers: tuple[str, str], encoding: str
) -> None:
    good, bad = numbers

    def message(number: str) -> bytes | dict[str, Any]:
        if encoding == "records":
            return spelled(2, number)
        path = tmp_path / number
        loader.ask(f"COPY (SELECT 2 AS k, {number} AS v) TO '{path}' (FORMAT parquet)")
        return {"type": "BATCH", "stream": "s", "encoding": {"format": encoding}, "manifest": [path.as_uri()]}

    loader.load(schema("s", ["k"], k=INTEGER, v=NUMBER), spelled(1, "1.5"))
    loader.load(schema("s", ["k"], k=INTEGER, v=kind), message(good))
    held = [{"k": 1, "v": 1.5}, {"k": 2, "v": float(good)}]
    assert loader.rows("s") == held
    with pytest.raises(FatalError) as caught:
        loader.load(schema("s", ["k"], k=INTEGER, v=kind), message(bad))
    assert f"{bad} would be rounded in column `v`" in caught.value.got
    assert "ALTER" in caught.value.got
    assert loader.rows("s") == held


def test_columns_are_added_and_those_that_vanish_stay(loader: Loader) -> None:
    loader.load(
        schema("s", ["k"], k=INTEGER, a=TEXT),
        record("s", k=1, a="a"),
        schema("s", ["k"], k=INTEGER, b=INTEGER),
        record("s", k=2, b=2),
        schema("s", ["k"], k=INTEGER, a=TEXT, b=INTEGER),
        record("s", k=3, a="a", b=3),
    )
    assert loader.rows("s") == [
        {"k": 1, "a": "a", "b": None},
        {"k": 2, "a": None, "b": 2},
        {"k": 3, "a": "a", "b": 3},
    ]


@pytest.mark.parametrize("hard_delete", [False, True])
def test_a_column_that_vanished_keeps_what_it_held(loader: Loader, *, hard_delete: bool) -> None:
    config: dict[str, Any] = {"add_record_metadata": True, "hard_delete": hard_delete}
    loader.load(
        schema("s", ["k"], k=INTEGER, a=TEXT, b=TEXT),
        *(record("s", k=k, a="a", b="b") for k in range(4)),
        **config,
    )
    loader.load(
        schema("s", ["k"], k=INTEGER, a=TEXT),
        record("s", k=1, a="new"),
        record("s", k=2),
        record("s", k=2, a="newer"),
        record("s", k=3, _sdc_deleted_at="2026-01-01T00:00:00Z"),
        record("s", k=4, a="new", _sdc_deleted_at="2026-01-01T00:00:00Z"),
        record("s", k=5, a="new"),
        **config,
    )
    left = loader.ask("SELECT k, a, b FROM s WHERE _sdc_deleted_at IS NULL ORDER BY k")
    assert left == [(0, "a", "b"), (1, "new", "b"), (2, "newer", "b"), (5, "new", None)]
    assert loader.ask("SELECT count(*) FROM s") == [(4 if hard_delete else 6,)]


def test_rows_from_before_a_change_do_not_replace_those_from_after_it(loader: Loader) -> None:
    loader.load(
        schema("s", ["k"], k=INTEGER, a=TEXT),
        record("s", k=1, a="old"),
        record("s", k=2, a="old"),
        schema("s", ["k"], k=INTEGER, a=TEXT, b=TEXT),
        record("s", k=1, a="new", b="new"),
        record("s", k=3, a="new", b="new"),
        batch_size_rows=2,
    )
    assert loader.ask("SELECT a FROM s ORDER BY k") == [("new",), ("old",), ("new",)]


def test_another_key_holds_from_where_it_is_declared(loader: Loader) -> None:
    loader.load(
        schema("s", ["a"], a=INTEGER, b=INTEGER),
        record("s", a=1, b=1),
        record("s", a=1, b=2),
        schema("s", ["b"], a=INTEGER, b=INTEGER),
        record("s", a=2, b=2),
        record("s", a=3, b=3),
    )
    assert loader.rows("s") == [{"a": 2, "b": 2}, {"a": 3, "b": 3}]


def test_a_schema_that_is_repeated_changes_nothing(loader: Loader) -> None:
    line = schema("s", ["k"], k=INTEGER)
    loader.load(line, record("s", k=1), line, record("s", k=2), line)
    assert loader.rows("s") == [{"k": 1}, {"k": 2}]


def test_columns_that_another_loader_made_stay_as_they_are_if_they_are_wide_enough(loader: Loader) -> None:
    with duckdb.connect(str(loader.path)) as connection:
        connection.execute("CREATE TABLE s (K HUGEINT, moment TIMESTAMP, n SMALLINT, f FLOAT)").fetchall()
        connection.execute("INSERT INTO s VALUES (1, '2026-01-01 12:00:00', 1, 0.5)").fetchall()
    loader.load(
        schema("s", ["k"], k=INTEGER, moment=MOMENT, n=INTEGER, f=NUMBER),
        record("s", k=2, moment="2026-01-01T14:00:00+02:00", n=100_000, f=0.1),
    )
    assert loader.types("s") == {"K": "HUGEINT", "moment": "TIMESTAMP", "n": "BIGINT", "f": "DOUBLE"}
    noon = NOON.replace(tzinfo=None)
    assert [tuple(row.values()) for row in loader.rows("s")] == [(1, noon, 1, 0.5), (2, noon, 100_000, 0.1)]


def test_a_column_of_times_becomes_one_of_texts_which_keep_offsets(loader: Loader) -> None:
    with duckdb.connect(str(loader.path)) as connection:
        connection.execute("CREATE TABLE s (k BIGINT, v TIME)").fetchall()
        connection.execute("INSERT INTO s VALUES (1, '12:00:00'), (2, '23:59:59.5')").fetchall()
    loader.load(schema("s", ["k"], k=INTEGER, v=TIME), record("s", k=3, v="12:00:00+02:00"))
    assert [row["v"] for row in loader.rows("s")] == ["12:00:00", "23:59:59.5", "12:00:00+02:00"]


def test_a_column_of_texts_stays_one_where_times_come_as_they_are_spelled(loader: Loader) -> None:
    text = "2024-01-01T00:00:00+02:00"
    loader.load(schema("s", ["k"], k=TEXT, v=TEXT), record("s", k=text, v=text))
    loader.load(schema("s", ["k"], k=MOMENT, v=MOMENT), record("s", k=text, v="2024-01-02T00:00:00Z"))
    assert [tuple(row.values()) for row in loader.rows("s")] == [(text, "2024-01-02T00:00:00Z")]


@pytest.mark.parametrize(
    ("before", "value", "after"),
    [
        (MOMENT, "2024-01-01T00:00:00Z", TEXT),
        (NUMBER, 1.0, {"type": ["number", "string"]}),
        ({"type": "number", "multipleOf": 0.01}, 1.0, {"type": ["number", "string"]}),
        ({"type": ["number", "string"]}, 1, NUMBER),
    ],
    ids=str,
)
def test_a_key_whose_equal_values_would_differ_is_refused(
    loader: Loader, before: dict[str, Any], value: Any, after: dict[str, Any]
) -> None:
    loader.load(schema("s", ["k"], k=before, v=INTEGER), record("s", k=value, v=1))
    with pytest.raises(BadRequestError, match="rows would be there twice"):
        loader.load(schema("s", ["k"], k=after, v=INTEGER), record("s", k=value, v=2))
    assert [row["v"] for row in loader.rows("s")] == [1]


def test_values_of_a_wide_table_are_those_of_before_the_change(loader: Loader) -> None:
    rows = 5000
    loader.load(
        schema("s", ["k"], k=INTEGER, d=DATE), *(record("s", k=k, d="2026-01-01") for k in range(rows))
    )
    loader.load(schema("s", ["k"], k=INTEGER, d=TEXT), record("s", k=0, d="never"))
    assert loader.ask("SELECT d, count(*) FROM s GROUP BY d ORDER BY d") == [
        (date(2026, 1, 1).isoformat(), rows - 1),
        ("never", 1),
    ]
