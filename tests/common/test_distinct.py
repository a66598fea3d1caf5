"""What is made of distinct values stands where the values stand, and each is looked at once."""

from __future__ import annotations

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from offgridflow_common.distinct import each_distinct, of_distinct


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.lists(st.none() | st.sampled_from("abc")), st.integers(1, 4))
def test_each_distinct_value_is_made_once_and_stands_in_its_places(
    values: list[str | None], cut: int
) -> None:
    asked: list[str | None] = []

    def doubled(distinct: pl.Series) -> pl.Series:
        asked.extend(distinct)
        return distinct + distinct

    whole = pl.Series(values, dtype=pl.String)
    in_chunks = pl.concat([whole[:cut], whole[cut:]], rechunk=False)
    assert of_distinct(in_chunks, doubled).to_list() == [value and value * 2 for value in values]
    assert len(asked) == len(set(values))


def test_in_an_expression_it_is_another_column_of_another_type() -> None:
    frame = pl.DataFrame({"text": ["1 h", None, "10 h", "1 h"]})
    number = each_distinct(pl.col("text"), lambda text: text.str.extract(r"(\d+)").cast(pl.Int64), pl.Int64())
    assert frame.select("text", number=number)["number"].to_list() == [1, None, 10, 1]
