"""The demo's steps, in the order in which a person watches them."""

from __future__ import annotations

import json
import math
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from demo.aws_cloud import LocalAwsCloud
from demo.aws_source import EXPORT, PREFIX, AwsSource
from demo.azure_story import AzureStory
from demo.findings import Findings
from demo.pipeline import PLUGINS, Pipeline
from demo.warehouse import TABLES, Warehouse
from tests.local_clouds.aws import month_range

if TYPE_CHECKING:
    from pathlib import Path

    from demo.screen import Screen

SEED = 1
_RESTATED_SEED = 100
CARBON_MONTHS = month_range("2025-01", "2026-10")
WATER_YEARS = (2025,)
BILLED_MONTHS = month_range("2026-07", "2026-10")
RESTATED_MONTH = "2026-09"
_END = "2026-11-01"
_FILES = ("demo.duckdb", "demo.duckdb.wal", "meltano.db", "meltano.log", "clouds.log", "azure.log")


@dataclass(frozen=True, slots=True)
class Size:
    """How much there is: line items of a month, and of the month that is restated with fewer."""

    rows: int = 20_000

    @property
    def restated_rows(self) -> int:
        """Line items of the restated month."""
        return self.rows * 9 // 10


class Story:
    """A context manager around the clouds; what is left after it is the database and the logs.

    Args:
        project: The checkout.
        output: Folder for the database, the state and the logs; those of an earlier demo are replaced.
        screen: What is shown.
        size: How much there is.
        home: Folder of Meltano's plugins; by default the project's `.meltano`.
    """

    def __init__(
        self, project: Path, output: Path, screen: Screen, size: Size, *, home: Path | None = None
    ) -> None:
        self._output = output
        self._screen = screen
        self._size = size
        self._project = project
        self._home = home
        self._stack = ExitStack()
        #: Whether everything seen so far is as the source holds it.
        self.findings = Findings(screen)
        self._began = time.monotonic()
        self.source = AwsSource(SEED, CARBON_MONTHS, WATER_YEARS)
        self.warehouse = Warehouse(output / "demo.duckdb", project / "sql" / "duckdb")
        self.cloud = LocalAwsCloud(
            project, output / "clouds.log", seed=SEED, months=CARBON_MONTHS, years=WATER_YEARS
        )

    def __enter__(self) -> Self:
        """Start the clouds and deliver the bills."""
        self._output.mkdir(parents=True, exist_ok=True)
        for name in _FILES:
            (self._output / name).unlink(missing_ok=True)
        self._screen.title("Local stand-ins for AWS, on this machine only")
        self._stack.enter_context(self.cloud)
        try:
            self._deliver()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the clouds."""
        self._stack.close()

    def tell(self) -> bool:
        """All steps; whether everything landed as the source holds it."""
        self.first_run()
        self.second_run()
        self.restatement()
        self.report()
        self.azure()
        self.both_clouds()
        self.closing()
        return self.findings.agree

    def first_run(self) -> None:
        """Everything lands."""
        self._screen.title(f"First run: meltano run {' '.join(PLUGINS)}")
        self._screen.line("installs both if they are not there; then everything is new")
        before = self.cloud.requests()
        run = self.pipeline.run()
        self.warehouse.create_views()
        self._screen.line(f"done in {run.seconds:.0f} s")
        self._served(before)
        self._compare_rows()

    def second_run(self) -> None:
        """Nothing new is there, and nothing is repeated but what the API may have changed silently."""
        self._screen.title("Second run: nothing new at the source")
        before = self.cloud.requests()
        run = self.pipeline.run()
        written = self.warehouse.written_since(run.started_at)
        self._screen.line(f"done in {run.seconds:.0f} s")
        self._served(before)
        self._screen.table(("table", "rows written again"), list(written.items()))
        self._screen.line("The API says nothing of what it changed, so its newest 3 months are read again;")
        self._screen.line("they replace themselves. Of the export, nothing is read again.")
        self.findings.expect(
            "no line item is repeated", holds=written["cost_and_usage"] + written["deliveries"] == 0
        )

    def restatement(self) -> None:
        """A month is delivered again with fewer rows, and only that month moves."""
        rows = self._size.restated_rows
        self._screen.title(f"{RESTATED_MONTH} is restated with {rows:,} line items. Third run")
        before = dict(line[:2] for line in self.warehouse.line_items_by_month())
        self.source.deliver(self.cloud.store(), RESTATED_MONTH, rows, _RESTATED_SEED)
        run = self.pipeline.run()
        written = self.warehouse.line_items_written_since(run.started_at)
        after = dict(line[:2] for line in self.warehouse.line_items_by_month())
        self._screen.line(f"done in {run.seconds:.0f} s")
        self._screen.table(
            ("line items of", "current before", "current now", "written"),
            [(month, before[month], after[month], written.get(month, 0)) for month in after],
        )
        self.findings.expect(f"only {RESTATED_MONTH} moved", holds=written == {RESTATED_MONTH: rows})

    def report(self) -> None:
        """What there is at the end, and where."""
        self._screen.title("What landed, current rows only")
        self._compare_rows()
        self._screen.title("Emissions in kgCO2e, as AWS reports them (the newest 3 months)")
        self._screen.table(
            ("month", "service", "location based", "market based"), self.warehouse.emissions_by_service(3)
        )
        emissions = self.warehouse.emissions()
        for method, held in self.source.emissions().items():
            landed = emissions.get(method, math.nan)
            total = f"all {len(CARBON_MONTHS)} months, {method.replace('_', ' ')}: {landed:,.2f} kg"
            self.findings.expect_same(f"{total}, as the API says", held, landed)
        self._screen.title("Cost by month in USD")
        bills = self.warehouse.line_items_by_month()
        self._screen.table(("month", "line items", "unblended cost"), bills)
        cost = math.fsum(bill[2] for bill in bills)
        self.findings.expect_same(f"in all {cost:,.2f}, as the files say", self.source.cost, cost)

    def azure(self) -> None:
        """Azure lands in the same database."""
        with AzureStory(
            self._project,
            self._output,
            self._screen,
            self.findings,
            self.warehouse,
            end=_END,
            home=self._home,
        ) as story:
            story.run()
            story.report()

    def both_clouds(self) -> None:
        """One view over both clouds."""
        self._screen.title("Both clouds in one view: emissions in kgCO2e of the newest month")
        self._screen.table(
            ("month", "provider", "service category", "country", "location based", "market based"),
            self.warehouse.create_view_of_both_clouds(),
        )

    @property
    def pipeline(self) -> Pipeline:
        """The tap and the loader, set up for these clouds."""
        export = {"type": "cur2", "url": f"s3://{self.cloud.bucket}/{PREFIX}/{EXPORT}"}
        tap = {
            **self.cloud.credentials,
            "aws_endpoint_urls": json.dumps(self.cloud.endpoint_urls),
            "exports": json.dumps([export]),
            "start_date": f"{CARBON_MONTHS[0]}-01",
            "end_date": _END,
            "org_id": "demo",
        }
        return Pipeline(
            self._project,
            self._output,
            {f"TAP_OFFGRIDFLOW_AWS_{name.upper()}": value for name, value in tap.items()}
            | self.warehouse.settings,
            waiting=self._screen.waiting,
            home=self._home,
        )

    def _deliver(self) -> None:
        store = self.cloud.store()
        for seed, month in enumerate(BILLED_MONTHS, start=SEED):
            self.source.deliver(store, month, self._size.rows, seed)
        first, last = CARBON_MONTHS[0], CARBON_MONTHS[-1]
        self._screen.line(f"carbon   {first} to {last} by account, region and service")
        self._screen.line(f"water    {', '.join(map(str, WATER_YEARS))}")
        self._screen.line(
            f"CUR 2.0  {BILLED_MONTHS[0]} to {BILLED_MONTHS[-1]}, {self._size.rows:,} line items each"
        )

    def _served(self, before: dict[str, int]) -> None:
        served = self.cloud.requests()
        counts = [f"{served[service] - count} to {service}" for service, count in before.items()]
        self._screen.line(f"requests: {', '.join(counts)}")

    def _compare_rows(self) -> None:
        held, landed = self.source.rows, self.warehouse.rows()
        self._screen.table(
            ("stream", "at the source", "landed"),
            [(stream, count, landed[stream]) for stream, count in held.items()],
        )
        self.findings.expect("every count equals what the source holds", holds=held == landed)

    def closing(self) -> None:
        """Where the database is, and whether everything agrees."""
        path = self.warehouse.path
        shown = path.relative_to(self._project) if path.is_relative_to(self._project) else path
        look = f"import duckdb; duckdb.connect('{shown}').sql('FROM emissions_of_all_clouds').show()"
        self._screen.title(f"The database: {shown}")
        self._screen.line(f"in the schema aws: {', '.join(TABLES)}; in azure: Azure's; in both the")
        self._screen.line("views of sql/duckdb, and over both main.emissions_of_all_clouds")
        self._screen.line("open it with DuckDB 2.0 or newer, or at once with")
        self._screen.line(f'.venv/bin/python -c "{look}"')
        self._screen.title(
            f"{'Everything agrees.' if self.findings.agree else 'NOT EVERYTHING AGREES: see above.'} "
            f"The demo took {time.monotonic() - self._began:.0f} s."
        )
