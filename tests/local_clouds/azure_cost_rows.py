"""Made-up rows of an Azure bill, for any number of rows: the lines of a month, day by day.

Rows come in blocks that depend on the seed and their place only: the same seed gives the same rows, and a
longer table begins with the shorter one.
"""

from __future__ import annotations

import calendar
from datetime import date
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.compute as pc

from tests.local_clouds.azure_cost_lines import Bill, daily_lines, monthly_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.local_clouds.azure_cost_vocabulary import View

SUBSCRIPTIONS = tuple(f"a0000000-0000-4000-8000-00000000000{number}" for number in (1, 2, 3))
BLOCK_ROWS = 65_536
LINES = 1_600
#: Steps that share no factor with the number of lines or with the days of any month, so that walking by them
#: meets every line and day once, and kinds, lines and days mix well from the first rows on.
_LINE_STEP, _DAY_STEP, _LINE_DAY_STEP = 989, 23, 41
_MONTHLY_EVERY = 8
#: Decimals of quantities and costs.
_PLACES = 12


def cost_blocks(
    rows: int,
    seed: int,
    month: str = "2026-09",
    view: View = "ActualCost",
    *,
    subscriptions: Sequence[str] = SUBSCRIPTIONS,
) -> Iterator[pl.DataFrame]:
    """Rows of one month in blocks of at most `BLOCK_ROWS`, made one at a time.

    Args:
        rows: How many in all.
        seed: Same seed, same rows.
        month: `YYYY-MM`.
        view: Cost as billed, with purchases spread over their term, or both side by side.
        subscriptions: Ids of the subscriptions.
    """
    first = date.fromisoformat(f"{month}-01")
    days = calendar.monthrange(first.year, first.month)[1]
    bill = Bill(first, days, seed, view, subscriptions)
    monthly = monthly_lines(bill)
    per_generation = LINES * days
    for start in range(0, rows, per_generation):
        lines = pl.DataFrame(
            daily_lines(bill, LINES, start // per_generation) + monthly, infer_schema_length=None
        ).with_columns(pl.col(pl.String).fill_null(""))
        end = min(rows, start + per_generation)
        for low in range(start, end, BLOCK_ROWS):
            yield _block(bill, lines, low, min(low + BLOCK_ROWS, end))


def cost_table(
    rows: int,
    seed: int,
    month: str = "2026-09",
    view: View = "ActualCost",
    *,
    subscriptions: Sequence[str] = SUBSCRIPTIONS,
) -> pl.DataFrame:
    """The same rows as `cost_blocks` in one frame."""
    blocks = cost_blocks(max(rows, 1), seed, month, view, subscriptions=subscriptions)
    return pl.concat(blocks).head(rows)


def _block(bill: Bill, lines: pl.DataFrame, low: int, high: int) -> pl.DataFrame:
    """Rows low..high: which line and day each is, then its amount and costs."""
    row = pl.int_range(low, high, eager=True)
    turn, step = row // LINES, row % LINES
    line = step * _LINE_STEP % LINES
    day = (turn * _DAY_STEP + line * _LINE_DAY_STEP) % bill.days
    monthly, count = row // _MONTHLY_EVERY, lines.height - LINES
    is_monthly = (row % _MONTHLY_EVERY == _MONTHLY_EVERY - 1) & (monthly < count)
    which = line.zip_with(~is_monthly, monthly + LINES)
    chance = pl.Series(pc.random(high - low, initializer=hash((bill.seed, low)) & 0x7FFF_FFFF_FFFF_FFFF))
    steady, amount = pl.col("_steady"), pl.col("_amount")
    quantity = pl.when(steady).then(amount).otherwise(_rounded(amount * (0.25 + 1.5 * pl.col("_chance"))))
    return (
        lines[which]
        .with_columns(day.zip_with(~is_monthly, day * 0).alias("_day"), chance.alias("_chance"))
        .with_columns(
            pl.lit(bill.first).dt.offset_by(pl.format("{}d", "_day")).alias("_date"),
            quantity.alias("_quantity"),
        )
        .with_columns(
            *(
                _rounded(pl.col("_quantity") * pl.col("_agreed") * pl.col(factor)).alias(cost)
                for cost, factor in (("_cost_billed", "_billed"), ("_cost_spread", "_spread"))
            ),
            _rounded(pl.col("_quantity") * pl.col("_price")).alias("_cost_list"),
            _rounded(pl.col("_quantity") * pl.col("_agreed")).alias("_cost_agreed"),
        )
        .drop("_chance", "_day")
    )


def _rounded(values: pl.Expr) -> pl.Expr:
    return values.round(_PLACES)
