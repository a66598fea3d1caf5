"""The part of the demo that reads Azure, into the same database."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Self

from demo.azure_cloud import LocalAzureCloud
from demo.azure_source import EXPORT, AzureSource
from demo.pipeline import PLUGINS, Pipeline
from tests.local_clouds.azure_demo import month_range

if TYPE_CHECKING:
    from pathlib import Path

    from demo.findings import Findings
    from demo.screen import Screen
    from demo.warehouse import Warehouse

SEED = 1
MONTHS = month_range("2025-11", "2026-10")
EXPORTED_MONTHS = MONTHS[-2:]
_TAP = "tap-offgridflow-azure"
_LOADER = PLUGINS[-1]


class AzureStory:
    """A context manager around the local Azure.

    Args:
        project: The checkout.
        output: Folder for the state and the logs.
        screen: What is shown.
        findings: What is found.
        warehouse: The database.
        end: First day no longer wanted.
        home: Folder of Meltano's plugins; by default the project's `.meltano`.
    """

    def __init__(  # noqa: PLR0913 - where it runs, what it shows, what it fills
        self,
        project: Path,
        output: Path,
        screen: Screen,
        findings: Findings,
        warehouse: Warehouse,
        *,
        end: str,
        home: Path | None = None,
    ) -> None:
        self._project = project
        self._output = output
        self._screen = screen
        self._findings = findings
        self._warehouse = warehouse
        self._end = end
        self._home = home
        self.source = AzureSource(SEED, MONTHS)
        self.cloud = LocalAzureCloud(project, output / "azure.log", seed=SEED, months=MONTHS)

    def __enter__(self) -> Self:
        """Start the cloud and export what is to be exported."""
        self._screen.title("Local stand-ins for Azure, on this machine only")
        self.cloud.__enter__()
        try:
            self._export()
        except BaseException:
            self.cloud.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the cloud."""
        self.cloud.__exit__()

    def run(self) -> None:
        """Everything lands, beside what is there of AWS."""
        self._screen.title(f"Run: meltano run {_TAP} {_LOADER}")
        run = self.pipeline.run()
        self._warehouse.create_views("azure")
        self._screen.line(f"done in {run.seconds:.0f} s")

    def report(self) -> None:
        """What landed, beside what the source holds."""
        held, landed = self._held(), self._warehouse.azure_rows()
        self._screen.table(
            ("stream", "at the source", "landed"),
            [(stream, count, landed.get(stream, 0)) for stream, count in held.items()],
        )
        self._findings.expect(
            "every count equals what the source holds",
            holds=all(landed.get(stream, 0) == count for stream, count in held.items()),
        )
        emissions = self._warehouse.emissions("azure")
        for method, kilograms in self.source.emissions().items():
            found = emissions.get(method, math.nan)
            total = f"all {len(MONTHS)} months, {method.replace('_', ' ')}: {found:,.2f} kg"
            self._findings.expect_same(f"{total}, as the API says", kilograms, found)
        self._findings.expect(
            "no location-based total: Azure reports scope 2 market based only",
            holds="location_based" not in emissions,
        )
        cost = self._warehouse.queried_cost()
        self._findings.expect_same(
            f"cost in all {cost:,.2f}, as Cost Management says", self.source.cost, cost
        )

    @property
    def pipeline(self) -> Pipeline:
        """The tap and the loader, set up for this cloud."""
        exports = (
            [] if self.cloud.without_blobs else [{"type": "actual", "url": self.cloud.export_url(EXPORT)}]
        )
        tap = {
            **self.cloud.settings,
            "exports": json.dumps(exports),
            "start_date": f"{MONTHS[0]}-01",
            "end_date": self._end,
            "rate_limit_per_second": "100",
            "org_id": "demo",
        }
        return Pipeline(
            self._project,
            self._output,
            {f"TAP_OFFGRIDFLOW_AZURE_{name.upper()}": value for name, value in tap.items()}
            | self._warehouse.settings,
            waiting=self._screen.waiting,
            home=self._home,
            plugins=(_TAP, _LOADER),
        )

    def _export(self) -> None:
        self._screen.line(f"carbon   {MONTHS[0]} to {MONTHS[-1]} by resource and scope")
        self._screen.line(f"cost     {MONTHS[0]} to {MONTHS[-1]} by day, service and location")
        if self.cloud.without_blobs:
            self._screen.line(f"left out: exports in storage. {self.cloud.without_blobs}")
            return
        for month in EXPORTED_MONTHS:
            self.source.export(self.cloud.upload, month)
        self._screen.line(f"export   actual cost of {' and '.join(EXPORTED_MONTHS)}, in Blob Storage")

    def _held(self) -> dict[str, int]:
        return {stream: count for stream, count in self.source.rows.items() if count}
