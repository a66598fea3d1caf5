"""The stream of what Cloud for Sustainability reports: emissions of a billing account by month."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from offgridflow_common.months import MONTH, Period, add_months, floor
from offgridflow_common.singer.partition import Partition
from offgridflow_common.singer.periods import History, VersionedPeriods
from tap_offgridflow_azure.apis.impact import COLUMNS, KEY, MONTHS_BACK, SOURCE, ImpactReports
from tap_offgridflow_azure.streams.regional import RegionalStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import polars as pl

    from offgridflow_common.singer.bookmarks import Bookmarks
    from offgridflow_common.singer.shared_reports import Share
    from tap_offgridflow_azure.base import AzureTap


def impact_partitions(
    tap: AzureTap,
    bookmarks: Bookmarks,
    share: Share,
    shape: Callable[[Period, pl.DataFrame], pl.DataFrame],
) -> Iterator[Partition]:
    """A partition for each month that is new or of the lookback.

    Args:
        tap: Its window, its lookback, its client and its beginning.
        bookmarks: Where it is remembered what was read; the report has a partition of its own there.
        share: Keeps the reports for another stream, or takes them from there.
        shape: Makes rows of the stream of a month and the report's rows of it.
    """
    settings = tap.settings
    context = {"source": SOURCE, "enrollment_id": settings.impact_enrollment_id or ""}
    oldest = add_months(floor(tap.started_at, MONTH), -MONTHS_BACK)
    plan = VersionedPeriods(
        History(
            start=max(oldest, settings.start or oldest),
            end=settings.end,
            months=MONTH,
            lookback_months=settings.lookback_months,
        ),
        bookmarks.get(context),
        partial(bookmarks.set, context),
    )
    reports = ImpactReports(tap.client, settings, tap.regions, tap.started_at)
    for month in plan.pending():
        label = f"{SOURCE} {month.label}"

        def blocks(month: Period = month, label: str = label) -> Iterator[pl.DataFrame]:
            for rows in share(label, lambda: [reports.emissions(month)]):
                yield shape(month, rows)

        acknowledge = partial(plan.acknowledge, month, versions=set())
        yield Partition(label=label, blocks=blocks, acknowledge=acknowledge)


class EmissionsImpactStream(RegionalStream):
    """Emissions of the Emissions Impact Dashboard by month, subscription, service and region, in mtCO2e."""

    name = "emissions_impact"
    columns = COLUMNS
    primary_keys = ("period_start", *KEY, "item_number")
    replication_key = "period_start"

    def feeds(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """The months that are new or may have changed."""
        return (self._pending,)

    def _pending(self) -> Iterator[Partition]:
        if not self.tap.settings.impact_instance_id:
            self.log("skipped: the settings that begin with impact_ turn it on")
            return
        yield from impact_partitions(
            self.tap,
            self.bookmarks,
            self.tap.shared_reports.keep,
            lambda _, rows: rows.select(self.wanted),
        )
