"""BATCH files of the tap, loaded by a loader of others: the same rows as from messages."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.piping import messages_of_the_tap, pipe
from tests.local_clouds.cur2 import cur2_table
from tests.local_clouds.exports import FolderStore, publish_cur2

if TYPE_CHECKING:
    from pathlib import Path

    from tests.installed import Once

ROWS = {"2026-08": 700, "2026-09": 500}
#: Loaders that read Parquet with pyarrow make lists of maps, and the columns that are all null have no type.
MAPS = ("product", "resource_tags", "cost_category", "discount", "tags", "extra")
STREAMS = ("cost_and_usage", "deliveries")
ENCODINGS = {
    "JSON lines": {"format": "jsonl", "compression": "gzip"},
    "Parquet": {"format": "parquet"},
}
NUMBERS = ("line_item_usage_amount", "line_item_unblended_cost", "row_number", "file_ordinal")
TEXTS = ("billing_period", "delivery_id", "line_item_product_code", "line_item_line_item_description")


@pytest.fixture(scope="module")
def exports(once: Once) -> list[dict[str, str]]:
    def publish(folder: Path) -> None:
        for seed, (month, rows) in enumerate(ROWS.items()):
            publish_cur2(
                FolderStore(folder),
                export="bills",
                period=month,
                data=cur2_table(rows, seed, month),
                execution_id=f"00000000-0000-4000-8000-{seed:012}",
            )

    return [{"type": "cur2", "url": (once("batched", publish) / "exports/bills").as_uri()}]


def load(messages: bytes, loader: Path, folder: Path) -> dict[str, list[dict[str, str]]]:
    """The rows that the loader writes, by stream, in the order of their places."""
    config = {"output_path": str(folder), "file_naming_scheme": "{stream_name}.csv"}
    pipe(loader, config, messages, folder)
    return {stream: _rows(folder / f"{stream}.csv") for stream in STREAMS}


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return sorted(
        rows, key=lambda row: [int(row.get(name) or 0) for name in NUMBERS[2:]] + [row["delivery_id"]]
    )


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_batch_files_bring_the_rows_that_messages_bring(
    encoding: str, exports: list[dict[str, str]], csv_loader: Path, tmp_path: Path
) -> None:
    config: dict[str, Any] = {"exports": exports}
    for name in ("records", "batches", "files"):
        (tmp_path / name).mkdir()
    records = messages_of_the_tap(tmp_path / "records", config, STREAMS, MAPS)
    storage = {"root": (tmp_path / "files").as_uri()}
    batched = config | {
        "batch_config": {"encoding": ENCODINGS[encoding], "storage": storage, "batch_size": 300}
    }
    batches = messages_of_the_tap(tmp_path / "batches", batched, STREAMS, MAPS)
    kinds = [json.loads(line)["type"] for line in batches.splitlines()]
    assert kinds.count("RECORD") == 0
    assert kinds.count("BATCH") >= sum(ROWS.values()) // 300

    expected = load(records, csv_loader, tmp_path / "records")
    landed = load(batches, csv_loader, tmp_path / "batches")

    assert len(landed["cost_and_usage"]) == sum(ROWS.values())
    assert [row["rows"] for row in landed["deliveries"]] == [row["rows"] for row in expected["deliveries"]]
    for given, wanted in zip(landed["cost_and_usage"], expected["cost_and_usage"], strict=True):
        assert [given[name] for name in TEXTS] == [wanted[name] for name in TEXTS]
        assert [_number(given[name]) for name in NUMBERS] == [_number(wanted[name]) for name in NUMBERS]


def _number(text: str) -> float | None:
    return float(text) if text else None
