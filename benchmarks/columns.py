"""The columns of what is read, and which of them an analysis commonly selects.

Plain names, so that every program here can use them cheaply.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DATA = Path(__file__).parents[1] / "tests" / "local_clouds" / "data"
#: What the columns of a month of the made-up lines of `tests/local_clouds/legacy_cur.py` are.
_LEGACY_CUR = Path(__file__).with_name("legacy_cur_columns.csv")

CUR2_SELECTED = (
    "identity_line_item_id",
    "identity_time_interval",
    "bill_bill_type",
    "bill_payer_account_id",
    "bill_billing_period_start_date",
    "line_item_usage_account_id",
    "line_item_line_item_type",
    "line_item_usage_start_date",
    "line_item_usage_end_date",
    "line_item_product_code",
    "line_item_usage_type",
    "line_item_operation",
    "line_item_availability_zone",
    "line_item_resource_id",
    "line_item_usage_amount",
    "line_item_currency_code",
    "line_item_unblended_rate",
    "line_item_unblended_cost",
    "line_item_net_unblended_cost",
    "line_item_line_item_description",
    "pricing_unit",
    "pricing_term",
    "pricing_public_on_demand_cost",
    "product_region_code",
    "product_instance_type",
)
COST_DETAILS_SELECTED = (
    "BillingPeriodStartDate",
    "BillingPeriodEndDate",
    "SubscriptionId",
    "Date",
    "Product",
    "MeterId",
    "MeterCategory",
    "MeterSubCategory",
    "MeterName",
    "Quantity",
    "EffectivePrice",
    "Cost",
    "UnitPrice",
    "BillingCurrency",
    "ResourceLocation",
    "ConsumedService",
    "ResourceId",
    "ResourceName",
    "CostCenter",
    "UnitOfMeasure",
    "ResourceGroup",
    "ChargeType",
    "Frequency",
    "PublisherType",
    "PricingModel",
)
FOCUS_SELECTED = (
    "BilledCost",
    "BillingCurrency",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "CommitmentDiscountStatus",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedCost",
    "EffectiveCost",
    "ListCost",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "RegionId",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "ServiceCategory",
    "ServiceName",
    "SkuMeter",
    "SubAccountId",
    "SubAccountName",
)

#: What cost details of enterprise agreements call otherwise than the stream does.
_COST_DETAILS_NAMES = {
    "Product": "product_name",
    "Cost": "cost_in_billing_currency",
    "InvoiceSection": "invoice_section_name",
    "ResourceGroup": "resource_group_name",
    "PayGPrice": "payg_price",
}
_FOCUS_OBJECTS = {"SkuPriceDetails", "Tags"}
_COST_DETAILS_NUMBERS = {"Quantity", "EffectivePrice", "Cost", "UnitPrice", "PayGPrice"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file.

    Attributes:
        header: Its name in the file.
        name: Its name in the stream.
        kind: Its type in the file; `day` is a date as text, month first, and `json` an object as text,
            which may lack its braces.
        map: The stream's map that its values are members of, if they are.
    """

    header: str
    name: str
    kind: str
    map: str = ""

    @property
    def is_map(self) -> bool:
        """Whether its values are objects."""
        return self.kind == "json" or self.kind.startswith("map")

    @property
    def selected(self) -> str:
        """What is selected of the stream for it."""
        return self.map or self.name


def cur2() -> list[Column]:
    """The columns of a CUR 2.0 export of everything, in order."""
    return [
        Column(row["name"], row["name"], row["arrow_type"])
        for row in _rows(_DATA / "cur2_columns.csv")
        if row["position"]
    ]


def legacy_cur() -> list[Column]:
    """The columns of a month of a legacy report, in order."""
    return [Column(**row) for row in _rows(_LEGACY_CUR)]


def cost_details() -> list[Column]:
    """The columns of cost details of an enterprise agreement, in order."""
    headers = [row["column"] for row in _rows(_DATA / "cost_details_ea_columns.csv")]
    return [
        Column(header, _COST_DETAILS_NAMES.get(header) or _snake(header), _cost_details_kind(header))
        for header in headers
    ]


def focus() -> list[Column]:
    """The columns of Azure's FOCUS 1.2, in order."""
    return [
        Column(row["name"], _snake(row["name"]), "json" if row["name"] in _FOCUS_OBJECTS else row["type"])
        for row in _rows(_DATA / "azure_focus_columns.csv")
        if row["in_1_2"]
    ]


def _cost_details_kind(header: str) -> str:
    if header == "Tags":
        return "json"
    if header.endswith("Date"):
        return "day"
    return "double" if header in _COST_DETAILS_NUMBERS else "string"


def _snake(header: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", header).lower()


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)
