"""The streams of what the Sustainability API reports: emissions by month and water by year."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from offgridflow_common.singer.partition import Partition
from offgridflow_common.singer.periods import History, VersionedPeriods
from offgridflow_common.singer.streams import OffGridFlowStream
from tap_offgridflow_aws.base import AwsTap
from tap_offgridflow_aws.reports import EMISSIONS, WATER, Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import polars as pl

    from offgridflow_common.months import Period
    from offgridflow_common.singer.bookmarks import Bookmarks
    from offgridflow_common.singer.shared_reports import Share


def report_partitions(
    report: Report,
    tap: AwsTap,
    bookmarks: Bookmarks,
    share: Share,
    shape: Callable[[pl.DataFrame], pl.DataFrame],
) -> Iterator[Partition]:
    """A partition for each period of a report that is to be read.

    Args:
        report: The report.
        tap: Its window, its lookback, its client and its beginning.
        bookmarks: Where it is remembered what was read; the report has a partition of its own there.
        share: Keeps the report for another stream, or takes it from there.
        shape: Makes rows of the stream of the report's rows.
    """
    settings = tap.settings
    context = {"source": report.source}
    plan = VersionedPeriods(
        History(
            start=max(report.begin, settings.start or report.begin),
            end=settings.end,
            months=report.months,
            lookback_months=settings.lookback_months,
        ),
        bookmarks.get(context),
        partial(bookmarks.set, context),
    )
    for period in plan.pending():
        label = f"{report.source} {period.label}"
        versions: set[str] = set()

        def blocks(
            period: Period = period, label: str = label, versions: set[str] = versions
        ) -> Iterator[pl.DataFrame]:
            for rows in share(label, lambda: [report.read(tap.client, period, tap.started_at)]):
                versions.update(rows["model_version"])
                yield shape(rows)

        acknowledge = partial(plan.acknowledge, period, versions=versions)
        yield Partition(label=label, blocks=blocks, acknowledge=acknowledge)


class _ReportStream(OffGridFlowStream[AwsTap]):
    report: Report

    primary_keys = ("period_start", "account_id", "region", "service")
    replication_key = "period_start"

    def feeds(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """The periods that are new or may have changed."""
        return (self._pending,)

    def _pending(self) -> Iterator[Partition]:
        return report_partitions(
            self.report,
            self.tap,
            self.bookmarks,
            self.tap.shared_reports.keep,
            lambda rows: rows.select(self.wanted),
        )


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
