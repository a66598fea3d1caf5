"""Activities of usage: line items that are physical usage, summed to what a calculation needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl

from offgridflow_common.activity import USAGE, normalise_unit
from tap_offgridflow_aws.activities.mapping import Mapping, activities, with_region_ids
from tap_offgridflow_aws.activities.reported import batch_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from offgridflow_common.exports.delivery import Delivery

#: The line item types that are physical usage; all others are money only.
PHYSICAL_USAGE = ("Usage", "DiscountedUsage", "SavingsPlanCoveredUsage")

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
_SUMS = ("quantity", "cost", "line_items")
_EXACT = pl.Decimal(38, 12)

_REGION_PREFIX = re.compile(r"^([A-Z]{2,4}\d{1,2}|EU)-")
#: Here the prefix of a usage type names a group of edge locations, not a region.
_EDGE_SERVICES = frozenset({"AmazonCloudFront"})


@dataclass(frozen=True, slots=True)
class UsageSource:
    """How usage is found in a type of export.

    Attributes:
        required: The columns it cannot do without.
        optional: Other columns that are read.
        lines: From those columns to the rows that are usage, in the columns that usage is summed to.
    """

    required: tuple[str, ...]
    optional: tuple[str, ...]
    lines: Callable[[pl.LazyFrame], pl.LazyFrame]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read."""
        return (*self.required, *self.optional)


def _cur_lines(lines: pl.LazyFrame) -> pl.LazyFrame:
    return lines.filter(pl.col("line_item_line_item_type").is_in(PHYSICAL_USAGE)).select(
        pl.col("line_item_usage_start_date").alias("period_start"),
        pl.col("bill_payer_account_id").alias("payer_id"),
        pl.col("line_item_usage_account_id").alias("account_id"),
        pl.coalesce(
            region.replace("", None)
            for region in (
                pl.col("product").map.get("region"),
                pl.col("product_region_code"),
                pl.col("product_from_region_code"),
                pl.col("product_to_region_code"),
            )
        ).alias("region"),
        pl.col("line_item_product_code").alias("service_code"),
        pl.lit(None, dtype=pl.String).alias("service_name"),
        pl.lit(None, dtype=pl.String).alias("service_category"),
        pl.col("line_item_usage_type").alias("usage_type"),
        pl.col("pricing_unit").alias("unit"),
        pl.col("line_item_currency_code").alias("currency"),
        pl.col("line_item_usage_amount").alias("quantity"),
        pl.col("line_item_unblended_cost").alias("cost"),
    )


def _focus_lines(lines: pl.LazyFrame) -> pl.LazyFrame:
    is_usage = (pl.col("charge_category") == "Usage") & pl.col("consumed_quantity").is_not_null()
    return lines.filter(is_usage).select(
        pl.col("charge_period_start").alias("period_start"),
        pl.col("billing_account_id").alias("payer_id"),
        pl.col("sub_account_id").alias("account_id"),
        pl.col("region_id").alias("region"),
        pl.coalesce("x_service_code", "service_name").alias("service_code"),
        pl.col("service_name"),
        pl.col("service_category"),
        pl.coalesce("x_usage_type", "sku_meter").alias("usage_type"),
        pl.col("consumed_unit").alias("unit"),
        pl.col("billing_currency").alias("currency"),
        pl.col("consumed_quantity").alias("quantity"),
        pl.col("billed_cost").alias("cost"),
    )


_CUR = UsageSource(
    required=(
        "line_item_line_item_type",
        "line_item_product_code",
        "line_item_unblended_cost",
        "line_item_usage_account_id",
        "line_item_usage_amount",
        "line_item_usage_start_date",
        "line_item_usage_type",
    ),
    optional=(
        "bill_payer_account_id",
        "line_item_currency_code",
        "pricing_unit",
        "product",
        "product_from_region_code",
        "product_region_code",
        "product_to_region_code",
    ),
    lines=_cur_lines,
)
_FOCUS = UsageSource(
    required=("billed_cost", "charge_category", "charge_period_start", "consumed_quantity", "sub_account_id"),
    optional=(
        "billing_account_id",
        "billing_currency",
        "consumed_unit",
        "region_id",
        "service_category",
        "service_name",
        "sku_meter",
        "x_service_code",
        "x_usage_type",
    ),
    lines=_focus_lines,
)

