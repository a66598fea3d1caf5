"""The private seams of the Meltano SDK that the taps stand on: an SDK that moves one fails here by name."""

from __future__ import annotations

import ast
import inspect
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from singer_sdk import Stream, Tap
from singer_sdk.exceptions import AbortedSyncPausedException
from singer_sdk.helpers._batch import BatchConfig, BatchFileFormat
from singer_sdk.helpers._state import StateWriter
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.plugin_base import PluginBase
from singer_sdk.singerlib.encoding.simple import SimpleSingerWriter
from singer_sdk.streams._state import StreamStateManager

from offgridflow_common.singer.streams import OffGridFlowStream
from offgridflow_common.singer.writer import BlockWriter
from tap_offgridflow_aws.tap import TapOffgridflowAws

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.helpers.types import Context

SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": ["integer"]},
        "at": {"type": ["string"], "format": "date-time"},
        "note": {"type": ["string", "null"]},
    },
}
AT = "2026-01-01T00:00:00.000000+00:00"

#: What is overridden or called, with its parameters.
CALLS: dict[tuple[type, str], list[str]] = {
    (Stream, "_sync_records"): ["self", "context", "write_messages"],
    (Stream, "_write_record_message"): ["self", "record"],
    (Stream, "_check_max_record_limit"): ["self", "current_record_index"],
    (Stream, "_write_state_message"): ["self"],
    (Stream, "get_record_counter"): ["self", "endpoint", "log_interval"],
    (Stream, "get_records"): ["self", "context"],
    (Stream, "get_replication_key_signpost"): ["self", "context"],
    (Stream, "get_batch_config"): ["self", "config"],
    (Stream, "get_batches"): ["self", "batch_config", "context"],
    (Stream, "_sync_batches"): ["self", "batch_config", "context"],
    (Tap, "_handle_termination"): ["self", "signum", "frame"],
    (Tap, "sync_all"): ["self"],
    (Tap, "load_streams"): ["self"],
    (PluginBase, "_setup_signal_handlers"): ["self"],
    (StateWriter, "write_state"): ["self", "state"],
    (SimpleSingerWriter, "format_message"): ["self", "message"],
    (SimpleSingerWriter, "write_message"): ["self", "message"],
}


class PlainStream(Stream):
    """A stream as the SDK has it, without anything of ours."""

    name = "plain"
    primary_keys = ("id",)
    replication_key = "at"

    def get_records(self, context: Context | None) -> Iterator[dict[str, Any]]:
        del context
        yield from ({"id": number, "at": AT, "note": None} for number in range(3))


class PlainTap(Tap):
    """A tap as the SDK has it."""

    name = "tap-plain"
    config_jsonschema: ClassVar[dict[str, Any]] = {"type": "object", "properties": {}}

    def discover_streams(self) -> list[Stream]:
        return [PlainStream(self, schema=SCHEMA)]


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.fixture
def stream() -> Stream:
    return PlainTap(config={}).streams["plain"]


