"""Activities: everything AWS reports, in OffGridFlow's one schema."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING

import polars as pl

from offgridflow_common.activity import ACTIVITY_COLUMNS
from offgridflow_common.exports.scan import read_blocks
from offgridflow_common.observability import Progress
from offgridflow_common.regions import RegionMapper
from offgridflow_common.services import ServiceMapper
from offgridflow_common.singer.exports import files_of, pending_deliveries
from offgridflow_common.singer.streams import OffGridFlowStream, Partition
from tap_offgridflow_aws.activities import (
    PROVIDER,
    USAGE_COLUMNS,
    USAGE_TABLE,
    Mapping,
    emission_activities,
    merge_groups,
    usage_activities,
    usage_groups,
    water_activities,
)
from tap_offgridflow_aws.reports import EMISSIONS, WATER
from tap_offgridflow_aws.streams.carbon import report_partitions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from offgridflow_common.exports.delivery import Delivery
    from tap_offgridflow_aws.tap import TapOffgridflowAws

#: Rows that are grouped at once: few columns, so a block may be larger than one that is written.
_GROUP_ROWS = 250_000


class ActivitiesStream(OffGridFlowStream):
    """Emissions, water and usage, each from its own source, period by period."""

    name = "activities"
    columns = ACTIVITY_COLUMNS
    primary_keys = ("id",)
    replication_key = "period_start"
    export_types = frozenset({"cur2"})

    def __init__(self, tap: TapOffgridflowAws) -> None:
        """Create the stream.

        Args:
            tap: The tap it belongs to.
        """
        super().__init__(tap)
        self._aws = tap

    def pending(self) -> Iterator[Partition]:
        """The periods of each source that are new or may have changed."""
        tap = self._aws
        for report, activities in ((EMISSIONS, emission_activities), (WATER, water_activities)):
            shape = partial(activities, mapping=self._mapping, retrieved_at=tap.started_at)
            yield from report_partitions(report, tap, self.bookmarks, self._selecting(shape))
        exports = tap.deliveries.of_types(self.export_types)
        yield from pending_deliveries(tap.deliveries, exports, self.bookmarks, self._usage, self.logger)
        self._mapping.regions.report(self.logger)
        self._mapping.services.report(self.logger)

    @cached_property
    def _mapping(self) -> Mapping:
        settings = self._aws.settings
        overrides = settings.mapping_overrides_path
        return Mapping(
            regions=RegionMapper(PROVIDER, overrides),
            services=ServiceMapper(PROVIDER, overrides),
            org_id=settings.org_id,
            workspace_id=settings.workspace_id,
        )

    def _usage(self, delivery: Delivery, count: Callable[[int], None]) -> Iterator[pl.DataFrame]:
        grain = self._aws.settings.activity_grain
        blocks = list(self._groups(delivery, count, grain))
        if not blocks:
            return
        groups = merge_groups(blocks)
        if negative := groups.filter(pl.col("quantity") < 0).height:
            self.logger.warning(
                "%s: %d of %d groups of usage are negative in sum and make no activity",
                delivery.manifest.label,
                negative,
                groups.height,
            )
        yield self._selected(usage_activities(groups, delivery, self._mapping, grain))

    def _groups(self, delivery: Delivery, count: Callable[[int], None], grain: str) -> Iterator[pl.DataFrame]:
        if delivery.columns is not None:
            USAGE_TABLE.check(delivery.columns, delivery.manifest.label)
        with Progress(
            self.logger,
            f"{self.name} {delivery.manifest.label}",
            total_files=len(delivery.files),
            total_bytes=delivery.bytes,
        ) as progress:
            for _, path, where in files_of(self._aws.spool, delivery, progress):
                for block in read_blocks(
                    path, USAGE_TABLE, USAGE_COLUMNS, where=where, block_rows=_GROUP_ROWS
                ):
                    progress.add(rows=block.height)
                    count(block.height)
                    yield usage_groups(block.lazy(), grain).collect()

    def _selecting(
        self, shape: Callable[[pl.DataFrame], pl.DataFrame]
    ) -> Callable[[pl.DataFrame], pl.DataFrame]:
        return lambda rows: self._selected(shape(rows))

    def _selected(self, activities: pl.DataFrame) -> pl.DataFrame:
        return activities.select(self.wanted)
