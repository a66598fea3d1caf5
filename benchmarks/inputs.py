"""Makes the files that are read: exports in folders, kept for the next run.

Runs as a process of its own, ``python -m benchmarks.inputs``: the runner must stay small, because Linux
counts its memory as the least that a process started by it has taken.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.subjects import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.subjects import ExportType, Subject
    from tests.local_clouds.azure_cost_vocabulary import View

SEED = 1
MONTH = "2026-09"
EXPORT = "bench"
DATA = Path(__file__).parent / "data"
_EXECUTION = "3b6f0d52-7d0e-4a57-8a4b-6d1f8f0c0911"
_SUBMITTED = datetime(2026, 10, 3, 4, 12, 7, tzinfo=UTC)
_DATA_FILES = {".parquet", ".gz"}


@dataclass(frozen=True, slots=True)
class Input:
    """An export of one delivery with one data file.

    Attributes:
        subject: What it is.
        rows: In the data file.
        s3: Whether it shall be in S3 too.
    """

    subject: Subject
    rows: int
    s3: bool = False

    @property
    def root(self) -> Path:
        """The folder that stands for the bucket."""
        return DATA / f"{self.subject.export_type}-seed{SEED}-{self.subject.format}-{self.rows}"

    @property
    def url(self) -> str:
        """Where the export lies, as the tap is told."""
        return (self.root / "exports" / EXPORT).absolute().as_uri()

    @property
    def file(self) -> Path:
        """The data file."""
        (path,) = (path for path in self.root.rglob("*") if path.suffix in _DATA_FILES)
        return path


def make(wanted: Input) -> None:
    """Write the export, unless a run before this one has."""
    if wanted.root.exists():
        return
    unfinished = wanted.root.with_suffix(".partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    _PUBLISH[wanted.subject.export_type](unfinished, wanted)
    unfinished.rename(wanted.root)


def _publish_cur2(root: Path, wanted: Input) -> None:
    from tests.local_clouds.cur2 import cur2_batches  # noqa: PLC0415 - see the module's docstring
    from tests.local_clouds.exports import FolderStore, publish_cur2  # noqa: PLC0415

    publish_cur2(
        FolderStore(root),
        export=EXPORT,
        period=MONTH,
        data=cur2_batches(wanted.rows, SEED, MONTH),
        execution_id=_EXECUTION,
        format=wanted.subject.format,
        chunk_rows=wanted.rows,
    )


def _publish_legacy_cur(root: Path, wanted: Input) -> None:
    import pyarrow as pa  # noqa: PLC0415 - as above

    from tests.local_clouds.cur2 import cur2_batches  # noqa: PLC0415
    from tests.local_clouds.cur2_files import write_csv_gz  # noqa: PLC0415
    from tests.local_clouds.exports import FolderStore  # noqa: PLC0415
    from tests.local_clouds.legacy_cur import LEGACY_TIME, legacy_table, publish_legacy_cur  # noqa: PLC0415

    headers = [column.header for column in wanted.subject.sets[wanted.subject.whole]]
    lines = cur2_batches(wanted.rows, SEED, MONTH)
    tables = (legacy_table(pa.Table.from_batches([batch]), headers=headers) for batch in lines)
    batches = (batch for table in tables for batch in table.to_batches())
    first = next(batches)
    delivery = publish_legacy_cur(
        FolderStore(root),
        report=EXPORT,
        period=MONTH,
        data=pa.Table.from_batches([first]),
        assembly_id=_EXECUTION,
        prefix="exports",
        chunks=1,
    )
    (key,) = delivery.data_keys
    write_csv_gz(chain([first], batches), root / key, time_format=LEGACY_TIME)


def _publish_azure(root: Path, wanted: Input) -> None:
    from tests.local_clouds.azure_cost_files import cost_details, focus  # noqa: PLC0415 - as above
    from tests.local_clouds.azure_cost_rows import cost_blocks  # noqa: PLC0415
    from tests.local_clouds.azure_exports import publish_azure  # noqa: PLC0415
    from tests.local_clouds.exports import FolderStore  # noqa: PLC0415

    view: View = "FocusCost" if wanted.subject.export_type == "focus" else "ActualCost"
    shape = focus if view == "FocusCost" else partial(cost_details, agreement="ea")
    publish_azure(
        FolderStore(root),
        export=EXPORT,
        period=MONTH,
        parts=[map(shape, cost_blocks(wanted.rows, SEED, MONTH, view))],
        run_id=_EXECUTION,
        submitted_at=_SUBMITTED,
        kind=view,
        form="parquet" if wanted.subject.format == "parquet" else "gzip",
        directory="exports",
    )


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
    if wanted.subject.format == "parquet":
        s3.upload_file(str(wanted.file), bucket, f"{single}/items.parquet")
    else:
        s3.put_object(Bucket=bucket, Key=f"{single}/items.csv.gz", Body=_named(wanted.file.read_bytes()))


def _named(gzipped: bytes) -> bytes:
    """The same gzip file with a file name after its header of ten bytes (RFC 1952, FNAME)."""
    name_flag = 8
    flags = bytes([gzipped[3] | name_flag])
    return gzipped[:3] + flags + gzipped[4:10] + b"items.csv\0" + gzipped[10:]


_PUBLISH: dict[ExportType, Callable[[Path, Input], None]] = {
    "cur2": _publish_cur2,
    "cur": _publish_legacy_cur,
    "actual": _publish_azure,
    "focus": _publish_azure,
}

if __name__ == "__main__":
    order = json.load(sys.stdin)
    for fields in order["inputs"]:
        item = Input(SUBJECTS[fields["subject"]], fields["rows"], fields["s3"])
        make(item)
        if item.s3:
            upload(item, order["bucket"], order["client"])
