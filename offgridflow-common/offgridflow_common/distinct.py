"""Columns in which few distinct values stand in many rows: what is made of a value is made once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable


def of_distinct(values: pl.Series, make: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """What is made of each value.

    Args:
        values: In any order; null is a value, too.
        make: Is given each distinct value once, and gives as many, in their order.
    """
    distinct = values.unique()
    made = make(distinct)
    if distinct.is_empty():
        return made
    if len(distinct) == 1:
        return made.new_from_index(0, len(values))
    positions = pl.int_range(len(distinct), eager=True)
    return made.gather(values.replace_strict(distinct, positions, return_dtype=pl.UInt32))


def each_distinct(column: pl.Expr, make: Callable[[pl.Expr], pl.Expr], dtype: pl.DataType) -> pl.Expr:
    """The same in an expression.

    Args:
        column: The values.
        make: From values to what is made of them.
        dtype: The type of that.
    """

    def made(values: pl.Series) -> pl.Series:
        return of_distinct(values, lambda distinct: distinct.to_frame().select(make(pl.first())).to_series())

    return column.map_batches(made, return_dtype=dtype)
