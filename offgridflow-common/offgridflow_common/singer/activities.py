"""The stream of activities: usage of exports, each fact once, and what else a provider reports."""

from __future__ import annotations

import abc
from contextlib import suppress
from functools import cached_property, partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import polars as pl

from offgridflow_common.activity import ACTIVITY_COLUMNS
from offgridflow_common.activity_mapping import ActivityMapping
from offgridflow_common.errors import NotFoundError, OffGridFlowError, SourceChanged
from offgridflow_common.singer import usage_days
from offgridflow_common.singer.reading import (
    Reading,
    delivery_blocks,
    is_new,
    pending_deliveries,
    readers_of,
)
from offgridflow_common.singer.shares import Shares
from offgridflow_common.singer.streams import OffGridFlowStream
from offgridflow_common.usage import (
    UsageSource,
    merge_groups,
    payer_or_account,
    usage_activities,
    usage_groups,
)
from offgridflow_common.wording import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from offgridflow_common.exports.delivery import Delivery, Export, Manifest
    from offgridflow_common.exports.table import Table
    from offgridflow_common.singer.export_tap import ExportTap
    from offgridflow_common.singer.partition import Partition

ExportTapT = TypeVar("ExportTapT", bound="ExportTap")

#: Rows that are grouped at once: few columns, so a block may be larger than one that is written.
_GROUP_ROWS = 50_000

#: Blocks that are read at once: to read one, with its maps, takes longer than to group it.
_BLOCKS_AT_ONCE = 2


