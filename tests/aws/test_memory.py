"""Memory: what the tap takes at most, however long the files are."""

from __future__ import annotations

import gzip
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from tests.aws.driving import LINE_ITEMS, catalog, command, run_process
from tests.aws.shelf import PERIOD, Shelf
from tests.local_clouds.cur2 import cur2_table
from tests.local_clouds.legacy_cur import legacy_table

if TYPE_CHECKING:
    from tests.aws.conftest import Config, RunTap

ROWS = 20_000
#: How often the rows are repeated. At a million rows, RESULTS.md tells of up to a third more, and 452 MB.
TIMES = 8
MOST_MB = 500
#: Runs the tap and tells the most memory that it had, in kB.
MEASURED = (
    "import re, sys\n"
    "from pathlib import Path\n"
    "from tap_offgridflow_aws.__main__ import main\n"
    "try:\n"
    "    main()\n"
    "finally:\n"
    "    status = Path('/proc/self/status').read_text()\n"
    "    print('PEAK', re.search(r'VmHWM:\\s*(\\d+)', status)[1], file=sys.stderr)\n"
)
PLAIN = {"format": "jsonl", "compression": "none"}
GZIPPED = {"format": "jsonl", "compression": "gzip"}


@pytest.fixture
def shelf(tmp_path: Path, tap_config: Config, run_tap: RunTap) -> Shelf:
    return Shelf(tmp_path / "bucket", tap_config, run_tap)


def deliver(shelf: Shelf, kind: str) -> None:
    rows = cur2_table(ROWS, 1, PERIOD)
    if kind == "parquet":
        shelf.cur2(PERIOD, pa.concat_tables([rows] * TIMES), chunks=1)
        return
    delivery = shelf.cur2(PERIOD, rows, chunks=1, format=kind)
    header, _, lines = gzip.decompress(shelf.path(delivery.data_keys[0]).read_bytes()).partition(b"\n")
    content = gzip.compress(header + b"\n", 1) + gzip.compress(lines, 1) * TIMES
    shelf.replace(delivery, 0, content)


#: Tags that have a column each in a legacy report, of which each row has few.
TAGS = 1500


def deliver_wide(shelf: Shelf) -> None:
    table = legacy_table(cur2_table(2, 1, PERIOD))
    tags = pa.table({f"resourceTags/user:Tag{number}": ["x", None] for number in range(TAGS)})
    for name in tags.column_names:
        table = table.append_column(name, tags[name])
    delivery = shelf.cur(PERIOD, table, chunks=1, format="gzip")
    header, *lines = gzip.decompress(shelf.path(delivery.data_keys[0]).read_bytes()).splitlines(keepends=True)
    content = gzip.compress(header + lines[0], 1) + gzip.compress(lines[1] * 7999, 1) * 2
    shelf.replace(delivery, 0, content)


def config_of(shelf: Shelf, kind: str) -> dict[str, Any]:
    return shelf.tap_config(exports=shelf.exports(kind), start_date="2026-07-01", end_date="2026-11-01")


def peak_mb(config: dict[str, Any], stream: str, folder: Path, rows: str) -> float:
    """What reading a stream took, which had so many rows."""
    line = command(folder, config, None, catalog([stream]))
    run = run_process([sys.executable, "-c", MEASURED, *line[line.index("--config") :]], os.environ)
    assert run.exit_code == 0, run.stderr
    assert re.search(rf"{PERIOD}: {rows} rows", run.stderr)
    peak = re.search(r"PEAK (\d+)", run.stderr)
    assert peak
    return int(peak[1]) / 1024


only_linux = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux tells the peak of a process"
)


@only_linux
@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("what", ["records", "activities", "plain lines", "gzipped lines", "parquet"])
def test_half_a_gigabyte_is_enough_for_all_columns(
    shelf: Shelf, tmp_path: Path, kind: str, what: str
) -> None:
    deliver(shelf, kind)
    encodings: dict[str, Any] = {
        "plain lines": PLAIN,
        "gzipped lines": GZIPPED,
        "parquet": {"format": "parquet"},
    }
    config = config_of(shelf, "cur2")
    if encoding := encodings.get(what):
        config["batch_config"] = {"encoding": encoding, "storage": {"root": tmp_path.as_uri()}}
    rows = r"[1-9][\d,]*" if what == "activities" else f"{ROWS * TIMES:,}"
    stream = "activities" if what == "activities" else LINE_ITEMS
    assert peak_mb(config, stream, tmp_path, rows) < MOST_MB


@only_linux
def test_thousands_of_tags_need_no_more(shelf: Shelf, tmp_path: Path) -> None:
    deliver_wide(shelf)
    assert peak_mb(config_of(shelf, "cur"), LINE_ITEMS, tmp_path, "15,999") < MOST_MB
