"""Reading deliveries: each new one is read whole, restarts when it changes, and then counts as read."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from offgridflow_common.errors import ConfigError, SourceChanged
from offgridflow_common.exports.ahead import ahead
from offgridflow_common.exports.scan import read_blocks
from offgridflow_common.progress import Progress
from offgridflow_common.singer.partition import Partition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from logging import Logger

    import polars as pl
    from singer_sdk.streams import Stream

    from offgridflow_common.exports.delivery import Deliveries, Delivery, Manifest
    from offgridflow_common.exports.spool import Spool
    from offgridflow_common.exports.table import Table
    from offgridflow_common.singer.bookmarks import Bookmarks

#: A delivery that is replaced while it is read is read again this often; then the run gives up on it.
_RESTARTS = 2


@runtime_checkable
class DeliveryReader(Protocol):
    """A stream that reads deliveries; others wait for it."""

    name: str

    def reads(self, manifest: Manifest) -> bool:
        """Whether the delivery of a manifest is one that the stream reads."""
        ...

    @property
    def bookmarks(self) -> Bookmarks:
        """What the stream has read."""
        ...


@dataclass(slots=True)
class Reading:
    """How far a delivery is read.

    Attributes:
        rows: Rows of its files that were read.
        files: Files whose rows are all out; where a killed run left off, these are not read again.
        notes: What the reader wants to remember of the delivery.
        checkpoint: Remembers rows and files that are out.
    """

    rows: int = 0
    files: int = 0
    notes: dict[str, Any] = field(default_factory=dict)
    checkpoint: Callable[[int, int], object] = lambda _rows, _files: None


def readers_of(manifest: Manifest, streams: Iterable[Stream]) -> list[DeliveryReader]:
    """The selected streams that read a delivery."""
    return [
        stream
        for stream in streams
        if isinstance(stream, DeliveryReader) and stream.selected and stream.reads(manifest)
    ]


def is_new(manifest: Manifest, bookmarks: Bookmarks, logger: Logger) -> bool:
    """Whether a delivery is still to be read. One that is older than what was read is not, with a warning.

    Raises:
        ConfigError: As :func:`refuse_another_type`.
    """
    known = bookmarks.of(manifest)
    if known.get("manifest_etag") == manifest.info.etag:
        return False
    read = known.get("replication_key_value")
    if read and manifest.info.modified < datetime.fromisoformat(read):
        refuse_another_type(manifest, bookmarks)
        logger.warning(
            "%s: the delivery of %s that was read is gone from there; an older one is left, and is not read. "
            "To go back to it, remove the month from state, and from the table deliveries",
            manifest.label,
            read,
        )
        return False
    return True


def refuse_another_type(manifest: Manifest, bookmarks: Bookmarks) -> None:
    """Refuse a delivery that cannot become current, as a newer one of another export of this name was read.

    Raises:
        ConfigError: Names both types.
    """
    known = bookmarks.of(manifest)
    read, kind = known.get("replication_key_value"), manifest.export.type
    if (
        read
        and known.get("export_type", kind) != kind
        and manifest.info.modified < datetime.fromisoformat(read)
    ):
        raise ConfigError(
            asked=f"reading {manifest.label} of type {kind}",
            got=f"a newer delivery of type {known['export_type']} that was read under this name",
            do="give the export another name in exports; what was read of the other one stays",
        )


def pending_deliveries(  # noqa: PLR0913 - which, how, and what is known of them
    deliveries: Deliveries,
    manifests: Iterable[Manifest],
    bookmarks: Bookmarks,
    read: Callable[[Delivery, Reading], Iterator[pl.DataFrame]],
    logger: Logger,
    *,
    verified_first: bool = False,
) -> Iterator[Partition]:
    """A partition for each manifest.

    What is read counts only if the manifest is still the same afterwards; otherwise the period starts
    again with the new one. Rows that went out before belong to a delivery that never becomes current.

    Args:
        deliveries: Opens manifests, and tells whether they are still the newest.
        manifests: The deliveries to read, in order; each is asked for when the one before it is done.
        bookmarks: What was read, and where it is remembered.
        read: Reads one delivery.
        logger: Logs restarts.
        verified_first: Nothing goes out before the delivery is known to have been the newest to its end;
            for readers that give little.
    """
    for manifest in manifests:
        yield _partition(deliveries, manifest, bookmarks, read, logger, verified_first=verified_first)


def delivery_blocks(  # noqa: PLR0913 - what, of which files, into which columns, and who is told
    spool: Spool,
    delivery: Delivery,
    table: Table,
    columns: Sequence[str],
    *,
    reading: Reading,
    logger: Logger,
    block_rows: int,
    at_once: int = 1,
    resumable: bool = False,
) -> Iterator[tuple[int, pl.DataFrame]]:
    """The rows of a delivery's files that are still to be read: the file's number from 1, and a block.

    Args:
        spool: Where the files are kept while they are read.
        delivery: What is read.
        table: What its files should contain.
        columns: The columns wanted, as :class:`~offgridflow_common.exports.table.Plan` takes them.
        reading: Keeps count.
        logger: Logs the progress.
        block_rows: Rows of a block at most.
        at_once: Blocks of a Parquet file that are read at once.
        resumable: Each block goes out before the next is asked for, so that each file that is read may
            count as read.

    Raises:
        ContractBroken: A required column is missing; nothing was read then.
        FatalError, PermissionDenied, SourceChanged: As :func:`~offgridflow_common.exports.scan.read_blocks`.
    """
    if delivery.columns is not None:
        table.check(delivery.columns, delivery.manifest.label)
    store = delivery.export.store
    files = delivery.files[reading.files :]
    with Progress(
        logger,
        f"{logger.name.rpartition('.')[2]} {delivery.manifest.label}",
        total_files=len(files),
        total_bytes=sum(file.size for file in files),
    ) as progress:
        for info, path in zip(files, spool.files(store, files), strict=True):
            blocks = read_blocks(
                path, table, columns, where=store.uri(info.key), block_rows=block_rows, at_once=at_once
            )
            before = reading.rows
            with closing(ahead(blocks)) as blocks_in_order:
                for block in blocks_in_order:
                    progress.add(rows=block.height)
                    reading.rows += block.height
                    yield reading.files + 1, block
            progress.add(files=1, bytes=info.size)
            _compare(delivery, reading.files, reading.rows - before, logger)
            reading.files += 1
            if resumable:
                reading.checkpoint(reading.rows, reading.files)


def _compare(delivery: Delivery, place: int, rows: int, logger: Logger) -> None:
    """Warn of a file with other rows than its manifest counts."""
    counted = delivery.row_counts[place] if delivery.row_counts else None
    if counted not in {None, rows}:
        logger.warning(
            "%s: %s has %s rows where the manifest says %s; if it is being overwritten, the next run reads "
            "it again with its new manifest",
            delivery.manifest.label,
            delivery.export.store.uri(delivery.files[place].key),
            f"{rows:,}",
            f"{counted:,}",
        )


def _partition(  # noqa: PLR0913 - as above, for one of them
    deliveries: Deliveries,
    manifest: Manifest,
    bookmarks: Bookmarks,
    read: Callable[[Delivery, Reading], Iterator[pl.DataFrame]],
    logger: Logger,
    *,
    verified_first: bool,
) -> Partition:
    finished: list[tuple[Delivery, Reading]] = []

    def blocks() -> Iterator[pl.DataFrame]:
        current = manifest
        for restart in range(_RESTARTS + 1):
            if restart:
                logger.warning("%s changed while it was read; reading it again", current.label)
            rows, files = bookmarks.partial_reading_of(current)
            reading = Reading(rows, files, checkpoint=partial(bookmarks.mark_partly_read, current))
            change: SourceChanged | None = None
            try:
                delivery = deliveries.open(current)
                held = list(read(delivery, reading)) if verified_first else []
                if not verified_first:
                    yield from read(delivery, reading)
            except SourceChanged as error:
                change = error
            newest = deliveries.refresh(current)
            if change is None and newest.info.etag == current.info.etag:
                finished.append((delivery, reading))
                if any(frame.height for frame in held):
                    bookmarks.mark_under_way(current, reading.notes)
                yield from held
                return
            current = newest
        raise change or SourceChanged(
            asked=f"reading {manifest.label}",
            got=f"a new delivery during each of {_RESTARTS + 1} attempts",
            do="run again when the provider has finished delivering; nothing of the period counts as read",
        )

    def acknowledge(_rows: int) -> None:
        delivery, reading = finished[-1]
        bookmarks.mark_read(delivery, reading.rows, reading.notes)

    return Partition(label=manifest.label, blocks=blocks, acknowledge=acknowledge)
