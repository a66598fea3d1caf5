"""Activities: everything Azure reports, in OffGridFlow's one schema."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from offgridflow_common.months import iso_text
from offgridflow_common.singer.activities import ActivitiesStream
from tap_offgridflow_azure.activities.reported import carbon_activities, impact_activities
from tap_offgridflow_azure.activities.usage import USAGE_SOURCES
from tap_offgridflow_azure.apis.carbon import SOURCE as CARBON
from tap_offgridflow_azure.base import AzureTap
from tap_offgridflow_azure.exports.tables import BY_EXPORT_TYPE
from tap_offgridflow_azure.streams.carbon import carbon_partitions
from tap_offgridflow_azure.streams.impact import impact_partitions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from offgridflow_common.months import Period
    from offgridflow_common.singer.partition import Partition

#: Where it is remembered from which month on emissions come from Carbon Optimization.
_BEGIN = {"source": CARBON}


class AzureActivitiesStream(ActivitiesStream[AzureTap]):
    """Emissions and usage, each from its own source, period by period.

    No fact is taken twice. Emissions come from the Carbon Optimization API, and of the months before it, and
    of subscriptions that it does not tell of, from Cloud for Sustainability. Where several exports of cost
    cover a subscription's month, usage comes from one: FOCUS before actual before amortized, then in the
    order of the settings.
    """

    provider = "azure"
    usage_sources = USAGE_SOURCES
    tables = BY_EXPORT_TYPE
    payers_have_accounts = False

    def __init__(self, tap: AzureTap) -> None:
        """Create the stream.

        Args:
            tap: The tap it belongs to.
        """
        super().__init__(tap)
        #: The months and subscriptions whose emissions of Carbon Optimization are out.
        self._out: set[tuple[datetime, str]] = set()

    def reported(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """Emissions; those of Carbon Optimization first, which say what is left for the other."""
        return (self._carbon, self._impact)

    def _carbon(self) -> Iterator[Partition]:
        make = partial(carbon_activities, mapping=self.mapping, retrieved_at=self.tap.started_at)
        months = carbon_partitions(
            self.tap,
            self.bookmarks,
            self.tap.shared_reports.take,
            self.logger,
            lambda rows: [make(rows)],
        )
        for month in months:
            yield replace(
                month, blocks=partial(self._whole, month), acknowledge=partial(self._acknowledge, month)
            )

    def _whole(self, month: Partition) -> Iterator[pl.DataFrame]:
        """The activities of a month; none before all are made, as the first ones replace those of before."""
        for made in list(month.blocks()):
            self._out.update(made.select("period_start", "account_id").unique().iter_rows())
            yield made.select(self.wanted)

    def _impact(self) -> Iterator[Partition]:
        if not self.tap.settings.impact_instance_id:
            return iter(())
        make = partial(impact_activities, mapping=self.mapping, retrieved_at=self.tap.started_at)
        return impact_partitions(
            self.tap,
            self.bookmarks,
            self.tap.shared_reports.take,
            lambda month, rows: make(self._without_carbons(month, rows)).select(self.wanted),
        )

    def _without_carbons(self, month: Period, rows: pl.DataFrame) -> pl.DataFrame:
        """The rows of a month of subscriptions whose month is not Carbon Optimization's."""
        begin = self.bookmarks.get(_BEGIN).get("history_start", iso_text(month.end))
        taken = [
            subscription
            for subscription in rows["subscription_id"].unique()
            if (month.start, subscription) in self._out
            or begin <= iso_text(month.start) <= self._newest_of(subscription)
        ]
        return rows.filter(~pl.col("subscription_id").is_in(taken))

    def _newest_of(self, subscription: str) -> str:
        """The newest month of a subscription that Carbon Optimization told of."""
        known = self.bookmarks.get({**_BEGIN, "subscription_id": subscription})
        return str(known.get("replication_key_value", ""))

    def _acknowledge(self, month: Partition, rows: int) -> None:
        """Remember that a month is out; until then, where emissions begin is known to this run alone."""
        month.acknowledge(rows)
        if rows:
            begin = iso_text(min(out for out, _ in self._out))
            known = self.bookmarks.get(_BEGIN).get("history_start", begin)
            self.bookmarks.set(_BEGIN, {"history_start": min(begin, known)})
