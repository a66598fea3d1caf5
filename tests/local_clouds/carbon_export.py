"""Made-up carbon exports (the table CARBON_EMISSIONS) of the rows that the Sustainability stand-in serves."""

from __future__ import annotations

import csv
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from tests.local_clouds.cur2_vocabulary import DATA, REGIONS
from tests.local_clouds.exports import PublishedDelivery, publish_cur2
from tests.local_clouds.sustainability_data import EMISSIONS_TYPES, add_months, month_start

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.local_clouds.exports import Store
    from tests.local_clouds.sustainability_data import SourceRow

    #: The table has grown; an export keeps the columns that it was created with.
    Width = Literal[11, 13, 23]

PAYER = "111122223333"
UNIT = "MTCO2e"
#: The spellings of the partition in AWS's documentation and in real exports.
PARTITIONS = ("model_version", "carbon_model_version")
#: The documented text form of times, and others that a reader must expect.
TIMES = (
    "%Y-%m-%d %H:%M:%SZ",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%dT%H:%M:%S.000Z",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S.000",
    "%Y-%m-%dT%H:%M:%S+00:00",
)
_TYPES = {"string": pa.string(), "double": pa.float64(), "timestamp": pa.timestamp("ns")}
_LOCATIONS = {region.code: region.location for region in REGIONS}


@cache
def carbon_columns(width: Width = 23) -> dict[str, str]:
    """The columns that the table had when it had so many, with their types."""
    with (DATA / "carbon_export_columns.csv").open(newline="", encoding="utf-8") as file:
        return {row["name"]: row["type"] for row in csv.DictReader(file) if _since(row) <= width}


def _since(row: dict[str, str]) -> int:
    """How many columns the table had from when on it has this one."""
    return int(row["introduced"].partition("(")[2].partition(" ")[0])


def carbon_table(
    month: str,
    rows: Iterable[SourceRow],
    *,
    width: Width = 23,
    payer: str = PAYER,
    model_version: str | None = None,
) -> pa.Table:
    """The export's rows of one month.

    Args:
        month: Usage period, `YYYY-MM`.
        rows: What was emitted, as for the Sustainability stand-in.
        width: How many columns the export has.
        payer: Account id of the payer.
        model_version: Replaces that of the rows.
    """
    start = month_start(month).replace(tzinfo=None)
    columns = carbon_columns(width)
    made = [
        {
            "last_refresh_timestamp": add_months(start, 1).replace(day=15),
            "location": _LOCATIONS.get(row.region, row.region),
            "model_version": model_version or row.model_version,
            "payer_account_id": payer,
            "product_code": row.service,
            "region_code": row.region,
            "usage_account_id": row.account,
            "usage_period_start": start,
            "usage_period_end": add_months(start, 1),
        }
        | {_column(kind, "unit"): UNIT for kind in EMISSIONS_TYPES}
        | {_column(kind, "value"): float(row.values[kind]) for kind in EMISSIONS_TYPES}
        for row in rows
    ]
    return pa.Table.from_pylist(
        made, schema=pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])
    )


def publish_carbon(
    store: Store,
    *,
    export: str,
    period: str,
    data: pa.Table,
    execution_id: str,
    model_version: str = "v3.0.1",
    partition: str = PARTITIONS[1],
    **options: Any,
) -> PublishedDelivery:
    """Deliver one month of one model version as a single file, which may have no rows.

    Args:
        store: Where to.
        export: Name of the export.
        period: Usage period, `YYYY-MM`.
        data: From `carbon_table`.
        execution_id: The id of this delivery.
        model_version: The version in the partition.
        partition: How the partition of the version is spelled.
        options: More of those of `publish_cur2`.
    """
    given: dict[str, Any] = {"chunks": 1, "format": "csv", "time_format": TIMES[0]} | options
    place = f"{partition}={model_version}/usage_period"
    return publish_cur2(
        store,
        export=export,
        period=period,
        data=data,
        execution_id=execution_id,
        partition_key=place,
        **given,
    )


def _column(kind: str, part: str) -> str:
    return kind.lower().replace("_carbon_emissions", f"_emissions_{part}")
