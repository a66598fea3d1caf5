"""The stream that every stream is: partition by partition, block by block, errors caught in one place."""

from __future__ import annotations

import abc
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

from singer_sdk.exceptions import AbortedSyncFailedException, AbortedSyncPausedException
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE
from singer_sdk.streams import Stream

from offgridflow_common.columns import json_schema
from offgridflow_common.errors import OffGridFlowError, UnknownError, classify
from offgridflow_common.singer.bookmarks import Bookmarks
from offgridflow_common.singer.writer import BlockWriter, as_json_values, render_records

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    import polars as pl
    from singer_sdk.helpers.types import Context, Record

    from offgridflow_common.columns import Column
    from offgridflow_common.singer.tap import OffGridFlowTap


#: What ends the run, or a dry run, rather than one stream.
_ENDINGS = (AbortedSyncFailedException, AbortedSyncPausedException, BrokenPipeError)


@dataclass(frozen=True, slots=True)
class Partition:
    """A part of a stream that is emitted whole before state moves past it.

    Attributes:
        label: Names it in logs and spans.
        blocks: Reads it: frames with the stream's wanted columns, in their order.
        acknowledge: Writes to state that all of it is out; called with the number of rows.
    """

    label: str
    blocks: Callable[[], Iterator[pl.DataFrame]]
    acknowledge: Callable[[int], None]


class OffGridFlowStream(Stream, abc.ABC):
    """A stream that is declared by its columns and reads partitions.

    A subclass declares ``name``, ``columns``, ``primary_keys`` and ``replication_key``, and says in
    :meth:`pending` what there is to read. Whether rows go out as blocks or, where stream maps, flattening
    or ``--test`` ask for it, one by one, is decided here; both give the same records.
    """

    columns: ClassVar[tuple[Column, ...]]

    def __init__(self, tap: OffGridFlowTap) -> None:
        """Create the stream.

        Args:
            tap: The tap it belongs to.
        """
        super().__init__(tap, schema=json_schema(self.columns))
        self._owner = tap

    @abc.abstractmethod
    def pending(self) -> Iterator[Partition]:
        """What is to be read, in order. A later partition may depend on what an earlier one brought."""

    @cached_property
    def wanted(self) -> list[str]:
        """The columns that go out: those that are selected, in the order of the declaration."""
        properties = self.effective_schema["properties"]
        return [
            column.name
            for column in self.columns
            if column.name in properties and self.mask["properties", column.name]
        ]

    @property
    def bookmarks(self) -> Bookmarks:
        """The stream's part of the state."""
        return Bookmarks(self.stream_state)

    def get_records(self, context: Context | None) -> Iterable[Record]:
        """The rows of all pending partitions, for whoever wants rows without messages or state."""
        del context
        for partition in self.pending():
            for frame in partition.blocks():
                yield from as_json_values(frame).iter_rows(named=True)

    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """No signpost: bookmarks name what was read, so there is nothing to cap."""

    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[dict[str, Any], Any, Any]:
        del context
        if self.replication_method == REPLICATION_FULL_TABLE:
            self.stream_state.clear()
        telemetry = self._owner.telemetry
        with telemetry.log_context(stream_name=self.name), telemetry.span("stream", stream=self.name):
            try:
                for partition in self.pending():
                    yield from self._sync_partition(partition, write_messages=write_messages)
            except _ENDINGS:
                raise
            except Exception as error:  # noqa: BLE001 - the one place where a stream's errors end
                self._note_failure(error)
        if write_messages:
            self._write_state_now()

    def _sync_partition(
        self, partition: Partition, *, write_messages: bool
    ) -> Generator[dict[str, Any], Any, Any]:
        telemetry = self._owner.telemetry
        started = time.monotonic()
        rows = 0
        largest = 0
        with (
            self.get_record_counter() as counter,
            telemetry.span("partition", stream=self.name, partition=partition.label),
        ):
            try:
                for frame in partition.blocks():
                    if write_messages:
                        # A partition may remember how far it is: what it says was out before this frame.
                        self._write_state_now()
                    if write_messages and self._writes_blocks:
                        self._write_block(frame)
                    else:
                        yield from self._write_rows(frame, rows, write_messages=write_messages)
                    counter.increment(frame.height)
                    rows += frame.height
                    largest = max(largest, frame.height)
            except _ENDINGS:
                raise
            except Exception as error:
                telemetry.failure(self.name, classify(error), time.monotonic() - started)
                raise
        partition.acknowledge(rows)
        telemetry.success(self.name, rows, time.monotonic() - started, largest)
        self.log("%s: %s rows", partition.label, f"{rows:,}")
        if write_messages:
            self._write_state_now()

    @cached_property
    def _writes_blocks(self) -> bool:
        """Whether nothing asks for single records: then blocks give the same messages, only sooner."""
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
            and isinstance(self._owner.message_writer, BlockWriter)
        )

    def _write_block(self, frame: pl.DataFrame) -> None:
        writer = cast("BlockWriter", self._owner.message_writer)
        writer.write_block(render_records(self.name, frame, datetime.now(UTC)))

    def _write_rows(
        self, frame: pl.DataFrame, rows_before: int, *, write_messages: bool
    ) -> Iterator[dict[str, Any]]:
        for index, row in enumerate(as_json_values(frame).iter_rows(named=True), start=rows_before):
            self._check_max_record_limit(current_record_index=index)
            if self.selected and write_messages:
                self._write_record_message(row)
            yield row

    def _write_state_now(self) -> None:
        self.state_manager.is_flushed = False
        self._write_state_message()

    def _note_failure(self, error: Exception) -> None:
        """Note why the stream ends here. The other streams still run; a dry run ends at once."""
        known = error if isinstance(error, OffGridFlowError) else _unexpected(self.name, error)
        if self.ABORT_AT_RECORD_COUNT is not None:
            raise known from error
        self._owner.failures[self.name] = known
        self.logger.error("%s", known, exc_info=error if known is not error else None)


def _unexpected(stream: str, error: Exception) -> UnknownError:
    return UnknownError(
        asked=f"reading {stream}",
        got=f"{type(error).__name__}: {error}",
        do="this was not foreseen: report it with the log; nothing that was not emitted counts as read",
    )
