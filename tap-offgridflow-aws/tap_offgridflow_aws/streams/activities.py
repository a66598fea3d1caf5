"""Activities: everything AWS reports, in OffGridFlow's one schema."""

from __future__ import annotations

from functools import cached_property, partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import polars as pl

from offgridflow_common.activity_mapping import empty_text_as_null
from offgridflow_common.errors import OffGridFlowError
from offgridflow_common.months import iso_text, month_start
from offgridflow_common.singer.activities import ActivitiesStream
from offgridflow_common.singer.shares import READ_AT, Shares
from tap_offgridflow_aws.activities.reported import (
    CARBON_EXPORT_COLUMNS,
    carbon_export_activities,
    emission_activities,
    has_scopes,
    water_activities,
)
from tap_offgridflow_aws.activities.usage import USAGE_SOURCES
from tap_offgridflow_aws.base import AwsTap
from tap_offgridflow_aws.exports.newest_versions import NewestVersions
from tap_offgridflow_aws.exports.tables import BY_EXPORT_TYPE, CARBON_EXPORT
from tap_offgridflow_aws.reports import EMISSIONS, WATER, Report
from tap_offgridflow_aws.streams.carbon import ReportReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from offgridflow_common.exports.delivery import Delivery, Export, Manifest
    from offgridflow_common.singer.partition import Partition
    from offgridflow_common.singer.reading import Reading

_CARBON = frozenset({"carbon"})
#: Where it is remembered what emissions were read from the API.
_API = {"source": EMISSIONS.source}
#: The first month that was read of exports, since the API was last asked for all.
_EXPORTED_SINCE = "exported_since"
#: The month before which the API is asked.
_BEFORE = "before"
#: The one listing of all exports that cannot be listed.
_NONE: list[Manifest] = []


