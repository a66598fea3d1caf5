"""A synchronised bucket on disk with exports of every type, and the tap that reads it."""

from __future__ import annotations

import itertools
import os
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.aws import truth
from tests.local_clouds.carbon_export import publish_carbon
from tests.local_clouds.exports import FolderStore, publish_cur2
from tests.local_clouds.focus import publish_focus
from tests.local_clouds.legacy_cur import publish_legacy_cur
from tests.local_clouds.sustainability import EMISSIONS_TYPES, SourceRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run, State
    from tests.local_clouds.exports import PublishedDelivery

    Row = dict[str, Any]

PERIOD = "2026-09"
FIRST_DELIVERY = datetime(2026, 11, 2, 6, tzinfo=UTC)
#: Of each type: the export's name and prefix, what publishes it, and what that calls the name and the id.
KINDS: dict[str, tuple[str, str, Callable[..., PublishedDelivery], str, str]] = {
    "cur2": ("ofg-cur2", "exports", publish_cur2, "export", "execution_id"),
    "cur": ("ofg-cur", "billing", publish_legacy_cur, "report", "assembly_id"),
    "focus": ("ofg-focus", "exports", publish_focus, "export", "execution_id"),
    "carbon": ("ofg-carbon", "exports", publish_carbon, "export", "execution_id"),
}
STREAMS = ("activities", "carbon_export", "cost_and_usage", "deliveries", "focus_costs")


@dataclass(frozen=True)
class Shelf:
    """The folder, and how to fill and read it.

    Each delivery has an id of its own and comes a minute after the one before.

    Attributes:
        root: What stands for the bucket.
        tap_config: Makes configurations without exports.
        run_tap: Runs the tap.
    """

    root: Path
    tap_config: Config
    run_tap: RunTap
    _minutes: Iterator[int] = field(default_factory=itertools.count)

    @property
    def store(self) -> FolderStore:
        """The folder, to publish to."""
        return FolderStore(self.root)

    def cur2(self, period: str, data: pa.Table, **options: Any) -> PublishedDelivery:
        """Deliver a month of CUR 2.0."""
        return self._deliver("cur2", period, data, options)

    def cur(self, period: str, data: pa.Table, **options: Any) -> PublishedDelivery:
        """Deliver a month of legacy CUR."""
        return self._deliver("cur", period, data, options)

    def focus(self, period: str, data: pa.Table, **options: Any) -> PublishedDelivery:
        """Deliver a month of FOCUS."""
        return self._deliver("focus", period, data, options)

    def carbon(self, period: str, data: pa.Table, **options: Any) -> PublishedDelivery:
        """Deliver a month of the carbon export."""
        return self._deliver("carbon", period, data, options)

    def path(self, key: str) -> Path:
        """Where a key lies."""
        return self.root / key

    def replace(self, delivery: PublishedDelivery, number: int, content: bytes) -> None:
        """Replace a data file, which is as old as the delivery then."""
        key = delivery.data_keys[number]
        self.store.put(key, content)
        self.set_time(delivery.delivered_at, key)

    def set_time(self, moment: datetime, *keys: str) -> None:
        """Let files have been written at a moment."""
        for key in keys:
            os.utime(self.path(key), (moment.timestamp(),) * 2)

    def exports(self, *types: str) -> list[dict[str, str]]:
        """The settings of the exports of these types, in this order."""
        return [{"type": kind, "url": self.url(KINDS[kind][1], KINDS[kind][0])} for kind in types]

    def url(self, prefix: str, export: str) -> str:
        """The address of an export."""
        return (self.root / prefix / export).as_uri()

    def run(
        self, *types: str, state: State | None = None, select: Sequence[str] = STREAMS, **settings: Any
    ) -> Run:
        """Run the tap over the exports of these types; settings come on top."""
        window = {"start_date": "2026-07-01", "end_date": "2026-11-01"}
        config = self.tap_config(**({"exports": self.exports(*types)} | window | settings))
        return self.run_tap(config, state, select)

    def read(self, *types: str, **options: Any) -> Run:
        """Run the tap, which must succeed."""
        run = self.run(*types, **options)
        assert run.exit_code == 0, run.stderr
        return run

    def _deliver(self, kind: str, period: str, data: pa.Table, options: dict[str, Any]) -> PublishedDelivery:
        export, prefix, publish, name, identity = KINDS[kind]
        at = FIRST_DELIVERY + timedelta(minutes=next(self._minutes))
        given = {name: export, "prefix": prefix, identity: str(uuid.uuid4()), "delivered_at": at} | options
        delivery = publish(self.store, period=period, data=data, **given)
        self.set_time(delivery.delivered_at, delivery.manifest_key, *delivery.data_keys)
        return delivery


def emitted(value: str, region: str = "eu-central-1") -> SourceRow:
    """What somebody emitted with one service, all types of it in the same amount."""
    return SourceRow("012345678901", region, "AmazonEC2", dict.fromkeys(EMISSIONS_TYPES, Decimal(value)))


def plain(value: Any) -> Any:
    """A value of a table as `truth.same` takes it."""
    if isinstance(value, datetime):
        return truth.iso(value)
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, float):
        return Decimal(repr(value))
    return truth.EMPTY if value == "" else value
