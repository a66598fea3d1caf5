"""What is true of a customer of AWS: what lies in the bucket, and what the Sustainability API says."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING

from offgridflow_common.months import add_months, month_of, month_start
from tests.sql.history.bucket import Bucket
from tests.sql.history.deliveries import ACCOUNTS, EXPORTS, SERVICES, Delivered, Line, P, Q, publish
from tests.sql.provider import emissions, water

if TYPE_CHECKING:
    from tests.local_clouds.sustainability import SustainabilityServer

BEGIN = datetime(2026, 3, 25, tzinfo=UTC)
FIRST_MONTH = "2025-09"

#: Account, service, and tonnes or cubic metres.
Row = tuple[str, str, int]


@dataclass
class World:
    """What is true.

    Attributes:
        server: The Sustainability stand-in.
        now: The time.
        bucket: Where deliveries lie.
        newest: The delivery of each export, month and model version that lies in the bucket.
        ever: All that was ever delivered.
        readings: By report and period, all states in which the API ever gave it, the newest last.
        model: The version of the API's model.
        removed_versions: Exports and months of which a model version was removed from the bucket.
    """

    server: SustainabilityServer
    now: datetime = BEGIN
    bucket: Bucket = field(default_factory=lambda: Bucket(BEGIN))
    newest: dict[tuple[str, str, str], Delivered] = field(default_factory=dict)
    ever: list[Delivered] = field(default_factory=list)
    readings: dict[tuple[str, str], list[tuple[str, frozenset[Row]]]] = field(default_factory=dict)
    model: int = 0
    removed_versions: set[tuple[str, str]] = field(default_factory=set)

    @property
    def version(self) -> str:
        """The model version of the API."""
        return f"v3.0.{self.model}"

    @property
    def month(self) -> str:
        """The month of now."""
        return month_of(self.now)

    def back(self, months: int) -> str:
        """A month so many before this one."""
        return month_of(add_months(month_start(self.month), -months))

    def pass_time(self, hours: float) -> None:
        """Let time pass; AWS publishes what is due."""
        self.now += timedelta(hours=hours)
        self.bucket.now = self.now
        month = FIRST_MONTH
        while add_months(month_start(month), 1) + timedelta(days=20) <= self.now:
            if ("emissions", month) not in self.readings:
                self.report("emissions", month, Random(month))
            month = month_of(add_months(month_start(month), 1))
        for year in range(2025, self.now.year):
            if ("water", str(year)) not in self.readings and datetime(year + 1, 5, 1, tzinfo=UTC) <= self.now:
                self.report("water", str(year), Random(year))

    def states(self, report: str) -> dict[str, list[frozenset[Row]]]:
        """By period, all states of a report."""
        return {
            period: [rows for _, rows in states]
            for (name, period), states in self.readings.items()
            if name == report
        }

    def first_of_model(self, report: str, period: str) -> int:
        """The place of the first state of a period in the newest model."""
        versions = [version for version, _ in self.readings[report, period]]
        return versions.index(versions[-1])

    def report(self, report: str, period: str, chance: Random, *, restate: bool = False) -> None:
        """Publish or restate a period of the API."""
        if restate and (report, period) not in self.readings:
            return
        having = [account for account in ACCOUNTS if chance.random() < 0.8] or [P]
        rows = [
            (account, service, chance.randint(1, 99))
            for account in having
            for service in chance.sample(SERVICES, chance.randint(1, 3))
        ]
        self._set(report, period, rows)

    def _set(self, report: str, period: str, rows: list[Row]) -> None:
        make = emissions if report == "emissions" else water
        given = [replace(row, model_version=self.version) for row in make(*sorted(rows))]
        if report == "emissions":
            self.server.set_month(period, given)
        else:
            self.server.set_year(int(period), given)
        self.readings.setdefault((report, period), []).append((self.version, frozenset(rows)))

    def new_model(self, chance: Random) -> None:
        """AWS recalculates all that it has published."""
        self.model += 1
        for report, period in list(self.readings):
            self.report(report, period, chance)

    def deliver(self, name: str, month: str, chance: Random, *, rows: int, version: str = "") -> Delivered:
        """Deliver a month of an export."""
        kind = EXPORTS[name]
        having = [account for account in kind.accounts if chance.random() < 0.75]
        lines = tuple(
            Line(
                payer=chance.choice((P, Q)) if chance.random() < 0.06 else ACCOUNTS[account],
                account=account,
                service=service,
                day=chance.randint(1, 28),
                amount=(tonnes := chance.randint(1, 999)),
                cost=float(tonnes) if version else chance.randint(1, 99999) / 100,
                is_usage=bool(version) or chance.random() < 0.85,
            )
            for account in (chance.choices(having, k=rows) if having else ())
            for service in [chance.choice(SERVICES)]
        )
        made = Delivered(name, month, version, f"{chance.getrandbits(64):016x}", self.now, lines)
        done = publish(self.bucket, made)
        # The tap gives ids that are no UUIDs the name of their report.
        told = f"{made.export}-{made.id}" if kind.type == "cur" else made.id
        made = replace(made, id=told, keys=done.data_keys, manifest_key=done.manifest_key)
        self.newest[made.place] = made
        self.ever.append(made)
        return made

    def expire(self, made: Delivered) -> None:
        """Remove a delivery from the bucket."""
        self.newest.pop(made.place, None)
        if made.version:
            self.removed_versions.add((made.export, made.month))
        folder = f"/{made.month.replace('-', '')}01-"  # of a legacy report
        for key in self.bucket.keys(f"exports/{made.export}/"):
            if (made.month in key and made.version in key) or folder in key:
                del self.bucket.objects[key]
