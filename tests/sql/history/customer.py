"""A customer: what happens to them, what they change, and runs of the tap in between, as chance has it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import tap_offgridflow_aws.tap
from offgridflow_common.clock import SystemClock
from offgridflow_common.exports.delivery import Export
from tap_offgridflow_aws.tap import TapOffgridflowAws
from tests.aws.driving import catalog, run_here
from tests.local_clouds.aws import CREDENTIALS
from tests.sql.history.activities import Activities
from tests.sql.history.deliveries import EXPORTS
from tests.sql.history.oracle import Oracle
from tests.sql.history.readings import Outcome, Settings
from tests.sql.provider import UNWANTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pytest

    from tests.aws.driving import Run
    from tests.sql.history.deliveries import Delivered
    from tests.sql.history.world import World
    from tests.sql.warehouses import Warehouses

STREAMS = tuple(stream["tap_stream_id"] for stream in catalog(())["streams"])
#: How often each kind of event comes.
WEIGHTS = {
    "deliver": 30,
    "run": 24,
    "exports": 14,
    "cut_run": 10,
    "time": 6,
    "fault": 8,
    "restate": 6,
    "window": 4,
    "select": 3,
    "select_all": 3,
    "expire": 2,
    "grain": 2,
    "lookback": 2,
    "model": 6,
    "remove_version": 2,
    "restate_water": 2,
    "lose_state": 1,
}
FAULTS = ("corrupt", "missing", "no_manifest", "bad_manifest", "under_way", "throttled", "broken_page")
OPERATIONS = ("GetEstimatedCarbonEmissions", "GetEstimatedWaterAllocation")


class Event(NamedTuple):
    """Something that happens: `number` is all the chance in it, so that others may be left out."""

    kind: str
    number: int


def events(seed: int, length: int) -> list[Event]:
    """A life: it begins with a new model, and ends with a run in which nothing goes wrong."""
    chance = Random(seed)
    by_chance = chance.choices(list(WEIGHTS), list(WEIGHTS.values()), k=length)
    kinds = ("deliver", "run", "model", "run", *by_chance)
    return [*(Event(kind, chance.getrandbits(32)) for kind in kinds), Event("run", 0)]


@dataclass
class Customer:
    """Lives through events.

    Attributes:
        world: What is true.
        warehouses: What the target holds.
        monkeypatch: Sets the clock and the bucket of the tap.
        folder: Where the tap may keep files.
        settings: How the tap is run.
        state: Its state.
        runs: How many runs there were.
        happened: What each event was about, for whoever looks for the cause of a problem.
    """

    world: World
    warehouses: Warehouses
    monkeypatch: pytest.MonkeyPatch
    folder: Path
    settings: Settings = field(default_factory=lambda: Settings(list(EXPORTS), select=STREAMS))
    state: Mapping[str, Any] = field(default_factory=dict)
    runs: int = 0
    happened: list[str] = field(default_factory=list)
    _exports_before: list[str] = field(default_factory=lambda: ["focus", "carbon-all"])

    def __post_init__(self) -> None:
        self.oracle = Oracle(self.world, self.warehouses)
        self.activities = Activities(self.world, self.warehouses)
        self.monkeypatch.setattr(SystemClock, "now", lambda _: self.world.now)
        self.monkeypatch.setattr(SystemClock, "sleep", lambda *_: True)
        self.monkeypatch.setattr(
            tap_offgridflow_aws.tap,
            "open_export",
            lambda _, setting: Export(
                setting.name, setting.type, self.world.bucket, f"exports/{setting.name}"
            ),
        )
        self.warehouses.load(_schemas())
        self.warehouses.install()

    def live(self, life: Sequence[Event]) -> list[str]:
        """Go through a life until something is wrong with the views; gives what it is."""
        for event in life:
            self.world.pass_time(0.2)
            self.happened.append(f"{self.world.now:%Y-%m-%d %H:%M} {event}")
            problems = list(getattr(self, f"_{event.kind}")(Random(event.number)) or ())
            if problems:
                return problems
        return []

    # What happens.

    def _time(self, chance: Random) -> None:
        self.world.pass_time(24 * chance.choice((0.5, 1, 3, 12, 20)))

    def _deliver(self, chance: Random) -> None:
        """A month of several exports, as AWS delivers them each day."""
        month = self.world.back(chance.choice((0, 1, 1, 1, 2)))
        for name in chance.sample(list(EXPORTS), 3):
            version = f"v3.0.{chance.choice((8, 9, 9, 9, 10))}" if EXPORTS[name].type == "carbon" else ""
            rows = chance.choice((0, 2, 4, 8))
            self.happened.append(str(self.world.deliver(name, month, chance, rows=rows, version=version)))

    def _restate(self, chance: Random) -> None:
        self.world.report("emissions", self.world.back(chance.choice((1, 2, 3, 5))), chance, restate=True)

    def _restate_water(self, chance: Random) -> None:
        self.world.report("water", str(self.world.now.year - chance.choice((1, 2))), chance, restate=True)

    def _model(self, chance: Random) -> None:
        self.world.new_model(chance)

    def _remove_version(self, chance: Random) -> None:
        self._remove(chance, [made for made in self.world.newest.values() if made.version])

    def _expire(self, chance: Random) -> None:
        old = self.world.back(1)
        newest = self.world.newest.values()
        self._remove(chance, [made for made in newest if not made.version and made.month < old])

    def _remove(self, chance: Random, of: Sequence[Delivered]) -> None:
        if of:
            made = chance.choice(of)
            self.happened.append(f"removed {made}")
            self.world.expire(made)

    # What the customer changes.

    def _exports(self, chance: Random) -> None:
        before = self.settings.exports
        some = chance.sample(list(EXPORTS), chance.randint(0, len(EXPORTS)))
        self.settings.exports = self._exports_before if chance.random() < 0.5 else some
        self._exports_before = before

    def _window(self, chance: Random) -> None:
        start = chance.choice(("2025-06", "2025-12", self.world.back(2), self.world.back(1)))
        end = chance.choice(("2099-01", "2099-01", self.world.month, self.world.back(-1)))
        self.settings.start, self.settings.end = start, end

    def _lookback(self, chance: Random) -> None:
        self.settings.lookback = chance.choice((0, 1, 3, 6))

    def _grain(self, chance: Random) -> None:
        self.settings.grain = chance.choice(("day", "month"))

    def _select(self, chance: Random) -> None:
        self.settings.select = tuple(name for name in STREAMS if chance.random() < 0.7)

    def _select_all(self, _: Random) -> None:
        self.settings.select = STREAMS

    def _lose_state(self, _: Random) -> None:
        self.state = {}
        self.oracle.forget()
        self.activities.reader.newest = None

    # Runs.

    def _run(self, _: Random) -> Iterator[str]:
        settings, run = self._read()
        if run.exit_code:
            yield f"the run failed: {run.stderr}"
        yield from self._problems(settings, run, Outcome())

    def _cut_run(self, chance: Random) -> Iterator[str]:
        """A run whose target loads a part of the messages, and confirms an older state maybe."""
        settings, run = self._read()
        loaded = chance.randint(0, len(run.messages))
        confirmed = loaded if chance.random() < 0.7 else chance.randint(0, loaded)
        self.happened.append(f"loaded {loaded} of {len(run.messages)}, confirmed {confirmed}")
        yield from self._problems(settings, run, Outcome(is_cut=True), loaded, confirmed)

    def _fault(self, chance: Random) -> Iterator[str]:
        """A run in which something is wrong with the source, which then is well again."""
        fault = chance.choice(FAULTS)
        of = [made for made in self.world.newest.values() if made.export in self.settings.exports]
        made = chance.choice(of) if of else None
        if fault in ("throttled", "broken_page"):
            yield from self._api_fault(chance, fault)
        elif made and (fault != "no_manifest" or any(other.export == made.export != other for other in of)):
            self.happened.append(f"{fault} {made}")
            with self.world.bucket.damaged():
                self._damage(fault, made)
                settings, run = self._read()
            yield from self._problems(settings, run, Outcome(failing=frozenset({made.export})))

    def _damage(self, fault: str, made: Delivered) -> None:
        objects, now = self.world.bucket.objects, self.world.now
        if fault == "missing":
            del objects[made.keys[0]]
        elif fault == "no_manifest":
            del objects[made.manifest_key]
        elif fault == "corrupt":
            objects[made.keys[0]] = (b"\x1f\x8bnonsense", now)
        elif fault == "bad_manifest":
            objects[made.manifest_key] = (b'{"dataFiles": 1', now)
        else:
            objects[made.keys[-1]] = (objects[made.keys[-1]][0], now)

    def _api_fault(self, chance: Random, fault: str) -> Iterator[str]:
        operation, skip = chance.choice(OPERATIONS), chance.randint(0, 6)
        if fault == "throttled":
            self.world.server.fail_next(5, 429, "ThrottlingException", operation=operation, skip=skip)
        else:
            self.world.server.truncate_next(5, operation=operation, skip=skip)
        settings, run = self._read()
        self.world.server.clear_faults()
        yield from self._problems(settings, run, Outcome(failing=frozenset({"api"})))

    def _read(self) -> tuple[Settings, Run]:
        """Run the tap over those exports that were delivered once; an export that never was is an error."""
        delivered = {made.export for made in self.world.newest.values()}
        exports = [name for name in self.settings.exports if name in delivered]
        settings = replace(self.settings, exports=exports)
        self.monkeypatch.setattr(TapOffgridflowAws, "started_at", self.world.now.replace(microsecond=0))
        config = settings.config | {
            **CREDENTIALS,
            "aws_endpoint_urls": {"sustainability": self.world.server.url},
            "exports": [
                {"name": name, "type": EXPORTS[name].type, "url": f"s3://bucket/exports/{name}"}
                for name in exports
            ],
            "spool_dir": str(self.folder),
        }
        self.runs += 1
        self.happened.append(str(settings))
        return settings, run_here(config, self.state, catalog(settings.select, deselect=UNWANTED))

    def _problems(
        self,
        settings: Settings,
        run: Run,
        outcome: Outcome,
        loaded: int | None = None,
        confirmed: int | None = None,
    ) -> Iterator[str]:
        self.warehouses.load(run.messages[:loaded])
        states = [one["value"] for one in run.messages[:confirmed] if one["type"] == "STATE"]
        self.state = states[-1] if states else self.state
        yield from self.oracle.problems(settings, outcome)
        yield from self.activities.problems(settings, outcome)


def _schemas() -> Iterator[dict[str, Any]]:
    """What makes all tables, as if each stream had been selected once."""
    for entry in catalog(())["streams"]:
        name = entry["tap_stream_id"]
        columns = entry["schema"]["properties"].items()
        wanted = {column: kind for column, kind in columns if column not in UNWANTED.get(name, ())}
        yield {
            "type": "SCHEMA",
            "stream": name,
            "schema": {"properties": wanted},
            "key_properties": entry["key_properties"],
        }
