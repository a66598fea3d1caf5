"""Streams by blocks, by records and by files: the same rows, with what the SDK lets a user ask for."""

from __future__ import annotations

import gzip
import io
import json
import signal
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import polars as pl
import pytest
from singer_sdk.exceptions import ConfigValidationError

from offgridflow_common.errors import NotFoundError, OffGridFlowError
from tests.common.tiny_tap import PLAN, TinyTap, metadata_of, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.common.tiny_tap import Outcome

EVERYTHING = ["id", "at", "text", "amount", "tags", "weights", "extra"]


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def one_by_one(tap: TinyTap) -> None:
    for stream in tap.streams.values():
        stream.ABORT_AT_RECORD_COUNT = sys.maxsize


def is_plain(outcome: Outcome) -> bool:
    plain: bool = outcome.tap.streams["items"]._is_plain  # type: ignore[attr-defined]
    return plain


def timeless(outcome: Outcome) -> list[dict[str, Any]]:
    return [{name: value for name, value in m.items() if name != "time_extracted"} for m in outcome.messages]


def test_blocks_and_records_say_the_same() -> None:
    blocks, records, mapped = run(), run(prepare=one_by_one), run(stream_maps={"items": {}})
    assert [is_plain(outcome) for outcome in (blocks, records, mapped)] == [True, False, False]
    assert timeless(blocks) == timeless(records) == timeless(mapped)
    assert blocks.kinds == "STRRRTRTT"
    assert blocks.records()[0] == {
        "id": 1,
        "at": "2026-11-23T00:00:00.000001+00:00",
        "text": '"1"\n',
        "amount": 1 / 3,
        "tags": {"a": "1", "b": None},
        "weights": {"a": 1 / 7},
        "extra": {"new": 1},
    }


def test_the_time_of_extraction_is_there_on_both_paths() -> None:
    for outcome in (run(), run(prepare=one_by_one)):
        assert all(m["time_extracted"] for m in outcome.messages if m["type"] == "RECORD")


def deselect(*names: str) -> Any:
    def edit(entry: dict[str, Any]) -> None:
        for name in names:
            metadata_of(entry, "properties", name)["selected"] = False

    return edit


@pytest.mark.parametrize("config", [{}, {"stream_maps": {"items": {}}}], ids=["blocks", "records"])
@pytest.mark.parametrize("names", [["text"], ["extra", "amount", "tags"], ["id", "at"], EVERYTHING], ids=str)
def test_deselected_columns_stay_out_but_keys_never_do(names: list[str], config: dict[str, Any]) -> None:
    outcome = run(edit=deselect(*names), **config)
    left = [name for name in EVERYTHING if name not in names or name in {"id", "at"}]
    assert [list(record) for record in outcome.records()] == [left] * 4
    assert list(outcome.messages[0]["schema"]["properties"]) == left


def test_a_column_that_the_catalog_does_not_have_stays_out() -> None:
    outcome = run(edit=lambda entry: entry["schema"]["properties"].pop("tags"))
    assert is_plain(outcome)
    assert [list(record) for record in outcome.records()] == [[n for n in EVERYTHING if n != "tags"]] * 4


