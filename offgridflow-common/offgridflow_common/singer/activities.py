"""The stream of activities: usage of exports, each fact once, and what else a provider reports."""

from __future__ import annotations

import abc
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Protocol

import polars as pl

from offgridflow_common.activity import ACTIVITY_COLUMNS
from offgridflow_common.activity_mapping import Mapping
from offgridflow_common.singer.reading import ExportSource, Reading, delivery_blocks, pending_deliveries
from offgridflow_common.singer.streams import OffGridFlowStream, Partition
from offgridflow_common.usage import UsageSource, merge_groups, usage_activities, usage_groups, with_owners

if TYPE_CHECKING:
    import collections.abc
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from offgridflow_common.exports.delivery import Delivery, Manifest
    from offgridflow_common.exports.table import Table
    from offgridflow_common.settings import CommonSettings
    from offgridflow_common.singer.tap import OffGridFlowTap

#: Rows that are grouped at once: few columns, so a block may be larger than one that is written.
_GROUP_ROWS = 50_000

#: So many of a list are named in the log.
_NAMES_SHOWN = 10

#: Blocks that are read at once: to read one, with its maps, takes longer than to group it.
_BLOCKS_AT_ONCE = 2


class ActivitySource(ExportSource, Protocol):
    """What activities are made of: the exports of a run, and how it wants them."""

    @property
    def settings(self) -> CommonSettings:
        """The settings, parsed once."""
        ...

    @property
    def started_at(self) -> datetime:
        """When the run began (aware, UTC): the moment that all its rows share."""
        ...


