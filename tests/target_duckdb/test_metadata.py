"""The SDK's metadata columns, versions of tables, and deletions."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.target_duckdb.loading import INTEGER, TEXT, record, schema

if TYPE_CHECKING:
    from pathlib import Path

    from tests.target_duckdb.loading import Loader, Message

KEYED = schema("s", ["k"], k=INTEGER, v=TEXT)
TYPES = {
    "_sdc_extracted_at": "TIMESTAMP WITH TIME ZONE",
    "_sdc_received_at": "TIMESTAMP WITH TIME ZONE",
    "_sdc_batched_at": "TIMESTAMP WITH TIME ZONE",
    "_sdc_deleted_at": "TIMESTAMP WITH TIME ZONE",
    "_sdc_sequence": "BIGINT",
    "_sdc_table_version": "BIGINT",
    "_sdc_sync_started_at": "BIGINT",
}
LEFT = "SELECT k, v, _sdc_table_version FROM s WHERE _sdc_deleted_at IS NULL ORDER BY k"
EXTRACTED = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)


def versioned(version: int, *keys: int) -> list[Message]:
    return [record("s", k=key, v=f"version {version}") | {"version": version} for key in keys]


def activate(version: int) -> Message:
    return {"type": "ACTIVATE_VERSION", "stream": "s", "version": version}


@pytest.mark.parametrize(
    "more", [{}, {"validate_records": True}, {"stream_maps": {"s": {"v": "v"}}}], ids=str
)
def test_rows_say_when_they_were_extracted_received_and_loaded(loader: Loader, more: dict[str, Any]) -> None:
    """Whether the SDK touches each record or none."""
    before = datetime.now(UTC)
    message = record("s", k=1, v="a", _sdc_deleted_at="2026-02-01T00:00:00Z")
    message |= {"version": 7, "time_extracted": EXTRACTED.isoformat()}
    loader.load(KEYED, message, record("s", k=2, v="b"), add_record_metadata=True, **more)
    after = datetime.now(UTC)
    assert loader.types("s") == {"k": "BIGINT", "v": "VARCHAR", **TYPES}
    first, second = loader.rows("s")
    assert first["_sdc_extracted_at"] == EXTRACTED
    assert first["_sdc_deleted_at"] == datetime(2026, 2, 1, tzinfo=UTC)
    assert first["_sdc_table_version"] == 7
    assert second["_sdc_extracted_at"] is second["_sdc_deleted_at"] is second["_sdc_table_version"] is None
    for row in (first, second):
        assert before <= row["_sdc_received_at"] <= after
        assert before <= row["_sdc_batched_at"] <= after
        tolerance = timedelta(milliseconds=1)
        for name in ("_sdc_sequence", "_sdc_sync_started_at"):
            moment = datetime.fromtimestamp(row[name] / 1000, UTC)
            assert before - tolerance <= moment <= after + tolerance, name


@pytest.mark.parametrize("encoding", ["jsonl", "parquet"])
def test_rows_of_files_say_when_they_were_received_and_loaded(
    loader: Loader, tmp_path: Path, encoding: str
) -> None:
    before = time.time_ns() // 10**6
    path = tmp_path / "file"
    if encoding == "jsonl":
        path.write_text(json.dumps({"k": 1, "v": "a"}))
    else:
        loader.ask(f"COPY (SELECT 1 AS k, 'a' AS v) TO '{path}' (FORMAT parquet)")
    message = {"type": "BATCH", "stream": "s", "encoding": {"format": encoding}, "manifest": [path.as_uri()]}
    loader.load(KEYED, message, add_record_metadata=True)
    (row,) = loader.rows("s")
    assert loader.types("s") == {"k": "BIGINT", "v": "VARCHAR", **TYPES}
    assert before <= row["_sdc_sequence"] <= time.time_ns() // 10**6
    assert row["_sdc_received_at"] == row["_sdc_batched_at"]
    assert row["_sdc_extracted_at"] is None


def file_of(loader: Loader, folder: Path, encoding: str, version: int, *keys: int) -> Message:
    """A BATCH message, which tells no version, with a file of rows."""
    path = folder / f"version {version}"
    if encoding == "jsonl":
        path.write_text("\n".join(json.dumps({"k": key, "v": f"version {version}"}) for key in keys))
    else:
        values = f"SELECT unnest({list(keys)}) AS k, 'version {version}' AS v"
        loader.ask(f"COPY ({values}) TO '{path}' (FORMAT parquet)")
    return {"type": "BATCH", "stream": "s", "encoding": {"format": encoding}, "manifest": [path.as_uri()]}


def test_there_are_no_metadata_columns_unless_they_are_asked_for(loader: Loader) -> None:
    loader.load(schema("s", k=INTEGER, _sdc_deleted_at=TEXT), record("s", k=1, _sdc_deleted_at="x"))
    assert loader.types("s") == {"k": "BIGINT"}


def test_activating_a_version_marks_the_rows_of_those_before(loader: Loader) -> None:
    loader.load(KEYED, *versioned(1, 1, 2, 3), activate(1), add_record_metadata=True)
    assert loader.ask("SELECT count(_sdc_deleted_at) FROM s") == [(0,)]
    before = datetime.now(UTC) - timedelta(seconds=1)
    loader.load(KEYED, *versioned(2, 2, 4), activate(2), add_record_metadata=True)
    rows = {row["k"]: row for row in loader.rows("s")}
    assert {key for key, row in rows.items() if row["_sdc_deleted_at"]} == {1, 3}
    assert all(before < rows[key]["_sdc_deleted_at"] <= datetime.now(UTC) for key in (1, 3))
    # What was deleted before keeps its time.
    loader.load(KEYED, *versioned(3, 2), activate(3), add_record_metadata=True)
    again = {row["k"]: row["_sdc_deleted_at"] for row in loader.rows("s")}
    assert again[1] == rows[1]["_sdc_deleted_at"]
    assert again[4] is not None
    assert again[2] is None


def test_activating_a_version_deletes_the_rows_of_those_before_if_that_is_asked_for(loader: Loader) -> None:
    loader.load(KEYED, *versioned(1, 1, 2, 3), activate(1), add_record_metadata=True)
    loader.load(KEYED, *versioned(2, 2, 4), activate(2), add_record_metadata=True, hard_delete=True)
    assert loader.ask("SELECT k, v FROM s ORDER BY k") == [(2, "version 2"), (4, "version 2")]


def test_a_version_can_be_activated_while_its_rows_are_on_their_way(loader: Loader) -> None:
    """As taps do that activate a new table's version before its first row."""
    loader.load(KEYED, activate(1), *versioned(1, 1, 2), activate(1), add_record_metadata=True)
    assert loader.ask("SELECT count(*), count(_sdc_deleted_at) FROM s") == [(2, 0)]