@pytest.mark.parametrize("config", [{}, {"stream_maps": {"items": {}}}], ids=["blocks", "records"])
@pytest.mark.parametrize("key", ["id", "at"])
def test_a_catalog_without_a_key_is_refused_before_anything_is_read(
    key: str, config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    def edit(entry: dict[str, Any]) -> None:
        if entry["tap_stream_id"] == "items":
            entry["schema"]["properties"].pop(key)
            entry["key-properties"] = entry["key_properties"] = []

    outcome = run({**PLAN, "zebras": {"one": [[9]]}}, edit=edit, **config)
    assert (outcome.ids(), outcome.parts(), outcome.ids("zebras")) == ([], [], [9])
    assert outcome.code == 1
    assert f"a catalog without its key: {key}" in caplog.text
    assert outcome.tap.failures["items"].error_class == "bad_request"


def test_a_member_of_a_map_can_be_deselected() -> None:
    def edit(entry: dict[str, Any]) -> None:
        text = {"type": ["string", "null"]}
        entry["schema"]["properties"]["tags"] = {
            "type": ["object", "null"],
            "properties": {"a": text, "b": text},
        }
        metadata_of(entry, "properties", "tags", "properties", "b")["selected"] = False

    outcome = run(edit=edit)
    assert not is_plain(outcome)
    assert [record["tags"] for record in outcome.records()] == [{"a": str(number)} for number in (1, 2, 3, 4)]


def test_a_deselected_stream_is_not_read() -> None:
    plan = {"items": {"one": [pytest.fail]}, "zebras": {"one": [[9]]}}

    def edit(entry: dict[str, Any]) -> None:
        metadata_of(entry)["selected"] = entry["stream"] == "zebras"

    outcome = run(plan, edit=edit)
    assert {message.get("stream") for message in outcome.messages} == {"zebras", None}


def test_stream_maps_see_single_records() -> None:
    outcome = run(stream_maps={"items": {"double": "amount * 2", "text": None, "__filter__": "id != 2"}})
    assert outcome.ids() == [1, 3, 4]
    assert [record["double"] for record in outcome.records()] == pytest.approx([2 / 3, 2, 8 / 3])
    assert all("text" not in record for record in outcome.records())
    assert outcome.parts() == ["one", "two", "empty"]


def test_a_stream_can_get_another_name_and_a_copy() -> None:
    outcome = run(
        stream_maps={"items": {"__alias__": "things"}, "copies": {"__source__": "items", "id": "id"}}
    )
    assert outcome.ids("things") == outcome.ids("copies") == [1, 2, 3, 4]


def test_flattening_takes_objects_apart() -> None:
    outcome = run(flattening_enabled=True, flattening_max_depth=1)
    assert not is_plain(outcome)
    assert outcome.ids() == [1, 2, 3, 4]
    assert outcome.records()[0]["amount"] == pytest.approx(1 / 3)


def full_table(entry: dict[str, Any]) -> None:
    entry["replication_method"] = metadata_of(entry)["forced-replication-method"] = "FULL_TABLE"


def test_full_table_reads_everything_whatever_the_state_says() -> None:
    state = run().messages[-1]["value"]
    outcome = run(edit=full_table, state=state)
    assert outcome.ids() == [1, 2, 3, 4]
    assert outcome.parts() == ["one", "two", "empty"]


def test_full_table_with_versions_gives_each_record_its_version() -> None:
    outcome = run(edit=full_table, emit_activate_version_messages=True)
    [version] = {m["version"] for m in outcome.messages if m["type"] == "ACTIVATE_VERSION"}
    assert [m["version"] for m in outcome.messages if m["type"] == "RECORD"] == [version] * 4


def dry_run(plan: dict[str, Any], limit: int = 1) -> list[dict[str, Any]]:
    """The messages of the SDK's ``--test``."""
    tap = type("PlannedTap", (TinyTap,), {"plan": plan})(config={})
    stdout = io.StringIO()
    with redirect_stdout(stdout):
        assert tap.run_sync_dry_run(limit)
    return [json.loads(line) for line in stdout.getvalue().splitlines()]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_dry_run_gives_so_many_records_of_each_stream_and_reads_no_further(limit: int) -> None:
    plan = {"items": {"one": [[1]], "two": [[2]], "three": [[3]], "four": [[4]], "five": [pytest.fail]}}
    plan["zebras"] = plan["items"]
    messages = dry_run(plan, limit)
    for stream in ("items", "zebras"):
        ids = [m["record"]["id"] for m in messages if m["type"] == "RECORD" and m["stream"] == stream]
        assert ids == [1, 2, 3][:limit]


def test_a_dry_run_that_cannot_read_fails() -> None:
    with pytest.raises(NotFoundError):
        dry_run({"items": {"one": [NotFoundError(asked="a", got="b", do="c")]}})
    with pytest.raises(OffGridFlowError, match="ZeroDivisionError"):
        dry_run({"items": {"one": [ZeroDivisionError()]}})


def test_rows_can_be_had_without_messages_or_state() -> None:
    tap = type("PlannedTap", (TinyTap,), {"plan": PLAN})(config={})
    stdout = io.StringIO()
    with redirect_stdout(stdout):
        rows = list(tap.streams["items"].get_records(None))
    assert ([row["id"] for row in rows], stdout.getvalue()) == ([1, 2, 3, 4], "")
    assert rows[0]["at"] == "2026-11-23T00:00:00.000001+00:00"


def test_an_output_of_text_gets_the_same_records() -> None:
    tap = type("PlannedTap", (TinyTap,), {"plan": PLAN})(config={})
    stdout = io.StringIO()
    with redirect_stdout(stdout):
        tap.run()
    messages = [json.loads(line) for line in stdout.getvalue().splitlines()]
    assert [m["record"]["id"] for m in messages if m["type"] == "RECORD"] == [1, 2, 3, 4]


def batched(tmp_path: Path, encoding: dict[str, str], **config: Any) -> Outcome:
    storage = {"root": tmp_path.as_uri(), "prefix": "pre-"}
    return run(batch_config={"encoding": encoding, "storage": storage, "batch_size": 2}, **config)


@pytest.mark.parametrize("file_format", ["jsonl", "parquet"])
def test_batch_files_hold_the_same_rows(tmp_path: Path, file_format: str) -> None:
    outcome = batched(tmp_path, {"format": file_format, "compression": "gzip"})
    files = [Path(urlsplit(m["manifest"][0]).path) for m in outcome.messages if m["type"] == "BATCH"]
    assert sorted(files) == sorted(tmp_path.iterdir())
    assert all(file.name.startswith("pre-tap-tiny--items-") for file in files)
    expected = run().records()
    if file_format == "jsonl":
        rows = [
            json.loads(line) for file in files for line in gzip.decompress(file.read_bytes()).splitlines()
        ]
        assert rows == expected
    else:
        frame = pl.concat([pl.read_parquet(file) for file in files], how="vertical_relaxed")
        assert frame["id"].to_list() == [record["id"] for record in expected]
        assert [moment.isoformat(timespec="microseconds") for moment in frame["at"]] == [
            r["at"] for r in expected
        ]
    assert outcome.parts() == ["one", "two", "empty"]


def test_where_single_records_are_needed_there_are_no_batch_files(tmp_path: Path) -> None:
    encoding = {"format": "jsonl", "compression": "gzip"}
    outcome = batched(tmp_path, encoding, stream_maps={"items": {"double": "id * 2"}})
    assert [record["double"] for record in outcome.records()] == [2, 4, 6, 8]
    assert list(tmp_path.iterdir()) == []


def test_deliveries_come_last_and_the_others_by_name() -> None:
    plan = {name: {"one": [[1]]} for name in ("deliveries", "items", "zebras")}
    outcome = run(plan)
    streams = [message["stream"] for message in outcome.messages if message["type"] == "SCHEMA"]
    assert streams == ["items", "zebras", "deliveries"]


def test_settings_that_are_wrong_end_it_all_before_it_begins() -> None:
    with pytest.raises(ConfigValidationError, match="'start_dat': did you mean 'start_date'"):
        TinyTap(config={"start_dat": "2025-01-01"})
    with pytest.raises(ConfigValidationError, match="start_date must be a date"):
        TinyTap(config={"start_date": "soon"})


def test_the_command_line_ends_with_the_exit_code_of_the_run(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "config.json").write_text("{}")
    cls = type("PlannedTap", (TinyTap,), {"plan": {"items": {"one": [[1]], "two": [KeyError("x")]}}})
    with pytest.raises(SystemExit) as end:
        cls.cli(["--config", str(tmp_path / "config.json")])
    assert end.value.code == 1
    out, _ = capsysbinary.readouterr()
    assert [json.loads(line)["type"] for line in out.splitlines()].count("RECORD") == 1
