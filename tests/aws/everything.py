"""A configuration under which each stream of the tap has records, and what stands behind it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tests.local_clouds.cur2 import cur2_table
from tests.local_clouds.exports import publish_cur2
from tests.local_clouds.sustainability import demo_emissions, demo_water

if TYPE_CHECKING:
    from tests.local_clouds.exports import Store
    from tests.local_clouds.sustainability import SustainabilityServer

PERIOD = "2026-09"
ROWS = 20
START = datetime(2026, 9, 1, tzinfo=UTC)
_DIMENSIONS = (["111122223333", "012345678901"], ["us-east-1"], ["AmazonEC2", "AmazonCloudFront"])
_SCOPES = ("scope_1", "scope_2_lbm", "scope_2_mbm", "scope_3_lbm", "scope_3_mbm")


def _focus() -> pa.Table:
    rows = [
        {
            "BilledCost": 0.1 * row,
            "BillingAccountId": "444455556666",
            "BillingCurrency": "USD",
            "ChargeCategory": "Usage",
            "ChargePeriodStart": START,
            "ConsumedQuantity": 1.5,
            "ConsumedUnit": "Hrs",
            "RegionId": "us-east-1",
            "SubAccountId": f"{row:012}",
            "x_ServiceCode": "AmazonEC2",
            "x_Unheard": f"of {row}",
        }
        for row in range(ROWS)
    ]
    return pa.Table.from_pylist(rows)


def _carbon() -> pa.Table:
    values = {f"total_{scope}_emissions_value": 0.000123 for scope in _SCOPES}
    units = {f"total_{scope}_emissions_unit": "MTCO2e" for scope in _SCOPES}
    rows = [
        {
            "last_refresh_timestamp": datetime(2026, 10, 15, tzinfo=UTC),
            "model_version": "v3.0.1",
            "payer_account_id": "444455556666",
            "usage_account_id": f"{row:012}",
            "usage_period_start": START,
            "usage_period_end": datetime(2026, 10, 1, tzinfo=UTC),
            "region_code": "us-east-1",
            "product_code": "AmazonEC2",
            **values,
            **units,
        }
        for row in range(ROWS)
    ]
    return pa.Table.from_pylist(rows)


def publish(store: Store, server: SustainabilityServer) -> dict[str, Any]:
    """Publish emissions, water and an export of each type; give the settings that lead there."""
    server.set_months(demo_emissions(["2026-08", PERIOD], *_DIMENSIONS, 1))
    server.set_years(demo_water([2025], *_DIMENSIONS, 1))
    tables = {"cur2": cur2_table(ROWS, 1, PERIOD), "focus": _focus(), "carbon": _carbon()}
    for kind, table in tables.items():
        place = "carbon_model_version=v3.0.1/usage_period" if kind == "carbon" else "BILLING_PERIOD"
        publish_cur2(
            store,
            export=f"my-{kind}",
            period=PERIOD,
            data=table,
            execution_id=str(uuid.uuid5(uuid.NAMESPACE_URL, kind)),
            format="csv" if kind == "carbon" else "parquet",
            partition_key=place,
        )
    exports = [{"type": kind, "url": f"s3://{store.bucket}/exports/my-{kind}"} for kind in tables]
    return {"exports": exports, "start_date": "2025-01-01", "end_date": "2026-11-15"}
