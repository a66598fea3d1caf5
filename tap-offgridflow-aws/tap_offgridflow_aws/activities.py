"""From what AWS reports to activities: pure functions, columns in and columns out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl

from offgridflow_common.activity import (
    BOTH,
    EMISSIONS,
    LOCATION_BASED,
    MARKET_BASED,
    USAGE,
    finish,
    normalise_unit,
)
from offgridflow_common.exports.table import Table
from offgridflow_common.regions import UNKNOWN_LOCATION
from tap_offgridflow_aws.reports import EMISSIONS as EMISSIONS_REPORT
from tap_offgridflow_aws.reports import WATER as WATER_REPORT
from tap_offgridflow_aws.tables import CUR2

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from offgridflow_common.exports.delivery import Delivery
    from offgridflow_common.regions import Region, RegionMapper
    from offgridflow_common.services import ServiceMapper

PROVIDER = "aws"

#: How activities spell the region of what has no place.
GLOBAL_REGION = "global"

#: The line item types that are physical usage; all others are money only.
PHYSICAL_USAGE = ("Usage", "DiscountedUsage", "SavingsPlanCoveredUsage")

#: Emissions per scope: the two totals are sums of these and never become activities.
_SCOPES: tuple[tuple[str, int, str], ...] = (
    ("TOTAL_SCOPE_1_CARBON_EMISSIONS", 1, BOTH),
    ("TOTAL_SCOPE_2_LBM_CARBON_EMISSIONS", 2, LOCATION_BASED),
    ("TOTAL_SCOPE_2_MBM_CARBON_EMISSIONS", 2, MARKET_BASED),
    ("TOTAL_SCOPE_3_LBM_CARBON_EMISSIONS", 3, LOCATION_BASED),
    ("TOTAL_SCOPE_3_MBM_CARBON_EMISSIONS", 3, MARKET_BASED),
)

#: What usage is made of; the first six must be in the export.
USAGE_TABLE = Table(
    columns=CUR2.columns,
    required=frozenset(
        {
            "line_item_line_item_type",
            "line_item_product_code",
            "line_item_unblended_cost",
            "line_item_usage_account_id",
            "line_item_usage_amount",
            "line_item_usage_start_date",
            "line_item_usage_type",
        }
    ),
)
USAGE_COLUMNS = (
    *sorted(USAGE_TABLE.required),
    "line_item_currency_code",
    "pricing_unit",
    "product",
    "product_from_region_code",
    "product_region_code",
    "product_to_region_code",
)

_GROUP = ("period_start", "account_id", "region", "service_code", "usage_type", "unit", "currency")

#: Exact to twelve places and independent of the order of the rows, unlike a sum of floats.
_EXACT = pl.Decimal(38, 12)

_REGION_PREFIX = re.compile(r"^([A-Z]{2,4}\d{1,2}|EU)-")
#: Here the prefix of a usage type names a group of edge locations, not a region.
_EDGE_SERVICES = frozenset({"AmazonCloudFront"})


@dataclass(frozen=True, slots=True)
class Mapping:
    """What turns provider words into OffGridFlow's, and whose activities they are."""

    regions: RegionMapper
    services: ServiceMapper
    org_id: str | None
    workspace_id: str | None


def emission_activities(rows: pl.DataFrame, mapping: Mapping, retrieved_at: datetime) -> pl.DataFrame:
    """Activities of the emission report: a row per scope and method, in kgCO2e.

    Args:
        rows: Rows of the stream ``carbon_emissions``.
        mapping: The mappers.
        retrieved_at: When the run began; it names the batch.
    """
    unit = normalise_unit(EMISSIONS_REPORT.unit)
    per_scope = pl.concat(
        [
            rows.filter(pl.col(kind.lower()).is_not_null()).with_columns(
                (pl.col(kind.lower()) * unit.factor).round_sig_figs(15).alias("quantity"),
                pl.lit(kind).alias("metadata.emissions_type"),
                scope=pl.lit(scope),
                accounting_method=pl.lit(method),
            )
            for kind, scope, method in _SCOPES
        ]
    )
    facts = per_scope.with_columns(
        activity_type=pl.lit(EMISSIONS),
        source=pl.lit(EMISSIONS_REPORT.source),
        unit=pl.lit(unit.name),
    )
    return _reported(facts, mapping, retrieved_at)


def water_activities(rows: pl.DataFrame, mapping: Mapping, retrieved_at: datetime) -> pl.DataFrame:
    """Activities of the water report, in cubic metres.

    Args:
        rows: Rows of the stream ``water_allocation``.
        mapping: The mappers.
        retrieved_at: When the run began; it names the batch.
    """
    (kind,) = WATER_REPORT.types
    facts = rows.filter(pl.col(kind.lower()).is_not_null()).with_columns(
        pl.col(kind.lower()).alias("quantity"),
        pl.lit(kind).alias("metadata.allocation_type"),
        activity_type=pl.lit(USAGE),
        source=pl.lit(WATER_REPORT.source),
        unit=pl.lit(WATER_REPORT.unit),
    )
    return _reported(facts, mapping, retrieved_at)


