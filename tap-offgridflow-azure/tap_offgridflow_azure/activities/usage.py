"""Where usage is found in Azure's exports of cost and in its reports."""

from __future__ import annotations

import polars as pl

from offgridflow_common.distinct import each_distinct
from offgridflow_common.usage import UsageSource
from tap_offgridflow_azure.activities.pricing_blocks import (
    pricing_block_size,
    pricing_unit,
    quantity_in_units,
)

_SOURCE = "azure_cost_management"

#: How the ids of subscriptions begin in FOCUS.
_SUBSCRIPTION_PATH = r"^/?subscriptions/"


def _cost_lines(lines: pl.LazyFrame) -> pl.LazyFrame:
    """Rows of the charge type usage: also those that a reservation or a savings plan covers."""
    cost = pl.col("cost_in_billing_currency")
    prices = (pl.col("effective_price"), pl.col("unit_price"))
    quantity = quantity_in_units(
        pl.col("quantity"),
        pl.col("pricing_block_size"),
        pl.coalesce("cost_in_pricing_currency", cost),
        prices,
    )
    # Files of pay-as-you-go have no charge type: all their rows are usage.
    is_usage = pl.col("charge_type").str.to_lowercase().fill_null("usage") == "usage"
    usage = lines.filter(is_usage & pl.col("quantity").is_not_null()).with_columns(
        subscription=_id("subscription_id"), pricing_block_size=pricing_block_size(pl.col("unit_of_measure"))
    )
    return usage.select(
        pl.col("date").alias("period_start"),
        pl.col("subscription").alias("payer_id"),
        pl.col("subscription").alias("account_id"),
        pl.col("resource_location").alias("region"),
        pl.col("meter_category").alias("service_code"),
        pl.lit(None, dtype=pl.String).alias("service_name"),
        pl.lit(None, dtype=pl.String).alias("service_category"),
        _meter("meter_sub_category", "meter_name").alias("usage_type"),
        pricing_unit(pl.col("unit_of_measure")).alias("unit"),
        pl.col("billing_currency").alias("currency"),
        quantity.alias("quantity"),
        cost.alias("cost"),
    )


def _focus_lines(lines: pl.LazyFrame) -> pl.LazyFrame:
    unused = pl.col("commitment_discount_status").fill_null("") == "Unused"
    is_usage = (pl.col("charge_category") == "Usage") & pl.col("consumed_quantity").is_not_null()
    usage = lines.filter(is_usage & ~unused).with_columns(subscription=_id("sub_account_id"))
    return usage.select(
        pl.col("charge_period_start").alias("period_start"),
        pl.col("subscription").alias("payer_id"),
        pl.col("subscription").alias("account_id"),
        pl.coalesce("region_id", "region_name").alias("region"),
        pl.coalesce("x_sku_meter_category", "service_name").alias("service_code"),
        pl.col("service_name"),
        pl.col("service_category"),
        _meter("x_sku_meter_subcategory", pl.coalesce("sku_meter", "x_sku_meter_name")).alias("usage_type"),
        pl.col("consumed_unit").alias("unit"),
        pl.col("billing_currency").alias("currency"),
        pl.col("consumed_quantity").alias("quantity"),
        pl.col("billed_cost").alias("cost"),
    )


def _id(name: str) -> pl.Expr:
    """A subscription id: in lower case, without its path; nothing for what belongs to no subscription."""
    return each_distinct(
        pl.col(name), lambda ids: ids.str.to_lowercase().str.replace(_SUBSCRIPTION_PATH, ""), pl.String()
    )


def _meter(group: str, name: str | pl.Expr) -> pl.Expr:
    meter = pl.col(name) if isinstance(name, str) else name
    return pl.concat_str(group, meter, separator="/", ignore_nulls=True)


_COST = UsageSource(
    name=_SOURCE,
    payer="SubscriptionId",
    required=("cost_in_billing_currency", "date", "quantity"),
    optional=(
        "billing_currency",
        "charge_type",
        "cost_in_pricing_currency",
        "effective_price",
        "meter_category",
        "meter_name",
        "meter_sub_category",
        "resource_location",
        "subscription_id",
        "unit_of_measure",
        "unit_price",
    ),
    lines=_cost_lines,
)
_FOCUS = UsageSource(
    name=_SOURCE,
    payer="SubAccountId",
    required=("billed_cost", "charge_category", "charge_period_start", "consumed_quantity"),
    optional=(
        "billing_currency",
        "commitment_discount_status",
        "consumed_unit",
        "region_id",
        "region_name",
        "service_category",
        "service_name",
        "sku_meter",
        "sub_account_id",
        "x_sku_meter_category",
        "x_sku_meter_name",
        "x_sku_meter_subcategory",
    ),
    lines=_focus_lines,
)

#: By type of export, the one that counts first: where several cover a subscription's month, one is used.
USAGE_SOURCES = {"focus": _FOCUS, "actual": _COST, "amortized": _COST}
