"""How many rows a BATCH file has, and what is in it."""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.helpers._batch import BaseBatchFileEncoding, StorageTarget

from offgridflow_common.errors import ConfigError
from offgridflow_common.singer.batch import StorageBatchStore, batch_rows, render
from tests.common.tiny_tap import TinyTap

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("batch_config", "columns", "rows"),
    [
        (None, 30, 50_000),
        ({}, 50, 50_000),
        ({}, 136, 18_382),
        ({"batch_size": 1_000}, 136, 1_000),
        ({"batch_size": 100_000}, 136, 100_000),
        ({"batch_size": 10**9}, 3, 200_000),
        ({"encoding": {"format": "parquet"}}, 136, 18_382),
        ({"encoding": {"format": "jsonl"}}, 20, 25_000),
        ({"encoding": {"format": "jsonl"}}, 136, 3_676),
        ({"encoding": {"format": "jsonl", "compression": "gzip"}}, 20, 50_000),
        ({"encoding": {"format": "jsonl", "compression": "gzip"}}, 136, 7_352),
        ({"encoding": {"format": "jsonl"}, "batch_size": 100_000}, 136, 100_000),
    ],
)
def test_files_of_many_columns_have_fewer_rows_unless_the_user_asks_for_more(
    batch_config: dict[str, Any] | None, columns: int, rows: int
) -> None:
    assert batch_rows({"batch_config": batch_config}, columns) == rows


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_numbers_that_are_not_finite_are_null_in_parquet_as_they_are_in_lines(compression: str) -> None:
    """JSON has no words for them, and a loader that puts objects into a column of JSON would write them."""
    prices = pl.Map(pl.String(), pl.Float64())
    more = pl.Struct({"n": pl.Float32(), "l": pl.List(pl.Float64()), "m": prices, "t": pl.String()})
    frame = pl.DataFrame(
        {
            "number": [0.1, math.nan, math.inf, -math.inf, None],
            "prices": [{"a": 0.5, "b": math.nan}, {}, None, {"c": -math.inf}, {"d": None}],
            "more": [
                {"n": math.nan, "l": [1.5, math.inf], "m": {"a": math.nan}, "t": "NaN"},
                {"n": 0.5, "l": [], "m": None, "t": None},
                None,
                {"n": None, "l": None, "m": {}, "t": ""},
                {"n": math.inf, "l": [None], "m": {"a": 1.5}, "t": ""},
            ],
            "tags": [{"a": "NaN"}, {}, None, {"b": None}, {}],
            "lists": [{"l": [math.nan, 0.5]}, {"l": []}, None, {"l": None}, {"l": [None]}],
            "whole": [2**62 + 1, None, 0, -1, 1],
        },
        schema_overrides={"prices": prices, "more": more, "tags": pl.Map(pl.String(), pl.String())},
    )
    suffix, parquet = render(frame, BaseBatchFileEncoding("parquet", compression))
    _, lines = render(frame, BaseBatchFileEncoding("jsonl", "none"))
    assert suffix == ".parquet"
    read = pl.read_parquet(io.BytesIO(parquet))
    assert read.schema == frame.schema
    _, again = render(read, BaseBatchFileEncoding("jsonl", "none"))
    assert again == lines
    assert [json.loads(line)["number"] for line in lines.splitlines()] == [0.1, None, None, None, None]
    assert read["number"].to_list() == [0.1, None, None, None, None]
    assert read["prices"][0] == {"a": 0.5, "b": None}
    assert read["more"][0] == {"n": None, "l": [1.5, None], "m": {"a": None}, "t": "NaN"}
    assert read["lists"][0] == {"l": [None, 0.5]}
    assert read["more"].is_null().to_list() == [False, False, True, False, False]


@pytest.mark.parametrize(
    ("batch_config", "message"),
    [
        ({"storage": {"root": "file:///x"}}, "batch_config lacks 'encoding'"),
        ({"encoding": {"format": "jsonl"}}, "batch_config lacks 'storage'"),
        ({"encoding": {}, "storage": {"root": "file:///x"}}, "batch_config.encoding lacks 'format'"),
        (
            {"encoding": {"format": "jsonl"}, "storage": {"rot": "file:///x"}},
            "batch_config.storage lacks 'root'",
        ),
        (
            {"encoding": {"format": "jsonl"}, "storage": {"root": "file:///x", "rot": 1}},
            "batch_config.storage has no 'rot', only root, prefix, params",
        ),
        (
            {"encoding": {"format": "jsonl"}, "storage": {"root": "file:///x"}, "size": 1},
            "batch_config has no 'size', only encoding, storage, batch_size",
        ),
        *(
            (
                {"encoding": {"format": "jsonl"}, "storage": {"root": "file:///x"}, "batch_size": size},
                f"batch_config.batch_size must be a whole number of rows, 1 or more, not {size!r}",
            )
            for size in (0, -1, "ten", True)
        ),
        ({"encoding": None, "storage": {"root": "file:///x"}}, "batch_config lacks 'encoding'"),
        ({"encoding": {"format": "jsonl"}, "storage": None}, "batch_config lacks 'storage'"),
        *(
            (
                {"encoding": {"format": "jsonl"}, "storage": {"root": root}},
                "batch_config.storage lacks 'root'",
            )
            for root in (None, "")
        ),
        (
            {"encoding": {"format": "jsonl"}, "storage": {"root": "file:///x", "params": None}},
            "batch_config.storage.params must be an object, not None",
        ),
    ],
)
def test_a_batch_config_that_is_wrong_is_refused_before_anything_is_asked(
    batch_config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        TinyTap(config={"batch_config": batch_config})
    assert any(message in error for error in caught.value.errors)


def test_a_place_that_cannot_be_written_to_is_named_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    for root in (f"file://{tmp_path}/file/below", "nosuch://bucket"):
        with pytest.raises(ConfigError, match=r"storage\.root of batch_config") as caught:
            StorageBatchStore(StorageTarget(root)).put("name", b"content")
        assert root in str(caught.value)
