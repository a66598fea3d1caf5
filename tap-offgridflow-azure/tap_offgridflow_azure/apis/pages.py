"""Answers of several pages: whole, each row once, each row with a key of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import polars as pl

from offgridflow_common.columns import polars_schema
from offgridflow_common.errors import ContractBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from offgridflow_common.columns import Column
    from offgridflow_common.pagination import CursorPager, Page

T = TypeVar("T")


def distinct_pages(
    pager: CursorPager, fetch: Callable[[str | None], Page[T]], asked: str
) -> Iterator[Sequence[T]]:
    """The pages of an answer, none of which has a row of another one.

    Args:
        pager: Follows the pages.
        fetch: Fetches the page of a token; None asks for the first page.
        asked: What was asked, for messages.

    Raises:
        ContractBroken: A row came again: pages overlap, so others may be missing. Rows of one page may be
            alike.
    """
    seen: set[int] = set()
    for page in pager.pages(fetch):
        marks = {hash(repr(row)) for row in page.items}
        if not seen.isdisjoint(marks):
            raise ContractBroken(
                asked=asked,
                got="the same row on two pages, so that others may be missing",
                do="run again; if it stays so, report it to the provider",
            )
        seen |= marks
        yield page.items


def unnumbered_schema(columns: Iterable[Column]) -> dict[str, pl.DataType]:
    """The types of a stream's columns, without that of ``item_number``."""
    return {name: dtype for name, dtype in polars_schema(columns).items() if name != "item_number"}


def numbered(rows: pl.DataFrame, key: Sequence[str], columns: Iterable[Column]) -> pl.DataFrame:
    """The rows in a stream's columns; ``item_number`` counts those that share a key, so that all differ."""
    number = pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over(key)
    return rows.with_columns(item_number=number).select([column.name for column in columns])
