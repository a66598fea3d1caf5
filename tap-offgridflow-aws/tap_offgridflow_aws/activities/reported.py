"""Activities of what AWS reports: emissions, of the API and of the carbon export, and water."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from offgridflow_common.activity import BOTH, LOCATION_BASED, MARKET_BASED, USAGE, import_batch_id
from offgridflow_common.activity_mapping import ActivityMapping, activities, with_region_ids
from offgridflow_common.emissions import reported_emissions, scope_facts
from tap_offgridflow_aws.reports import EMISSIONS as EMISSIONS_REPORT
from tap_offgridflow_aws.reports import WATER as WATER_REPORT

if TYPE_CHECKING:
    from datetime import datetime

    from offgridflow_common.exports.delivery import Delivery

#: Emissions per scope: the two totals are sums of these and never become activities. Scope 1 is the same
#: in both methods.
_SCOPES = (
    ("scope_1", 1, BOTH),
    ("scope_2_lbm", 2, LOCATION_BASED),
    ("scope_2_mbm", 2, MARKET_BASED),
    ("scope_3_lbm", 3, LOCATION_BASED),
    ("scope_3_mbm", 3, MARKET_BASED),
)

#: What is read of a carbon export.
CARBON_EXPORT_COLUMNS = (
    "usage_account_id",
    "usage_period_start",
    "region_code",
    "location",
    "product_code",
    "model_version",
    *(f"total_{scope}_emissions_{part}" for scope, _, _ in _SCOPES for part in ("value", "unit")),
)

#: What tells the rows of the API's reports apart.
_REPORT_KEYS = ("account_id", "period_start", "period_end", "region", "service", "model_version")


def emission_activities(rows: pl.DataFrame, mapping: ActivityMapping, retrieved_at: datetime) -> pl.DataFrame:
    """Activities of the emission report: a row per scope and method, in kgCO2e.

    Args:
        rows: Rows of the stream ``carbon_emissions``.
        mapping: The mappers.
        retrieved_at: When the run began; it names the batch.
    """
    facts = pl.concat(
        scope_facts(
            rows, f"total_{scope}_carbon_emissions", pl.col(EMISSIONS_REPORT.unit_column), number, method
        )
        for scope, number, method in _SCOPES
    )
    one_each = _summed(facts, mapping, *_REPORT_KEYS, "unit", "scope", "accounting_method").with_columns(
        source=pl.lit(EMISSIONS_REPORT.source),
        service_code=pl.col("service"),
        import_batch_id=pl.lit(import_batch_id(retrieved_at)),
    )
    return reported_emissions(one_each, mapping)


def has_scopes(rows: pl.DataFrame) -> bool:
    """Whether any row of a carbon export has emissions of any scope.

    Args:
        rows: The :data:`CARBON_EXPORT_COLUMNS` of its rows.
    """
    values = (rows[f"total_{scope}_emissions_value"] for scope, _, _ in _SCOPES)
    return any(column.null_count() < rows.height for column in values)


def carbon_export_activities(
    rows: pl.DataFrame, delivery: Delivery, mapping: ActivityMapping, retrieved_at: datetime
) -> pl.DataFrame:
    """Activities of a delivery of the carbon export: the same facts as those of the emission report.

    Args:
        rows: The :data:`CARBON_EXPORT_COLUMNS` of all its rows, without empty texts.
        delivery: What they were read from.
        mapping: The mappers.
        retrieved_at: When the run began; it names the batch.
    """
    prepared = rows.with_columns(
        pl.col("usage_period_start").dt.truncate("1mo").alias("period_start"),
        pl.col("model_version").fill_null(delivery.manifest.model_version),
        pl.coalesce("region_code", "location").alias("region"),
    )
    facts = pl.concat(
        scope_facts(
            prepared,
            f"total_{scope}_emissions_value",
            pl.col(f"total_{scope}_emissions_unit").fill_null(EMISSIONS_REPORT.unit),
            number,
            method,
        )
        for scope, number, method in _SCOPES
    )
    keys = ["usage_account_id", "period_start", "region", "product_code", "model_version"]
    # The export also parts rows by payer; a fact is one, whoever pays.
    one_each = _summed(facts, mapping, *keys, "unit", "scope", "accounting_method")
    return reported_emissions(
        one_each.with_columns(
            source=pl.lit("aws_carbon_export"),
            account_id=pl.col("usage_account_id"),
            service_code=pl.col("product_code"),
            period_end=pl.col("period_start").dt.offset_by("1mo"),
            import_batch_id=pl.lit(import_batch_id(retrieved_at, delivery.delivery_id)),
        ),
        mapping,
    )


def water_activities(rows: pl.DataFrame, mapping: ActivityMapping, retrieved_at: datetime) -> pl.DataFrame:
    """Activities of the water report, in cubic metres.

    Args:
        rows: Rows of the stream ``water_allocation``.
        mapping: The mappers.
        retrieved_at: When the run began; it names the batch.
    """
    (kind,) = WATER_REPORT.types
    given = rows.filter(pl.col(kind.lower()).is_not_null()).with_columns(quantity=pl.col(kind.lower()))
    facts = _summed(given, mapping, *_REPORT_KEYS).with_columns(
        pl.lit(kind).alias("metadata.allocation_type"),
        subject=pl.lit("water"),
        activity_type=pl.lit(USAGE),
        source=pl.lit(WATER_REPORT.source),
        unit=pl.lit(WATER_REPORT.unit),
        service_code=pl.col("service"),
        usage_type=pl.lit(None, dtype=pl.String),
        data_quality=pl.lit("estimated"),
        external_id=pl.format("{}/{}", "account_id", pl.col("period_start").dt.strftime("%Y")),
        import_batch_id=pl.lit(import_batch_id(retrieved_at)),
    )
    return activities(facts, mapping)


def _summed(facts: pl.DataFrame, mapping: ActivityMapping, *keys: str) -> pl.DataFrame:
    """One fact for each set of keys, in whatever spellings of a region it comes; sums have twelve places."""
    quantity = pl.col("quantity")
    # What stands alone keeps all digits that it has.
    total = pl.when(pl.len() > 1).then(quantity.cast(pl.Decimal(38, 12)).sum().cast(pl.Float64))
    return (
        with_region_ids(facts, mapping)
        .group_by(keys, maintain_order=True)
        .agg(total.otherwise(quantity.first()).alias("quantity"))
    )
