"""Rows of a made-up Azure bill in the columns of each kind of export, and writing them as Azure does."""

from __future__ import annotations

import csv
import gzip
from contextlib import ExitStack
from functools import cache
from typing import IO, TYPE_CHECKING, Literal, cast

import polars as pl
import pyarrow.parquet as pq

from tests.local_clouds.azure_cost_csv import BYTE_ORDER_MARK, columns
from tests.local_clouds.azure_cost_vocabulary import DATA

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Agreement = Literal["ea", "mca"]
Metric = Literal["ActualCost", "AmortizedCost"]
Version = Literal["1.0", "1.0r2", "1.2-preview", "1.2"]
Form = Literal["csv", "gzip", "parquet"]

EXTENSIONS = {"csv": "csv", "gzip": "csv.gz", "parquet": "snappy.parquet"}
#: How times are written in CSV: cost details have dates, and FOCUS 1.0 no seconds.
US_DATE, TO_THE_MINUTE, TO_THE_SECOND = "%m/%d/%Y", "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M:%SZ"

#: What agreements call by other names.
_ALIASES = {
    "product": "productname",
    "invoicesection": "invoicesectionname",
    "resourcegroupname": "resourcegroup",
}
_EXCHANGE_RATE = 0.92
_TYPES = {
    "string": pl.String(),
    "double": pl.Float64(),
    "timestamp": pl.Datetime("us"),
    "boolean": pl.Boolean(),
}
_CHARGE_CATEGORIES = {
    "Refund": "Purchase",
    "RoundingAdjustment": "Adjustment",
    "Tax": "Tax",
    "Purchase": "Purchase",
}
_PRICING_CATEGORIES = {
    "OnDemand": "Standard",
    "Spot": "Dynamic",
    "Reservation": "Committed",
    "SavingsPlan": "Committed",
}


def cost_details(rows: pl.DataFrame, agreement: Agreement, metric: Metric = "ActualCost") -> pl.DataFrame:
    """Rows as cost details of an agreement have them, in the order of its header.

    Args:
        rows: From `cost_table` or `cost_blocks`.
        agreement: Enterprise or Microsoft Customer Agreement.
        metric: Which cost; the rows should be of the same view.
    """
    known = _cost_values(agreement, metric)
    present = set(rows.columns)

    def value(header: str) -> pl.Expr:
        name = _ALIASES.get(header.lower(), header.lower())
        return (
            known[name] if name in known else pl.col(name) if name in present else pl.lit(None, pl.String())
        )

    return _without_empty_texts(rows.select(value(header).alias(header) for header in columns(agreement)))


def focus(rows: pl.DataFrame, version: Version = "1.2") -> pl.DataFrame:
    """Rows as FOCUS has them.

    Args:
        rows: From `cost_table` or `cost_blocks`, of the view of FOCUS.
        version: Of FOCUS.
    """
    known = _focus_values()
    return _without_empty_texts(
        rows.select(
            known.get(name, pl.lit(None)).cast(_TYPES[kind]).alias(name)
            for name, kind in focus_columns(version).items()
        )
    )


@cache
def focus_columns(version: Version) -> dict[str, str]:
    """The columns of a version in order, with their types."""
    number = version[:3].replace(".", "_")
    with (DATA / "azure_focus_columns.csv").open(newline="", encoding="utf-8") as file:
        return {
            row["name"]: row["type"]
            for row in csv.DictReader(file)
            if row[f"in_{number}"] or (version == "1.2-preview" and row["name"] == "x_SkuDetails")
        }


def write_part(frames: Iterable[pl.DataFrame], path: Path, form: Form, time_format: str = US_DATE) -> int:
    """Write a data file of frames, one at a time, and return its rows.

    Args:
        frames: At least one, for its columns.
        path: The file.
        form: CSV has a byte order mark and a header; Parquet is compressed with Snappy.
        time_format: Of CSV.
    """
    rows = 0
    with ExitStack() as stack:
        if form == "parquet":
            writer: pq.ParquetWriter | None = None
            for frame in frames:
                table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
                writer = writer or stack.enter_context(
                    pq.ParquetWriter(path, table.schema, compression="snappy")
                )
                writer.write_table(table)
                rows += frame.height
            return rows
        file = stack.enter_context(path.open("wb"))
        if form == "gzip":
            file = stack.enter_context(gzip.GzipFile("", "wb", 6, file, mtime=0))
        file.write(BYTE_ORDER_MARK.encode())
        for number, frame in enumerate(frames):
            frame.write_csv(cast("IO[bytes]", file), include_header=not number, datetime_format=time_format)
            rows += frame.height
    return rows


def _cost_values(agreement: Agreement, metric: Metric) -> dict[str, pl.Expr]:
    which = "billed" if metric == "ActualCost" else "spread"
    day = pl.col("_date").cast(_TYPES["timestamp"])
    cost, public = pl.col(f"_cost_{which}"), pl.col("_cost_list")
    tags = pl.col("_tags").replace("{}", "")
    return {
        "billingperiodstartdate": day.dt.month_start(),
        "billingperiodenddate": day.dt.month_end(),
        "serviceperiodstartdate": day,
        "serviceperiodenddate": day,
        "exchangeratedate": day.dt.month_start(),
        "date": day,
        "quantity": pl.col("_quantity"),
        "unitprice": pl.col("_agreed"),
        "paygprice": pl.col("_price"),
        "effectiveprice": pl.col("_agreed") * pl.col(f"_{which}"),
        "cost": cost,
        "costinpricingcurrency": cost,
        "costinusd": cost,
        "costinbillingcurrency": cost * _EXCHANGE_RATE,
        "paygcostinbillingcurrency": public * _EXCHANGE_RATE,
        "paygcostinusd": public,
        "exchangeratepricingtobilling": pl.lit(_EXCHANGE_RATE),
        # Enterprise agreements write the object without its braces.
        "tags": tags.str.strip_prefix("{").str.strip_suffix("}") if agreement == "ea" else tags,
    }


