"""How many rows a BATCH file has."""

from __future__ import annotations

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
    ],
)
def test_files_of_many_columns_have_fewer_rows_unless_the_user_asks_for_more(
    batch_config: dict[str, int] | None, columns: int, rows: int
) -> None:
    assert batch_rows({"batch_config": batch_config}, columns) == rows
