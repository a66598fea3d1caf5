"""A configuration under which each stream of the tap has records, and what stands behind it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from offgridflow_common.months import MONTH, add_months, floor
from tests.azure.shelf import DIRECTORY, KINDS, made
from tests.local_clouds.azure_exports import publish_azure
from tests.local_clouds.exports import FolderStore

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tests.local_clouds.azure import LocalAzure

ROWS = 20


def publish(azure: LocalAzure, folder: Path, now: datetime) -> dict[str, Any]:
    """Publish emissions, costs and an export of each type; give the settings that lead there.

    Args:
        azure: Where to publish emissions and costs.
        folder: Where to publish exports.
        now: What is published is of the two months before; queries of cost do not go back for ever.
    """
    months = [f"{add_months(floor(now, MONTH), -back):%Y-%m}" for back in (2, 1)]
    azure.seed(1, months)
    for kind, (export, data, time_format) in KINDS.items():
        publish_azure(
            FolderStore(folder),
            export=export,
            period=months[-1],
            parts=[made(kind, ROWS, period=months[-1])],
            run_id=str(uuid.uuid5(uuid.NAMESPACE_URL, kind)),
            submitted_at=now,
            kind=data,
            time_format=time_format,
            directory=DIRECTORY,
        )
    return {
        **azure.settings,
        **azure.impact_settings,
        "exports": [
            {"type": kind, "url": (folder / DIRECTORY / export).as_uri()}
            for kind, (export, _, _) in KINDS.items()
        ],
        "start_date": f"{months[0]}-01",
        "end_date": now.isoformat(),
    }
