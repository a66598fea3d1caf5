"""Publishing made-up deliveries of a CUR 2.0 export in the layout and order of the real service."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pyarrow as pa

from tests.local_clouds.cur2_files import CSV_TIME, write_csv_gz, write_parquet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Rows = pa.Table | Iterable[pa.RecordBatch]
    Data = pa.Table | Iterable[pa.Table] | Iterable[pa.RecordBatch]

EXTENSIONS = {"parquet": "snappy.parquet", "csv": "csv.gz"}
_TYPE_NAMES = {"timestamp[ns]": "timestamp"}
_EXPORT_UUID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


class Store(Protocol):
    """Where deliveries are put."""

    bucket: str

    def put(self, key: str, data: bytes | Path) -> None:
        """Write an object from bytes or from a local file."""

    def keys(self, prefix: str) -> list[str]:
        """The keys below a prefix, in order."""


class S3Store:
    """A bucket, through a boto3 client."""

    def __init__(self, client: Any, bucket: str) -> None:
        self._client = client
        self.bucket = bucket

    def put(self, key: str, data: bytes | Path) -> None:
        """Put an object; a file is streamed."""
        if isinstance(data, bytes):
            self._client.put_object(Bucket=self.bucket, Key=key, Body=data)
            return
        with data.open("rb") as body:
            self._client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def keys(self, prefix: str) -> list[str]:
        """All keys below the prefix."""
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    def delete(self, key: str) -> None:
        """Remove an object."""
        self._client.delete_object(Bucket=self.bucket, Key=key)


class FolderStore:
    """A local folder that looks like a synchronised bucket; manifests name `bucket_name`."""

    def __init__(self, path: Path, bucket_name: str = "example-billing-bucket") -> None:
        self.path = path
        self.bucket = bucket_name

    def put(self, key: str, data: bytes | Path) -> None:
        """Replace a file in one step."""
        target = self.path / key
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.partial")
        if isinstance(data, bytes):
            partial.write_bytes(data)
        else:
            shutil.copyfile(data, partial)
        partial.replace(target)

    def keys(self, prefix: str) -> list[str]:
        """All files whose path begins with the prefix."""
        found = (path.relative_to(self.path).as_posix() for path in self.path.rglob("*") if path.is_file())
        return sorted(key for key in found if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Remove a file."""
        (self.path / key).unlink()


@dataclass(frozen=True, slots=True)
class PublishedDelivery:
    """What was delivered: the newest manifest's key, the data files it names, and how much is in them."""

    manifest_key: str
    data_keys: tuple[str, ...]
    execution_id: str
    rows: int
    bytes: int
    delivered_at: datetime


