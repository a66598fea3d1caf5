"""Made-up FOCUS exports of the line items of a CUR 2.0 table, as FOCUS_1_0_AWS and FOCUS_1_2_AWS have them.

Savings plans are told in FOCUS's way: what they cover is billed at nothing and costs its effective cost, so
the lines that take the covered amount back have no row.
"""

from __future__ import annotations

import csv
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
import pyarrow as pa

from tests.local_clouds.cur2_vocabulary import DATA, REGIONS
from tests.local_clouds.exports import PublishedDelivery, publish_cur2

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.local_clouds.exports import Store

    Version = Literal["1.0", "1.2"]

#: The columns that AWS may leave null against the specification, by its own account.
GAPS = (
    "ContractedUnitPrice",
    "InvoiceIssuerName",
    "ListUnitPrice",
    "PricingUnit",
    "PublisherName",
    "SkuId",
    "SkuPriceId",
)
CHARGE_CATEGORIES = {
    "Usage": "Usage",
    "DiscountedUsage": "Usage",
    "SavingsPlanCoveredUsage": "Usage",
    "Tax": "Tax",
    "Credit": "Credit",
    "Refund": "Credit",
}
_SERVICE_CATEGORIES = {"AmazonEC2": "Compute", "AmazonS3": "Storage", "AmazonRDS": "Databases"}
_TYPES = {
    "string": pl.String(),
    "double": pl.Float64(),
    "timestamp": pl.Datetime("ns"),
    "map<string,string>": pl.Map(pl.String(), pl.String()),
    "map<string,double>": pl.Map(pl.String(), pl.Float64()),
}


@cache
def focus_columns(version: Version) -> dict[str, str]:
    """The columns of a version in order, with their types as Glue spells them."""
    flag = f"in_FOCUS_{version.replace('.', '_')}_AWS"
    with (DATA / "focus_columns.csv").open(newline="", encoding="utf-8") as file:
        return {row["name"]: row["type"] for row in csv.DictReader(file) if row[flag]}


def focus_table(lines: pa.Table, version: Version = "1.0", *, gaps: Sequence[str] = GAPS) -> pa.Table:
    """The FOCUS rows of line items, in their order.

    Args:
        lines: From `cur2_table`.
        version: Of FOCUS.
        gaps: Columns that are null in all rows.
    """
    frame = pl.DataFrame(pl.from_arrow(lines)).filter(
        pl.col("line_item_line_item_type") != "SavingsPlanNegation"
    )
    known = _values()
    columns = {
        name: known[name].cast(_TYPES[kind])
        if name in known and name not in gaps
        else pl.lit(None, _TYPES[kind])
        for name, kind in focus_columns(version).items()
    }
    table = frame.select(value.alias(name) for name, value in columns.items()).to_arrow(
        compat_level=pl.CompatLevel.oldest()
    )
    return pa.table(
        {name: table[name].cast(_arrow_type(kind)) for name, kind in focus_columns(version).items()}
    )


def publish_focus(
    store: Store,
    *,
    export: str,
    period: str,
    data: pa.Table,
    execution_id: str,
    lower_case: bool = False,
    **options: Any,
) -> PublishedDelivery:
    """Deliver one period, with the second manifest that FOCUS exports have beside the real one.

    Args:
        store: Where to.
        export: Name of the export.
        period: Billing period, `YYYY-MM`.
        data: From `focus_table`.
        execution_id: The id of this delivery.
        lower_case: Column names as a catalog writes them.
        options: More of those of `publish_cur2`.
    """
    given: dict[str, Any] = {"partition_key": "billing_period", "decoys": True} | options
    table = data.rename_columns([name.lower() for name in data.column_names]) if lower_case else data
    return publish_cur2(store, export=export, period=period, data=table, execution_id=execution_id, **given)


