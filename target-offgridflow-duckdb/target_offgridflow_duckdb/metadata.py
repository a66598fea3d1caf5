"""The SDK's metadata columns, for records that the SDK does not touch one by one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from target_offgridflow_duckdb.rows import RecordMessage

EXTRACTED: Final = "_sdc_extracted_at"
VERSION: Final = "_sdc_table_version"
DELETED: Final = "_sdc_deleted_at"


def received(sync_started_at: int) -> Mapping[str, str | int]:
    """What is the same for all rows that are received now.

    Args:
        sync_started_at: When the run began, in milliseconds since 1970.
    """
    now = datetime.now(UTC)
    return {
        "_sdc_received_at": now.isoformat(),
        "_sdc_batched_at": now.isoformat(),
        "_sdc_sequence": round(now.timestamp() * 1000),
        "_sdc_sync_started_at": sync_started_at,
    }


def stamped(frame: pl.DataFrame, messages: Sequence[RecordMessage], sync_started_at: int) -> pl.DataFrame:
    """A frame of records with what their messages say of them, and with when they came."""
    extracted = pl.Series([message.time_extracted for message in messages], dtype=pl.String)
    versions = pl.Series([message.version for message in messages], dtype=pl.Int64)
    constants = {name: pl.lit(value) for name, value in received(sync_started_at).items()}
    return frame.with_columns(**constants, **{EXTRACTED: extracted, VERSION: versions})
