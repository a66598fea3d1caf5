"""Makes the files that are read: CUR 2.0 exports in folders, kept for the next run.

Runs as a process of its own, ``python -m benchmarks.inputs``: the runner must stay small, because Linux
counts its memory as the least that a process started by it has taken.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Format = Literal["parquet", "csv"]

SEED = 1
MONTH = "2026-09"
EXPORT = "bench"
DATA = Path(__file__).parent / "data"
_EXECUTION = "3b6f0d52-7d0e-4a57-8a4b-6d1f8f0c0911"


@dataclass(frozen=True, slots=True)
class Input:
    """An export of one delivery with one data file.

    Attributes:
        format: Of the data file.
        rows: In it.
        s3: Whether it shall be in S3 too.
    """

    format: Format
    rows: int
    s3: bool = False

    @property
    def root(self) -> Path:
        """The folder that stands for the bucket."""
        return DATA / f"cur2-seed{SEED}-{self.format}-{self.rows}"

    @property
    def url(self) -> str:
        """Where the export lies, as the tap is told."""
        return (self.root / "exports" / EXPORT).absolute().as_uri()

    @property
    def file(self) -> Path:
        """The data file."""
        (path,) = self.root.rglob(f"{EXPORT}-00001.*")
        return path


def make(wanted: Input) -> None:
    """Write the export, unless a run before this one has."""
    if wanted.root.exists():
        return
    from tests.local_clouds.cur2 import cur2_batches  # noqa: PLC0415 - see the module's docstring
    from tests.local_clouds.exports import FolderStore, publish_cur2  # noqa: PLC0415

    partial = wanted.root.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    publish_cur2(
        FolderStore(partial),
        export=EXPORT,
        period=MONTH,
        data=cur2_batches(wanted.rows, SEED, MONTH),
        execution_id=_EXECUTION,
        format=wanted.format,
        chunk_rows=wanted.rows,
    )
    partial.rename(wanted.root)


def upload(wanted: Input, bucket: str, client: dict[str, Any]) -> None:
    """Put the export into a bucket as it is, below a prefix of its own.

    Beside it goes the data file alone, for taps that read single files: a gzip file then with its name in the
    header, as the gzip command writes it, because tap-s3-csv passes over one without.
    """
    import boto3  # noqa: PLC0415 - see the module's docstring

    s3 = boto3.client("s3", **client)
    for path in (path for path in sorted(wanted.root.rglob("*")) if path.is_file()):
        s3.upload_file(str(path), bucket, f"{wanted.root.name}/{path.relative_to(wanted.root).as_posix()}")
    single = f"{wanted.root.name}-file"
    if wanted.format == "parquet":
        s3.upload_file(str(wanted.file), bucket, f"{single}/items.parquet")
    else:
        s3.put_object(Bucket=bucket, Key=f"{single}/items.csv.gz", Body=_named(wanted.file.read_bytes()))


def _named(gzipped: bytes) -> bytes:
    """The same gzip file with a file name after its header of ten bytes (RFC 1952, FNAME)."""
    name_flag = 8
    flags = bytes([gzipped[3] | name_flag])
    return gzipped[:3] + flags + gzipped[4:10] + b"items.csv\0" + gzipped[10:]


if __name__ == "__main__":
    order = json.load(sys.stdin)
    for item in (Input(**fields) for fields in order["inputs"]):
        make(item)
        if item.s3:
            upload(item, order["bucket"], order["client"])