#: By type of export, the one that counts first: where several cover a payer's month, one is used.
USAGE_SOURCES = {"cur2": _CUR, "cur": _CUR, "focus": _FOCUS}


def usage_groups(lines: pl.LazyFrame, source: UsageSource, grain: str) -> pl.LazyFrame:
    """Physical usage summed to grain, payer, account, region, service, usage type, unit and currency.

    Args:
        lines: The columns of the source.
        source: How to find usage in them.
        grain: ``month`` or ``day``.
    """
    return (
        source.lines(lines)
        .with_columns(
            pl.col("period_start").dt.truncate(_interval(grain)),
            pl.col("quantity", "cost").cast(_EXACT),
            pl.lit(1, dtype=pl.Int64).alias("line_items"),
        )
        .group_by(_GROUP)
        .agg(pl.col(_SUMS).sum())
    )


def merge_groups(groups: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Sum groups of several blocks or files."""
    return _regrouped(pl.concat(groups))


def usage_activities(
    groups: pl.DataFrame, delivery: Delivery, mapping: Mapping, *, grain: str, retrieved_at: datetime
) -> pl.DataFrame:
    """Activities of a delivery's usage groups.

    Args:
        groups: From :func:`usage_groups`, in the words of the export.
        delivery: What they were read from.
        mapping: The mappers.
        grain: As it was for the groups.
        retrieved_at: When the run began; it names the batch.

    Returns:
        Activities; groups of a negative quantity, which are corrections without usage, make none.
    """
    bill = pl.format("{}/{}", pl.col("payer_id").fill_null(delivery.export.name), pl.lit(delivery.period))
    facts = (
        _in_common_units(_with_region_of_prefix(groups, mapping))
        .sort(_GROUP)
        .with_columns(
            pl.col("usage_type").alias("metadata.usage_type"),
            pl.col("line_items").cast(pl.String).alias("metadata.line_items"),
            pl.lit(delivery.export.name).alias("metadata.export"),
            pl.col("quantity", "cost").cast(pl.Float64),
            subject=pl.lit("usage"),
            bill=bill,
            period_end=pl.col("period_start").dt.offset_by(_interval(grain)),
            detail=pl.concat_str(
                "usage_type", "service_category", "service_name", separator="/", ignore_nulls=True
            ),
            activity_type=pl.lit(USAGE),
            source=pl.lit("aws_cost_and_usage"),
            data_quality=pl.lit("measured"),
            external_id=bill,
            import_batch_id=pl.lit(batch_of(retrieved_at, delivery)),
        )
    )
    return activities(facts.filter(pl.col("quantity") >= 0), mapping)


def _interval(grain: str) -> str:
    return "1mo" if grain == "month" else "1d"


def _regrouped(groups: pl.DataFrame) -> pl.DataFrame:
    return groups.group_by(_GROUP).agg(pl.col(_SUMS).sum())


def _with_region_of_prefix(groups: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    """Groups without a region get the one that the prefix of their usage type names."""
    places = groups.select("region", "usage_type", "service_code").unique()
    named = [_region_of(place, mapping) for place in places.iter_rows(named=True)]
    return (
        groups.join(
            places.with_columns(pl.Series("named", named, dtype=pl.String)),
            on=places.columns,
            nulls_equal=True,
            how="left",
        )
        .with_columns(region=pl.col("named"))
        .pipe(with_region_ids, mapping)
        .pipe(_regrouped)
    )


def _region_of(place: dict[str, Any], mapping: Mapping) -> str | None:
    prefix = _REGION_PREFIX.match(place["usage_type"] or "")
    if place["region"] or not prefix or place["service_code"] in _EDGE_SERVICES:
        return place["region"] or None
    region = mapping.regions.lookup(prefix[1])
    return region.region_id if region else None


def _in_common_units(groups: pl.DataFrame) -> pl.DataFrame:
    units = [normalise_unit(text) if text else None for text in groups["unit"]]
    factors = [Decimal(str(unit.factor)) if unit else Decimal(1) for unit in units]
    return groups.with_columns(
        pl.Series("unit", [unit.name if unit else None for unit in units], dtype=pl.String),
        quantity=pl.col("quantity") * pl.Series(factors, dtype=_EXACT),
    ).pipe(_regrouped)
