"""Kills at random moments, one after the other, through Meltano and the loader: ``make soak``.

A pipeline is killed with all that it started, again and again; each run goes on from what the last one left.
Months are restated meanwhile. After each kill no delivery may be listed that is not whole, and at the end
everything must be as if nobody had killed anything.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from demo.pipeline import PLUGINS
from tests.e2e.conftest import PROJECT
from tests.e2e.interrupted import (
    assert_listed_deliveries_are_complete,
    assert_same,
    deliver,
    pipeline,
    reporting,
)
from tests.e2e.processes import group_ends
from tests.local_clouds.exports import FolderStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from demo.pipeline import Pipeline

MONTHS = ("2026-08", "2026-09", "2026-10")
_ROWS = 3000
_FILES = 4
#: A month is restated after so many kills, so that there is always something to read.
_KILLS_OF_A_STATE = 5
#: Kills that come later than this part of a whole run would find it finished.
_LATEST = 0.95
_VIEWS = ("deliveries", "cost_and_usage", "carbon_emissions", "water_allocation", "activities")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How often a run was killed before its end, and how often it had ended by then."""

    killed: int
    finished: int


def soak(
    folder: Path, home: Path | None, *, kills: int, seed: int, say: Callable[[str], object] = print
) -> Outcome:
    """Kill so many runs.

    Args:
        folder: An empty folder.
        home: Folder of Meltano's plugins; by default the project's.
        kills: How many; runs that end before their moment do not count.
        seed: Of the moments.
        say: Told of each.

    Raises:
        AssertionError: Something was lost, or is there twice.
    """
    chance = random.Random(seed)
    source = FolderStore(folder / "source")
    for name in ("killed", "undisturbed"):
        (folder / name).mkdir()
    outcomes: list[bool] = []
    with reporting() as sustainability:
        killed, undisturbed = (
            pipeline(folder / name, home, folder / "source", sustainability)
            for name in ("killed", "undisturbed")
        )
        state = 0
        while sum(outcomes) < kills:
            state += 1
            restated = MONTHS if state == 1 else [chance.choice(MONTHS)]
            rows = {month: chance.randint(_ROWS // 2, _ROWS) for month in restated}
            deliver(source, rows, seed=state, files=_FILES)
            seconds = undisturbed.run().seconds
            for _ in range(min(_KILLS_OF_A_STATE, kills - sum(outcomes))):
                moment = chance.uniform(0, seconds * _LATEST)
                outcomes.append(_kill(killed, moment))
                assert_listed_deliveries_are_complete(folder / "killed" / "demo.duckdb")
                when = "in time" if outcomes[-1] else "too late"
                say(f"kill {sum(outcomes)} of {kills}, after {moment:.1f} s: {when}")
        killed.run("--force")
    databases = [folder / name / "demo.duckdb" for name in ("killed", "undisturbed")]
    for database in databases:
        _create_views(database)
    assert_listed_deliveries_are_complete(databases[0])
    assert_same(*databases, prefix="current_")
    return Outcome(sum(outcomes), len(outcomes) - sum(outcomes))


def _kill(running: Pipeline, moment: float) -> bool:
    """Start a run and kill it, with all it started, after a while; whether it was still running."""
    process = running.start("run", "--force", *PLUGINS, output=subprocess.DEVNULL)
    time.sleep(moment)
    still_running = process.poll() is None
    if still_running:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert group_ends(process.pid)
    return still_running


def _create_views(database: Path) -> None:
    with duckdb.connect(database) as connection:
        connection.execute("USE aws")
        for name in _VIEWS:
            connection.execute((PROJECT / "sql" / "duckdb" / f"{name}.sql").read_text("utf-8"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Kill runs and say how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.soak", description=main.__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        outcome = soak(Path(folder), None, kills=options.kills, seed=options.seed)
    sys.stdout.write(
        f"{outcome.killed} runs killed, {outcome.finished} had ended before, in "
        f"{time.monotonic() - began:.0f} s: nothing is lost and nothing is twice\n"
    )


if __name__ == "__main__":
    main()