def _values() -> dict[str, pl.Expr]:
    kind = pl.col("line_item_line_item_type")
    category = kind.replace_strict(CHARGE_CATEGORIES, default="Purchase", return_dtype=pl.String)
    usage = category == "Usage"
    covered = kind == "SavingsPlanCoveredUsage"
    reserved = kind == "DiscountedUsage"
    committed = covered | reserved
    cost = pl.col("line_item_unblended_cost")
    effective = (
        pl.when(covered)
        .then("savings_plan_savings_plan_effective_cost")
        .when(reserved)
        .then("reservation_effective_cost")
        .otherwise(cost)
    )
    amount = pl.col("line_item_usage_amount")
    commitment = pl.coalesce("savings_plan_savings_plan_a_r_n", "reservation_reservation_a_r_n")
    # The two columns are required in Parquet, so what has no region has no text.
    region = pl.coalesce(pl.col("product").map.get("region"), "product_region_code", pl.lit(""))
    service = pl.col("product").map.get("servicename")
    billed = pl.when(covered).then(0.0).otherwise(cost)
    return {
        "AvailabilityZone": pl.col("line_item_availability_zone"),
        "BilledCost": billed,
        "BillingAccountId": pl.col("bill_payer_account_id"),
        "BillingAccountName": pl.col("bill_payer_account_name"),
        "BillingAccountType": pl.lit("Management account"),
        "BillingCurrency": pl.col("line_item_currency_code"),
        "BillingPeriodEnd": pl.col("bill_billing_period_end_date"),
        "BillingPeriodStart": pl.col("bill_billing_period_start_date"),
        "ChargeCategory": category,
        "ChargeClass": pl.when(kind == "Refund").then(pl.lit("Correction")),
        "ChargeDescription": pl.col("line_item_line_item_description"),
        "ChargeFrequency": pl.when(usage).then(pl.lit("Usage-Based")).otherwise(pl.lit("One-Time")),
        "ChargePeriodEnd": pl.col("line_item_usage_end_date"),
        "ChargePeriodStart": pl.col("line_item_usage_start_date"),
        "CommitmentDiscountCategory": pl.when(covered)
        .then(pl.lit("Spend"))
        .when(reserved)
        .then(pl.lit("Usage")),
        "CommitmentDiscountId": pl.when(committed).then(commitment),
        "CommitmentDiscountQuantity": pl.when(committed).then(amount),
        "CommitmentDiscountStatus": pl.when(committed).then(pl.lit("Used")),
        "CommitmentDiscountType": pl.when(covered)
        .then(pl.lit("Savings Plan"))
        .when(reserved)
        .then(pl.lit("Reserved")),
        "CommitmentDiscountUnit": pl.when(committed).then("pricing_unit"),
        "ConsumedQuantity": pl.when(usage).then(amount),
        "ConsumedUnit": pl.when(usage).then("pricing_unit"),
        "ContractedCost": cost,
        "ContractedUnitPrice": pl.col("line_item_unblended_rate").cast(pl.Float64),
        "EffectiveCost": effective,
        "InvoiceId": pl.col("bill_invoice_id"),
        "InvoiceIssuerName": pl.col("bill_invoicing_entity"),
        "ListCost": pl.col("pricing_public_on_demand_cost"),
        "ListUnitPrice": pl.col("pricing_public_on_demand_rate").cast(pl.Float64),
        "PricingCategory": pl.when(committed).then(pl.lit("Committed")).otherwise(pl.lit("Standard")),
        "PricingCurrency": pl.col("line_item_currency_code"),
        "PricingCurrencyEffectiveCost": effective,
        "PricingQuantity": amount,
        "PricingUnit": pl.col("pricing_unit"),
        "ProviderName": pl.lit("AWS"),
        "PublisherName": pl.lit("AWS"),
        "RegionId": region,
        "RegionName": region.replace({place.code: place.location for place in REGIONS}),
        "ResourceId": pl.col("line_item_resource_id"),
        "ResourceType": pl.col("product_product_family"),
        "ServiceCategory": pl.col("line_item_product_code").replace_strict(
            _SERVICE_CATEGORIES, default="Other", return_dtype=pl.String
        ),
        "ServiceName": pl.coalesce(service, "line_item_product_code"),
        "SkuId": pl.col("product_sku"),
        "SkuMeter": pl.col("line_item_usage_type"),
        "SkuPriceDetails": pl.col("product"),
        "SkuPriceId": pl.col("pricing_rate_code"),
        "SubAccountId": pl.col("line_item_usage_account_id"),
        "SubAccountName": pl.col("line_item_usage_account_name"),
        "SubAccountType": pl.lit("Member account"),
        "Tags": pl.col("resource_tags"),
        "x_CostCategories": pl.col("cost_category"),
        "x_Discounts": pl.col("discount"),
        "x_Operation": pl.col("line_item_operation"),
        "x_ServiceCode": pl.col("line_item_product_code"),
        "x_UsageType": pl.col("line_item_usage_type"),
    }


def _arrow_type(kind: str) -> pa.DataType:
    plain = {"string": pa.string(), "double": pa.float64(), "timestamp": pa.timestamp("ns")}
    if kind in plain:
        return plain[kind]
    key, _, value = kind.removeprefix("map<").removesuffix(">").partition(",")
    return pa.map_(plain[key], plain[value])