def publish_cur2(
    store: Store,
    *,
    export: str,
    period: str,
    data: Data,
    execution_id: str,
    prefix: str = "exports",
    mode: Literal["create-new", "overwrite"] = "create-new",
    format: Literal["parquet", "csv"] = "parquet",  # noqa: A002 - the word of the service
    chunks: int = 2,
    chunk_rows: int = 1_000_000,
    partition_key: str = "BILLING_PERIOD",
    columns: Sequence[str] | None = None,
    delivered_at: datetime | None = None,
    manifest_bucket: str | None = None,
    time_format: str = CSV_TIME,
    decoys: bool = False,
) -> PublishedDelivery:
    """Deliver one period: all data files first, the manifest last.

    Args:
        store: Where to.
        export: Name of the export.
        period: Billing period, `YYYY-MM`.
        data: A table (cut into `chunks` files), tables (one file each), or batches (a file per `chunk_rows`).
        execution_id: The id of this delivery.
        prefix: Key prefix of the export; may be empty.
        mode: `create-new` gives every delivery a folder of its own and a manifest that stays; `overwrite`
            reuses the names, and empties the files of an earlier delivery that had more of them.
        format: `parquet` or `csv` (gzip).
        chunks: Number of files for a single table; rows are split evenly, so some may have none.
        chunk_rows: Rows a file for batches, rounded up to whole batches.
        partition_key: `BILLING_PERIOD`, or another spelling of it.
        columns: The export's columns in its order; default all of the data.
        delivered_at: Time in the folder's name; default now.
        manifest_bucket: Bucket that dataFiles name; default the store's.
        time_format: Text form of times in CSV.
        decoys: Put files beside that a reader must leave alone.
    """
    at = delivered_at or datetime.now(UTC)
    base = f"{prefix}/{export}" if prefix else export
    partition = f"{partition_key}={period}"
    run = (
        f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z-{execution_id}/" if mode == "create-new" else ""
    )
    folder, metadata = f"{base}/data/{partition}/{run}", f"{base}/metadata/{partition}/"
    keys: list[str] = []
    rows = size = 0
    schema: pa.Schema | None = data.schema if isinstance(data, pa.Table) else None
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "chunk"
        for chunk_schema, part in _chunks(data, columns, chunks, chunk_rows):
            schema = chunk_schema
            if format == "parquet":
                rows += write_parquet(part, path)
            else:
                rows += write_csv_gz(part, path, time_format=time_format)
            keys.append(f"{folder}{export}-{len(keys) + 1:05}.{EXTENSIONS[format]}")
            size += path.stat().st_size
            store.put(keys[-1], path)
    if mode == "overwrite":
        for key in store.keys(folder):
            if key not in keys:
                store.put(key, b"")
    files = [f"s3://{manifest_bucket or store.bucket}/{key}" for key in keys]
    manifest = _manifest(export, execution_id, schema, files)
    if decoys:
        put_decoys(store, export=export, folder=folder, metadata=metadata)
    if run:
        store.put(f"{metadata}{run}{export}-Manifest.json", manifest)
    store.put(f"{metadata}{export}-Manifest.json", manifest)
    return PublishedDelivery(f"{metadata}{export}-Manifest.json", tuple(keys), execution_id, rows, size, at)


def put_decoys(store: Store, *, export: str, folder: str, metadata: str) -> None:
    """Put what real buckets hold besides: a manifest of another shape, and files that no manifest names."""
    other = {"Schema": {"ColumnDefinition": [{"ColumnName": "BilledCost", "DataType": "DECIMAL"}]}}
    store.put(f"{metadata}{export}-Manifest-FOCUS.json", json.dumps(other).encode())
    store.put(f"{metadata}notes.json", b"{}")
    store.put(f"{folder}{export}-99999.snappy.parquet", b"")
    store.put(f"{folder}README.txt", b"not a data file")


def _manifest(export: str, execution_id: str, schema: pa.Schema | None, files: list[str]) -> bytes:
    fields = schema or ()
    return json.dumps(
        {
            "executionId": execution_id,
            "exportArn": f"arn:aws:bcm-data-exports:us-east-1:111122223333:export/{export}-{_EXPORT_UUID}",
            "columns": [{"name": field.name, "type": _type_name(field.type)} for field in fields],
            "dataFiles": files,
            "additionalOutputFiles": [],
        },
        indent=1,
    ).encode()


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_map(kind):
        return f"map<{_type_name(kind.key_type)},{_type_name(kind.item_type)}>"
    return _TYPE_NAMES.get(str(kind), str(kind))


def _chunks(
    data: Data, columns: Sequence[str] | None, chunks: int, chunk_rows: int
) -> Iterator[tuple[pa.Schema, Rows]]:
    """Schema and content of each data file, one at a time; each must be read before the next is asked for."""
    names = None if columns is None else list(columns)
    if isinstance(data, pa.Table):
        whole = data if names is None else data.select(names)
        cuts = [whole.num_rows * part // chunks for part in range(chunks + 1)] if chunks else []
        yield from ((whole.schema, whole.slice(low, high - low)) for low, high in pairwise(cuts))
        return
    parts = (part if names is None else part.select(names) for part in data)
    for part in parts:
        yield part.schema, part if isinstance(part, pa.Table) else _up_to(part, parts, chunk_rows)


def _up_to(first: pa.RecordBatch, rest: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """The first batch and as many of the rest as it takes to reach so many rows."""
    yield first
    written = first.num_rows
    while written < rows and (batch := next(rest, None)) is not None:
        yield batch
        written += batch.num_rows
