"""The base of all streams: partitions, blocks, and the one place where errors are caught."""

from __future__ import annotations

import abc
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from polars.exceptions import PanicException
from singer_sdk.exceptions import AbortedSyncFailedException, AbortedSyncPausedException
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE
from singer_sdk.streams import Stream

from offgridflow_common.classification import classify
from offgridflow_common.columns import json_schema
from offgridflow_common.errors import ConfigError, OffGridFlowError, OutputLost, UnknownError
from offgridflow_common.exports.scan import block_rows_of
from offgridflow_common.singer.batch import BatchFiles, batch_rows
from offgridflow_common.singer.bookmarks import Bookmarks
from offgridflow_common.singer.read_with import note_what_it_is_read_with
from offgridflow_common.singer.render import as_json_values, render_records
from offgridflow_common.singer.writer import BlockWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    import polars as pl
    from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchConfig
    from singer_sdk.helpers.types import Context, Record

    from offgridflow_common.columns import Column
    from offgridflow_common.singer.partition import Partition
    from offgridflow_common.singer.tap import OffGridFlowTap


T = TypeVar("T")
TapT = TypeVar("TapT", bound="OffGridFlowTap")

#: What ends a feed: polars' panics are no Exception.
_FAILURES = (Exception, PanicException)

#: What ends the run, or a dry run, rather than one stream.
_ENDINGS = (AbortedSyncFailedException, AbortedSyncPausedException, OutputLost)