class ActivitiesStream(OffGridFlowStream[ExportTapT], abc.ABC):
    """Usage of exports, and what else a provider reports, in OffGridFlow's one schema.

    No usage is taken twice: where several exports cover an account's month, it comes from the one whose type
    counts first, then in the order of the settings.

    Attributes:
        provider: The provider, as the reference tables spell it.
        usage_sources: How usage is found, by type of export; the type that counts first comes first.
        tables: What the exports of each of these types hold.
        payers_have_accounts: Whether an export may have some accounts of a payer, and another one the others.
    """

    name = "activities"
    columns = ACTIVITY_COLUMNS
    primary_keys = ("id",)
    replication_key = "period_start"

    provider: ClassVar[str]
    usage_sources: ClassVar[Mapping[str, UsageSource]]
    tables: ClassVar[Mapping[str, Table]]
    payers_have_accounts: ClassVar[bool]

    @abc.abstractmethod
    def reported(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """What gives activities of reports, beside usage."""

    def reads(self, manifest: Manifest) -> bool:
        """Whether activities are made of a delivery."""
        return manifest.export.type in self.usage_sources

    def feeds(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """Each source by itself: who may not ask for emissions still gets usage."""
        try:
            usage = self._usage_feeds()
        except OffGridFlowError as error:  # which exports there are is not known
            usage = [partial(_fail, error)]
        return (*usage, *self.reported())

    @property
    def shaping_settings(self) -> Mapping[str, str | None]:
        """The grain, whose activities they are, and the user's own mapping."""
        settings = self.tap.settings
        overrides = settings.mapping_overrides_path
        return {
            "activity_grain": settings.activity_grain,
            "org_id": settings.org_id,
            "workspace_id": settings.workspace_id,
            "mapping_overrides_path": sha256(overrides.read_bytes()).hexdigest()[:12] if overrides else None,
        }

    def conclude(self) -> None:
        """Warn of what could not be mapped."""
        self.mapping.report(self.logger)

    @cached_property
    def mapping(self) -> ActivityMapping:
        """What turns the provider's words into OffGridFlow's."""
        return ActivityMapping.of(self.provider, self.tap.settings)

    def deliveries(
        self,
        manifests: Iterable[Manifest],
        read: Callable[[Delivery, Reading], Iterator[pl.DataFrame]],
        has_changed: Callable[[Manifest], bool],
    ) -> Iterator[Partition]:
        """A partition for each delivery that is to be read; none goes out before it is known to be whole.

        Args:
            manifests: The deliveries.
            read: Reads one.
            has_changed: Whether one that was read is to be read again.
        """

        def is_due(manifest: Manifest) -> bool:
            if is_new(manifest, self.bookmarks, self.logger):
                return self._others_have_read(manifest)
            return has_changed(manifest) and self._others_have_read(manifest) and self._is_there(manifest)

        due = filter(is_due, manifests)
        return pending_deliveries(
            self.tap.deliveries, due, self.bookmarks, read, self.logger, verified_first=True
        )

    def _is_there(self, manifest: Manifest) -> bool:
        """Whether a delivery that was read is still there to be read again: old data may expire."""
        try:
            with suppress(SourceChanged):  # then it is read again as it is
                self.tap.deliveries.open(manifest)
        except NotFoundError as error:
            self.logger.warning(
                "%s would be read again, as other exports leave something else to it; what was read of it "
                "stays: %s",
                manifest.label,
                error,
            )
            return False
        return True

    def _others_have_read(self, manifest: Manifest) -> bool:
        """Whether all other selected streams that read a delivery have done so.

        Before that, ``deliveries`` does not tell it, and activities of it would not count as current, nor
        would those that they replace.
        """
        waiting_for = [
            stream.name
            for stream in readers_of(manifest, self.tap.streams.values())
            if stream is not self and stream.bookmarks.reading_of(manifest) is None
        ]
        if waiting_for:
            self.log("%s waits until %s has read it", manifest.label, " and ".join(waiting_for))
        return not waiting_for

    def blocks(
        self, delivery: Delivery, table: Table, columns: Sequence[str], reading: Reading
    ) -> Iterator[pl.DataFrame]:
        """Some columns of all rows of a delivery."""
        blocks = delivery_blocks(
            self.tap.spool,
            delivery,
            table,
            columns,
            reading=reading,
            logger=self.logger,
            block_rows=_GROUP_ROWS,
            at_once=_BLOCKS_AT_ONCE,
        )
        return (block for _, block in blocks)

    def _usage_feeds(self) -> list[Callable[[], Iterator[Partition]]]:
        """Each export by itself, those that count first before the others."""
        exports = self._usage_exports()
        if not exports:
            self.log("no usage: no export of type %s is configured", ", ".join(self.usage_sources))
        return [partial(self._usage_of, export, exports[:number]) for number, export in enumerate(exports)]

    def _usage_of(self, export: Export, before: Sequence[Export]) -> Iterator[Partition]:
        """The deliveries of an export whose share of usage is new, or another one than it was."""
        return self.deliveries(
            self.tap.deliveries.manifests(export),
            partial(self._usage, before=before),
            lambda manifest: self._shares.has_changed(manifest, self._remembered(before, manifest.period)),
        )

    def _remembered(self, exports: Iterable[Export], period: str) -> list[Mapping[str, Any]]:
        return [self.bookmarks.of_export(export.name, period) for export in exports]

    def _usage_exports(self) -> list[Export]:
        """The exports of usage, those that count first before the others."""
        rank = list(self.usage_sources)
        exports = self.tap.deliveries.of_types(frozenset(self.usage_sources))
        return sorted(exports, key=lambda export: rank.index(export.type))

    @property
    def _shares(self) -> Shares:
        return Shares(
            self.bookmarks,
            "payers",
            by_account=self.payers_have_accounts and len(self._usage_exports()) > 1,
        )

    def _usage(
        self, delivery: Delivery, reading: Reading, *, before: Sequence[Export]
    ) -> Iterator[pl.DataFrame]:
        grain = self.tap.settings.activity_grain
        source = self.usage_sources[delivery.export.type]
        table = self.tables[delivery.export.type].requiring(source.required)
        shares = self._shares
        remembered = self._remembered(before, delivery.period)
        taken = shares.taken(remembered)
        blocks = self.blocks(delivery, table, source.columns, reading)
        label = delivery.manifest.label
        found = merge_groups(usage_groups(block, source, grain, label) for block in blocks)
        if found is None:
            reading.notes |= shares.to_remember(delivery.manifest, (), (), taken, self.tap.started_at)
            return
        self._warn_of_unknown_payers(found, delivery)
        payer = payer_or_account()
        account = pl.format("{}/{}", payer, pl.col("account_id").fill_null(""))
        groups = self.leave_out(found, (payer, account), taken, delivery)
        share, had = (
            rows.select(account if shares.by_account else payer).to_series().unique()
            for rows in (groups, found)
        )
        reading.notes |= shares.to_remember(delivery.manifest, share, had, taken, self.tap.started_at)
        reading.notes |= usage_days.to_remember(found)
        for entry in remembered:
            names = sorted(shares.taken([entry]))
            theirs = found.filter(pl.any_horizontal(payer.is_in(names), account.is_in(names)))
            self._warn_of_fewer_days(theirs, entry, delivery)
        if negative := groups.filter(pl.col("quantity") < 0).height:
            self.logger.warning(
                "%s: %d of %d groups of usage are negative in sum and make no activity",
                delivery.manifest.label,
                negative,
                groups.height,
            )
        activities = usage_activities(
            groups, source, delivery, self.mapping, grain=grain, retrieved_at=self.tap.started_at
        )
        yield activities.select(self.wanted)

    def leave_out(
        self, rows: pl.DataFrame, names: Iterable[pl.Expr], taken: set[str], delivery: Delivery
    ) -> pl.DataFrame:
        """The rows of a delivery that were not taken under any of their names."""
        is_taken = (pl.when(name.is_in(sorted(taken))).then(name) for name in names)
        taken_as = rows.select(pl.coalesce(is_taken)).to_series()
        if again := sorted(taken_as.drop_nulls().unique()):
            self.logger.warning(
                "%s: another export counts for these, and they are left out here: %s",
                delivery.manifest.label,
                listed(again),
            )
        return rows.filter(taken_as.is_null())

    def _warn_of_fewer_days(self, groups: pl.DataFrame, entry: Mapping[str, Any], delivery: Delivery) -> None:
        """Warn if usage that is taken from an export that counts first is there on fewer days than here."""
        if days := usage_days.fewer_days(groups, entry):
            self.logger.warning(
                "%s has usage from %s to %s, and %s, which counts first, from %s to %s only: if that is no "
                "longer delivered, or has chosen days, remove it from exports",
                delivery.manifest.label,
                *days.here,
                entry["context"]["export"],
                *days.there,
            )

    def _warn_of_unknown_payers(self, groups: pl.DataFrame, delivery: Delivery) -> None:
        if groups["payer_id"].null_count() and len(self._usage_exports()) > 1:
            self.logger.warning(
                "%s has usage without %s: if another export has it, too, it counts twice; have the export "
                "deliver that column if it does not",
                delivery.manifest.label,
                self.usage_sources[delivery.export.type].payer,
            )


def _fail(error: OffGridFlowError) -> Iterator[Partition]:
    raise error
