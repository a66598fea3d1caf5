"""Work once for each distinct value, for columns in which few values stand in many rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Callable


def of_distinct(values: pl.Series, make: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Apply a function to the distinct values, and spread its results over all rows.

    Args:
        values: In any order; null is a value, too.
        make: Takes the distinct values as a series; returns as many, in their order.
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
    """The same as an expression.

    Args:
        column: The values.
        make: From an expression of the distinct values to one of the results.
        dtype: The type of the results.
    """

    def made(values: pl.Series) -> pl.Series:
        return of_distinct(values, lambda distinct: distinct.to_frame().select(make(pl.first())).to_series())

    return column.map_batches(made, return_dtype=dtype)
