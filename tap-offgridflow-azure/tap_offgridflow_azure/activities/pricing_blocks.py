"""Units of measure of Azure's prices: blocks such as ``100 Hours`` or ``10K``, and what is in them.

Whether a row's quantity counts blocks or what is in them differs between agreements and is written nowhere
in the row. Its price tells: it is for one block.
"""

from __future__ import annotations

import polars as pl

from offgridflow_common.distinct import each_distinct

#: A number, with K for thousands, M for millions or B for billions, and what separates it from the unit.
_BLOCK = r"^\s*([\d.,]+)\s*(?:[KMB](?:[\s/]+|$)|[\s/]*)"
_MULTIPLE = r"^\s*[\d.,]+\s*([KMB])(?:[\s/]|$)"
_MULTIPLES = {"K": 1e3, "M": 1e6, "B": 1e9}

#: What is counted where a unit of measure is a number only.
_PIECES = "Units"

#: Cost and quantity times price agree within this part of the cost: both are rounded.
_TOLERANCE = 0.01


def pricing_unit(unit_of_measure: pl.Expr) -> pl.Expr:
    """The unit of what is in a block: ``Hours`` of ``100 Hours``, ``GB/Month`` of ``1 GB/Month``."""
    return each_distinct(unit_of_measure, _unit, pl.String())


def pricing_block_size(unit_of_measure: pl.Expr) -> pl.Expr:
    """How much is in a block: 100 of ``100 Hours``, 10,000 of ``10K``."""
    return each_distinct(unit_of_measure, _size, pl.Float64())


def quantity_in_units(
    quantity: pl.Expr, size: pl.Expr, cost: pl.Expr, prices: tuple[pl.Expr, ...]
) -> pl.Expr:
    """Quantities in units, never in blocks.

    A row whose cost is its quantity times its price counts blocks; one whose cost is that over the size of
    the block counts units. Where neither holds, as where nothing is charged, it counts what most of the rows
    that tell count, since that goes by agreement; blocks, if none tells.

    Args:
        quantity: As reported.
        size: Of the block.
        cost: In the currency of the prices.
        prices: For one block each: as agreed, and what was effectively paid.
    """
    by_block = pl.any_horizontal(_agree(cost, quantity * price) for price in prices).fill_null(value=False)
    by_unit = pl.any_horizontal(_agree(cost, quantity * price / size) for price in prices)
    counts_units = by_unit.fill_null(value=False) & ~by_block
    counts_blocks = by_block & (size != 1)
    most_count_units = counts_units.sum() > counts_blocks.sum()
    in_units = counts_units | (~by_block & most_count_units)
    return pl.when(in_units).then(quantity).otherwise(quantity * size)


def _agree(cost: pl.Expr, expected: pl.Expr) -> pl.Expr:
    return (cost != 0) & ((cost - expected).abs() <= cost.abs() * _TOLERANCE)


def _unit(unit_of_measure: pl.Expr) -> pl.Expr:
    unit = unit_of_measure.str.replace(_BLOCK, "").str.strip_chars()
    return pl.when(unit == "").then(pl.lit(_PIECES)).otherwise(unit)


def _size(unit_of_measure: pl.Expr) -> pl.Expr:
    number = unit_of_measure.str.extract(_BLOCK).str.replace_all(",", "", literal=True)
    multiple = unit_of_measure.str.extract(_MULTIPLE).replace_strict(_MULTIPLES, default=1.0)
    size = number.cast(pl.Float64, strict=False).fill_null(1.0) * multiple
    return pl.when(size > 0).then(size).otherwise(1.0)