class ActivitiesStream(OffGridFlowStream, abc.ABC):
    """Usage of exports, and what else a provider reports, in OffGridFlow's one schema.

    No usage is taken twice: where several exports cover an account's month, it comes from the one whose type
    counts first, then in the order of the settings.

    Attributes:
        provider: The provider, as the reference tables spell it.
        usage_sources: How usage is found, by type of export; the type that counts first comes first.
        tables: What the exports of each of these types hold.
    """

    name = "activities"
    columns = ACTIVITY_COLUMNS
    primary_keys = ("id",)
    replication_key = "period_start"

    provider: ClassVar[str]
    usage_sources: ClassVar[collections.abc.Mapping[str, UsageSource]]
    tables: ClassVar[collections.abc.Mapping[str, Table]]

    def __init__(self, tap: OffGridFlowTap, source: ActivitySource) -> None:
        """Create the stream.

        Args:
            tap: The tap it belongs to.
            source: The run that it is part of.
        """
        super().__init__(tap)
        self._run = source

    @abc.abstractmethod
    def reported(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """What gives activities of reports, beside usage."""

    def reads(self, manifest: Manifest) -> bool:
        """Whether activities are made of a delivery."""
        return manifest.export.type in self.usage_sources

    def feeds(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """Each source by itself: who may not ask for emissions still gets usage."""
        return (self._usage_of_exports, *self.reported(), self._unknown_words)

    @cached_property
    def mapping(self) -> Mapping:
        """What turns the provider's words into OffGridFlow's."""
        return Mapping.of(self.provider, self._run.settings)

    def deliveries(
        self, manifests: Iterable[Manifest], read: Callable[[Delivery, Reading], Iterator[pl.DataFrame]]
    ) -> Iterator[Partition]:
        """A partition for each new delivery; none goes out before the delivery is known to be whole."""
        return pending_deliveries(
            self._run.deliveries, manifests, self.bookmarks, read, self.logger, verified_first=True
        )

    def blocks(
        self, delivery: Delivery, table: Table, columns: Sequence[str], reading: Reading
    ) -> Iterator[pl.DataFrame]:
        """Some columns of all rows of a delivery."""
        blocks = delivery_blocks(
            self._run,
            delivery,
            table,
            columns,
            reading=reading,
            logger=self.logger,
            block_rows=_GROUP_ROWS,
            at_once=_BLOCKS_AT_ONCE,
        )
        return (block for _, block in blocks)

    def _usage_of_exports(self) -> Iterator[Partition]:
        manifests = self._usage_manifests()
        if not manifests:
            self.log("no usage: no export of type %s has a delivery", ", ".join(self.usage_sources))
        yield from self.deliveries(manifests, self._usage)

    def _unknown_words(self) -> Iterator[Partition]:
        """Nothing to read: when all else has been read, what could not be mapped is named."""
        self.mapping.report(self.logger)
        return iter(())

    def _usage_manifests(self) -> list[Manifest]:
        """The manifests of all exports of usage, those that count first before the others."""
        rank = list(self.usage_sources)
        exports = self._run.deliveries.of_types(frozenset(self.usage_sources))
        return [
            manifest
            for export in sorted(exports, key=lambda export: rank.index(export.type))
            for manifest in self._run.deliveries.manifests(export)
        ]

    def _usage(self, delivery: Delivery, reading: Reading) -> Iterator[pl.DataFrame]:
        grain = self._run.settings.activity_grain
        source = self.usage_sources[delivery.export.type]
        table = self.tables[delivery.export.type].requiring(source.required)
        blocks = self.blocks(delivery, table, source.columns, reading)
        found = merge_groups(usage_groups(block.lazy(), source, grain).collect() for block in blocks)
        if found is None:
            return
        self._warn_of_unknown_payers(found, delivery)
        taken = self.taken_before(delivery, self._usage_manifests(), "payers")
        names = (pl.col("payer_id"), pl.format("{}/{}", "payer_id", "account_id"))
        groups = self.leave_out(with_owners(found), names, taken, delivery)
        reading.notes["payers"] = sorted(groups["owner"].drop_nulls().unique())
        if negative := groups.filter(pl.col("quantity") < 0).height:
            self.logger.warning(
                "%s: %d of %d groups of usage are negative in sum and make no activity",
                delivery.manifest.label,
                negative,
                groups.height,
            )
        activities = usage_activities(
            groups, source, delivery, self.mapping, grain=grain, retrieved_at=self._run.started_at
        )
        yield activities.select(self.wanted)

    def taken_before(self, delivery: Delivery, manifests: Iterable[Manifest], note: str) -> set[str]:
        """What was taken of a delivery's month from exports that count before it.

        Args:
            delivery: What is read.
            manifests: All that are read, those that count first before the others.
            note: What it is noted as.
        """
        taken: set[str] = set()
        for manifest in manifests:
            if manifest.period != delivery.period:
                continue
            if manifest.export == delivery.export:
                break
            taken.update(self.bookmarks.of(manifest).get(note, ()))
        return taken

    def leave_out(
        self, rows: pl.DataFrame, names: Iterable[pl.Expr], taken: set[str], delivery: Delivery
    ) -> pl.DataFrame:
        """The rows of a delivery that were not taken under any of their names."""
        is_taken = (pl.when(name.is_in(sorted(taken))).then(name) for name in names)
        taken_as = rows.select(pl.coalesce(is_taken)).to_series()
        if again := sorted(taken_as.drop_nulls().unique()):
            self.logger.warning(
                "%s: taken from another export and left out here: %s", delivery.manifest.label, _listed(again)
            )
        return rows.filter(taken_as.is_null())

    def _warn_of_unknown_payers(self, groups: pl.DataFrame, delivery: Delivery) -> None:
        if groups["payer_id"].null_count() and self._is_covered_twice(delivery.period):
            self.logger.warning(
                "%s does not name its payers: if another export covers them, too, their usage counts twice; "
                "have the export deliver %s",
                delivery.manifest.label,
                self.usage_sources[delivery.export.type].payer,
            )

    def _is_covered_twice(self, period: str) -> bool:
        return sum(manifest.period == period for manifest in self._usage_manifests()) > 1


def _listed(names: Sequence[str]) -> str:
    """Names for the log; of many, the first."""
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
