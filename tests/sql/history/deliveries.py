"""Deliveries of exports: their lines, and the tables of each type."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from tests.local_clouds.exports import publish_cur2
from tests.local_clouds.legacy_cur import publish_legacy_cur
from tests.sql.provider import carbon

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.local_clouds.exports import PublishedDelivery
    from tests.sql.history.bucket import Bucket

P, Q = "111111111111", "222222222222"
ACCOUNTS = {P: P, "100000000001": P, "100000000002": P, Q: Q, "200000000001": Q}
SERVICES = ("AmazonEC2", "AmazonS3", "AmazonRDS")


class Kind(NamedTuple):
    """An export that there may be: its type, how it is laid out, and whose data it has."""

    type: str
    mode: str
    accounts: tuple[str, ...]


OF_P = tuple(account for account, payer in ACCOUNTS.items() if payer == P)
OF_Q = tuple(account for account, payer in ACCOUNTS.items() if payer == Q)
EXPORTS = {
    "costs-p": Kind("cur2", "create-new", OF_P),
    "costs-q": Kind("cur2", "overwrite", (*OF_Q, OF_P[1])),
    "report": Kind("cur", "create-new", tuple(ACCOUNTS)),
    "focus": Kind("focus", "overwrite", tuple(ACCOUNTS)),
    "carbon-p": Kind("carbon", "create-new", OF_P),
    "carbon-all": Kind("carbon", "overwrite", tuple(ACCOUNTS)),
}


#: By service, an amount and a cost.
Services = dict[str, tuple[float, float]]
#: Payer, which emissions do not have, and account.
Owner = tuple[str, str]


class Line(NamedTuple):
    """A line item, or a row of emissions, whose amount then is tonnes."""

    payer: str
    account: str
    service: str
    day: int
    amount: int
    cost: float
    is_usage: bool


@dataclass(frozen=True)
class Delivered:
    """A delivered version of a month of an export."""

    export: str
    month: str
    version: str
    id: str
    at: datetime
    lines: tuple[Line, ...]
    keys: tuple[str, ...] = ()
    manifest_key: str = ""

    @property
    def place(self) -> tuple[str, str, str]:
        """What it replaces."""
        return self.export, self.month, self.version

    @property
    def told_id(self) -> str:
        """The id under which the tap tells it."""
        return f"{self.id}-{self.version}" if self.version else self.id

    @property
    def rows(self) -> Counter[tuple[str, float]]:
        """The rows that its view shows: service, and cost or tonnes."""
        return Counter((line.service, line.cost) for line in self.lines)

    def facts(self) -> dict[Owner, Services]:
        """Usage or emissions by payer and account (of emissions, account alone), then by service."""
        found: dict[Owner, Services] = {}
        for line in self.lines:
            if line.is_usage:
                key = ("" if self.version else line.payer, line.account)
                services = found.setdefault(key, {})
                amount, cost = services.get(line.service, (0, 0))
                services[line.service] = (amount + line.amount, round(cost + line.cost, 2))
        if self.version:
            return {
                key: {name: (amount * 1000, 0.0) for name, (amount, _) in services.items()}
                for key, services in found.items()
            }
        return found


def publish(bucket: Bucket, made: Delivered) -> PublishedDelivery:
    """Put a delivery into the bucket, in the layout of its export."""
    kind = EXPORTS[made.export]
    given: dict[str, Any] = {"period": made.month, "mode": kind.mode, "delivered_at": made.at}
    if kind.type == "cur":
        report = {"report": made.export, "assembly_id": made.id, "prefix": "exports"}
        return publish_legacy_cur(bucket, data=_table(made, _legacy), **report, **given)
    if made.version:
        partition = f"carbon_model_version={made.version}/usage_period"
        given |= {"data": _carbon(made), "format": "csv", "partition_key": partition}
    else:
        given["data"] = _table(made, _focus if kind.type == "focus" else _cur)
    return publish_cur2(bucket, export=made.export, execution_id=made.id, **given)


def _table(made: Delivered, row: Callable[[Line, datetime], dict[str, Any]]) -> pa.Table:
    """A table of the rows of a delivery, which has its columns even if it has no rows."""
    nothing = Line(P, P, SERVICES[0], 1, 1, 1.0, is_usage=True)
    rows = [
        row(line, datetime.fromisoformat(f"{made.month}-{line.day:02}")) for line in (*made.lines, nothing)
    ]
    return pa.Table.from_pylist(rows).slice(0, len(made.lines))


def _cur(line: Line, start: datetime) -> dict[str, Any]:
    return {
        "bill_payer_account_id": line.payer,
        "line_item_currency_code": "USD",
        "line_item_line_item_type": "Usage" if line.is_usage else "Tax",
        "line_item_product_code": line.service,
        "line_item_unblended_cost": line.cost,
        "line_item_usage_account_id": line.account,
        "line_item_usage_amount": float(line.amount),
        "line_item_usage_start_date": start,
        "line_item_usage_type": f"Use-{line.service}",
        "pricing_unit": "Hrs",
        "product_region_code": "eu-central-1",
    }


def _legacy(line: Line, start: datetime) -> dict[str, Any]:
    values = _cur(line, start)
    return {header: values[name] for header, name in LEGACY_HEADERS.items()}


LEGACY_HEADERS = {
    "bill/PayerAccountId": "bill_payer_account_id",
    "lineItem/CurrencyCode": "line_item_currency_code",
    "lineItem/LineItemType": "line_item_line_item_type",
    "lineItem/ProductCode": "line_item_product_code",
    "lineItem/UnblendedCost": "line_item_unblended_cost",
    "lineItem/UsageAccountId": "line_item_usage_account_id",
    "lineItem/UsageAmount": "line_item_usage_amount",
    "lineItem/UsageStartDate": "line_item_usage_start_date",
    "lineItem/UsageType": "line_item_usage_type",
    "pricing/unit": "pricing_unit",
    "product/regionCode": "product_region_code",
}


def _focus(line: Line, start: datetime) -> dict[str, Any]:
    return {
        "BilledCost": line.cost,
        "BillingAccountId": line.payer,
        "BillingCurrency": "USD",
        "ChargeCategory": "Usage" if line.is_usage else "Tax",
        "ChargePeriodStart": start,
        "ConsumedQuantity": float(line.amount),
        "ConsumedUnit": "Hours",
        "RegionId": "eu-central-1",
        "SubAccountId": line.account,
        "ServiceName": line.service,
        "x_ServiceCode": line.service,
        "x_UsageType": f"Use-{line.service}",
    }


def _carbon(made: Delivered) -> pa.Table:
    rows = [(line.account, line.service, float(line.amount)) for line in made.lines]
    table = carbon(*rows, (P, SERVICES[0], 1.0), version=made.version, month=made.month)
    return table.slice(0, len(rows))
