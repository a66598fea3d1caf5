"""Streams over delivered exports: each new delivery of a period is read whole, then counts as read."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

import polars as pl

from offgridflow_common.columns import Column, Kind, polars_schema
from offgridflow_common.errors import SourceChanged
from offgridflow_common.exports.scan import read_blocks
from offgridflow_common.exports.table import EXTRA, ROW_NUMBER, Table
from offgridflow_common.observability import Progress
from offgridflow_common.singer.streams import OffGridFlowStream, Partition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from logging import Logger
    from typing import Any

    from offgridflow_common.exports.delivery import Deliveries, Delivery, Export, Manifest
    from offgridflow_common.exports.spool import Spool
    from offgridflow_common.singer.bookmarks import Bookmarks
    from offgridflow_common.singer.tap import OffGridFlowTap

#: A delivery that is replaced while it is read is read again this often; then the run gives up on it.
RESTARTS = 2

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
UNKNOWN_COLUMNS = Column(EXTRA, Kind.OBJECT, "Columns that this version of the tap does not know.")


class ExportTap(Protocol):
    """What a tap offers its export streams."""

    @property
    def deliveries(self) -> Deliveries:
        """The deliveries of all configured exports."""
        ...

    @property
    def spool(self) -> Spool:
        """Where export files are kept while they are read."""
        ...


@runtime_checkable
class DeliveryReader(Protocol):
    """A stream that reads deliveries; ``deliveries`` waits for it."""

    export_types: ClassVar[frozenset[str]]

    @property
    def bookmarks(self) -> Bookmarks:
        """What the stream has read."""
        ...


class Read(Protocol):
    """Reads a delivery: gives what goes out, and counts the rows of the delivery as it reads them."""

    def __call__(self, delivery: Delivery, count: Callable[[int], None], /) -> Iterator[pl.DataFrame]:
        """The frames that go out; ``count`` is called with the rows of each block that was read."""
        ...


def pending_deliveries(
    deliveries: Deliveries,
    exports: Sequence[Export],
    bookmarks: Bookmarks,
    read: Read,
    logger: Logger,
) -> Iterator[Partition]:
    """A partition for each period with a delivery that was not read yet.

    What is read counts only if the manifest is still the same afterwards; otherwise the period starts
    again with the new one. Rows that went out before belong to a delivery that never becomes current.
    """
    for export in exports:
        for manifest in deliveries.manifests(export):
            if bookmarks.reading_of(manifest) is None:
                yield _partition(deliveries, manifest, bookmarks, read, logger)


def _partition(
    deliveries: Deliveries,
    manifest: Manifest,
    bookmarks: Bookmarks,
    read: Read,
    logger: Logger,
) -> Partition:
    finished: list[tuple[Delivery, int]] = []

    def blocks() -> Iterator[pl.DataFrame]:
        current = manifest
        for restart in range(RESTARTS + 1):
            if restart:
                logger.warning("%s changed while it was read; reading it again", current.label)
            rows: list[int] = []
            change: SourceChanged | None = None
            try:
                delivery = deliveries.open(current)
                yield from read(delivery, rows.append)
            except SourceChanged as error:
                change = error
            newest = deliveries.refresh(current)
            if change is None and newest.info.etag == current.info.etag:
                finished.append((delivery, sum(rows)))
                return
            current = newest
        raise SourceChanged(
            asked=f"reading {manifest.label}",
            got=f"a change during each of {RESTARTS + 1} attempts",
            do="run again when the provider has finished delivering; nothing of the period counts as read",
        ) from change

    def acknowledge(_rows: int) -> None:
        bookmarks.mark_read(*finished[-1])

    return Partition(label=manifest.label, blocks=blocks, acknowledge=acknowledge)


def files_of(spool: Spool, delivery: Delivery, progress: Progress) -> Iterator[tuple[int, Any, str]]:
    """The files of a delivery on local disk: number from 1, path, and address for messages."""
    store = delivery.export.store
    paths = spool.files(store, delivery.files)
    for ordinal, (info, path) in enumerate(zip(delivery.files, paths, strict=True), start=1):
        yield ordinal, path, store.uri(info.key)
        progress.add(files=1, bytes=info.size)


class LineItemStream(OffGridFlowStream):
    """A stream with a row for each row of an export's files.

    A subclass declares ``name``, ``export_types`` and ``table``.
    """

    export_types: ClassVar[frozenset[str]]
    table: ClassVar[Table]

    primary_keys = ("billing_period", "delivery_id", "file_ordinal", "row_number")
    replication_key = "delivered_at"
    selected_by_default = False

    def __init__(self, tap: OffGridFlowTap, source: ExportTap) -> None:
        """Create the stream.

        Args:
            tap: The tap it belongs to.
            source: Where the tap's exports come from.
        """
        super().__init__(tap)
        self._source = source

    def __init_subclass__(cls) -> None:
        """Derive the stream's columns from its table."""
        super().__init_subclass__()
        if not getattr(cls, "__abstractmethods__", None) and hasattr(cls, "table"):
            cls.columns = (*PLACE, *cls.table.columns, UNKNOWN_COLUMNS)

    def pending(self) -> Iterator[Partition]:
        """The periods with a new delivery."""
        exports = self._source.deliveries.of_types(self.export_types)
        if not exports:
            self.log("skipped: no export of type %s is configured", " or ".join(sorted(self.export_types)))
            return
        yield from pending_deliveries(
            self._source.deliveries, exports, self.bookmarks, self.read, self.logger
        )

    def read(self, delivery: Delivery, count: Callable[[int], None]) -> Iterator[pl.DataFrame]:
        """All rows of a delivery, as they go out."""
        if delivery.columns is not None:
            self.table.check(delivery.columns, delivery.manifest.label)
        with Progress(
            self.logger,
            f"{self.name} {delivery.manifest.label}",
            total_files=len(delivery.files),
            total_bytes=delivery.bytes,
        ) as progress:
            for ordinal, path, where in files_of(self._source.spool, delivery, progress):
                for block in read_blocks(path, self.table, self._from_file, where=where):
                    progress.add(rows=block.height)
                    count(block.height)
                    yield self._placed(block, delivery, ordinal)

    @cached_property
    def _from_file(self) -> list[str]:
        given = {column.name for column in PLACE} - {ROW_NUMBER}
        return [name for name in self.wanted if name not in given]

    def _placed(self, block: pl.DataFrame, delivery: Delivery, ordinal: int) -> pl.DataFrame:
        given = {
            "billing_period": pl.lit(delivery.period),
            "delivery_id": pl.lit(delivery.delivery_id),
            "file_ordinal": pl.lit(ordinal, dtype=pl.Int64),
            "row_number": pl.col(ROW_NUMBER) + 1,
            "delivered_at": pl.lit(delivery.delivered_at, dtype=Kind.TIMESTAMP.dtype),
            "export_name": pl.lit(delivery.export.name),
        }
        return block.select(
            given[name].alias(name) if name in given else pl.col(name) for name in self.wanted
        )


