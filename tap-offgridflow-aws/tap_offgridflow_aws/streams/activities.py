"""Activities: everything AWS reports, in OffGridFlow's one schema."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from offgridflow_common.singer.activities import ActivitiesStream
from offgridflow_common.singer.periods import version_key
from tap_offgridflow_aws.activities.reported import (
    CARBON_EXPORT_COLUMNS,
    carbon_export_activities,
    emission_activities,
    has_scopes,
    water_activities,
)
from tap_offgridflow_aws.activities.usage import USAGE_SOURCES
from tap_offgridflow_aws.reports import EMISSIONS, WATER, Report
from tap_offgridflow_aws.streams.carbon import report_partitions
from tap_offgridflow_aws.tables import BY_EXPORT_TYPE, CARBON_EXPORT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from offgridflow_common.exports.delivery import Delivery, Manifest
    from offgridflow_common.singer.reading import Reading
    from offgridflow_common.singer.streams import Partition
    from offgridflow_common.singer.tap import OffGridFlowTap
    from tap_offgridflow_aws.source import AwsSource

_CARBON = frozenset({"carbon"})


class AwsActivitiesStream(ActivitiesStream):
    """Emissions, water and usage, each from its own source, period by period.

    No fact is taken twice. Where a carbon export is configured, emissions come from it, of each month those
    of the newest model version, and otherwise from the API; where several cover an account's month, from the
    one with the newest version, then in the order of the settings. Where several exports of cost cover an
    account's month, usage comes from one: CUR 2.0 before legacy CUR before FOCUS, then in the order of the
    settings.
    """

    provider = "aws"
    usage_sources = USAGE_SOURCES
    tables = BY_EXPORT_TYPE

    def __init__(self, tap: OffGridFlowTap, source: AwsSource) -> None:
        """Create the stream.

        Args:
            tap: The tap it belongs to.
            source: The run that it is part of.
        """
        super().__init__(tap, source)
        self._source = source

    def reads(self, manifest: Manifest) -> bool:
        """Whether activities are made of a delivery: not of months that the export has of a newer version."""
        if manifest.export.type in _CARBON:
            return manifest in self._emission_manifests()
        return super().reads(manifest)

    def reported(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """Emissions and water."""
        return (self._emissions, self._water)

    def _water(self) -> Iterator[Partition]:
        return self._report(WATER, water_activities)

    def _emissions(self) -> Iterator[Partition]:
        if not self._source.deliveries.of_types(_CARBON):
            return self._report(EMISSIONS, emission_activities)
        return self.deliveries(self._emission_manifests(), self._exported_emissions)

    def _emission_manifests(self) -> list[Manifest]:
        """Of each carbon export and month the newest model version; in a month, newer ones come first."""
        newest: dict[tuple[str, str], Manifest] = {}
        for export in self._source.deliveries.of_types(_CARBON):
            for manifest in self._source.deliveries.manifests(export):
                key = (manifest.period, export.name)
                newest[key] = max(newest.get(key, manifest), manifest, key=_version)
        by_version = sorted(newest.values(), key=_version, reverse=True)
        return sorted(by_version, key=lambda manifest: manifest.period)

    def _report(self, report: Report, make: Callable[..., pl.DataFrame]) -> Iterator[Partition]:
        shape = partial(make, mapping=self.mapping, retrieved_at=self._source.started_at)
        return report_partitions(
            report, self._source, self.bookmarks, lambda rows: shape(rows).select(self.wanted)
        )

    def _exported_emissions(self, delivery: Delivery, reading: Reading) -> Iterator[pl.DataFrame]:
        blocks = list(self.blocks(delivery, CARBON_EXPORT, CARBON_EXPORT_COLUMNS, reading))
        if not blocks:
            return
        told = pl.concat(blocks)
        if not has_scopes(told):
            self.logger.warning(
                "%s has no emissions by scope, as exports of before October 2025 have none: no activities "
                "are made of it; create the carbon export anew to have them",
                delivery.manifest.label,
            )
            return
        taken = self.taken_before(delivery, self._emission_manifests(), "accounts")
        rows = self.leave_out(told, (pl.col("usage_account_id"),), taken, delivery)
        reading.notes["accounts"] = sorted(rows["usage_account_id"].drop_nulls().unique())
        activities = carbon_export_activities(rows, delivery, self.mapping, self._source.started_at)
        yield activities.select(self.wanted)


def _version(manifest: Manifest) -> tuple[Any, ...]:
    return version_key(manifest.model_version or "")
