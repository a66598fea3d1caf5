"""Activities of the emissions that Azure reports, of Carbon Optimization and of Cloud for Sustainability."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from offgridflow_common.activity import BOTH, MARKET_BASED, import_batch_id
from offgridflow_common.activity_mapping import empty_text_as_null
from offgridflow_common.emissions import reported_emissions, scope_facts
from tap_offgridflow_azure.apis.carbon import SOURCE as CARBON
from tap_offgridflow_azure.apis.fields import UNASSIGNED
from tap_offgridflow_azure.apis.impact import SOURCE as IMPACT

if TYPE_CHECKING:
    from datetime import datetime

    from offgridflow_common.activity_mapping import ActivityMapping

#: Scope 2 is market based; the other two are reported once, for both methods.
_METHODS = {1: BOTH, 2: MARKET_BASED, 3: BOTH}

#: Sums of kilograms, exact whatever the order of rows.
_EXACT = pl.Decimal(38, 18)
_FACT = ("period_start", "period_end", "account_id", "region", "service_code", "resource_type")


def carbon_activities(rows: pl.DataFrame, mapping: ActivityMapping, retrieved_at: datetime) -> pl.DataFrame:
    """Activities of the Carbon Optimization API: a fact per subscription, scope, region and resource type.

    Args:
        rows: Rows of the stream ``carbon_emissions``; what its category does not tell stays empty.
        mapping: The mappers.
        retrieved_at: When the run began; it names the batch.
    """
    by_type = pl.col("category_type") == "ResourceType"
    kind = pl.coalesce("resource_type", pl.when(by_type).then("item_name")).str.to_lowercase()
    by_location = pl.col("category_type") == "Location"
    facts = rows.with_columns(empty_text_as_null()).with_columns(
        account_id=pl.col("subscription_id"),
        region=pl.coalesce("region", "location", pl.when(by_location).then("item_name")),
        service_code=kind,
        resource_type=kind,
        number=pl.col("carbon_scope").str.extract(r"(\d)$").cast(pl.Int64),
    )
    return _activities(facts, "latest_month_emissions", CARBON, mapping, retrieved_at)


def impact_activities(rows: pl.DataFrame, mapping: ActivityMapping, retrieved_at: datetime) -> pl.DataFrame:
    """Activities of Cloud for Sustainability: a fact per subscription, scope, region and service.

    Args:
        rows: Rows of the stream ``emissions_impact``.
        mapping: The mappers.
        retrieved_at: When the run began; it names the batch.
    """
    facts = rows.with_columns(empty_text_as_null()).with_columns(
        account_id=pl.coalesce(_given("subscription_id"), "enrollment_id"),
        region=pl.coalesce("region", _given("azure_region_name")),
        service_code=_given("azure_service_name"),
        resource_type=pl.lit(None, dtype=pl.String),
        number=pl.coalesce("scope_id", pl.col("scope").str.extract(r"(\d)$").cast(pl.Int64)),
    )
    return _activities(facts, "total_emissions", IMPACT, mapping, retrieved_at)


def _given(name: str) -> pl.Expr:
    return pl.when(pl.col(name).str.to_lowercase() != UNASSIGNED.lower()).then(pl.col(name))


def _activities(
    rows: pl.DataFrame, value: str, source: str, mapping: ActivityMapping, retrieved_at: datetime
) -> pl.DataFrame:
    facts = pl.concat(
        scope_facts(rows.filter(pl.col("number") == scope), value, pl.col("emissions_unit"), scope, method)
        for scope, method in _METHODS.items()
    )
    one_each = facts.group_by(*_FACT, "unit", "scope", "accounting_method", maintain_order=True).agg(
        # What is read back of so many places may be off in the last digit of a float.
        pl.col("quantity").cast(_EXACT).sum().cast(pl.Float64).round_sig_figs(15)
    )
    return reported_emissions(
        one_each.with_columns(source=pl.lit(source), import_batch_id=pl.lit(import_batch_id(retrieved_at))),
        mapping,
    )
