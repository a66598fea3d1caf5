"""BATCH files: blocks as Parquet or JSON lines, in a folder or a bucket, instead of RECORD messages."""

from __future__ import annotations

import io
import uuid
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl
from singer_sdk.helpers._batch import BatchConfig, BatchFileFormat

from offgridflow_common.exports.gzipped import compressed
from offgridflow_common.singer.finite import only_finite
from offgridflow_common.singer.render import render_lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from singer_sdk.helpers._batch import BaseBatchFileEncoding, StorageTarget

#: Rows and values of a file, unless the user asks for fewer or more: a wide table needs memory.
DEFAULT_BATCH_ROWS = 50_000
_DEFAULT_BATCH_VALUES = 2_500_000
#: Of lines of JSON, which carry the name of each value with it; as they are, they take more memory.
_DEFAULT_BATCH_VALUES_OF_LINES = 500_000
_DEFAULT_BATCH_VALUES_OF_GZIPPED_LINES = 1_000_000

#: What memory allows with all columns of a wide table.
_MOST_BATCH_ROWS = 200_000


class BatchStore(Protocol):
    """Where BATCH files are put."""

    def put(self, name: str, content: bytes) -> str:
        """Write a file whole.

        Returns:
            Its URL.
        """


class StorageBatchStore:
    """Any storage that the SDK's BATCH reaches through the file system libraries that are installed."""

    def __init__(self, storage: StorageTarget) -> None:
        self._storage = storage

    def put(self, name: str, content: bytes) -> str:
        """Write a file below the storage's root."""
        with self._storage.open(name, "wb") as file:
            file.write(content)
        return self._storage.get_url(name)


class BatchFiles:
    """Names and writes the BATCH files of one stream.

    Args:
        name: Begins the files' names.
        config: The SDK's batch configuration.
        store: Where the files go.
    """

    def __init__(self, name: str, config: BatchConfig, store: BatchStore) -> None:
        self._prefix = f"{config.storage.prefix or ''}{name}-{uuid.uuid4()}"
        self._encoding = config.encoding
        self._store = store
        self._count = 0

    def write(self, frame: pl.DataFrame) -> str:
        """Write a frame to a file of its own and return its URL."""
        suffix, content = render(frame, self._encoding)
        self._count += 1
        return self._store.put(f"{self._prefix}-{self._count:05}{suffix}", content)


def batch_rows(config: Mapping[str, Any], columns: int) -> int:
    """Rows of a BATCH file of so many columns at most, as the tap's configuration has it."""
    batch_config = config.get("batch_config") or {}
    encoding = batch_config.get("encoding") or {}
    if encoding.get("format") != BatchFileFormat.JSONL:
        values = _DEFAULT_BATCH_VALUES
    elif encoding.get("compression") == "gzip":
        values = _DEFAULT_BATCH_VALUES_OF_GZIPPED_LINES
    else:
        values = _DEFAULT_BATCH_VALUES_OF_LINES
    asked = batch_config.get("batch_size") or min(DEFAULT_BATCH_ROWS, values // max(columns, 1))
    return min(int(asked), _MOST_BATCH_ROWS)


def render(frame: pl.DataFrame, encoding: BaseBatchFileEncoding) -> tuple[str, bytes]:
    """The content of a BATCH file, and the end of its name.

    JSON lines hold the very values of RECORD messages. Parquet keeps types: times as UTC timestamps,
    objects as maps. Numbers that are not finite are null in both.
    """
    gzipped = encoding.compression == "gzip"
    if encoding.format == BatchFileFormat.PARQUET:
        content = io.BytesIO()
        typed = only_finite(frame).with_columns(pl.col(pl.Null).cast(pl.String))
        typed.write_parquet(content, compression="gzip" if gzipped else "snappy")
        return ".parquet", content.getvalue()
    lines = render_lines(frame)
    return (".jsonl.gz", compressed(lines.write_to)) if gzipped else (".jsonl", bytes(lines))
