"""What the provider reports in these tests, and the tap that reads it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from offgridflow_common.singer.line_items import PLACE
from tap_offgridflow_aws.streams.line_items import CostAndUsageStream, FocusCostsStream
from tap_offgridflow_aws.tap import TapOffgridflowAws
from tests.aws.driving import catalog, run_here
from tests.local_clouds.aws import CREDENTIALS
from tests.local_clouds.exports import FolderStore, publish_cur2
from tests.local_clouds.sustainability import SourceRow
from tests.sql.questions import SEPTEMBER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pytest

    from tests.aws.driving import Run
    from tests.local_clouds.sustainability import SustainabilityServer

PAYER = "111122223333"
ACCOUNT, OTHER_ACCOUNT = "012345678901", "444455556666"
#: The scopes of the carbon export, and how much of a row's emissions falls to each.
SCOPES = {
    "scope_1": 0.125,
    "scope_2_lbm": 0.5,
    "scope_2_mbm": 0.25,
    "scope_3_lbm": 0.375,
    "scope_3_mbm": 0.3125,
}
#: Columns that no test looks at: many make a target slow.
UNWANTED = {
    stream.name: [column.name for column in stream.columns if column not in PLACE and column.name not in seen]
    for stream, seen in (
        (CostAndUsageStream, {"line_item_product_code", "line_item_unblended_cost"}),
        (FocusCostsStream, {"x_service_code", "billed_cost"}),
    )
}


def day(number: int) -> datetime:
    """A morning in November 2026."""
    return datetime(2026, 11, number, 6, tzinfo=UTC)


def usage(
    *lines: tuple[str, str, float, float],
    payer: str | None = PAYER,
    account: str = ACCOUNT,
    month: str = SEPTEMBER,
) -> pa.Table:
    """Line items of CUR 2.0: service, usage type, amount in hours, cost."""
    return pa.Table.from_pylist(
        [
            {
                "bill_payer_account_id": payer,
                "line_item_currency_code": "USD",
                "line_item_line_item_type": "Usage",
                "line_item_product_code": service,
                "line_item_unblended_cost": cost,
                "line_item_usage_account_id": account,
                "line_item_usage_amount": amount,
                "line_item_usage_start_date": datetime.fromisoformat(f"{month}-01"),
                "line_item_usage_type": usage_type,
                "pricing_unit": "Hrs",
                "product_region_code": "eu-central-1",
            }
            for service, usage_type, amount, cost in lines
        ]
    )


def focus(*lines: tuple[str, float, float], account: str = ACCOUNT) -> pa.Table:
    """FOCUS rows: service, amount in hours, cost."""
    return pa.Table.from_pylist(
        [
            {
                "BilledCost": cost,
                "BillingAccountId": PAYER,
                "BillingCurrency": "USD",
                "ChargeCategory": "Usage",
                "ChargePeriodStart": datetime.fromisoformat(f"{SEPTEMBER}-01"),
                "ConsumedQuantity": amount,
                "ConsumedUnit": "Hours",
                "RegionId": "eu-central-1",
                "SubAccountId": account,
                "ServiceName": service,
                "x_ServiceCode": service,
            }
            for service, amount, cost in lines
        ]
    )


def carbon(*rows: tuple[str, str, float], version: str = "v3.0.1", month: str = SEPTEMBER) -> pa.Table:
    """Rows of a carbon export: account, service, and the location-based total in tonnes."""
    return pa.Table.from_pylist(
        [
            {
                "model_version": version,
                "payer_account_id": PAYER,
                "product_code": service,
                "region_code": "eu-central-1",
                "usage_account_id": account,
                "usage_period_start": datetime.fromisoformat(f"{month}-01"),
                **{f"total_{scope}_emissions_value": tonnes * part for scope, part in SCOPES.items()},
                **{f"total_{scope}_emissions_unit": "MTCO2e" for scope in SCOPES},
            }
            for account, service, tonnes in rows
        ]
    )


def emissions(*rows: tuple[str, str, float]) -> list[SourceRow]:
    """A month of the emission report: account, service, and the location-based total in tonnes."""
    parts = {**SCOPES, "lbm": 1.0, "mbm": 0.6875}
    return [
        SourceRow(
            account,
            "eu-central-1",
            service,
            {f"TOTAL_{part.upper()}_CARBON_EMISSIONS": Decimal(tonnes * parts[part]) for part in parts},
        )
        for account, service, tonnes in rows
    ]


def water(*rows: tuple[str, str, float]) -> list[SourceRow]:
    """A year of the water report: account, service, cubic metres."""
    return [
        SourceRow(account, "eu-central-1", service, {"TOTAL_WATER_WITHDRAWALS": Decimal(cubic_metres)})
        for account, service, cubic_metres in rows
    ]


@dataclass
class Provider:
    """Exports in a folder, the Sustainability service, and the tap that reads both.

    Attributes:
        folder: Where exports are delivered.
        server: The Sustainability service.
        monkeypatch: Sets the clock of a run.
        exports: The exports in the tap's settings.
        state: What the last run of the tap left.
    """

    folder: Path
    server: SustainabilityServer
    monkeypatch: pytest.MonkeyPatch
    exports: list[dict[str, str]] = field(default_factory=list)
    state: Mapping[str, Any] = field(default_factory=dict)

    def export(self, name: str, kind: str) -> None:
        """Add an export to the settings."""
        self.exports.append({"name": name, "type": kind, "url": (self.folder / "exports" / name).as_uri()})

    def deliver(
        self,
        export: str,
        data: pa.Table,
        at: datetime,
        *,
        month: str = SEPTEMBER,
        version: str | None = None,
        delivery_id: str = "",
    ) -> str:
        """Deliver a month of an export; gives the id of the delivery."""
        store = FolderStore(self.folder)
        period = f"carbon_model_version={version}/usage_period" if version else "billing_period"
        delivery = publish_cur2(
            store,
            export=export,
            period=month,
            data=data,
            execution_id=delivery_id or f"{31 - at.day:02}-{export}-{version or ''}{month}",
            partition_key=period,
            delivered_at=at,
            format="csv" if version else "parquet",
        )
        for key in delivery.data_keys:
            os.utime(self.folder / key, (at.timestamp() - 60,) * 2)
        os.utime(self.folder / delivery.manifest_key, (at.timestamp(),) * 2)
        return delivery.execution_id

    def read(self, select: Iterable[str], at: datetime, **settings: Any) -> Run:
        """Run the tap, which must succeed; it remembers what it read."""
        run = self.read_as_another(select, at, self.state, **settings)
        self.state = run.state
        return run

    def read_as_another(
        self, select: Iterable[str], at: datetime, state: Mapping[str, Any] | None = None, **settings: Any
    ) -> Run:
        """Run a tap with a state of its own, which must succeed."""
        run = self.attempt(select, at, state, **settings)
        assert run.exit_code == 0, run.stderr
        return run

    def attempt(
        self, select: Iterable[str], at: datetime, state: Mapping[str, Any] | None = None, **settings: Any
    ) -> Run:
        """Run a tap with a state of its own, whether it succeeds or not."""
        self.monkeypatch.setattr(TapOffgridflowAws, "started_at", at)
        config = {
            **CREDENTIALS,
            "aws_endpoint_urls": {"sustainability": self.server.url},
            "exports": self.exports,
            "start_date": "2026-07-01",
            "end_date": "2026-11-30",
            "rate_limit_per_second": 1000,
            "rate_limit_capacity": 10_000,
            "spool_dir": str(self.folder),
            **settings,
        }
        return run_here(config, state, catalog(select, deselect=UNWANTED))


def half_loaded(messages: Sequence[Mapping[str, Any]], stream: str, rows: int) -> list[Mapping[str, Any]]:
    """The messages of a run up to so many records of a stream: what a killed run leaves in a target."""
    places = [
        place
        for place, message in enumerate(messages)
        if message["type"] == "RECORD" and message["stream"] == stream
    ]
    return list(messages[: places[rows]])