def test_versions_need_not_be_processed(loader: Loader) -> None:
    loader.load(KEYED, *versioned(1, 1), add_record_metadata=True)
    loader.load(
        KEYED,
        *versioned(2, 2),
        activate(2),
        add_record_metadata=True,
        process_activate_version_messages=False,
    )
    assert loader.ask("SELECT count(*), count(_sdc_deleted_at) FROM s") == [(2, 0)]


@pytest.mark.parametrize("hard_delete", [False, True])
@pytest.mark.parametrize("metadata_before", [False, True])
def test_a_version_without_metadata_deletes_and_marks_nothing(
    loader: Loader, caplog: pytest.LogCaptureFixture, *, metadata_before: bool, hard_delete: bool
) -> None:
    """Also where columns of metadata are left from before: the rows that come now have no version."""
    loader.load(KEYED, *versioned(1, 1, 2, 3), activate(1), add_record_metadata=metadata_before)
    before = loader.types("s")
    loader.load(KEYED, *versioned(2, 1, 2), activate(2), hard_delete=hard_delete)
    assert loader.types("s") == before
    assert loader.ask("SELECT k, v FROM s ORDER BY k") == [
        (1, "version 2"),
        (2, "version 2"),
        (3, "version 1"),
    ]
    if metadata_before:
        assert loader.ask("SELECT count(_sdc_deleted_at) FROM s") == [(0,)]
    assert "Version 2 of s is not activated" in caplog.text
    assert "add_record_metadata" in caplog.text


@pytest.mark.parametrize("hard_delete", [False, True])
@pytest.mark.parametrize("encoding", ["jsonl", "parquet"])
@pytest.mark.parametrize("told", ["before", "by the files' message"])
def test_activating_a_version_retires_the_rows_of_files_that_came_before(
    loader: Loader, tmp_path: Path, told: str, encoding: str, *, hard_delete: bool
) -> None:
    """The SDK's taps activate a version before they send its files, and say no version in their messages."""
    for version, keys in ((1, (1, 2, 3)), (2, (1, 2))):
        rows = file_of(loader, tmp_path, encoding, version, *keys)
        if told == "by the files' message":
            rows["version"] = version
        messages = [activate(version), rows] if told == "before" else [rows, activate(version)]
        loader.load(KEYED, *messages, add_record_metadata=True, hard_delete=hard_delete)
        assert loader.ask(LEFT) == [(key, f"version {version}", version) for key in keys]
    assert loader.ask("SELECT count(*) FROM s") == [(2 if hard_delete else 3,)]


def test_files_of_each_message_are_of_the_version_that_was_told_last(loader: Loader, tmp_path: Path) -> None:
    """Also where the files wait to be loaded together, and when the schema changes."""
    files = [file_of(loader, tmp_path, "jsonl", key, key) for key in range(1, 5)]
    loader.load(
        KEYED,
        files[0],
        files[1] | {"version": 1},
        files[2] | {"version": 2},
        schema("s", ["k"], k=INTEGER, v=TEXT, more=TEXT),
        files[3],
        add_record_metadata=True,
    )
    assert loader.ask("SELECT k, _sdc_table_version FROM s ORDER BY k") == [(1, None), (2, 1), (3, 2), (4, 2)]


@pytest.mark.parametrize("hard_delete", [False, True])
def test_activating_a_version_leaves_rows_that_tell_none(loader: Loader, *, hard_delete: bool) -> None:
    """Of a tap that reads what is new only, they may be all that there is of them."""
    loader.load(KEYED, *versioned(1, 1, 2))
    loader.load(KEYED, record("s", k=3), add_record_metadata=True)
    new = (*versioned(2, 2), record("s", k=4), activate(2))
    loader.load(KEYED, *new, add_record_metadata=True, hard_delete=hard_delete)
    assert [row[0] for row in loader.ask(LEFT)] == [1, 2, 3, 4]


def test_a_deletion_takes_the_row_away_if_that_is_asked_for(loader: Loader) -> None:
    loader.load(KEYED, *(record("s", k=k, v="a") for k in (1, 2, 3)), add_record_metadata=True)
    deleted = {"_sdc_deleted_at": "2026-02-01T00:00:00Z"}
    loader.load(
        KEYED,
        record("s", k=1, v="b", **deleted),
        record("s", k=2, v="b"),
        record("s", k=2, v="b", **deleted),
        record("s", k=4, **deleted),
        record("s", k=4, v="again"),
        add_record_metadata=True,
        hard_delete=True,
    )
    assert loader.ask("SELECT k, v FROM s ORDER BY k") == [(3, "a"), (4, "again")]
