"""What the local Azure holds: exports it, and knows how much of what there is, without asking the tap."""

from __future__ import annotations

import json
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING

from tests.local_clouds.azure_cost_csv import cost_details_csv
from tests.local_clouds.azure_demo import (
    BILLING_ACCOUNT,
    SUBSCRIPTIONS,
    demo_costs,
    demo_emissions,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.local_clouds.azure_cost_query import Cost

EXPORT = "demo-actual"

#: A file of the export has so many rows, so that each month has several.
_ROWS_OF_A_FILE = 300
_SCOPES = 3


class AzureSource:
    """Emissions and costs as the stand-ins make them, and the months that were exported.

    Args:
        seed: Of everything that is made up.
        months: With emissions and costs, `YYYY-MM`.
    """

    def __init__(self, seed: int, months: Sequence[str]) -> None:
        self._emissions = demo_emissions(seed, months)
        self._costs = {month: demo_costs(seed, [month]) for month in months}
        self._exported: dict[str, list[Cost]] = {}

    def export(self, upload: Callable[[str, bytes], None], month: str) -> None:
        """Export a month of actual cost: its files, then the manifest."""
        costs = self._costs[month]
        run = str(uuid.uuid5(uuid.NAMESPACE_OID, month))
        days = month.replace("-", "")
        folder = f"{EXPORT}/{days}01-{days}28/{run}"
        files = cost_details_csv(costs, rows_per_blob=_ROWS_OF_A_FILE)
        blobs = [
            {"blobName": f"{folder}/part_0_{number:04}.csv", "byteCount": len(content)}
            for number, content in enumerate(files, start=1)
        ]
        for blob, content in zip(blobs, files, strict=True):
            upload(str(blob["blobName"]), content)
        # A billing account covers all subscriptions, so none of them needs a report.
        manifest = {
            "manifestVersion": "2024-04-01",
            "blobCount": len(blobs),
            "dataRowCount": len(costs),
            "exportConfig": {
                "exportName": EXPORT,
                "resourceId": f"/{BILLING_ACCOUNT}/providers/Microsoft.CostManagement/exports/{EXPORT}",
                "type": "ActualCost",
            },
            "runInfo": {
                "submittedTime": f"{month}-28T23:00:00.0000000Z",
                "runId": run,
                "startDate": f"{month}-01T00:00:00",
                "endDate": f"{month}-28T00:00:00",
            },
            "blobs": blobs,
        }
        upload(f"{folder}/manifest.json", json.dumps(manifest).encode())
        self._exported[month] = costs

    @property
    def rows(self) -> Mapping[str, int]:
        """How many rows each stream has to bring."""
        emissions = len(self._emissions) * _SCOPES
        exported = [cost for costs in self._exported.values() for cost in costs]
        usage = [cost for cost in exported if cost.dimension("ChargeType") == "Usage"]
        return {
            "subscriptions": len(SUBSCRIPTIONS),
            "carbon_emissions": emissions,
            "activities: emissions": emissions,
            "cost_details": len(exported),
            "deliveries": len(self._exported),
            "activities: line items of usage": len(usage),
        }

    @property
    def cost(self) -> float:
        """Actual cost of all months."""
        return float(sum((cost.cost for costs in self._costs.values() for cost in costs), Decimal(0)))

    def emissions(self) -> Mapping[str, float]:
        """Total kgCO2e by accounting method: scope 2 is market based only, so there is no other total."""
        total = sum((row.scope1 + row.scope2 + row.scope3 for row in self._emissions), Decimal(0))
        return {"market_based": float(total)}
