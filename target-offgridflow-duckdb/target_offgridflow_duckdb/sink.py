"""The sink of a stream: collects its records as columns and loads them in transactions."""

from __future__ import annotations

import abc
from contextlib import closing
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl
from singer_sdk import Target
from singer_sdk.exceptions import MissingKeyPropertiesError
from singer_sdk.helpers._batch import BatchFileFormat
from singer_sdk.helpers.capabilities import TargetLoadMethods
from singer_sdk.sinks import BatchSink

from offgridflow_common.errors import BadRequestError
from target_offgridflow_duckdb import metadata, parquet
from target_offgridflow_duckdb.batch_files import BatchFile, WaitingFiles, json_lines
from target_offgridflow_duckdb.columns import columns_of
from target_offgridflow_duckdb.database import literal, quoted
from target_offgridflow_duckdb.messages import UNREADABLE
from target_offgridflow_duckdb.rows import RowReader
from target_offgridflow_duckdb.settings import ROW_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from singer_sdk.helpers._batch import BaseBatchFileEncoding

    from target_offgridflow_duckdb.rows import RecordMessage
    from target_offgridflow_duckdb.settings import TargetSettings
    from target_offgridflow_duckdb.tables import Tables

#: Records that become columns at once: as many as the processor's caches hold as objects of Python.
_CHUNK_ROWS: Final = 5_000
_CHUNK_BYTES: Final = 1536 * 1024
#: What the columns that wait to be loaded may take.
_HELD_BYTES: Final = 64 * 1024**2

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


class LoadingTarget(Target):
    """A target whose sinks load into the tables of one database."""

    @property
    @abc.abstractmethod
    def settings(self) -> TargetSettings:
        """Where to load, and how."""

    @property
    @abc.abstractmethod
    def tables(self) -> Tables:
        """The tables of the run."""