def usage_groups(lines: pl.LazyFrame, grain: str) -> pl.LazyFrame:
    """Physical usage summed to grain, account, region, service, usage type, unit and currency.

    Args:
        lines: The :data:`USAGE_COLUMNS`.
        grain: ``month`` or ``day``.
    """
    region = pl.coalesce(
        pl.col("product").map.get("region"),
        "product_region_code",
        "product_from_region_code",
        "product_to_region_code",
    )
    return (
        lines.filter(pl.col("line_item_line_item_type").is_in(PHYSICAL_USAGE))
        .select(
            pl.col("line_item_usage_start_date")
            .dt.truncate("1mo" if grain == "month" else "1d")
            .alias("period_start"),
            pl.col("line_item_usage_account_id").alias("account_id"),
            region.alias("region"),
            pl.col("line_item_product_code").alias("service_code"),
            pl.col("line_item_usage_type").alias("usage_type"),
            pl.col("pricing_unit").alias("unit"),
            pl.col("line_item_currency_code").alias("currency"),
            pl.col("line_item_usage_amount").cast(_EXACT).alias("quantity"),
            pl.col("line_item_unblended_cost").cast(_EXACT).alias("cost"),
            pl.lit(1, dtype=pl.Int64).alias("line_items"),
        )
        .group_by(_GROUP)
        .agg(pl.col("quantity", "cost", "line_items").sum())
    )


def merge_groups(groups: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Sum groups of several blocks or files, sorted."""
    return _regrouped(pl.concat(groups)).sort(_GROUP)


def usage_activities(groups: pl.DataFrame, delivery: Delivery, mapping: Mapping, grain: str) -> pl.DataFrame:
    """Activities of a delivery's usage groups.

    Args:
        groups: From :func:`usage_groups`, in the words of the export.
        delivery: What they were read from.
        mapping: The mappers.
        grain: As it was for the groups.

    Returns:
        Activities; groups of a negative quantity, which are corrections without usage, make none.
    """
    facts = _in_common_units(_with_region_of_prefix(groups, mapping)).with_columns(
        pl.col("usage_type").alias("metadata.usage_type"),
        pl.col("line_items").cast(pl.String).alias("metadata.line_items"),
        pl.col("cost").cast(pl.Float64),
        pl.col("quantity").cast(pl.Float64),
        period_end=pl.col("period_start").dt.offset_by("1mo" if grain == "month" else "1d"),
        detail=pl.col("usage_type"),
        activity_type=pl.lit(USAGE),
        source=pl.lit("aws_cost_and_usage"),
        data_quality=pl.lit("measured"),
        external_id=pl.lit(f"{delivery.export.name}/{delivery.period}"),
        import_batch_id=pl.lit(f"{delivery.delivered_at:%Y-%m-%dT%H:%M:%SZ}/{delivery.delivery_id}"),
    )
    return _activities(facts.filter(pl.col("quantity") >= 0), mapping)


def _regrouped(groups: pl.DataFrame) -> pl.DataFrame:
    return groups.group_by(_GROUP).agg(pl.col("quantity", "cost", "line_items").sum())


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
        .pipe(_regrouped)
    )


def _region_of(place: dict[str, Any], mapping: Mapping) -> str | None:
    prefix = _REGION_PREFIX.match(place["usage_type"] or "")
    if place["region"] or not prefix or place["service_code"] in _EDGE_SERVICES:
        return place["region"] or None
    region = mapping.regions.lookup(prefix[1])
    return region.region_id if region else None


def _in_common_units(groups: pl.DataFrame) -> pl.DataFrame:
    units = {text: normalise_unit(text) for text in groups["unit"].unique() if text}
    names = {text: unit.name for text, unit in units.items()}
    factors = {text: Decimal(str(unit.factor)) for text, unit in units.items()}
    factor = pl.col("unit").replace_strict(factors, default=Decimal(1), return_dtype=_EXACT)
    return groups.with_columns(quantity=pl.col("quantity") * factor, unit=pl.col("unit").replace(names)).pipe(
        _regrouped
    )


def _reported(facts: pl.DataFrame, mapping: Mapping, retrieved_at: datetime) -> pl.DataFrame:
    """What the emission and the water report have in common: they name services and regions alike."""
    named = facts.with_columns(
        service_code=pl.col("service"),
        usage_type=pl.lit(None, dtype=pl.String),
        data_quality=pl.lit("estimated"),
        external_id=pl.col("period_start").dt.strftime("%Y-%m"),
        import_batch_id=pl.lit(f"{retrieved_at:%Y-%m-%dT%H:%M:%SZ}"),
    )
    return _activities(named, mapping)


def _activities(facts: pl.DataFrame, mapping: Mapping) -> pl.DataFrame:
    pairs = facts.select("service_code", "usage_type").unique()
    services = [mapping.services.lookup(*pair) for pair in pairs.iter_rows()]
    service_table = pairs.with_columns(
        pl.Series("service_name", [service.service_name for service in services], dtype=pl.String),
        pl.Series("service_category", [service.service_category for service in services], dtype=pl.String),
        pl.Series("category", [service.category for service in services], dtype=pl.String),
    )
    names = facts.select("region").unique()
    regions = [mapping.regions.lookup(name) for name in names["region"]]
    region_table = names.with_columns(
        pl.Series("region_id", list(map(_region_id, regions, names["region"])), dtype=pl.String),
        pl.Series("location", [place.location if place else UNKNOWN_LOCATION for place in regions]),
        pl.Series("country", [place.country if place else None for place in regions], dtype=pl.String),
    )
    complete = (
        facts.join(
            service_table,
            on=["service_code", "usage_type"],
            nulls_equal=True,
            how="left",
            maintain_order="left",
        )
        .join(region_table, on="region", nulls_equal=True, how="left", maintain_order="left")
        .with_columns(provider=pl.lit(PROVIDER), region=pl.col("region_id"))
    )
    return finish(complete, org_id=mapping.org_id, workspace_id=mapping.workspace_id)


def _region_id(region: Region | None, text: str | None) -> str | None:
    """The region's id; ``global`` for what has no place; what is unknown stays as it was given."""
    if region is None:
        return text
    return GLOBAL_REGION if region.status == "global" and region.country is None else region.region_id