class AwsActivitiesStream(ActivitiesStream[AwsTap]):
    """Emissions, water and usage, each from its own source, period by period.

    No fact is taken twice. Emissions come from carbon exports, of each month those of the newest model
    version, and of the months before the first of an export from the API. Where several exports cover an
    account's month, they come from the one with the newest version, then in the order of the settings. Where
    several exports of cost do, usage comes from one: CUR 2.0 before legacy CUR before FOCUS, then in the
    order of the settings.
    """

    provider = "aws"
    usage_sources = USAGE_SOURCES
    tables = BY_EXPORT_TYPE
    payers_have_accounts = True

    def __init__(self, tap: AwsTap) -> None:
        """Create the stream.

        Args:
            tap: The tap it belongs to.
        """
        super().__init__(tap)
        #: Why carbon exports cannot be listed, by their names.
        self._unlisted: dict[str, OffGridFlowError] = {}

    def reads(self, manifest: Manifest) -> bool:
        """Whether activities are made of a delivery: not of months whose newer version has been read."""
        export = manifest.export
        if export.type not in _CARBON:
            return super().reads(manifest)
        listings = self._listings()
        if export.name in self._unlisted:
            return True
        newest = self._newest.of(listings).get((manifest.period, export.name))
        return newest is not None and (newest == manifest or self.bookmarks.reading_of(newest) is None)

    def reported(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """Emissions and water; exports first, which say what is left for the API."""
        return (self._exported, self._asked, self._water)

    def _water(self) -> Iterator[Partition]:
        return self._report(WATER, water_activities).partitions()

    def _asked(self) -> Iterator[Partition]:
        """Emissions of the API: all, or those of the months before the first of an export."""
        report = self._report(EMISSIONS, emission_activities)
        if not self.tap.deliveries.of_types(_CARBON):
            # Remembered before rows go out: a target may have them though the run is killed.
            self._ask_before(None, {READ_AT: iso_text(self.tap.started_at), _EXPORTED_SINCE: None})
            return report.partitions()
        if self._unlisted:  # as is said of the exports; where they begin is not known
            return iter(())
        since = self._exported_since()
        return report.partitions(before=month_start(since) if since else None)

    def _ask_before(self, month: str | None, values: Mapping[str, Any]) -> None:
        """Remember before which month the API is asked; if that was another one, all is read again.

        Otherwise a month of which a killed run, that was asked for it, left a part would stay so.
        """
        known = self.bookmarks.get(_API)
        if known.get(_BEFORE) == month:
            self.bookmarks.set(_API, values)
            return
        kept = {name: known[name] for name in (READ_AT, _EXPORTED_SINCE) if name in known}
        self.bookmarks.replace(_API, {**kept, **values, _BEFORE: month})
        self.bookmarks.are_urgent = True

    def _exported(self) -> Iterator[Partition]:
        """Emissions of carbon exports."""
        newest = list(self._newest.of(self._listings()).values())
        if newest and not self._unlisted:
            self._exported_since()  # is remembered before rows go out, too
        yield from self.deliveries(
            newest,
            self._exported_emissions,
            lambda manifest: (
                self._accounts.has_changed(manifest, self._before(manifest)) or self._was_in_between(manifest)
            ),
        )
        if self._unlisted:
            raise next(iter(self._unlisted.values()))

    def _exported_since(self) -> str | None:
        """The first month whose emissions come from an export, or will as soon as it is read; None so far."""
        # Deliveries may have been removed since they were read.
        read = list(filter(None, [self.bookmarks.get(_API).get(_EXPORTED_SINCE)]))
        unread: list[str] = []
        for manifest in self._newest.of(self._listings()).values():
            entry = self.bookmarks.reading_of(manifest)
            if entry is None:
                unread.append(manifest.period)
            elif self._accounts.taken([entry]):
                read.append(manifest.period)
        since = min([*read, *unread], default=None)
        self._ask_before(since, {_EXPORTED_SINCE: min(read, default=None)})
        return since

    def _was_in_between(self, manifest: Manifest) -> bool:
        """Whether the API was read since a delivery was, as no carbon export was configured."""
        read = self.bookmarks.reading_of(manifest)
        return read is not None and self.bookmarks.get(_API).get(READ_AT, "") > read.get(READ_AT, "")

    @cached_property
    def _newest(self) -> NewestVersions:
        return NewestVersions(self.bookmarks, self.logger)

    @property
    def _accounts(self) -> Shares:
        return Shares(self.bookmarks, "accounts")

    def _before(self, manifest: Manifest) -> list[Mapping[str, Any]]:
        """What is remembered of a month in the exports that count before, or that cannot be seen now."""
        period = manifest.period
        of_month = self._newest.of_period(self._listings(), period)
        before = takewhile(lambda other: other.export != manifest.export, of_month)
        kept = (
            entry
            for entry in self.bookmarks.of_period(period)
            if (name := entry["context"]["export"]) in self._unlisted
            or (period, name) in self._newest.withdrawn
        )
        return [*map(self.bookmarks.of, before), *kept]

    def _listings(self) -> list[list[Manifest]]:
        """The manifests of each carbon export; none of one that cannot be listed, as is said at the end."""
        return [self._listed(export) for export in self.tap.deliveries.of_types(_CARBON)]

    def _listed(self, export: Export) -> list[Manifest]:
        if export.name in self._unlisted:
            return _NONE
        try:
            return self.tap.deliveries.manifests(export)
        except OffGridFlowError as error:
            self._unlisted[export.name] = error
            return _NONE

    def _report(self, report: Report, make: Callable[..., pl.DataFrame]) -> ReportReader:
        shape = partial(make, mapping=self.mapping, retrieved_at=self.tap.started_at)
        return ReportReader(
            report,
            self.tap,
            self.bookmarks,
            self.tap.shared_reports.take,
            lambda rows: shape(rows).select(self.wanted),
        )

    def _exported_emissions(self, delivery: Delivery, reading: Reading) -> Iterator[pl.DataFrame]:
        taken = self._accounts.taken(self._before(delivery.manifest))
        reading.notes |= self._accounts.to_remember(delivery.manifest, (), (), taken, self.tap.started_at)
        blocks = list(self.blocks(delivery, CARBON_EXPORT, CARBON_EXPORT_COLUMNS, reading))
        if not blocks:
            return
        rows = pl.concat(blocks).with_columns(empty_text_as_null())
        if not has_scopes(rows):
            self.logger.warning(
                "%s has no emissions by scope, as exports of before October 2025 have none: they come from "
                "the API, unless an earlier month of an export has them; create the carbon export anew",
                delivery.manifest.label,
            )
            return
        accounts = rows["usage_account_id"].unique()
        kept = self.leave_out(rows, (pl.col("usage_account_id"),), taken, delivery)
        share = kept["usage_account_id"].unique()
        reading.notes |= self._accounts.to_remember(
            delivery.manifest, share, accounts, taken, self.tap.started_at
        )
        activities = carbon_export_activities(kept, delivery, self.mapping, self.tap.started_at)
        yield activities.select(self.wanted)