class DuckDbSink(BatchSink):
    """Loads a stream into its table."""

    MAX_SIZE_DEFAULT = ROW_GROUP

    def __init__(
        self,
        target: LoadingTarget,
        stream_name: str,
        schema: dict[str, Any],
        key_properties: Sequence[str] | None,
    ) -> None:
        """Create the sink.

        Args:
            target: The target it belongs to.
            stream_name: The stream.
            schema: The stream's schema.
            key_properties: The properties that identify a row.
        """
        super().__init__(target, stream_name, schema, key_properties)
        self._owner = target
        self._settings = target.settings
        self._database = target.tables.database
        self._table = target.tables.of(stream_name)
        self._columns = columns_of(self.schema["properties"])
        self._reader = RowReader(stream_name, self._columns, self.key_properties)
        self._waiting: list[RecordMessage] = []
        self._waiting_bytes = 0
        self._held: list[pl.DataFrame] = []
        self._held_rows = 0
        self._held_bytes = 0
        self._files = WaitingFiles()
        self._takes_messages = False

    @property
    def current_size(self) -> int:
        """How many records, or BATCH files, wait to be loaded."""
        return len(self._waiting) + self._held_rows + len(self._files)

    @property
    def is_full(self) -> bool:
        """Whether there is enough to be loaded."""
        return self._room <= 0 or self._held_bytes >= _HELD_BYTES or self._files.are_enough

    @property
    def _room(self) -> int:
        """How many more records go into the transaction that is open, or into the next one."""
        return self.max_size - self._database.open_rows - self.current_size

    @property
    def _keys(self) -> Sequence[str]:
        """The columns that rows are replaced by."""
        appends = self._settings.load_method == TargetLoadMethods.APPEND_ONLY
        return [] if appends else self.key_properties

    def setup(self) -> None:
        """Make the table fit the schema."""
        super().setup()
        self._table.prepare(self._columns, self._keys)
        self._owner.tables.begin(self._table)

    def take(self, lines: bytes) -> int:
        """Take records as they arrived, and load what there is whenever that is enough.

        Args:
            lines: RECORD messages of the stream, one on each line.

        Returns:
            How many there are.

        Raises:
            DecodeError: A line is something else, or a record is not what the schema says.
            UnicodeDecodeError: The same.
        """
        messages = self._reader.messages(lines)
        self._takes_messages = True
        count = len(messages)
        while messages:
            room = max(1, min(_CHUNK_ROWS - len(self._waiting), self._room))
            taken, messages = messages[:room], messages[room:]
            self.tally_record_read(len(taken))
            self._wait(taken, len(lines) * len(taken) // count)
            if not self._waiting and self.is_full:
                self._owner.drain_one(self)
        return count

    def refusal(self, lines: bytes) -> Exception:
        """What is wrong with lines that :meth:`take` does not take."""
        return self._reader.refusal(lines)

    def process_record(self, record: dict[str, Any], context: dict[str, Any]) -> None:
        """Take a record that the SDK has parsed, mapped or validated, with its metadata."""
        del context
        line = _ENCODER.encode({"type": "RECORD", "stream": self.stream_name, "record": record})
        try:
            messages = self._reader.messages(line)
        except UNREADABLE as error:
            raise self._reader.refusal(line) from error
        self._wait(messages, len(line))

    def process_batch(self, context: dict[str, Any]) -> None:
        """Load what has been collected, in one transaction."""
        del context
        if self._files:
            self._load_files()
            return
        self._read_waiting()
        frame = self._release()
        self.logger.info("Loading %d rows into %s", frame.height, self._table)
        asked = f"loading {frame.height:,} records into table {self._table}"
        self._database.load_aside(
            asked, lambda: self._load_frame(frame), rows=frame.height, enough=self.max_size
        )

    def process_batch_files(self, encoding: BaseBatchFileEncoding, files: Sequence[str]) -> None:
        """Collect the files of a BATCH message, and load what there is if that is enough.

        Raises:
            BadRequestError: They cannot be read.
            NotFoundError: A file is not there.
        """
        if not self._files:
            # What came before must not be written over what comes now.
            self._owner.drain_one(self)
        storage = self.batch_config.storage if self.batch_config else None
        for url in files:
            self._files.add(BatchFile(encoding, url, storage.params if storage else {}))
        if self._files.are_enough:
            self._owner.drain_one(self)

    def activate_version(self, new_version: int) -> None:
        """Delete the rows of earlier versions, or mark them as deleted."""
        self.tell_version(new_version)
        self._owner.drain_one(self)
        self._table.retire(new_version, metadata.VERSION, metadata.DELETED, hard=self._settings.hard_delete)

    def tell_version(self, version: int) -> None:
        """Say which version of the table the rows of files are that come now; files do not tell."""
        if self._owner.tables.versions.get(self.stream_name) != version:
            self._owner.drain_one(self)
            self._owner.tables.versions[self.stream_name] = version

    def _parse_timestamps_in_record(self, record: object, schema: object, treatment: object) -> None:
        """Leave times as they are: DuckDB reads a whole column of them at once."""

    def _wait(self, messages: Sequence[RecordMessage], size: int) -> None:
        if self._files:
            # Files that came before must not be written over these.
            self._owner.drain_one(self)
        self._waiting.extend(messages)
        self._waiting_bytes += size
        if self._room <= 0 or len(self._waiting) >= _CHUNK_ROWS or self._waiting_bytes >= _CHUNK_BYTES:
            self._read_waiting()

    def _read_waiting(self) -> None:
        """Turn the records that wait into columns."""
        messages, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if not messages:
            return
        frame = self._reader.frame(messages)
        if self._takes_messages:
            self.record_counter_metric.increment(len(messages))
            if self.include_sdc_metadata_properties:
                frame = metadata.stamped(frame, messages, self.sync_started_at)
        self._hold(frame)

    def _load_frame(self, frame: pl.DataFrame) -> None:
        self._load(self._database.arrive(frame), {name: quoted(name) for name in frame.columns})

    def _load_files(self) -> None:
        asked = f"loading {len(self._files)} BATCH files into table {self._table}"
        self.logger.info("%s", asked.capitalize())
        with closing(self._files.released()) as groups, self._database.loading(asked):
            for encoding, paths in groups:
                self._load_alike(encoding, paths)

    def _load_alike(self, encoding: BaseBatchFileEncoding, paths: Sequence[Path]) -> None:
        if encoding.format == BatchFileFormat.PARQUET:
            typed = ((path, self._database.types_of(parquet.relation([path]))) for path in paths)
            for types, alike in groupby(typed, itemgetter(1)):
                source = parquet.relation([path for path, _ in alike])
                self._load_batch(source, parquet.values(self._columns, types))
        elif encoding.format == BatchFileFormat.JSONL and encoding.compression in (None, "none", "gzip"):
            gzipped = encoding.compression == "gzip"
            blocks = chain.from_iterable(
                json_lines(path, gzipped=gzipped, size=_CHUNK_BYTES) for path in paths
            )
            for frame in self._frames(blocks):
                self._load_batch(self._database.arrive(frame), {name: quoted(name) for name in frame.columns})
        else:
            raise BadRequestError(
                asked=f"loading a BATCH of {self.stream_name}",
                got=f"format {encoding.format}, compression {encoding.compression}",
                do="set the tap's `batch_config.encoding` to Parquet, or to JSON lines with gzip or nothing",
            )

    def _frames(self, blocks: Iterable[bytes]) -> Iterator[pl.DataFrame]:
        """Lines as frames that are as large as those of records."""
        for block in blocks:
            self._hold(self._reader.frame_of_lines(block))
            if self._held_bytes >= _HELD_BYTES:
                yield self._release()
        if self._held:
            yield self._release()

    def _hold(self, frame: pl.DataFrame) -> None:
        self._held.append(frame)
        self._held_rows += frame.height
        self._held_bytes += int(frame.estimated_size())

    def _release(self) -> pl.DataFrame:
        """All columns that wait to be loaded, which then wait no more."""
        frames, self._held = self._held, []
        self._held_rows = self._held_bytes = 0
        return pl.concat(frames, rechunk=False)

    def _load_batch(self, source: str, values: Mapping[str, str]) -> None:
        """Load a part of a BATCH; nobody says of its rows when they were extracted."""
        if missing := [key for key in self.key_properties if key not in values]:
            raise MissingKeyPropertiesError(f"{self.stream_name}: a BATCH file lacks {', '.join(missing)}")
        now: dict[str, str | int] = {}
        if self.include_sdc_metadata_properties:
            now |= metadata.received(self.sync_started_at)
            if (version := self._owner.tables.versions.get(self.stream_name)) is not None:
                now[metadata.VERSION] = version
        self.record_counter_metric.increment(
            self._load(source, {**values, **{name: literal(value) for name, value in now.items()}})
        )

    def _load(self, source: str, values: Mapping[str, str]) -> int:
        drops_deleted = self._settings.hard_delete and metadata.DELETED in values
        nothing = dict.fromkeys((column.name for column in self._columns), "NULL")
        return self._table.load(
            source,
            {**nothing, **values},
            keys=self._keys,
            unless=f"{quoted(metadata.DELETED)} IS NOT NULL" if drops_deleted else "FALSE",
        )