class DeliveriesStream(OffGridFlowStream):
    """A row for each delivery that all selected streams have read to its end."""

    name = "deliveries"
    primary_keys = ("export_name", "billing_period", "delivery_id")
    replication_key = "delivered_at"
    columns = (
        Column("export_name", Kind.STRING, "The export, as named in the settings.", required=True),
        Column("export_type", Kind.STRING, "The type of the export, as in the settings.", required=True),
        Column("billing_period", Kind.STRING, "Billing or usage period, `YYYY-MM`.", required=True),
        Column("delivery_id", Kind.STRING, "The provider's id of the delivery.", required=True),
        Column("delivered_at", Kind.TIMESTAMP, "When the delivery was complete.", required=True),
        Column("model_version", Kind.STRING, "Version of the model, for exports that are kept per version."),
        Column("files", Kind.INTEGER, "Data files.", required=True),
        Column("bytes", Kind.INTEGER, "Size of all data files.", required=True),
        Column("rows", Kind.INTEGER, "Rows in all data files; null if no selected stream reads them."),
    )

    def __init__(self, tap: OffGridFlowTap, source: ExportTap) -> None:
        """Create the stream.

        Args:
            tap: The tap it belongs to.
            source: Where the tap's exports come from.
        """
        super().__init__(tap)
        self._source = source

    def pending(self) -> Iterator[Partition]:
        """The deliveries that were read since the last run, in the order of their delivery."""
        ready = [
            (manifest, readings)
            for export in self._source.deliveries.exports
            for manifest in self._source.deliveries.manifests(export)
            if self.bookmarks.reading_of(manifest) is None
            and (readings := self._readings(manifest)) is not None
        ]
        for manifest, readings in sorted(ready, key=lambda item: item[0].info.modified):
            yield self._partition(manifest, max((reading["rows"] for reading in readings), default=None))

    def _partition(self, manifest: Manifest, rows: int | None) -> Partition:
        delivery = self._source.deliveries.open(manifest)
        return Partition(
            label=manifest.label,
            blocks=lambda: iter([self._row(delivery, rows)]),
            acknowledge=lambda _: self.bookmarks.mark_read(delivery, rows),
        )

    def _readings(self, manifest: Manifest) -> list[Mapping[str, Any]] | None:
        """What the streams that read this export have read of the delivery; None if one is not done."""
        readers = [
            stream
            for stream in self._owner.streams.values()
            if isinstance(stream, DeliveryReader)
            and stream.selected
            and manifest.export.type in stream.export_types
        ]
        readings = [reader.bookmarks.reading_of(manifest) for reader in readers]
        if any(reading is None for reading in readings):
            return None
        return [reading for reading in readings if reading is not None]

    def _row(self, delivery: Delivery, rows: int | None) -> pl.DataFrame:
        values = {
            "export_name": delivery.export.name,
            "export_type": delivery.export.type,
            "billing_period": delivery.period,
            "delivery_id": delivery.delivery_id,
            "delivered_at": delivery.delivered_at,
            "model_version": delivery.manifest.model_version,
            "files": len(delivery.files),
            "bytes": delivery.bytes,
            "rows": rows,
        }
        return pl.DataFrame([values], schema=polars_schema(self.columns)).select(self.wanted)