def _focus_values() -> dict[str, pl.Expr]:
    kind, commitment, day = pl.col("chargetype"), pl.col("_commitment"), pl.col("_date")
    committed = commitment != ""
    owned = pl.col("subscriptionid") != ""
    is_usage = kind.is_in(["Usage", "UnusedReservation", "UnusedSavingsPlan"])
    account = pl.format("/providers/Microsoft.Billing/billingAccounts/{}", "billingaccountid")
    units = pl.when(is_usage).then(pl.col("_quantity") * pl.col("_block"))
    following = day.dt.offset_by("1d")
    return {
        "BilledCost": pl.col("_cost_billed"),
        "BillingAccountId": account,
        "BillingAccountName": pl.col("billingaccountname"),
        "BillingAccountType": pl.lit("Billing Account"),
        "BillingCurrency": pl.col("billingcurrency"),
        "BillingPeriodEnd": day.dt.month_end().dt.offset_by("1d"),
        "BillingPeriodStart": day.dt.month_start(),
        "ChargeCategory": kind.replace_strict(_CHARGE_CATEGORIES, default="Usage", return_dtype=pl.String()),
        "ChargeClass": pl.when(kind == "Refund").then(pl.lit("Correction")),
        "ChargeDescription": pl.col("productname"),
        "ChargeFrequency": pl.col("frequency").replace({"UsageBased": "Usage-Based", "OneTime": "One-Time"}),
        "ChargePeriodEnd": following,
        "ChargePeriodStart": day,
        "CommitmentDiscountCategory": commitment.replace({"Reservation": "Usage", "SavingsPlan": "Spend"}),
        "CommitmentDiscountId": pl.when(committed).then(pl.col("benefitid")),
        "CommitmentDiscountName": pl.when(committed).then(pl.col("benefitname")),
        "CommitmentDiscountStatus": pl.when(committed & is_usage).then(
            pl.when("_unused").then(pl.lit("Unused")).otherwise(pl.lit("Used"))
        ),
        "CommitmentDiscountType": commitment.replace({"SavingsPlan": "Savings Plan"}),
        "ConsumedQuantity": units,
        "ConsumedUnit": pl.when(is_usage).then(pl.col("_consumed_unit")),
        "ContractedCost": pl.col("_cost_agreed"),
        "ContractedUnitPrice": pl.col("_agreed"),
        "EffectiveCost": pl.col("_cost_spread"),
        "InvoiceId": pl.col("invoiceid"),
        "InvoiceIssuerName": pl.lit("Microsoft"),
        "ListCost": pl.col("_cost_list"),
        "ListUnitPrice": pl.col("_price"),
        "PricingCategory": pl.col("pricingmodel").replace(_PRICING_CATEGORIES),
        "PricingCurrency": pl.col("pricingcurrency"),
        "PricingQuantity": pl.col("_quantity"),
        "PricingUnit": pl.col("_consumed_unit"),
        "ProviderName": pl.lit("Microsoft"),
        "PublisherName": pl.col("publishername"),
        "RegionId": pl.col("_region_id"),
        "RegionName": pl.col("_region_name"),
        "ResourceId": pl.col("resourceid").str.to_lowercase(),
        "ResourceName": pl.col("resourcename"),
        "ResourceType": pl.col("_resource_type"),
        "ServiceCategory": pl.col("_service_category"),
        "ServiceName": pl.col("_service_name"),
        "ServiceSubcategory": pl.col("_service_subcategory"),
        "SkuId": pl.col("productid"),
        "SkuMeter": pl.col("metername"),
        "SkuPriceDetails": pl.col("additionalinfo").str.extract(r"^(\{.*\})$"),
        "SkuPriceId": pl.col("partnumber"),
        "SubAccountId": pl.when(owned).then(pl.format("/subscriptions/{}", "subscriptionid")),
        "SubAccountName": pl.col("subscriptionname"),
        "SubAccountType": pl.when(owned).then(pl.lit("Subscription")),
        "Tags": pl.col("_tags"),
        "x_BilledCostInUsd": pl.col("_cost_billed"),
        "x_EffectiveCostInUsd": pl.col("_cost_spread"),
        "x_InvoiceId": pl.col("invoiceid"),
        "x_PricingBlockSize": pl.col("_block"),
        "x_PricingCurrency": pl.col("pricingcurrency"),
        "x_PricingUnitDescription": pl.col("unitofmeasure"),
        "x_ResourceGroupName": pl.col("resourcegroup"),
        "x_ServicePeriodEnd": following,
        "x_ServicePeriodStart": day,
        "x_SkuDetails": pl.col("additionalinfo").str.extract(r"^(\{.*\})$"),
        "x_SkuIsCreditEligible": pl.lit(value=True),
        "x_SkuMeterCategory": pl.col("metercategory"),
        "x_SkuMeterId": pl.col("meterid"),
        "x_SkuMeterName": pl.col("metername"),
        "x_SkuMeterSubcategory": pl.col("metersubcategory"),
        "x_SkuTerm": pl.col("term"),
    }


def _without_empty_texts(frame: pl.DataFrame) -> pl.DataFrame:
    """What is empty has no quotes in CSV, and is null in Parquet."""
    return frame.with_columns(pl.col(pl.String).replace("", None))