class OffGridFlowStream(Stream, abc.ABC, Generic[TapT]):
    """A stream that is declared by its columns and reads partitions.

    A subclass declares ``name``, ``columns``, ``primary_keys`` and ``replication_key``, and says in
    :meth:`feeds` what there is to read. Whether rows go out as blocks or, where stream maps, flattening
    or ``--test`` ask for it, one by one, is decided here; both give the same records.

    Attributes:
        tap: The tap it belongs to: what was asked for, and who is asked.
    """

    columns: ClassVar[tuple[Column, ...]]

    def __init__(self, tap: TapT) -> None:
        """Create the stream.

        Args:
            tap: The tap it belongs to.
        """
        super().__init__(tap, schema=json_schema(self.columns))
        self.tap = tap
        #: What tells rows apart, and which of them are newest, whatever a catalog has for it.
        self._keys = dict.fromkeys([*self.primary_keys, *filter(None, [self.replication_key])])
        self._rows_out = 0
        self._bookmarks: Bookmarks | None = None

    @abc.abstractmethod
    def feeds(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """What gives the partitions that are to be read; where one feed fails, the others are still read.

        A later partition, and a later feed, may depend on what an earlier one brought.
        """

    def conclude(self) -> None:
        """Say what there is to say when all feeds have been read."""

    @property
    def shaping_settings(self) -> Mapping[str, str | None]:
        """The settings that rows depend on, beside the selection: what was read with others stays so."""
        return {}

    @cached_property
    def wanted(self) -> list[str]:
        """The columns that go out: those that are selected, in the order of the declaration."""
        properties = self.effective_schema["properties"]
        return [
            column.name
            for column in self.columns
            if column.name in properties and self.mask["properties", column.name]
        ]

    @cached_property
    def block_rows(self) -> int:
        """Rows of a block at most."""
        wanted = set(self.wanted)
        return block_rows_of(column for column in self.columns if column.name in wanted)

    @property
    def bookmarks(self) -> Bookmarks:
        """The stream's part of the state."""
        state = self.stream_state
        if self._bookmarks is None or not self._bookmarks.is_of(state):
            self._bookmarks = Bookmarks(state)
        return self._bookmarks

    def get_records(self, context: Context | None) -> Iterable[Record]:
        """The rows of all pending partitions, for whoever wants rows without messages or state."""
        del context
        for feed in self.feeds():
            for frame in (frame for partition in feed() for frame in partition.blocks()):
                yield from as_json_values(frame).iter_rows(named=True)

    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """No signpost: bookmarks name what was read, so there is nothing to cap."""

    def get_batch_config(self, config: Mapping[str, Any]) -> BatchConfig | None:
        """The batch configuration; none where single records are needed, which then go out as such."""
        batch_config = super().get_batch_config(config)
        if batch_config and not self._is_plain:
            if self.ABORT_AT_RECORD_COUNT is None:
                self.logger.warning("stream maps and flattening need records: no BATCH for %s", self.name)
            return None
        return batch_config

    def get_batches(
        self, batch_config: BatchConfig, context: Context | None = None
    ) -> Iterator[tuple[BaseBatchFileEncoding, list[str]]]:
        """Write all pending partitions to files, each of which goes out as a BATCH message."""
        del context
        store = self.tap.batch_store(batch_config.storage)
        files = BatchFiles(f"{self.tap_name}--{self.name}", batch_config, store)
        self.block_rows = batch_rows(self.config, len(self.wanted))
        yield from self._sync_partitions(lambda frame: iter([(batch_config.encoding, [files.write(frame)])]))

    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[dict[str, Any], Any, Any]:
        del context

        def write(frame: pl.DataFrame) -> Iterator[dict[str, Any]]:
            if write_messages and self._is_plain:
                self._write_block(frame)
                return iter(())
            return self._write_rows(frame, write_messages=write_messages)

        yield from self._sync_partitions(write, write_state=write_messages)

    def _sync_partitions(
        self, write: Callable[[pl.DataFrame], Iterator[T]], *, write_state: bool = True
    ) -> Generator[T, Any, Any]:
        """Read all pending partitions and write their frames."""
        if self.replication_method == REPLICATION_FULL_TABLE:
            self.stream_state.clear()
        telemetry = self.tap.telemetry
        with telemetry.log_context(stream_name=self.name), telemetry.span("stream", stream=self.name):
            for feed in self._known_feeds():
                with self._noting_failure():
                    for partition in feed():
                        yield from self._sync_partition(partition, write, write_state=write_state)
            with self._noting_failure():
                self.conclude()
        if write_state:
            self._write_state_now()

    def _known_feeds(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """The feeds; to know them, the provider may have to be asked."""
        with self._noting_failure():
            self._check_keys()
            left_out = {column.name for column in self.columns} - set(self.wanted)
            note_what_it_is_read_with(self.stream_state, self.shaping_settings, left_out, self.logger)
            return self.feeds()
        return ()

    def _check_keys(self) -> None:
        missing = [key for key in self._keys if key not in self.wanted]
        if missing:
            raise ConfigError(
                asked=f"reading {self.name} as the catalog selects it",
                got=f"a catalog without its key: {', '.join(missing)}",
                do="select these columns, or let the tap discover its catalog anew",
            )

    def _sync_partition(
        self, partition: Partition, write: Callable[[pl.DataFrame], Iterator[T]], *, write_state: bool
    ) -> Generator[T, Any, Any]:
        for frame in self._frames(partition):
            if write_state:
                # What a partition remembers of its progress is only what was written before this frame.
                self._write_state_if_due()
            yield from write(frame)
        if write_state:
            self._write_state_if_due()

    def _frames(self, partition: Partition) -> Iterator[pl.DataFrame]:
        """The frames of a partition; it is acknowledged when the last one has been written."""
        telemetry = self.tap.telemetry
        started = time.monotonic()
        rows = largest = 0
        with (
            self.get_record_counter() as counter,
            telemetry.span("partition", stream=self.name, partition=partition.label),
        ):
            try:
                for block in self._blocks_of(partition):
                    yield block
                    counter.increment(block.height)
                    rows += block.height
                    largest = max(largest, block.height)
            except _FAILURES as error:
                telemetry.failure(self.name, classify(error), time.monotonic() - started)
                raise
        partition.acknowledge(rows)
        telemetry.success(self.name, rows, time.monotonic() - started, largest)
        self.log("%s: %s rows", partition.label, f"{rows:,}")

    def _blocks_of(self, partition: Partition) -> Iterator[pl.DataFrame]:
        return (block for frame in partition.blocks() for block in frame.iter_slices(self.block_rows))

    @cached_property
    def _is_plain(self) -> bool:
        """Whether nothing asks for single records: then whole blocks say the same, only sooner."""
        maps = self.stream_maps
        nested_deselected = any(
            len(crumb) > len(("properties", "")) and not on for crumb, on in self.mask.items()
        )
        return (
            self.selected
            and not self.has_selected_descendents
            and self.ABORT_AT_RECORD_COUNT is None
            and len(maps) == 1
            and type(maps[0]) is SameRecordTransform
            and not maps[0].flattening_enabled
            and not nested_deselected
            and self._stream_version is None
            and isinstance(self.tap.message_writer, BlockWriter)
        )

    def _write_block(self, frame: pl.DataFrame) -> None:
        writer = cast("BlockWriter", self.tap.message_writer)
        writer.write_lines(render_records(self.name, frame, datetime.now(UTC)))

    def _write_rows(self, frame: pl.DataFrame, *, write_messages: bool) -> Iterator[dict[str, Any]]:
        for row in as_json_values(frame).iter_rows(named=True):
            self._check_max_record_limit(current_record_index=self._rows_out)
            self._rows_out += 1
            if self.selected and write_messages:
                self._write_record_message(row)
            yield row

    def _write_state_if_due(self) -> None:
        writer = self.tap.message_writer
        if not isinstance(writer, BlockWriter) or writer.state_is_due or self.bookmarks.are_urgent:
            self._write_state_now()
            self.bookmarks.are_urgent = False

    def _write_state_now(self) -> None:
        self.state_manager.is_flushed = False
        self._write_state_message()

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        """The one place where errors end: what is wrong with a feed keeps no other from being read."""
        try:
            yield
        except _ENDINGS:
            raise
        except _FAILURES as error:
            self._note_failure(error)

    def _note_failure(self, error: BaseException) -> None:
        """Note why the stream ends here. The other streams still run; a dry run ends at once."""
        known = error if isinstance(error, OffGridFlowError) else _unexpected(self.name, error)
        if self.ABORT_AT_RECORD_COUNT is not None:
            raise known from error
        self.tap.failures.setdefault(self.name, known)
        self.logger.error(
            "%s",
            known,
            exc_info=error if known is not error else None,
            extra={"error_class": known.error_class.value, "error_code": known.code},
        )


def _unexpected(stream: str, error: BaseException) -> UnknownError:
    return UnknownError(
        asked=f"reading {stream}",
        got=f"{type(error).__name__}: {error}",
        do="this was not foreseen: report it with the log; nothing that was not emitted counts as read",
    )
