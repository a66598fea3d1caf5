"""Grouping usage by the keys of an activity with polars alone: floats are summed, nothing is mapped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from benchmarks.subjects import Subject

_PHYSICAL = ("Usage", "DiscountedUsage", "SavingsPlanCoveredUsage")


def usage(subject: Subject, lines: pl.LazyFrame) -> pl.LazyFrame:
    """Amount, cost and number of the lines of usage, by month, place, service, meter, unit and currency."""
    if subject.export_type == "cur2":
        return _cur2(lines, csv=subject.format == "csv")
    if subject.export_type == "cur":
        return _legacy_cur(lines)
    return _cost_details(lines) if subject.export_type == "actual" else _focus(lines)


def _cur2(lines: pl.LazyFrame, *, csv: bool) -> pl.LazyFrame:
    product, start = pl.col("product"), pl.col("line_item_usage_start_date")
    return (
        lines.filter(pl.col("line_item_line_item_type").is_in(_PHYSICAL))
        .group_by(
            (start.str.slice(0, 7) if csv else start.dt.truncate("1mo")).alias("month"),
            "line_item_usage_account_id",
            pl.coalesce(
                product.str.json_path_match("$.region") if csv else product.map.get("region"),
                "product_region_code",
                "product_from_region_code",
                "product_to_region_code",
            ).alias("region"),
            "line_item_product_code",
            "line_item_usage_type",
            "pricing_unit",
            "line_item_currency_code",
        )
        .agg(pl.col("line_item_usage_amount", "line_item_unblended_cost").sum(), pl.len())
    )


def _legacy_cur(lines: pl.LazyFrame) -> pl.LazyFrame:
    return (
        lines.filter(pl.col("lineItem/LineItemType").is_in(_PHYSICAL))
        .group_by(
            pl.col("lineItem/UsageStartDate").str.slice(0, 7).alias("month"),
            "lineItem/UsageAccountId",
            pl.coalesce(
                "product/region", "product/regionCode", "product/fromRegionCode", "product/toRegionCode"
            ).alias("region"),
            "lineItem/ProductCode",
            "lineItem/UsageType",
            "pricing/unit",
            "lineItem/CurrencyCode",
        )
        .agg(pl.col("lineItem/UsageAmount", "lineItem/UnblendedCost").sum(), pl.len())
    )


def _cost_details(lines: pl.LazyFrame) -> pl.LazyFrame:
    date = pl.col("Date")
    return (
        lines.filter(pl.col("ChargeType") == "Usage")
        .group_by(
            (date.str.slice(6, 4) + "-" + date.str.slice(0, 2)).alias("month"),
            "SubscriptionId",
            "ResourceLocation",
            "MeterCategory",
            "MeterSubCategory",
            "MeterName",
            "UnitOfMeasure",
            "BillingCurrency",
        )
        .agg(pl.col("Quantity", "Cost").sum(), pl.len())
    )


def _focus(lines: pl.LazyFrame) -> pl.LazyFrame:
    unused = pl.col("CommitmentDiscountStatus").fill_null("") == "Unused"
    return (
        lines.filter((pl.col("ChargeCategory") == "Usage") & ~unused)
        .group_by(
            pl.col("ChargePeriodStart").dt.truncate("1mo").alias("month"),
            "SubAccountId",
            pl.coalesce("RegionId", "RegionName").alias("region"),
            pl.coalesce("x_SkuMeterCategory", "ServiceName").alias("service"),
            "x_SkuMeterSubcategory",
            "SkuMeter",
            "ConsumedUnit",
            "BillingCurrency",
        )
        .agg(pl.col("ConsumedQuantity", "BilledCost").sum(), pl.len())
    )
