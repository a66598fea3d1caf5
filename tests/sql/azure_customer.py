"""A customer of Azure for tests of a long history: what exports delivered, and the tap that reads it."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from offgridflow_common.months import MONTH, add_months, floor, month_start
from offgridflow_common.singer.line_items import PLACE
from tap_offgridflow_azure.streams.line_items import CostDetailsStream, FocusCostsStream
from tap_offgridflow_azure.tap import TapOffgridflowAzure
from tests.azure.driving import catalog, run_here
from tests.azure.usage_lines import EA, FOCUS, text
from tests.local_clouds.azure_exports import BY_DAYS, BY_RUN, BY_TIME_AND_RUN, publish_azure
from tests.local_clouds.exports import FolderStore

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    import pytest

    from tests.driving import Message, Run

SUBSCRIPTIONS = tuple(f"aaaaaaaa-0000-0000-0000-00000000000{number}" for number in (1, 2, 3))
SERVICES = ("Storage", "Virtual Machines")
#: What rows of an export show in its view: subscription, service, day, quantity, cost.
SHOWN = {
    "cost_details": ("subscription_id", "meter_category", "date", "quantity", "cost_in_billing_currency"),
    "focus_costs": (
        "sub_account_id",
        "service_name",
        "charge_period_start",
        "consumed_quantity",
        "billed_cost",
    ),
}
#: Columns that no test looks at: many make a target slow.
UNWANTED = {
    stream.name: [
        column.name
        for column in stream.columns
        if column not in PLACE and column.name not in {*SHOWN[stream.name], "charge_type", "charge_category"}
    ]
    for stream in (CostDetailsStream, FocusCostsStream)
}


class Line(NamedTuple):
    """A row of usage."""

    subscription: str
    service: str
    day: datetime
    quantity: float
    cost: float


class Source(NamedTuple):
    """An export: its type, where its runs lie, and whether a run overwrites the one before."""

    kind: str
    layout: str
    overwrite: bool


SOURCES = {
    "focus": Source("focus", BY_RUN, overwrite=False),
    "actual": Source("actual", BY_DAYS, overwrite=True),
    "other": Source("actual", BY_TIME_AND_RUN, overwrite=False),
    "amortized": Source("amortized", BY_RUN, overwrite=True),
}
#: The types that count first before the others.
TYPES = ("focus", "actual", "amortized")
_DATA = {"focus": "FocusCost", "actual": "ActualCost", "amortized": "AmortizedCost"}


def month_before(now: datetime, back: int) -> str:
    """The month that is so many before a moment's."""
    return f"{add_months(floor(now, MONTH), -back):%Y-%m}"


def usage_of(lines: Iterable[Line], subscription: str) -> dict[str, float]:
    """What a subscription used of each service."""
    sums: defaultdict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        if line.subscription == subscription:
            sums[line.service] += Decimal(str(line.quantity))
    return {service: float(total) for service, total in sums.items()}


@dataclass
class Deliveries:
    """Exports in a folder, and all that they ever delivered.

    Attributes:
        root: Stands for the container.
        chance: Makes up rows.
        versions: Of each export and month the rows of all deliveries, oldest first.
    """

    root: Path
    chance: random.Random
    versions: defaultdict[tuple[str, str], list[list[Line]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    _newest: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    def deliver(self, name: str, month: str, at: datetime, *, empty: bool = False) -> None:
        """Let an export run over a month, as far as it has gone."""
        source = SOURCES[name]
        lines = [] if empty else list(self._lines(month, at))
        files = self.chance.randint(1, 3)
        done = publish_azure(
            FolderStore(self.root),
            export=name,
            period=month,
            parts=[_file(source.kind, lines[number::files]) for number in range(files)],
            run_id=f"00000000-0000-4000-8000-{0 if source.overwrite else int(at.timestamp()):012}",
            submitted_at=at,
            kind=_DATA[source.kind],
            layout=source.layout,
            overwrite=source.overwrite,
        )
        self.versions[name, month].append(lines)
        self._newest[name, month] = (*done.data_keys, done.manifest_key)

    def url(self, name: str) -> str:
        """Its address."""
        return (self.root / "cost" / name).as_uri()

    def _lines(self, month: str, at: datetime) -> Iterator[Line]:
        first = month_start(month)
        days = (min(at, add_months(first, 1) - timedelta(days=1)) - first).days
        for subscription in SUBSCRIPTIONS:
            for _ in range(self.chance.randint(0, 3)):
                quantity = self.chance.randint(1, 99_999) / 4
                day = first + timedelta(days=self.chance.randint(0, days))
                yield Line(subscription, self.chance.choice(SERVICES), day, quantity, quantity / 2)

    @contextmanager
    def broken(self, name: str, month: str) -> Iterator[None]:
        """For a while a file of the newest delivery, or its manifest, has its first half only."""
        path = self.root / self.chance.choice(self._newest[name, month])
        content, times = path.read_bytes(), path.stat()
        path.write_bytes(content[: len(content) // 2])
        yield
        path.write_bytes(content)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _file(kind: str, lines: Iterable[Line]) -> bytes:
    if kind == "focus":
        return text(FOCUS, *map(_focus_row, lines))
    return text(EA, *map(_cost_row, lines))


def _focus_row(line: Line) -> dict[str, str]:
    return {
        "SubAccountId": line.subscription,
        "ServiceName": line.service,
        "x_SkuMeterCategory": line.service,
        "ChargePeriodStart": f"{line.day:%Y-%m-%dT00:00:00Z}",
        "ConsumedQuantity": str(line.quantity),
        "BilledCost": str(line.cost),
    }


def _cost_row(line: Line) -> dict[str, str]:
    return {
        "SubscriptionId": line.subscription,
        "MeterCategory": line.service,
        "Date": f"{line.day:%m/%d/%Y}",
        "Quantity": str(line.quantity),
        "Cost": str(line.cost),
    }


@dataclass
class Reader:
    """The tap, and the state that it goes on from.

    Attributes:
        chance: Says where a run is cut.
        streams: The selected ones.
        monkeypatch: Sets the clock of the tap.
        state: Of the last run.
    """

    chance: random.Random
    streams: Iterable[str]
    monkeypatch: pytest.MonkeyPatch
    state: Mapping[str, Any] = field(default_factory=dict)

    def run(self, config: Mapping[str, Any], at: datetime) -> Run:
        """Run the tap at a moment."""
        self.monkeypatch.setattr(TapOffgridflowAzure, "started_at", at)
        return run_here(config, self.state, catalog(self.streams, deselect=UNWANTED))

    def read(self, config: Mapping[str, Any], at: datetime) -> tuple[Run, list[Message]]:
        """Run to the end; what there is to load."""
        run = self.run(config, at)
        self.state = run.state
        return run, run.messages

    def read_cut(self, config: Mapping[str, Any], at: datetime) -> list[Message]:
        """Run, and end between two messages: a target may have loaded more than its state tells."""
        messages = self.run(config, at).messages
        loaded = self.chance.randint(0, len(messages) - 1)
        confirmed = messages[: self.chance.randint(0, loaded)]
        states = [message["value"] for message in confirmed if message["type"] == "STATE"]
        self.state = states[-1] if states else self.state
        return messages[:loaded]


def utc(year: int, month: int, day: int) -> datetime:
    """A morning."""
    return datetime(year, month, day, 6, tzinfo=UTC)
