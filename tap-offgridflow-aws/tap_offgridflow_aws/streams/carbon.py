"""The streams of what the Sustainability API reports: emissions by month and water by year."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from offgridflow_common.singer.partition import Partition
from offgridflow_common.singer.periods import History, VersionedPeriods
from offgridflow_common.singer.streams import OffGridFlowStream
from tap_offgridflow_aws.base import AwsTap
from tap_offgridflow_aws.reports import EMISSIONS, WATER, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    import polars as pl

    from offgridflow_common.months import Period
    from offgridflow_common.singer.bookmarks import Bookmarks
    from offgridflow_common.singer.shared_reports import Share


@dataclass(frozen=True, slots=True)
class ReportReader:
    """Reads the periods of a report that are new or may have changed.

    Attributes:
        report: The report.
        tap: Its window, its lookback, its client and its beginning.
        bookmarks: Where it is remembered what was read; the report has a partition of its own there.
        share: Keeps the report for another stream, or takes it from there.
        shape: Makes rows of the stream of the report's rows.
    """

    report: Report
    tap: AwsTap
    bookmarks: Bookmarks
    share: Share
    shape: Callable[[pl.DataFrame], pl.DataFrame]

    def partitions(self, before: datetime | None = None) -> Iterator[Partition]:
        """A partition for each period.

        Args:
            before: Only periods before this one are wanted, as something else tells of it and of those after
                it.
        """
        report, settings = self.report, self.tap.settings
        context = {"source": report.source}
        plan = VersionedPeriods(
            History(
                start=max(report.begin, settings.start or report.begin),
                end=min(settings.end, before or settings.end),
                months=report.months,
                lookback_months=settings.lookback_months,
            ),
            self.bookmarks.get(context),
            partial(self.bookmarks.set, context),
        )
        for period in plan.pending():
            versions: set[str] = set()
            yield Partition(
                label=f"{report.source} {period.label}",
                blocks=partial(self._blocks, period, versions),
                acknowledge=partial(plan.acknowledge, period, versions=versions),
            )

    def _blocks(self, period: Period, versions: set[str]) -> Iterator[pl.DataFrame]:
        """The rows of a period; the model versions that they name are added to those given."""
        for rows in self.share(f"{self.report.source} {period.label}", lambda: [self._asked(period)]):
            versions.update(rows["model_version"])
            yield self.shape(rows)

    def _asked(self, period: Period) -> pl.DataFrame:
        return self.report.read(self.tap.client, period, self.tap.started_at)


class _ReportStream(OffGridFlowStream[AwsTap]):
    report: Report

    primary_keys = ("period_start", "account_id", "region", "service")
    replication_key = "period_start"

    def feeds(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """The periods that are new or may have changed."""
        return (self._pending,)

    def _pending(self) -> Iterator[Partition]:
        reader = ReportReader(
            self.report,
            self.tap,
            self.bookmarks,
            self.tap.shared_reports.keep,
            lambda rows: rows.select(self.wanted),
        )
        return reader.partitions()


class CarbonEmissionsStream(_ReportStream):
    """Emissions by month, account, region and service: all seven types, in MTCO2e as AWS reports them."""

    name = "carbon_emissions"
    report = EMISSIONS
    columns = EMISSIONS.columns


class WaterAllocationStream(_ReportStream):
    """Water withdrawals by year, account, region and service, in cubic metres."""

    name = "water_allocation"
    report = WATER
    columns = WATER.columns
