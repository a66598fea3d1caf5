"""BATCH files: blocks as Parquet or JSON lines, in a folder or a bucket, instead of RECORD messages."""

from __future__ import annotations

import io
import uuid
from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl
from singer_sdk.helpers._batch import BaseBatchFileEncoding, BatchConfig, BatchFileFormat, StorageTarget

from offgridflow_common.errors import ConfigError
from offgridflow_common.exports.gzipped import compressed
from offgridflow_common.singer.finite import only_finite
from offgridflow_common.singer.render import render_lines

if TYPE_CHECKING:
    from collections.abc import Mapping


#: Rows and values of a file, unless the user asks for fewer or more: a wide table needs memory.
_DEFAULT_BATCH_ROWS = 50_000
_DEFAULT_BATCH_VALUES = 2_500_000
#: Of lines of JSON, which carry the name of each value with it; as they are, they take more memory.
_DEFAULT_BATCH_VALUES_OF_LINES = 500_000
_DEFAULT_BATCH_VALUES_OF_GZIPPED_LINES = 1_000_000

#: What memory allows with all columns of a wide table.
_MOST_BATCH_ROWS = 200_000


def batch_errors(batch_config: Mapping[str, Any] | None) -> list[str]:
    """What the SDK does not check of ``batch_config``: that its parts have the members they need."""
    if batch_config is None:
        return []
    parts = {"encoding": BaseBatchFileEncoding, "storage": StorageTarget}
    errors = _misfits("batch_config", batch_config, BatchConfig)
    for name in sorted(parts.keys() & _given(batch_config)):
        errors += _misfits(f"batch_config.{name}", batch_config[name], parts[name])
    storage = batch_config.get("storage")
    if isinstance(storage, dict) and not isinstance(params := storage.get("params", {}), dict):
        errors.append(f"batch_config.storage.params must be an object, not {params!r}")
    size = batch_config.get("batch_size")
    if size is not None and (type(size) is not int or size < 1):
        errors.append(f"batch_config.batch_size must be a whole number of rows, 1 or more, not {size!r}")
    return errors


def _misfits(name: str, given: Mapping[str, Any], kind: type[Any]) -> list[str]:
    """A message for each member that a part of the setting lacks, or should not have."""
    if not isinstance(given, dict):
        return [f"{name} must be an object, not {given!r}"]
    members = {member.name: member for member in fields(kind)}
    lacking = sorted({key for key, member in members.items() if _is_required(member)} - _given(given))
    strange = sorted(given.keys() - members.keys())
    return [
        *(f"{name} lacks '{key}'" for key in lacking),
        *(f"{name} has no '{key}', only {', '.join(members)}" for key in strange),
    ]


def _given(members: Mapping[str, Any]) -> set[str]:
    """The members that say something."""
    return {key for key, value in members.items() if value is not None and value != ""}


def _is_required(member: Field[Any]) -> bool:
    return member.default is MISSING and member.default_factory is MISSING


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
        """Write a file below the storage's root.

        Raises:
            ConfigError: Nothing can be written there.
        """
        try:
            with self._storage.open(name, "wb") as file:
                file.write(content)
            return self._storage.get_url(name)
        except (OSError, ImportError, ValueError) as error:
            raise ConfigError(
                asked=f"writing a BATCH file to {self._storage.root}",
                got=f"{type(error).__name__}: {error}",
                do="point storage.root of batch_config to a place that may be written to and has room, of a "
                "kind that an installed library can write to",
            ) from error


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
    asked = batch_config.get("batch_size") or min(_DEFAULT_BATCH_ROWS, values // max(columns, 1))
    return min(asked, _MOST_BATCH_ROWS)


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
