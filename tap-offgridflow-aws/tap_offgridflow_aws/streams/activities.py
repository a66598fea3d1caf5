"""Activities: everything AWS reports, in OffGridFlow's one schema."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

import polars as pl

from offgridflow_common.activity import ACTIVITY_COLUMNS
from offgridflow_common.singer.periods import version_key
from offgridflow_common.singer.reading import Reading, delivery_blocks, pending_deliveries
from offgridflow_common.singer.streams import OffGridFlowStream, Partition
from tap_offgridflow_aws.activities.mapping import Mapping
from tap_offgridflow_aws.activities.reported import (
    CARBON_EXPORT_COLUMNS,
    carbon_export_activities,
    emission_activities,
    water_activities,
)
from tap_offgridflow_aws.activities.usage import (
    USAGE_SOURCES,
    merge_groups,
    usage_activities,
    usage_groups,
)
from tap_offgridflow_aws.reports import EMISSIONS, WATER, Report
from tap_offgridflow_aws.streams.carbon import report_partitions
from tap_offgridflow_aws.tables import BY_EXPORT_TYPE, CARBON_EXPORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from offgridflow_common.exports.delivery import Delivery, Manifest
    from offgridflow_common.exports.table import Table
    from offgridflow_common.singer.tap import OffGridFlowTap
    from tap_offgridflow_aws.source import AwsSource

#: Rows that are grouped at once: few columns, so a block may be larger than one that is written.
_GROUP_ROWS = 50_000


class ActivitiesStream(OffGridFlowStream):
    """Emissions, water and usage, each from its own source, period by period.

    No fact is taken twice. Where a carbon export is configured, emissions come from it, of each month those
    of the newest model version, and otherwise from the API. Where several exports of cost cover a payer's
    month, usage comes from one: CUR 2.0 before legacy CUR before FOCUS, then in the order of the settings.
    """

    name = "activities"
    columns = ACTIVITY_COLUMNS
    primary_keys = ("id",)
    replication_key = "period_start"

    def __init__(self, tap: OffGridFlowTap, source: AwsSource) -> None:
        """Create the stream.

        Args:
            tap: The tap it belongs to.
            source: The run that it is part of.
        """
        super().__init__(tap)
        self._source = source

    def reads(self, manifest: Manifest) -> bool:
        """Whether activities are made of a delivery: not of months that a newer model version has."""
        if manifest.export.type == "carbon":
            return manifest in self._newest_versions()
        return manifest.export.type in USAGE_SOURCES

    def feeds(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """Each source by itself: who may not ask for emissions still gets usage."""
        return (self._usage_of_exports, self._emissions, self._water, self._unknown_words)

    def pending(self) -> Iterator[Partition]:
        """The periods of each source that are new or may have changed."""
        for feed in self.feeds():
            yield from feed()

    def _usage_of_exports(self) -> Iterator[Partition]:
        manifests = self._usage_manifests()
        if not manifests:
            self.log("no usage: no export of type %s has a delivery", ", ".join(USAGE_SOURCES))
        yield from self._deliveries(manifests, self._usage)

    def _water(self) -> Iterator[Partition]:
        return self._reported(WATER, water_activities)

    def _unknown_words(self) -> Iterator[Partition]:
        """Nothing to read: when all else has been read, what could not be mapped is named."""
        self._mapping.report(self.logger)
        return iter(())

    @cached_property
    def _mapping(self) -> Mapping:
        return Mapping.of(self._source.settings)

    def _emissions(self) -> Iterator[Partition]:
        if not self._source.deliveries.of_types(frozenset({"carbon"})):
            return self._reported(EMISSIONS, emission_activities)
        return self._deliveries(self._newest_versions(), self._exported_emissions)

    def _newest_versions(self) -> list[Manifest]:
        """The manifests of the carbon exports, of each month those of the newest model version."""
        manifests = [
            manifest
            for export in self._source.deliveries.of_types(frozenset({"carbon"}))
            for manifest in self._source.deliveries.manifests(export)
        ]
        newest: dict[str, str] = {}
        for manifest in manifests:
            versions = (newest.get(manifest.period, ""), manifest.model_version or "")
            newest[manifest.period] = max(versions, key=version_key)
        return [
            manifest for manifest in manifests if (manifest.model_version or "") == newest[manifest.period]
        ]

    def _reported(self, report: Report, make: Callable[..., pl.DataFrame]) -> Iterator[Partition]:
        shape = partial(make, mapping=self._mapping, retrieved_at=self._source.started_at)
        return report_partitions(
            report, self._source, self.bookmarks, lambda rows: shape(rows).select(self.wanted)
        )

    def _deliveries(
        self, manifests: Iterable[Manifest], read: Callable[[Delivery, Reading], Iterator[pl.DataFrame]]
    ) -> Iterator[Partition]:
        return pending_deliveries(
            self._source.deliveries, manifests, self.bookmarks, read, self.logger, verified_first=True
        )

    def _exported_emissions(self, delivery: Delivery, reading: Reading) -> Iterator[pl.DataFrame]:
        blocks = list(self._blocks(delivery, CARBON_EXPORT, CARBON_EXPORT_COLUMNS, reading))
        if not blocks:
            return
        rows = pl.concat(blocks)
        if rows["total_scope_1_emissions_value"].null_count() == rows.height:
            self.logger.warning(
                "%s has no emissions by scope, as exports of before October 2025 have none: no activities "
                "are made of it; create the carbon export anew to have them",
                delivery.manifest.label,
            )
            return
        activities = carbon_export_activities(rows, delivery, self._mapping, self._source.started_at)
        yield activities.select(self.wanted)

    def _usage_manifests(self) -> list[Manifest]:
        """The manifests of all exports of usage, those that count first before the others."""
        rank = list(USAGE_SOURCES)
        exports = self._source.deliveries.of_types(frozenset(USAGE_SOURCES))
        return [
            manifest
            for export in sorted(exports, key=lambda export: rank.index(export.type))
            for manifest in self._source.deliveries.manifests(export)
        ]

    def _usage_of(self, period: str) -> list[Manifest]:
        return [manifest for manifest in self._usage_manifests() if manifest.period == period]

    def _usage(self, delivery: Delivery, reading: Reading) -> Iterator[pl.DataFrame]:
        grain = self._source.settings.activity_grain
        source = USAGE_SOURCES[delivery.export.type]
        table = BY_EXPORT_TYPE[delivery.export.type].requiring(source.required)
        blocks = self._blocks(delivery, table, source.columns, reading)
        parts = [usage_groups(block.lazy(), source, grain).collect() for block in blocks]
        if not parts:
            reading.notes["payers"] = []
            return
        groups = self._not_taken_yet(merge_groups(parts), delivery, reading)
        if negative := groups.filter(pl.col("quantity") < 0).height:
            self.logger.warning(
                "%s: %d of %d groups of usage are negative in sum and make no activity",
                delivery.manifest.label,
                negative,
                groups.height,
            )
        activities = usage_activities(
            groups, delivery, self._mapping, grain=grain, retrieved_at=self._source.started_at
        )
        yield activities.select(self.wanted)

    def _blocks(
        self, delivery: Delivery, table: Table, columns: Sequence[str], reading: Reading
    ) -> Iterator[pl.DataFrame]:
        blocks = delivery_blocks(
            self._source,
            delivery,
            table,
            columns,
            reading=reading,
            logger=self.logger,
            block_rows=_GROUP_ROWS,
        )
        return (block for _, block in blocks)

    def _not_taken_yet(self, groups: pl.DataFrame, delivery: Delivery, reading: Reading) -> pl.DataFrame:
        """The groups of payers whose month was not taken from an export that counts first."""
        taken: set[str] = set()
        for manifest in self._usage_manifests():
            if manifest.export == delivery.export:
                break
            if manifest.period == delivery.period:
                taken.update(self.bookmarks.of(manifest).get("payers", ()))
        payers = set(groups["payer_id"].drop_nulls().unique())
        if again := sorted(payers & taken):
            self.logger.warning(
                "%s: usage of payer %s is taken from another export and left out here",
                delivery.manifest.label,
                ", ".join(again),
            )
        if groups["payer_id"].null_count() and len(self._usage_of(delivery.period)) > 1:
            self.logger.warning(
                "%s does not name its payers: if another export covers them, too, their usage counts twice; "
                "add bill_payer_account_id to the export's query",
                delivery.manifest.label,
            )
        reading.notes["payers"] = sorted(payers - taken)
        return groups.filter(~pl.col("payer_id").is_in(again) | pl.col("payer_id").is_null())
