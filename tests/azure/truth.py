"""What rows of Azure's data files mean, told slowly and without the tap, in its columns."""

from __future__ import annotations

import json
import re
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.export_files import EMPTY, file_rows, iso, same

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    Row = dict[str, Any]

#: Headers of agreements and of files in lower case whose column has another name than their words.
_OTHER_NAMES = {
    "BillingCurrencyCode": "billing_currency",
    "Cost": "cost_in_billing_currency",
    "Currency": "billing_currency",
    "InstanceId": "resource_id",
    "InvoiceSection": "invoice_section_name",
    "MeterSubcategory": "meter_sub_category",
    "PayGPrice": "payg_price",
    "PreTaxCost": "cost_in_billing_currency",
    "Product": "product_name",
    "ResourceGroup": "resource_group_name",
    "ResourceRate": "unit_price",
    "SubscriptionGuid": "subscription_id",
    "UsageDateTime": "date",
    "UsageQuantity": "quantity",
    "billingaccountid": "billing_account_id",
    "costinbillingcurrency": "cost_in_billing_currency",
    "paygcostinbillingcurrency": "payg_cost_in_billing_currency",
    "resourcelocation": "resource_location",
    "subscriptionid": "subscription_id",
}
_COST_NUMBERS = {
    "cost_in_billing_currency",
    "cost_in_pricing_currency",
    "cost_in_usd",
    "effective_price",
    "exchange_rate_pricing_to_billing",
    "payg_cost_in_billing_currency",
    "payg_cost_in_usd",
    "payg_price",
    "quantity",
    "unit_price",
}
_FOCUS_NUMBERS = re.compile(r".*(cost|price|quantity|cost_in_usd|exchange_rate|block_size)")
_FOCUS_TIMES = re.compile(r"(x_)?(billing|charge|service)_period_(start|end)|x_billing_exchange_rate_date")
_DATE_FORMATS = (
    "%m/%d/%Y",
    "%m/%d/%y",
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%MZ",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%d %H:%M:%S",
)


def snake(header: str) -> str:
    """A header as the tap's column is called, by its words."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", header).lower()


def cost_column(header: str) -> str:
    """The column of a header of cost details."""
    return _OTHER_NAMES.get(header, snake(header))


def cost_rows(path: Path, metric: str = "ActualCost") -> list[Row]:
    """The rows of a file of cost details in the tap's columns."""
    return [
        {"metric": metric} | {cost_column(header): cost_value(header, value) for header, value in row.items()}
        for row in file_rows(path)
    ]


def cost_value(header: str, value: Any) -> Any:
    """What a value of cost details means."""
    name = cost_column(header)
    if name == "date" or name.endswith("_date"):
        return _moment(value)
    if name == "tags":
        text = value and (value if value.startswith("{") else f"{{{value}}}")
        return json.loads(text) if text else None
    return _number(value) if name in _COST_NUMBERS else _text(value)


def focus_rows(path: Path) -> list[Row]:
    """The rows of a FOCUS file in the tap's columns."""
    return [
        {snake(header): focus_value(header, value) for header, value in row.items()}
        for row in file_rows(path)
    ]


def focus_value(header: str, value: Any) -> Any:
    """What a value of FOCUS means."""
    name = snake(header)
    if _FOCUS_TIMES.fullmatch(name):
        return _moment(value)
    if name in {"tags", "sku_price_details"}:
        members = json.loads(value) if value else None
        return members and {key: v if isinstance(v, str) else json.dumps(v) for key, v in members.items()}
    return _number(value) if _FOCUS_NUMBERS.fullmatch(name) else _text(value)


def wrong_values(records: Iterable[Row], rows: Iterable[Row]) -> list[Any]:
    """Where records differ from the rows of the files, one for one; empty if nowhere."""
    return [
        (place, name, record.get(name), value)
        for place, (record, row) in enumerate(zip(records, rows, strict=True))
        for name, value in row.items()
        if name not in record or not same(record[name], value)
    ]


def _moment(value: Any) -> str | None:
    if value in ("", None):
        return None
    return iso(value if isinstance(value, datetime) else _parsed(value))


def _parsed(text: str) -> datetime:
    for form in _DATE_FORMATS:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - what has no zone is in UTC
        except ValueError:
            continue
    raise ValueError(text)


def _number(value: Any) -> Decimal | None:
    return None if value in ("", None) else Decimal(str(value))


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return json.dumps(value)
    return EMPTY if value in ("", None) else value
