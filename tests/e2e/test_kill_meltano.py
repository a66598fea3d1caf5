"""`kill -9` of a whole `meltano run`, at awkward moments, and a rerun: nothing is lost, nothing is twice."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from demo.pipeline import PLUGINS
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
    from collections.abc import Iterator
    from pathlib import Path

    from demo.pipeline import Pipeline
    from tests.e2e.conftest import Home, Once
    from tests.local_clouds.sustainability import SustainabilityServer

#: Line items by month of the first state of the source, and of what is delivered later.
FIRST = {"2026-08": 1500, "2026-09": 1500}
LATER = {"2026-09": 1200, "2026-10": 1500}


@dataclass(frozen=True, slots=True)
class Moment:
    """When to kill.

    Attributes:
        begin: Whose database and state are there; None if nothing is.
        source: The state of the source.
        line: What the loader logs then.
        times: How often it must have logged it.
        finished: Deliveries that are then listed as complete.
    """

    begin: str | None
    source: str
    line: str
    times: int
    finished: int


MOMENTS = {
    "in the first run, while line items are written": Moment(
        None, "first", r"Loading \d+ rows into .*cost_and_usage", 2, 0
    ),
    "while a restated month has been written and the next is under way": Moment(
        "first", "later", r"Loading \d+ rows into .*cost_and_usage", 4, 2
    ),
}


@pytest.fixture(scope="module")
def sustainability() -> Iterator[SustainabilityServer]:
    """The same emissions and water in every worker."""
    with reporting() as server:
        yield server


@pytest.fixture(scope="module")
def undisturbed(once: Once, meltano_home: Home, sustainability: SustainabilityServer) -> Path:
    """Both states of the source, and what two runs make of them that nobody kills."""

    def make(folder: Path) -> None:
        home = meltano_home(folder)
        sources = {name: folder / name / "source" for name in ("first", "later")}
        deliver(FolderStore(sources["first"]), FIRST, seed=1)
        pipeline(folder / "first", home, sources["first"], sustainability).run()
        # Copies keep their times, and so the deliveries are the same ones.
        shutil.copytree(folder / "first", folder / "later")
        deliver(FolderStore(sources["later"]), LATER, seed=2)
        pipeline(folder / "later", home, sources["later"], sustainability).run()

    return once("undisturbed", make)


def run_until(running: Pipeline, moment: Moment) -> None:
    """Start a run and kill it, with all it started, as soon as the loader says that it is so far."""
    process = running.start("run", *PLUGINS, output=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as lines:
        awaited = (line for line in lines if re.search(moment.line, line))
        for _ in range(moment.times):
            next(awaited)
        os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert group_ends(process.pid)


@pytest.mark.parametrize("when", MOMENTS)
def test_a_killed_run_leaves_no_half_month_and_a_rerun_completes_it(
    when: str, undisturbed: Path, meltano_home: Home, sustainability: SustainabilityServer, tmp_path: Path
) -> None:
    moment = MOMENTS[when]
    folder = tmp_path / "run"
    folder.mkdir()
    if moment.begin:
        for name in ("demo.duckdb", "meltano.db"):
            shutil.copy(undisturbed / moment.begin / name, folder / name)
    source = undisturbed / moment.source / "source"
    running = pipeline(folder, meltano_home(tmp_path), source, sustainability)

    run_until(running, moment)
    assert_listed_deliveries_are_complete(folder / "demo.duckdb", moment.finished)

    running.run("--force")
    assert_listed_deliveries_are_complete(
        folder / "demo.duckdb", len(FIRST) + (moment.source == "later") * len(LATER)
    )
    assert_same(folder / "demo.duckdb", undisturbed / moment.source / "demo.duckdb")
