"""Activities of usage: line items that are physical usage, summed to what a calculation needs."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl

from offgridflow_common.activity import USAGE, import_batch_id, normalise_unit
from offgridflow_common.activity_mapping import (
    ActivityMapping,
    activities,
    empty_text_as_null,
    with_region_ids,
)
from offgridflow_common.errors import ContractBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from offgridflow_common.exports.delivery import Delivery

#: What usage is summed to.
_GROUP = (
    "period_start",
    "payer_id",
    "account_id",
    "region",
    "service_code",
    "service_name",
    "service_category",
    "usage_type",
    "unit",
    "currency",
)

#: What is summed: exact to twelve places and independent of the order of rows, unlike a sum of floats.
_SUMMED = (
    pl.col("quantity", "cost", "line_items").sum(),
    pl.col("first_usage").min(),
    pl.col("last_usage").max(),
)
_EXACT = pl.Decimal(38, 12)

#: Groups that wait until they are summed: each time, the sums so far are gone through again.
_UNSUMMED_ROWS = 100_000


@dataclass(frozen=True, slots=True)
class UsageSource:
    """How usage is found in a type of export.

    Attributes:
        name: What activities name as their source.
        payer: The provider's name of the column with the payer, for messages.
        required: The columns it cannot do without.
        optional: Other columns that are read.
        lines: From those columns to the rows that are usage, in the columns that usage is summed to; no text
            in them is empty.
        places: Replaces every spelling of a region by its id.
    """

    name: str
    payer: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    lines: Callable[[pl.LazyFrame], pl.LazyFrame]
    places: Callable[[pl.DataFrame, ActivityMapping], pl.DataFrame] = with_region_ids

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read."""
        return (*self.required, *self.optional)


def usage_groups(lines: pl.DataFrame, source: UsageSource, grain: str, about: str) -> pl.DataFrame:
    """Physical usage summed to grain, payer, account, region, service, usage type, unit and currency.

    Args:
        lines: The columns of the source.
        source: How to find usage in them.
        grain: ``month`` or ``day``.
        about: What names their delivery in messages.

    Raises:
        ContractBroken: Usage has no time, or an amount that is no number or has more than 26 digits.
    """
    found = source.lines(lines.lazy().with_columns(empty_text_as_null())).with_columns(
        pl.col("period_start").dt.truncate(_interval(grain)),
        pl.col("period_start").cast(pl.Date).alias("first_usage"),
        pl.col("period_start").cast(pl.Date).alias("last_usage"),
        pl.col("quantity", "cost").cast(_EXACT),
        pl.lit(1, dtype=pl.Int64).alias("line_items"),
    )
    try:
        groups = found.group_by(_GROUP).agg(_SUMMED).collect()
    except (pl.exceptions.InvalidOperationError, pl.exceptions.ComputeError) as error:
        raise _not_usage(about, str(error).partition("\n")[0]) from error
    if groups["period_start"].null_count():
        raise _not_usage(about, "usage that does not say when it began")
    return groups


def _not_usage(about: str, got: str) -> ContractBroken:
    return ContractBroken(
        asked=f"summing the usage of {about}",
        got=got,
        do="have the period delivered again; nothing of it counts as read",
    )


def merge_groups(groups: Iterable[pl.DataFrame]) -> pl.DataFrame | None:
    """Sum groups of several blocks or files as they come: what is held grows with the sums alone.

    Returns:
        The sums, or None of no groups at all.
    """
    held: list[pl.DataFrame] = []
    rows = summed = 0
    for group in groups:
        held.append(group)
        rows += group.height
        if rows > 2 * summed + _UNSUMMED_ROWS:
            held = [_regrouped(pl.concat(held))]
            rows = summed = held[0].height
    return _regrouped(pl.concat(held)) if held else None


def usage_activities(  # noqa: PLR0913 - what, how it was found, from where, in which words, when
    groups: pl.DataFrame,
    source: UsageSource,
    delivery: Delivery,
    mapping: ActivityMapping,
    *,
    grain: str,
    retrieved_at: datetime,
) -> pl.DataFrame:
    """Activities of a delivery's usage groups.

    Args:
        groups: From :func:`merge_groups`, in the words of the export.
        source: As it was for the groups.
        delivery: What they were read from.
        mapping: The mappers.
        grain: As it was for the groups.
        retrieved_at: When the run began; it names the batch.

    Returns:
        Activities; groups of a negative quantity, which are corrections without usage, make none.
    """
    account, payer = pl.col("account_id"), payer_or_account().fill_null(_without_slash(delivery.export.name))
    owner = pl.when(account != payer).then(pl.format("{}/{}", payer, account)).otherwise(payer)
    facts = (
        _in_common_units(source.places(groups, mapping))
        .sort(_GROUP)
        .with_columns(
            pl.col("usage_type").alias("metadata.usage_type"),
            pl.col("line_items").cast(pl.String).alias("metadata.line_items"),
            pl.lit(delivery.export.name).alias("metadata.export"),
            pl.col("quantity", "cost").cast(pl.Float64),
            subject=pl.lit("usage"),
            bill=pl.format("{}/{}", payer, pl.lit(delivery.period)),
            period_end=pl.col("period_start").dt.offset_by(_interval(grain)),
            detail=pl.concat_str(
                pl.col("usage_type", "service_category", "service_name").fill_null(""), separator="/"
            ).str.strip_chars_end("/"),
            activity_type=pl.lit(USAGE),
            source=pl.lit(source.name),
            data_quality=pl.lit("measured"),
            external_id=pl.format("{}/{}", owner, pl.lit(delivery.period)),
            import_batch_id=pl.lit(import_batch_id(retrieved_at, delivery.delivery_id)),
        )
    )
    return activities(facts.filter(pl.col("quantity") >= 0), mapping)


def payer_or_account() -> pl.Expr:
    """Who pays for usage, where nobody is named the account itself."""
    return pl.coalesce("payer_id", "account_id")


def _without_slash(name: str) -> str:
    """The name of an export in place of a payer, which a slash parts from the rest."""
    return name.replace("/", "%2F")


def _interval(grain: str) -> str:
    return "1mo" if grain == "month" else "1d"


def _regrouped(groups: pl.DataFrame) -> pl.DataFrame:
    return groups.group_by(_GROUP).agg(_SUMMED)


def _in_common_units(groups: pl.DataFrame) -> pl.DataFrame:
    units = [normalise_unit(text) if text else None for text in groups["unit"]]
    factors = [Decimal(str(unit.factor)) if unit else Decimal(1) for unit in units]
    return groups.with_columns(
        pl.Series("unit", [unit.name if unit else None for unit in units], dtype=pl.String),
        quantity=pl.col("quantity") * pl.Series(factors, dtype=_EXACT),
    ).pipe(_regrouped)