class Out:
    """What was written to stdout."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def types(self) -> list[str]:
        return [json.loads(line)["type"] for line in self._capsys.readouterr().out.splitlines()]


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Out:
    return Out(capsys)


@pytest.mark.parametrize(("owner", "name"), CALLS, ids=[f"{owner.__name__}.{name}" for owner, name in CALLS])
def test_a_seam_is_there_with_its_parameters(owner: type, name: str) -> None:
    method = getattr(owner, name, None)
    assert method is not None, (
        f"the SDK has no {owner.__name__}.{name} any more: see offgridflow_common.singer"
    )
    assert list(inspect.signature(method).parameters) == CALLS[owner, name]


def test_a_sync_is_schema_and_then_what_sync_records_does(
    stream: Stream, out: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def records(**arguments: Any) -> Iterator[dict[str, Any]]:
        asked.append(arguments)
        yield {}

    monkeypatch.setattr(stream, "_sync_records", records)
    stream.sync()
    assert asked == [{"context": None}]
    assert out.types() == ["SCHEMA"]


def test_a_run_begins_with_the_state_it_was_given_and_ends_each_stream_with_state(out: Out) -> None:
    PlainTap(config={}).sync_all()
    assert out.types() == ["SCHEMA", "RECORD", "RECORD", "RECORD", "STATE"]
    partitions = [{"context": {"part": "1"}, "replication_key": "at", "replication_key_value": AT}]
    PlainTap(config={}, state={"bookmarks": {"plain": {"partitions": partitions}}}).sync_all()
    assert out.types()[:2] == ["STATE", "SCHEMA"]


def test_a_record_message_marks_state_as_not_written(stream: Stream, out: Out) -> None:
    assert stream.state_manager.is_flushed
    stream._write_record_message({"id": 1, "at": AT, "note": None})
    assert not stream.state_manager.is_flushed
    stream._write_state_message()
    assert stream.state_manager.is_flushed
    stream._write_state_message()
    assert out.types() == ["RECORD", "STATE"]


def test_state_goes_out_when_it_is_marked_as_not_written_and_differs(stream: Stream, out: Out) -> None:
    for values in ({"a": 1}, {"a": 1}, {"a": 2}):
        stream.stream_state.update(values)
        stream.state_manager.is_flushed = False
        stream._write_state_message()
    assert out.types() == ["STATE", "STATE"]


def test_a_streams_state_is_part_of_the_taps_and_written_to_in_place(stream: Stream) -> None:
    entry = {"context": {"part": "1"}, "replication_key_value": AT}
    stream.stream_state.setdefault("partitions", []).append(entry)
    assert stream._tap.state == {"bookmarks": {"plain": {"partitions": [entry]}}}
    assert isinstance(stream.state_manager, StreamStateManager)
    assert stream.partitions == [{"part": "1"}]


def test_the_limit_of_records_ends_a_stream_by_an_exception(stream: Stream) -> None:
    assert stream.ABORT_AT_RECORD_COUNT is None
    stream._check_max_record_limit(current_record_index=10**9)
    stream.ABORT_AT_RECORD_COUNT = 2
    stream._check_max_record_limit(current_record_index=1)
    with pytest.raises(AbortedSyncPausedException):
        stream._check_max_record_limit(current_record_index=2)


def test_a_dry_run_sets_the_limit_and_takes_its_exception(stream: Stream, out: Out) -> None:
    assert stream._tap.run_sync_dry_run(2)
    assert stream.ABORT_AT_RECORD_COUNT == 2
    assert out.types().count("RECORD") == 2


def test_a_counter_counts_in_a_with_block(stream: Stream, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"), stream.get_record_counter() as counter:
        counter.increment(41)
        counter.increment()
    assert '"value":42' in caplog.text.replace(" ", "")


def test_the_mask_goes_by_breadcrumbs_and_tells_of_the_stream_itself(stream: Stream) -> None:
    assert stream.mask["properties", "note"]
    assert stream.mask.get((), True) is stream.selected is True
    entry = stream._tap.catalog_dict
    for metadata in entry["streams"][0]["metadata"]:
        if metadata["breadcrumb"] == ("properties", "note") or metadata["breadcrumb"] == [
            "properties",
            "note",
        ]:
            metadata["metadata"]["selected"] = False
    chosen = PlainTap(config={}, catalog=entry).streams["plain"]
    assert not chosen.mask["properties", "note"]
    assert chosen.mask["properties", "id"]
    assert set(chosen.effective_schema["properties"]) == {"id", "at", "note"}


@pytest.mark.parametrize(
    ("config", "plain"),
    [
        ({}, True),
        ({"stream_maps": {"plain": {"more": "id"}}}, False),
        ({"stream_maps": {"plain": {"__filter__": "id > 1"}}}, False),
        ({"stream_maps": {"plain": "__NULL__"}}, False),
        ({"stream_maps": {"plain": {"__alias__": "other"}}}, False),
        ({"flattening_enabled": True, "flattening_max_depth": 1}, False),
    ],
    ids=str,
)
def test_only_where_nothing_is_asked_for_there_is_the_one_map_that_changes_nothing(
    config: dict[str, Any],
    plain: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    maps = PlainTap(config=config).streams["plain"].stream_maps
    same = len(maps) == 1 and type(maps[0]) is SameRecordTransform and not maps[0].flattening_enabled
    assert same is plain


def test_a_version_is_set_only_for_full_tables_that_announce_themselves(out: Out) -> None:
    catalog = PlainTap(config={}).catalog_dict
    catalog["streams"][0]["replication_method"] = "FULL_TABLE"
    assert PlainTap(config={}).streams["plain"]._stream_version is None
    announced = PlainTap(config={"emit_activate_version_messages": True}, catalog=catalog).streams["plain"]
    announced.sync()
    assert announced._stream_version is not None
    assert "ACTIVATE_VERSION" in out.types()


def test_dates_are_written_the_way_blocks_write_them(
    stream: Stream, capsys: pytest.CaptureFixture[str]
) -> None:
    stream._write_record_message({"id": 1, "at": AT, "note": None})
    message = json.loads(capsys.readouterr().out)
    assert message["record"] == {"id": 1, "at": AT, "note": None}
    assert list(message) == ["type", "stream", "record", "time_extracted"]


def test_termination_writes_state_and_exits(stream: Stream, out: Out) -> None:
    stream.stream_state["a"] = 1
    with pytest.raises(SystemExit) as end:
        stream._tap._handle_termination(signal.SIGTERM, None)
    assert end.value.code == 0
    assert out.types() == ["STATE"]


def test_ours_waits_with_termination_until_the_line_under_way_is_out(out: Out) -> None:
    tap = TapOffgridflowAws(config={}, state={"bookmarks": {"activities": {"partitions": []}}})
    writer = tap.message_writer
    assert isinstance(writer, BlockWriter)
    line = writer._whole_lines()
    line.__enter__()
    tap._handle_termination(signal.SIGTERM, None)
    assert tap.cancel.is_set()
    assert out.types() == []
    with pytest.raises(SystemExit):
        line.__exit__(None, None, None)
    assert out.types() == ["STATE"]


def test_termination_is_what_the_signals_call(stream: Stream) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        assert signal.getsignal(number) == stream._tap._handle_termination


def test_settings_of_the_sdk_are_added_to_the_schema_in_place() -> None:
    schema: dict[str, Any] = {"properties": {}}
    PlainTap.append_builtin_config(schema)
    assert {"stream_maps", "stream_map_config", "flattening_enabled", "batch_config"} <= set(
        schema["properties"]
    )
    assert PlainTap._env_var_prefix == "TAP_PLAIN_"


def test_the_writer_is_made_of_the_class_that_the_tap_names() -> None:
    class OtherWriter(SimpleSingerWriter):
        pass

    class OtherTap(PlainTap):
        message_writer_class = OtherWriter

    tap = OtherTap(config={})
    assert type(tap.message_writer) is OtherWriter


def test_a_batch_configuration_says_format_compression_and_place(tmp_path: Path) -> None:
    config = BatchConfig.from_dict(
        {
            "encoding": {"format": "parquet", "compression": "gzip"},
            "storage": {"root": tmp_path.as_uri(), "prefix": "batch-"},
        }
    )
    assert (config.encoding.format, config.encoding.compression) == (BatchFileFormat.PARQUET, "gzip")
    assert (config.storage.root, config.storage.prefix) == (tmp_path.as_uri(), "batch-")
    with config.storage.open("a file", "wb") as file:
        file.write(b"content")
    assert (tmp_path / "a file").read_bytes() == b"content"
    assert config.storage.get_url("name").endswith("/name")


def test_ours_stand_on_no_other_private_name() -> None:
    """What is overridden or called by a leading underscore stands in the table above, or is ours."""
    folder = Path(inspect.getfile(OffGridFlowStream)).parent
    used = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
                used.add(node.attr)
            if (
                isinstance(node, ast.FunctionDef)
                and node.name.startswith("_")
                and not node.name.endswith("__")
            ):
                used.add(node.name)
    of_the_sdk = {name for name in used if any(hasattr(cls, name) for cls in (Stream, Tap))}
    tested = {name for _, name in CALLS} | {"_env_var_prefix"}
    assert of_the_sdk <= tested
    assert "_streams" in used
    assert "_stream_version" in used
