"""How many rows a BATCH file has."""

from __future__ import annotations

from typing import Any

import pytest

from offgridflow_common.singer.batch import batch_rows


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
