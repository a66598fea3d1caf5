"""Partitions: what a stream reads at once, and acknowledges when all of it is out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import polars as pl


@dataclass(frozen=True, slots=True)
class Partition:
    """A part of a stream that is emitted whole before state moves past it.

    Attributes:
        label: Names it in logs and spans.
        blocks: Reads it: frames with the stream's wanted columns, in their order.
        acknowledge: Writes to state that all of it is out; called with the number of rows.
    """

    label: str
    blocks: Callable[[], Iterator[pl.DataFrame]]
    acknowledge: Callable[[int], None]
