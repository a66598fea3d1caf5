"""Rendering: a block says what single messages say, in the order of its columns."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from singer_sdk.singerlib.encoding import SimpleSingerWriter
from singer_sdk.singerlib.messages import RecordMessage

from offgridflow_common.columns import Kind
from offgridflow_common.singer.render import as_json_values, render_lines, render_records

if TYPE_CHECKING:
    from collections.abc import Iterable

NOW = datetime(2026, 11, 23, 5, 40, 0, 123, tzinfo=UTC)


def by_block(frame: pl.DataFrame, stream: str = "things") -> list[dict[str, Any]]:
    *lines, rest = bytes(render_records(stream, frame, NOW)).split(b"\n")
    assert not rest
    return [json.loads(line) for line in lines]


def by_message(frame: pl.DataFrame, stream: str = "things") -> list[dict[str, Any]]:
    writer = SimpleSingerWriter()
    return [
        json.loads(writer.format_message(RecordMessage(stream=stream, record=row, time_extracted=NOW)))
        for row in as_json_values(frame).iter_rows(named=True)
    ]


def texts_of(messages: Iterable[dict[str, Any]]) -> list[str]:
    """As text, in which the order of columns counts, and 0.0 is not -0.0."""
    return [json.dumps(message) for message in messages]


MOMENTS = pl.Datetime("us", "UTC")
FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (["a\nb\r", '"\\/', "\x00\x1f\x7f\x85\u2028", "é大😀\ufeff", "", None], pl.String),
        ([0.1, -0.0, 1e300, 5e-324, 1e22, 1e-7, 123456789012345.678, 2.0**53, None], pl.Float64),
        ([math.nan, math.inf, -math.inf], pl.Float64),
        ([2**63 - 1, -(2**63), 0, None], pl.Int64),
        ([NOW, FIRST, LAST, None], MOMENTS),
        ([{"a\n": '"x', "": None}, {}, None], Kind.STRING_MAP.dtype),
        ([{"a": 1.5, "b": None, "c": math.nan}, {}, None], Kind.NUMBER_MAP.dtype),
        ([{"new": 1, "list": ["x", None]}, {"new": None, "list": []}, None], None),
        ([None, None], pl.Null),
        (["x", "x", "x"], pl.String),
        ([None, "x", "x"], pl.String),
        (["x", "x", None], pl.String),
        ([1.5, 1.5], pl.Float64),
        ([0.0, -0.0], pl.Float64),
        ([-0.0, 0.0], pl.Float64),
        ([math.nan, math.nan], pl.Float64),
        ([True, True], pl.Boolean),
        ([{"a": "x"}, {"a": "x"}], Kind.STRING_MAP.dtype),
    ],
    ids=str,
)  # fmt: skip
def test_a_block_says_what_single_messages_say(values: list[Any], dtype: Any) -> None:
    frame = pl.DataFrame({"x": pl.Series(values, dtype=dtype), "other": range(len(values))})
    assert texts_of(by_block(frame)) == texts_of(
        {**message, "time_extracted": "2026-11-23T05:40:00.000123+00:00"} for message in by_message(frame)
    )


@pytest.mark.parametrize("columns", ["abc", "acb", "cab", "a", "c", "ab", "cd", "acdbce"], ids=str)
def test_wherever_columns_of_one_value_stand(columns: str) -> None:
    series = {"a": ["1", "2"], "b": [3, None], "c": ["same", "same"], "d": [None, None], "e": [0.5, 0.5]}
    frame = pl.DataFrame({name: series[name] for name in dict.fromkeys(columns)})
    assert texts_of(by_block(frame)) == texts_of(by_message(frame))
    assert [json.loads(line) for line in bytes(render_lines(frame)).splitlines()] == frame.to_dicts()


texts = st.none() | st.text(st.characters(codec="utf-8"), max_size=8)
rows = st.tuples(
    texts, st.none() | st.floats(), st.none() | st.dictionaries(st.text(max_size=3), texts, max_size=2)
)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(rows, max_size=5))
def test_whatever_the_values_are(rows: list[tuple[Any, ...]]) -> None:
    schema = {"text": pl.String(), "number": pl.Float64(), "map": Kind.STRING_MAP.dtype}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    assert by_block(frame) == by_message(frame)


def test_columns_stand_in_the_order_of_the_frame() -> None:
    assert bytes(render_records("t", pl.DataFrame({"b": [1], "a": ["x"], "c": [None]}), NOW)) == (
        b'{"type":"RECORD","stream":"t","record":{"b":1,"a":"x","c":null},'
        b'"time_extracted":"2026-11-23T05:40:00.000123+00:00"}\n'
    )


def test_no_rows_are_no_lines() -> None:
    assert bytes(render_records("t", pl.DataFrame({"a": []}), NOW)) == b""


@pytest.mark.parametrize("stream", ['odd "name"\n', "größe"])
def test_the_name_of_a_stream_may_hold_anything(stream: str) -> None:
    [message] = by_block(pl.DataFrame({"a": [1]}), stream)
    assert message["stream"] == stream
