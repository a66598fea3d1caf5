"""Maps: columns of objects whose members differ from row to row."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import polars as pl

from offgridflow_common.columns import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Maps that are remembered: block after block has the same ones.
_PARSED_MAPS = 4096


def maps_of_texts(texts: Iterable[str | None], kind: Kind) -> pl.Series:
    """Maps that are written as JSON; null stays null.

    Raises:
        TypeError, ValueError: A text is no JSON object of keys and values of the kind.
    """
    return _maps([_parse_map(text, kind) for text in texts], kind)


def retyped_maps(values: pl.Series, kind: Kind) -> pl.Series:
    """Maps that are no text: those with values of another type, and lists of pairs of key and value."""
    if not isinstance(values.dtype, pl.Map):
        return values.cast(kind.dtype)
    return _maps([None if row is None else _members(row, kind) for row in values], kind)


def maps_of_entries(entries: pl.DataFrame, kind: Kind) -> pl.Series:
    """A map for each row, of its entries in order.

    Each row has an entry without a key, which is dropped: it keeps rows that have no others.
    """
    members = pl.struct("key", "value").filter(pl.col("key").is_not_null()).alias("members")
    return entries.group_by("row", maintain_order=True).agg(members)["members"].cast(kind.dtype)


def kind_of_members(kind: Kind) -> Kind:
    """The kind of the values that maps of a kind hold."""
    return Kind.STRING if kind is Kind.STRING_MAP else Kind.NUMBER


def _maps(rows: Sequence[dict[str, str | float | None] | None], kind: Kind) -> pl.Series:
    """A series of maps, by way of flat columns of keys and values: many times faster than from dicts."""
    numbers: list[int] = []
    keys: list[str | None] = []
    values: list[str | float | None] = []
    for number, row in enumerate(rows):
        given = row or {}
        numbers += [number] * (len(given) + 1)
        keys += [None, *given]
        values += [None, *given.values()]
    schema = {"row": pl.UInt32(), "key": pl.String(), "value": kind_of_members(kind).dtype}
    maps = maps_of_entries(pl.DataFrame({"row": numbers, "key": keys, "value": values}, schema=schema), kind)
    return maps.set(pl.Series([row is None for row in rows], dtype=pl.Boolean), None)


@lru_cache(_PARSED_MAPS)
def _parse_map(text: str | None, kind: Kind) -> dict[str, str | float | None] | None:
    members = None if text is None else json.loads(text)
    if members is None:
        return None
    if not isinstance(members, dict) and members != []:
        raise TypeError(f"expected a JSON object of keys and values, got {text!r:.80}")
    return _members(dict(members), kind)


def _members(members: dict[str, Any], kind: Kind) -> dict[str, str | float | None]:
    read = _as_text if kind is Kind.STRING_MAP else float
    return {key: None if value is None else read(value) for key, value in members.items()}


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
