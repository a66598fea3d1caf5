"""A folder on disk that looks like a copied container of exports, and the tap that reads it."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.local_clouds.azure_cost_files import (
    TO_THE_MINUTE,
    TO_THE_SECOND,
    US_DATE,
    cost_details,
    focus,
)
from tests.local_clouds.azure_cost_rows import cost_table
from tests.local_clouds.azure_exports import publish_azure
from tests.local_clouds.exports import FolderStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import polars as pl

    from tests.azure.conftest import RunTap
    from tests.driving import Run, State
    from tests.local_clouds.exports import PublishedDelivery

PERIOD = "2026-09"
FIRST_RUN = datetime(2026, 10, 3, 4, 12, 7, 523_444, tzinfo=UTC)
DIRECTORY = "cost"
#: Of each type of the setting: the export's name, what it calls its data, and how it writes times.
KINDS = {
    "actual": ("ofg-actual", "ActualCost", US_DATE),
    "amortized": ("ofg-amortized", "AmortizedCost", US_DATE),
    "focus": ("ofg-focus", "FocusCost", TO_THE_SECOND),
}
STREAM = {"actual": "cost_details", "amortized": "cost_details", "focus": "focus_costs"}
STREAMS = ("cost_details", "deliveries", "focus_costs")


@dataclass(frozen=True)
class Shelf:
    """The folder, and how to fill and read it.

    Each run has an id of its own and is submitted a minute after the one before.

    Attributes:
        root: What stands for the container.
        spool: The folder for the spool.
        run_tap: Runs the tap.
    """

    root: Path
    spool: Path
    run_tap: RunTap
    _minutes: Iterator[int] = field(default_factory=itertools.count)

    @property
    def store(self) -> FolderStore:
        """The folder, to publish to."""
        return FolderStore(self.root)

    def deliver(self, kind: str, /, *parts: Any, period: str = PERIOD, **options: Any) -> PublishedDelivery:
        """Let an export of a type run; each part becomes a data file."""
        export, data, time_format = KINDS[kind]
        given = {
            "export": export,
            "kind": data,
            "time_format": time_format,
            "run_id": str(uuid.uuid4()),
            "submitted_at": FIRST_RUN + timedelta(minutes=next(self._minutes)),
            "directory": DIRECTORY,
        }
        return publish_azure(self.store, period=period, parts=parts, **(given | options))

    def path(self, key: str) -> Path:
        """Where a key lies."""
        return self.root / key

    def exports(self, *types: str) -> list[dict[str, str]]:
        """The settings of the exports of these types, in this order."""
        return [{"type": kind, "url": self.url(f"{DIRECTORY}/{KINDS[kind][0]}")} for kind in types]

    def url(self, folder: str) -> str:
        """The address of a folder."""
        return (self.root / folder).as_uri()

    def run(
        self,
        *types: str,
        state: State | None = None,
        select: Sequence[str] = STREAMS,
        **settings: Any,
    ) -> Run:
        """Run the tap over the exports of these types; settings come on top."""
        config = {
            "exports": self.exports(*types),
            "start_date": "2026-01-01",
            "end_date": "2026-12-01",
            "auth_method": "cli",
            "spool_dir": str(self.spool),
        }
        return self.run_tap(config | settings, select, state)

    def read(self, *types: str, **options: Any) -> Run:
        """Run the tap, which must succeed."""
        run = self.run(*types, **options)
        assert run.exit_code == 0, run.stderr
        return run


def made(kind: str, rows: int = 40, seed: int = 1, period: str = PERIOD, variant: str = "") -> pl.DataFrame:
    """Rows of a type of export, as they stand in its files.

    Args:
        kind: The type.
        rows: How many.
        seed: Same seed, same rows.
        period: The month.
        variant: The agreement of cost details, by default EA; the version of FOCUS, by default 1.2.
    """
    lines = cost_table(rows, seed, period, {name: data for name, (_, data, _) in KINDS.items()}[kind])
    if kind == "focus":
        return focus(lines, variant or "1.2")
    return cost_details(lines, variant or "ea", KINDS[kind][1])


def time_format(version: str) -> str:
    """How FOCUS of a version writes times."""
    return TO_THE_MINUTE if version == "1.0" else TO_THE_SECOND
