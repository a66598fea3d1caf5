"""How enterprise agreements spell dates and tags in exports of cost."""

from __future__ import annotations

import polars as pl


def month_first(texts: pl.Series) -> pl.Series:
    """Dates such as ``9/4/2023``, ``09/04/2023`` and ``9/4/23`` as ISO 8601 has them; all else stays.

    A midnight in words, as in ``9/4/2023 12:00:00 AM``, tells no more than the day.
    """
    iso = (
        pl.first()
        .str.replace(r"^(\d)/", "0${1}/")
        .str.replace(r"^(\d{2})/(\d)/", "${1}/0${2}/")
        .str.replace(r"^(\d{2})/(\d{2})/(\d{2})(\D|$)", "${1}/${2}/20${3}${4}")
        .str.replace(r"^(\d{2})/(\d{2})/(\d{4})(?: 12:00:00 AM$)?", "${3}-${1}-${2}")
    )
    return texts.to_frame().select(iso).to_series()


def with_braces(texts: pl.Series) -> pl.Series:
    """Objects that lack their braces, as ``"key": "value"``, with them; all else stays."""
    return (
        texts.to_frame()
        .select(
            pl.when(pl.first().str.contains(r'^\s*"'))
            .then(pl.format("{{{}}}", pl.first()))
            .otherwise(pl.first())
        )
        .to_series()
    )
