"""`kill -9` of a whole `meltano run`, at awkward moments, and a rerun: nothing is lost, nothing is twice."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from demo.pipeline import PLUGINS, Pipeline
from tests.e2e.conftest import PROJECT
from tests.e2e.loaded import ask, in_one_only
from tests.e2e.processes import group_ends
from tests.local_clouds.cur2 import cur2_table
from tests.local_clouds.exports import FolderStore, publish_cur2
from tests.local_clouds.sustainability import SustainabilityServer, demo_emissions, demo_water

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.conftest import Home, Once

#: What differs between two runs over the same source.
OF_A_RUN = {
    "carbon_emissions": ("retrieved_at",),
    "water_allocation": ("retrieved_at",),
    "activities": ("import_batch_id",),
    "cost_and_usage": (),
    "deliveries": (),
}
LOADER_TIMES = ("_sdc_extracted_at", "_sdc_batched_at")

LISTED = """
    SELECT rows, (SELECT count(*) FROM aws.cost_and_usage AS c WHERE c.delivery_id = d.delivery_id)
    FROM aws.deliveries AS d
"""

#: Line items by month of the first state of the source, and of what is delivered later.
FIRST = {"2026-08": 1500, "2026-09": 1500}
LATER = {"2026-09": 1200, "2026-10": 1500}
BATCH_ROWS = 500


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


def deliver(store: FolderStore, bills: dict[str, int], seed: int) -> None:
    for month, rows in bills.items():
        publish_cur2(
            store,
            export="bills",
            period=month,
            data=cur2_table(rows, seed, month),
            execution_id=f"00000000-0000-4000-8000-{seed:04}{month.replace('-', ''):0>8}",
        )


@pytest.fixture(scope="module")
def sustainability() -> Iterator[SustainabilityServer]:
    """The same emissions and water in every worker."""
    dimensions = (["111122223333"], ["eu-west-1", "us-east-1"], ["AmazonEC2", "AmazonS3"])
    with SustainabilityServer() as server:
        server.set_months(demo_emissions(["2026-08", "2026-09", "2026-10"], *dimensions, 1))
        server.set_years(demo_water([2026], *dimensions, 1))
        yield server


def pipeline(folder: Path, home: Path, export: Path, sustainability: SustainabilityServer) -> Pipeline:
    tap = {
        "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key": "local-secret-of-nobody",
        "aws_endpoint_urls": json.dumps({"sustainability": sustainability.url}),
        "exports": json.dumps(
            [{"name": "bills", "type": "cur2", "url": (export / "exports/bills").as_uri()}]
        ),
        "start_date": "2026-08-01",
        "end_date": "2026-11-01",
    }
    loader = {"filepath": str(folder / "demo.duckdb"), "batch_size_rows": str(BATCH_ROWS)}
    settings = {f"TAP_OFFGRIDFLOW_AWS_{name.upper()}": value for name, value in tap.items()}
    settings |= {f"TARGET_DUCKDB_{name.upper()}": value for name, value in loader.items()}
    return Pipeline(PROJECT, folder, settings, waiting=lambda _: None, home=home)


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
    for table, of_a_run in OF_A_RUN.items():
        expected = undisturbed / moment.source / "demo.duckdb"
        ignored = (*LOADER_TIMES, *of_a_run)
        assert in_one_only(folder / "demo.duckdb", expected, f"aws.{table}", without=ignored) == 0, table


def assert_listed_deliveries_are_complete(database: Path, count: int) -> None:
    tables = ask(database, "SELECT table_name FROM duckdb_tables()")
    listed = ask(database, LISTED) if ("deliveries",) in tables else []
    assert len(listed) == count
    assert all(said == there for said, there in listed)
