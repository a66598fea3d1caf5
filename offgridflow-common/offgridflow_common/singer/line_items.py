"""Streams with a row for each row of an export's files."""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar

import polars as pl

from offgridflow_common.columns import Column, Kind
from offgridflow_common.exports.table import EXTRA, ROW_NUMBER, Table
from offgridflow_common.singer.export_tap import ExportTap
from offgridflow_common.singer.reading import (
    Reading,
    delivery_blocks,
    is_new,
    pending_deliveries,
)
from offgridflow_common.singer.streams import OffGridFlowStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from offgridflow_common.exports.delivery import Delivery, Export, Manifest
    from offgridflow_common.singer.partition import Partition

#: What places a line item: its delivery, and its place therein. The first four are its key.
PLACE = (
    Column("billing_period", Kind.STRING, "Billing period, `YYYY-MM`.", required=True),
    Column("delivery_id", Kind.STRING, "The provider's id of the delivery.", required=True),
    Column("file_ordinal", Kind.INTEGER, "Number of the file in the delivery, from 1.", required=True),
    Column("row_number", Kind.INTEGER, "Number of the row in the file, from 1.", required=True),
    Column("delivered_at", Kind.TIMESTAMP, "When the delivery was complete.", required=True),
    Column("export_name", Kind.STRING, "The export, as named in the settings.", required=True),
)

#: What a table does not know, by the source's column name.
_UNKNOWN_COLUMNS = Column(EXTRA, Kind.OBJECT, "Columns that this version of the tap does not know.")


class LineItemStream(OffGridFlowStream[ExportTap]):
    """A stream with a row for each row of an export's files.

    A subclass declares ``name`` and ``tables``: what the exports of each type hold, all of which have the
    same columns.
    """

    export_types: ClassVar[frozenset[str]]
    tables: ClassVar[Mapping[str, Table]]

    primary_keys = ("billing_period", "delivery_id", "file_ordinal", "row_number")
    replication_key = "delivered_at"
    selected_by_default = False

    def __init_subclass__(cls) -> None:
        """Derive the stream's columns from its tables."""
        super().__init_subclass__()
        cls.export_types = frozenset(cls.tables)
        cls.columns = (*PLACE, *next(iter(cls.tables.values())).columns, _UNKNOWN_COLUMNS)

    def reads(self, manifest: Manifest) -> bool:
        """Whether the delivery of a manifest is one that this stream reads."""
        return manifest.export.type in self.export_types

    def feeds(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """Each export by itself: what is wrong with one keeps no other from being read."""
        exports = self.tap.deliveries.of_types(self.export_types)
        if not exports:
            self.log("skipped: no export of type %s is configured", " or ".join(sorted(self.export_types)))
        return [partial(self._pending_of, export) for export in exports]

    def _pending_of(self, export: Export) -> Iterator[Partition]:
        """The periods of an export with a new delivery."""
        deliveries = self.tap.deliveries
        manifests = (
            manifest
            for manifest in deliveries.manifests(export)
            if is_new(manifest, self.bookmarks, self.logger)
        )
        return pending_deliveries(deliveries, manifests, self.bookmarks, self._read, self.logger)

    @cached_property
    def _from_file(self) -> list[str]:
        given = {column.name for column in PLACE} - {ROW_NUMBER}
        return [name for name in self.wanted if name not in given]

    def _read(self, delivery: Delivery, reading: Reading) -> Iterator[pl.DataFrame]:
        table = self.tables[delivery.export.type]
        blocks = delivery_blocks(
            self.tap.spool,
            delivery,
            table,
            self._from_file,
            reading=reading,
            logger=self.logger,
            block_rows=self.block_rows,
            resumable=True,
        )
        of_delivery = _of_delivery(delivery)
        for ordinal, block in blocks:
            yield self._placed(block, of_delivery, ordinal)

    def _placed(self, block: pl.DataFrame, of_delivery: Sequence[pl.Series], ordinal: int) -> pl.DataFrame:
        ordinals = pl.Series("file_ordinal", [ordinal], dtype=pl.Int64)
        alike = {values.name: values.new_from_index(0, block.height) for values in (*of_delivery, ordinals)}
        given = {**alike, ROW_NUMBER: block[ROW_NUMBER] + 1}
        return pl.DataFrame([given[name] if name in given else block[name] for name in self.wanted])


def _of_delivery(delivery: Delivery) -> list[pl.Series]:
    """The columns that are alike in all rows of a delivery, of one row each."""
    times = Kind.TIMESTAMP.dtype
    return [
        pl.Series("billing_period", [delivery.period]),
        pl.Series("delivery_id", [delivery.delivery_id]),
        pl.Series("delivered_at", [delivery.delivered_at], dtype=times),
        pl.Series("export_name", [delivery.export.name]),
    ]
