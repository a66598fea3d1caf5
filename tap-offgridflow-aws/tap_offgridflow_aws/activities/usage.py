"""Where usage is found in AWS's exports of cost."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

from offgridflow_common.activity_mapping import ActivityMapping, with_region_ids
from offgridflow_common.usage import UsageSource

#: The line item types that are physical usage; all others are money only.
_PHYSICAL_USAGE = ("Usage", "DiscountedUsage", "SavingsPlanCoveredUsage")

#: Usage types that repeat usage of other lines. A capacity reservation is free: its used and its unused part
#: have lines of their own (AWS, "Capacity Reservation pricing and billing"). Split cost allocation repeats an
#: instance's usage for each task or pod; these lines also name the instance, if the export has that column
#: (AWS, "Understanding split cost allocation data").
_REPEATED = ("Reservation:", "DedicatedRes:", "ECS-EC2-", "EKS-EC2-")

_SOURCE = "aws_cost_and_usage"

_REGION_PREFIX = re.compile(r"^([A-Z]{2,4}\d{1,2}|EU)-")
#: Here the prefix of a usage type names a group of edge locations, not a region. FOCUS exports without
#: service codes have the name.
_EDGE_SERVICES = frozenset({"AmazonCloudFront", "Amazon CloudFront"})


def _cur_lines(lines: pl.LazyFrame) -> pl.LazyFrame:
    is_physical = pl.col("line_item_line_item_type").is_in(_PHYSICAL_USAGE)
    is_usage = is_physical & pl.col("line_item_usage_amount").is_not_null()
    is_whole = pl.col("split_line_item_parent_resource_id").is_null()
    return lines.filter(is_usage & is_whole & _is_counted_once("line_item_usage_type")).select(
        pl.col("line_item_usage_start_date").alias("period_start"),
        pl.col("bill_payer_account_id").alias("payer_id"),
        pl.col("line_item_usage_account_id").alias("account_id"),
        pl.coalesce(
            "product.region", "product_region_code", "product_from_region_code", "product_to_region_code"
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
    return lines.filter(is_usage & _is_counted_once("x_usage_type", "sku_meter")).select(
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


def _is_counted_once(*usage_types: str) -> pl.Expr:
    """Whether a line is the only one for its usage, by the first of these columns that has a value."""
    return ~pl.coalesce(usage_types).str.contains_any(_REPEATED).fill_null(value=False)


def _with_region_of_prefix(groups: pl.DataFrame, mapping: ActivityMapping) -> pl.DataFrame:
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
    )


def _region_of(place: dict[str, Any], mapping: ActivityMapping) -> str | None:
    prefix = _REGION_PREFIX.match(place["usage_type"] or "")
    if place["region"] or not prefix or place["service_code"] in _EDGE_SERVICES:
        return place["region"] or None
    region = mapping.regions.lookup(prefix[1])
    return region.region_id if region else None


_CUR = UsageSource(
    name=_SOURCE,
    payer="bill_payer_account_id",
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
        "product.region",
        "product_from_region_code",
        "product_region_code",
        "product_to_region_code",
        "split_line_item_parent_resource_id",
    ),
    lines=_cur_lines,
    places=_with_region_of_prefix,
)
_FOCUS = UsageSource(
    name=_SOURCE,
    payer="billing_account_id",
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
    places=_with_region_of_prefix,
)

#: By type of export, the one that counts first: where several cover an account's month, one is used.
USAGE_SOURCES = {"cur2": _CUR, "cur": _CUR, "focus": _FOCUS}
