"""Where the SDK has to touch each record, the rows are those that the quick way gives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from singer_sdk.exceptions import InvalidRecord

from tests.target_duckdb.loading import DATE, INTEGER, MOMENT, NUMBER, OBJECT, TEXT, Loader, record, schema

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING = schema(
    "s",
    ["k"],
    k=INTEGER,
    text=TEXT,
    number=NUMBER,
    moment=MOMENT,
    day=DATE,
    tags=OBJECT,
    list={"type": ["array", "null"]},
    cents={"type": ["number", "null"], "multipleOf": 0.01},
    money={"type": ["string", "null"], "format": "x-singer.decimal", "precision": 38, "scale": 10},
    mixed={},
)
LINE = (
    b'{"type": "RECORD", "stream": "s", "record": {"k": %d, "text": "\\u0000\xc3\xa9", "number": 0.1, '
    b'"moment": "2026-01-31T12:00:00.123456+02:00", "day": "2026-02-01T00:00:00+00:00", '
    b'"tags": {"a":[1,{"b":null}],"c":1.5}, "list": [], "cents": 12345678901234567890123456.78, '
    b'"money": "1234567890123456789.0123456789", "mixed": 5, "unknown": 1}}'
)


@pytest.mark.parametrize(
    "config",
    [{"validate_records": True}, {"stream_maps": {"s": {"text": "text"}}}],
    ids=["validated", "mapped"],
)
def test_values_are_the_same_on_both_ways(loader: Loader, tmp_path: Path, config: dict[str, Any]) -> None:
    lines = [LINE % k for k in range(20)]
    loader.load(EVERYTHING, *lines, batch_size_rows=7)
    other = Loader(tmp_path / "other.duckdb", {})
    other.load(EVERYTHING, *lines, batch_size_rows=7, **config)
    columns = set(other.types("s"))
    assert columns >= {"k", "moment", "day", "cents", "money"}
    expected = [{name: row[name] for name in row if name in columns} for row in loader.rows("s")]
    assert comparable(other.rows("s")) == comparable(expected)
    assert len(expected) == len(lines)


def comparable(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row | {name: json.loads(row[name]) for name in ("tags", "list") if name in row} for row in rows]


def test_a_stream_map_renames_filters_and_adds(loader: Loader) -> None:
    maps = {
        "s": {
            "__alias__": "renamed",
            "__filter__": "k != 2",
            "text": "__NULL__",
            "more": "text + '!'",
        }
    }
    loader.load(
        schema("s", ["k"], k=INTEGER, text=TEXT),
        *(record("s", k=k, text=str(k)) for k in range(4)),
        stream_maps=maps,
    )
    assert loader.rows("renamed") == [{"k": k, "more": f"{k}!"} for k in (0, 1, 3)]


def test_a_stream_can_be_copied_and_left_out(loader: Loader) -> None:
    maps = {"copy": {"__source__": "s", "k": "int(k * 2)", "__else__": "__NULL__"}, "other": None}
    loader.load(
        schema("s", ["k"], k=INTEGER),
        schema("other", ["k"], k=INTEGER),
        record("s", k=1),
        record("other", k=1),
        stream_maps=maps,
    )
    assert loader.rows("other") == []
    assert loader.rows("s") == [{"k": 1}]
    assert loader.rows("copy") == [{"k": 2}]


def test_objects_can_be_flattened(loader: Loader) -> None:
    nested = {
        "type": "object",
        "properties": {"a": INTEGER, "b": {"type": "object", "properties": {"c": TEXT}}},
    }
    loader.load(
        schema("s", ["k"], k=INTEGER, nested=nested),
        record("s", k=1, nested={"a": 5, "b": {"c": "deep"}}),
        flattening_enabled=True,
        flattening_max_depth=1,
    )
    (row,) = loader.rows("s")
    assert row | {"nested__b": json.loads(row["nested__b"])} == {
        "k": 1,
        "nested__a": 5,
        "nested__b": {"c": "deep"},
    }


def test_validation_finds_what_types_do_not_tell(loader: Loader) -> None:
    limited = schema("s", k={"type": "integer", "maximum": 5})
    loader.load(limited, record("s", k=6))
    with pytest.raises(InvalidRecord):
        loader.load(limited, record("s", k=6), validate_records=True)
    assert loader.rows("s") == [{"k": 6}]


def test_a_state_goes_out_after_a_full_batch_of_mapped_records(loader: Loader) -> None:
    states = loader.load(
        schema("s", ["k"], k=INTEGER),
        record("s", k=1),
        record("s", k=2),
        {"type": "STATE", "value": {"at": 2}},
        record("s", k=3),
        {"type": "STATE", "value": {"at": 3}},
        batch_size_rows=2,
        stream_maps={"s": {"k": "k"}},
    )
    assert states == [{"at": 2}, {"at": 3}]
