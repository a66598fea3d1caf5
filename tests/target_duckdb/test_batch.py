"""BATCH: files of Parquet and JSON lines, on this machine and in buckets, give the rows that records give."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from singer_sdk.exceptions import MissingKeyPropertiesError

from offgridflow_common.errors import BadRequestError, ContractBroken, FatalError, NotFoundError
from target_offgridflow_duckdb.table import Table
from tests.local_clouds.aws import LocalAws
from tests.target_duckdb.loading import (
    BOOLEAN,
    DATE,
    INTEGER,
    MOMENT,
    NUMBER,
    OBJECT,
    TEXT,
    Loader,
    record,
    records_of,
    schema,
    state,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from tests.target_duckdb.loading import Message

PARQUET = {"format": "parquet"}
JSONL = {"format": "jsonl"}
GZIPPED = {"format": "jsonl", "compression": "gzip"}
ENCODINGS = {"parquet": PARQUET, "jsonl": JSONL, "gzipped jsonl": GZIPPED}

KEYED = schema("s", ["k"], k=INTEGER, v=TEXT)
ALL = schema(
    "s",
    ["k"],
    k=INTEGER,
    text=TEXT,
    number=NUMBER,
    yes=BOOLEAN,
    moment=MOMENT,
    day=DATE,
    tags=OBJECT,
    list={"type": ["array", "null"]},
    cents={"type": ["number", "null"], "multipleOf": 0.01},
    mixed={},
)


def rows_of_all(count: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {
            "k": k,
            "text": ["", "é\n\0", None][k % 3],
            "number": k / 7,
            "yes": k % 2 == 0,
            "moment": f"2026-01-{k % 28 + 1:02}T12:00:00.{k:06}+00:00",
            "day": f"2026-02-{k % 28 + 1:02}",
            "tags": {"a": str(k)} if k % 2 else None,
            "list": [k, k + 1],
            "cents": k / 4,
            "mixed": f"text {k}",
        }
        for k in range(count)
    ]
    return rows


def content(encoding: dict[str, str], rows: Sequence[dict[str, Any]]) -> bytes:
    """A BATCH file as the SDK writes one."""
    if encoding == PARQUET:
        target = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(list(rows)), target)
        return target.getvalue()
    lines = "\n".join(map(json.dumps, rows)).encode()
    return gzip.compress(lines) if encoding == GZIPPED else lines


def batch(encoding: dict[str, str], *urls: str, stream: str = "s") -> Message:
    return {"type": "BATCH", "stream": stream, "encoding": encoding, "manifest": list(urls)}


@pytest.fixture
def put(tmp_path: Path) -> Any:
    """Writes a BATCH file and gives its URL."""

    def write(
        encoding: dict[str, str], rows: Sequence[dict[str, Any]], name: str = "odd name's %41.file"
    ) -> str:
        path = tmp_path / name
        path.write_bytes(content(encoding, rows))
        return path.as_uri()

    return write


@pytest.fixture(params=ENCODINGS)
def encoding(request: pytest.FixtureRequest) -> dict[str, str]:
    return ENCODINGS[request.param]


def test_files_give_the_rows_that_records_give(
    loader: Loader, put: Any, encoding: dict[str, str], tmp_path: Path
) -> None:
    rows = rows_of_all(100)
    loader.load(ALL, *records_of("s", rows))
    from_files = Loader(tmp_path / "files.duckdb", {})
    from_files.load(ALL, batch(encoding, put(encoding, rows[:60], "1"), put(encoding, rows[60:], "2")))
    assert from_files.types("s") == loader.types("s")
    assert comparable(from_files.rows("s")) == comparable(loader.rows("s"))
    assert len(loader.rows("s")) == len(rows)


def comparable(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with their JSON parsed: Parquet does not keep how it was spelled."""
    return [row | {name: row[name] and json.loads(row[name]) for name in ("tags", "list")} for row in rows]


def test_files_upsert_and_the_last_of_a_key_stays_within_and_across_files(
    loader: Loader, put: Any, encoding: dict[str, str]
) -> None:
    loader.load(KEYED, record("s", k=1, v="record"), record("s", k=9, v="record"))
    first = [{"k": 1, "v": "a"}, {"k": 2, "v": "a"}, {"k": 1, "v": "b"}]
    second = [{"k": 2, "v": "c"}, {"k": 3, "v": "c"}]
    loader.load(KEYED, batch(encoding, put(encoding, first, "1"), put(encoding, second, "2")))
    assert loader.ask("SELECT k, v FROM s ORDER BY k") == [(1, "b"), (2, "c"), (3, "c"), (9, "record")]


def test_files_append_without_a_key(loader: Loader, put: Any, encoding: dict[str, str]) -> None:
    url = put(encoding, [{"v": "a"}, {"v": "a"}])
    loader.load(schema("s", v=TEXT), batch(encoding, url, url))
    assert loader.ask("SELECT v, count(*) FROM s GROUP BY v") == [("a", 4)]


def test_records_and_files_of_a_stream_land_in_the_order_they_came(
    loader: Loader, put: Any, encoding: dict[str, str]
) -> None:
    url = put(encoding, [{"k": k, "v": "file"} for k in (1, 2)])
    loader.load(KEYED, record("s", k=1, v="before"), batch(encoding, url), record("s", k=2, v="after"))
    assert loader.ask("SELECT k, v FROM s ORDER BY k") == [(1, "file"), (2, "after")]


def test_a_state_after_files_goes_out_with_the_records_it_covers(
    loader: Loader, put: Any, encoding: dict[str, str]
) -> None:
    other = schema("other", ["k"], k=INTEGER)
    states = loader.load(
        KEYED,
        other,
        record("other", k=1),
        state({"at": 1}),
        batch(encoding, put(encoding, [{"k": 1, "v": "file"}])),
        state({"at": 2}),
        record("other", k=2),
    )
    assert states[0] == {"at": 2}
    assert loader.rows("other") == [{"k": 1}, {"k": 2}]


def test_files_wait_until_they_are_enough_and_then_let_the_next_state_out(
    loader: Loader, put: Any, encoding: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [put(encoding, [{"k": k, "v": "a" * 99}], str(k)) for k in range(5)]
    size = (loader.path.parent / "0").stat().st_size
    monkeypatch.setattr("target_offgridflow_duckdb.batch_files._TOGETHER_BYTES", 2 * size)
    messages = [KEYED]
    for k, url in enumerate(files):
        messages += [batch(encoding, url), state({"at": k})]
    assert loader.load(*messages) == [{"at": 1}, {"at": 3}, {"at": 4}]
    assert [row["k"] for row in loader.rows("s")] == list(range(5))


def test_messages_of_different_files_are_loaded_together_in_their_order(loader: Loader, put: Any) -> None:
    rows = [
        (PARQUET, [{"k": 1, "v": "a"}, {"k": 2, "v": "a"}]),
        (PARQUET, [{"k": 2.0, "v": "b"}]),
        (PARQUET, [{"v": "c", "k": 3}, {"v": None, "k": 1}]),
        (PARQUET, [{"k": 6, "v": "c"}]),
        (GZIPPED, [{"k": 3, "v": "d"}, {"k": 4, "v": "d"}]),
        (PARQUET, [{"k": 4, "v": "e"}]),
        (JSONL, [{"k": 5}]),
    ]
    urls = [put(encoding, some, str(number)) for number, (encoding, some) in enumerate(rows)]
    loader.load(KEYED, *(batch(encoding, url) for (encoding, _), url in zip(rows, urls, strict=True)))
    found = loader.ask("SELECT k, v FROM s ORDER BY k")
    assert found == [(1, None), (2, "b"), (3, "d"), (4, "e"), (5, None), (6, "c")]


def test_files_that_wait_are_loaded_before_their_schema_changes(
    loader: Loader, put: Any, encoding: dict[str, str]
) -> None:
    wider = schema("s", ["k"], k=INTEGER, v=TEXT, w=TEXT)
    loader.load(
        KEYED,
        batch(encoding, put(encoding, [{"k": 1, "v": "a"}, {"k": 2, "v": "a"}], "1")),
        wider,
        batch(encoding, put(encoding, [{"k": 2, "v": "b", "w": "b"}], "2")),
    )
    assert loader.ask("SELECT k, v, w FROM s ORDER BY k") == [(1, "a", None), (2, "b", "b")]


def test_rows_of_files_that_wait_stay_when_a_version_is_activated(
    loader: Loader, put: Any, encoding: dict[str, str]
) -> None:
    """Files tell no version, so none of their rows is of an earlier one."""
    loader.load(KEYED, record("s", k=1) | {"version": 1}, add_record_metadata=True)
    activate = {"type": "ACTIVATE_VERSION", "stream": "s", "version": 2}
    rows = batch(encoding, put(encoding, [{"k": 2, "v": "file"}]))
    loader.load(KEYED, rows, activate, add_record_metadata=True, hard_delete=True)
    assert loader.ask("SELECT k, v FROM s") == [(2, "file")]


def test_the_last_of_a_key_stays_across_large_files(loader: Loader, tmp_path: Path) -> None:
    """DuckDB reads row groups and files in parallel."""
    urls = []
    for number in range(3):
        keys = pa.array([k % 50_000 for k in range(150_000)])
        values = pa.array([f"{number} {place:06}" for place in range(150_000)])
        urls.append(str(tmp_path / str(number)))
        pq.write_table(pa.table({"k": keys, "v": values}), urls[-1], row_group_size=10_000)
    loader.load(KEYED, batch(PARQUET, *urls))
    assert loader.ask("SELECT count(*), min(v), max(v) FROM s") == [(50_000, "2 100000", "2 149999")]


def test_a_message_is_loaded_whole_or_not_at_all(loader: Loader, put: Any, encoding: dict[str, str]) -> None:
    timed = schema("s", ["k"], k=INTEGER, v=MOMENT)
    good = put(encoding, [{"k": 1, "v": "2026-01-01T00:00:00Z"}], "good")
    bad = put(encoding, [{"k": 2, "v": "never"}], "bad")
    with pytest.raises(FatalError, match="never"):
        loader.load(timed, state({"at": 1}), batch(encoding, good, bad), state({"at": 2}))
    assert loader.rows("s") == []


def test_columns_that_a_file_lacks_are_null_and_those_the_schema_lacks_are_left_out(
    loader: Loader, put: Any, encoding: dict[str, str]
) -> None:
    wide = schema("s", ["k"], k=INTEGER, v=TEXT, w=OBJECT)
    loader.load(wide, batch(encoding, put(encoding, [{"k": 1, "z": 5, "v": "a"}])))
    assert loader.rows("s") == [{"k": 1, "v": "a", "w": None}]


def test_a_file_without_the_key_is_refused(loader: Loader, put: Any, encoding: dict[str, str]) -> None:
    with pytest.raises(MissingKeyPropertiesError):
        loader.load(KEYED, batch(encoding, put(encoding, [{"v": "a"}])))


def test_a_number_that_is_not_whole_is_refused_in_a_column_of_integers(
    loader: Loader, put: Any, encoding: dict[str, str]
) -> None:
    for number, maximum in enumerate((2**63 - 1, 2**64 - 1)):
        stream = f"s{number}"
        start = schema(stream, ["k"], k={"type": "integer", "maximum": maximum}, v=TEXT)
        loader.load(start, batch(encoding, put(encoding, [{"k": 5.0, "v": "a"}]), stream=stream))
        with pytest.raises((ContractBroken, FatalError), match=r"whole in column k|got 1\.5"):
            loader.load(start, batch(encoding, put(encoding, [{"k": 1.5, "v": "a"}]), stream=stream))
        assert loader.rows(stream) == [{"k": 5, "v": "a"}]


def test_parquet_that_would_be_rounded_is_refused(loader: Loader, tmp_path: Path) -> None:
    """As it is in records."""
    cents, decimals = {"type": "number", "multipleOf": 0.01}, {"type": "string", "format": "singer.decimal"}
    cases: list[tuple[dict[str, Any], Any, Any]] = [
        (cents, pa.array([1.24, 0.1, -7.0]), pa.array([1.239])),
        (
            decimals | {"scale": 2},
            pa.array(["2.55", "2.5500", "-7", ".5", "0E-18", "1.5e1"]),
            pa.array(["2.559"]),
        ),
        (
            decimals | {"scale": 2},
            pa.array([Decimal("2.5500")], pa.decimal128(20, 4)),
            pa.array([Decimal("2.5559")], pa.decimal128(20, 4)),
        ),
        (INTEGER, pa.array(["15", "15.0"]), pa.array(["1.5"])),
    ]
    for number, (kind, good, bad) in enumerate(cases):
        stream, path = f"s{number}", tmp_path / f"{number}.parquet"
        start = schema(stream, n=kind)
        pq.write_table(pa.table({"n": good}), path)
        loader.load(start, batch(PARQUET, str(path), stream=stream))
        pq.write_table(pa.table({"n": bad}), path)
        with pytest.raises(FatalError, match=r"(more than 2 decimals|not whole) in column n"):
            loader.load(start, batch(PARQUET, str(path), stream=stream))
        assert len(loader.rows(stream)) == len(good)


def test_a_path_names_one_file_and_its_folders_say_nothing(loader: Loader, tmp_path: Path) -> None:
    """DuckDB takes patterns of files, and folders that give their files a column."""
    folder = tmp_path / "k=5"
    folder.mkdir()
    pq.write_table(pa.table({"k": [1], "v": ["another"]}), folder / "x1.parquet")
    pq.write_table(pa.table({"k": [2, 3], "v": ["right", "right"]}), folder / "x[1].parquet")
    loader.load(KEYED, batch(PARQUET, str(folder / "x[1].parquet")))
    assert loader.rows("s") == [{"k": 2, "v": "right"}, {"k": 3, "v": "right"}]


def test_a_column_of_parquet_is_found_however_its_case(loader: Loader, tmp_path: Path) -> None:
    pq.write_table(pa.table({"K": [1], "v": ["a"]}), tmp_path / "file")
    loader.load(schema("s", ["k"], k=INTEGER, V=TEXT), batch(PARQUET, str(tmp_path / "file")))
    assert loader.ask("SELECT k, v FROM s") == [(1, "a")]


def test_a_gzipped_file_of_no_bytes_is_a_damaged_one(loader: Loader, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(FatalError, match="run the tap again"):
        loader.load(KEYED, batch(GZIPPED, str(tmp_path / "empty")))


def test_a_batch_without_a_schema_is_refused(loader: Loader, tmp_path: Path) -> None:
    with pytest.raises(ContractBroken, match="no SCHEMA message"):
        loader.load(batch(PARQUET, str(tmp_path / "file")))


def test_an_empty_file_is_no_trouble(loader: Loader, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    loader.load(KEYED, batch(JSONL, str(tmp_path / "empty")), batch(GZIPPED))
    assert loader.rows("s") == []


def test_the_taps_of_this_project_write_files_that_give_all_their_types(
    loader: Loader, tmp_path: Path
) -> None:
    moment = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)
    frame = pl.DataFrame(
        {"k": [1, 2], "moment": [moment, None], "tags": [{"a": "b"}, None], "number": [0.1, None]},
        schema_overrides={"moment": pl.Datetime("us", "UTC"), "tags": pl.Map(pl.String(), pl.String())},
    )
    frame.write_parquet(tmp_path / "file")
    loader.load(
        schema("s", ["k"], k=INTEGER, moment=MOMENT, tags=OBJECT, number=NUMBER),
        batch(PARQUET, (tmp_path / "file").as_uri()),
    )
    assert loader.rows("s") == [
        {"k": 1, "moment": moment, "tags": '{"a":"b"}', "number": 0.1},
        {"k": 2, "moment": None, "tags": None, "number": None},
    ]


def test_parquet_gives_exact_decimals_naive_times_as_utc_and_json_from_texts(
    loader: Loader, tmp_path: Path
) -> None:
    table = pa.table(
        {
            "k": pa.array([1], pa.int32()),
            "money": pa.array([Decimal("12345678901234567890.12")], pa.decimal128(38, 2)),
            "moment": pa.array([datetime(2026, 1, 31, 12)], pa.timestamp("ns")),  # noqa: DTZ001 - it is the point
            "tags": pa.array(['{"a": 1.50}']),
            "more": pa.array(["not JSON"]),
        }
    )
    pq.write_table(table, tmp_path / "file")
    money = {"type": ["string", "null"], "format": "x-singer.decimal", "precision": 38, "scale": 2}
    loader.load(
        schema("s", ["k"], k=INTEGER, money=money, moment=MOMENT, tags=OBJECT, more=OBJECT),
        batch(PARQUET, str(tmp_path / "file")),
    )
    assert loader.rows("s") == [
        {
            "k": 1,
            "money": Decimal("12345678901234567890.12"),
            "moment": datetime(2026, 1, 31, 12, tzinfo=UTC),
            "tags": '{"a": 1.50}',
            "more": '"not JSON"',
        }
    ]


def test_large_files_are_loaded_in_parts(
    loader: Loader, put: Any, encoding: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("target_offgridflow_duckdb.sink._CHUNK_BYTES", 10_000)
    monkeypatch.setattr("target_offgridflow_duckdb.sink._HELD_BYTES", 30_000)
    rows = [{"k": k % 2500, "v": f"{k:09}"} for k in range(5000)]
    loader.load(KEYED, batch(encoding, put(encoding, rows)))
    assert loader.ask("SELECT count(*), min(v), max(v) FROM s") == [(2500, "000002500", "000004999")]


@pytest.mark.parametrize("compression", ["zstd", "bz2"])
def test_an_encoding_that_is_not_known_is_refused(loader: Loader, put: Any, compression: str) -> None:
    with pytest.raises(BadRequestError, match=r"batch_config\.encoding"):
        loader.load(KEYED, batch({"format": "jsonl", "compression": compression}, put(JSONL, [{"k": 1}])))
    with pytest.raises(BadRequestError, match=r"batch_config\.encoding"):
        loader.load(KEYED, batch({"format": "avro"}, put(JSONL, [{"k": 1}])))


def test_what_is_damaged_is_refused(loader: Loader, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_bytes(content(GZIPPED, [{"k": k, "v": "x" * 100} for k in range(1000)])[:-20])
    for encoding in (GZIPPED, PARQUET):
        with pytest.raises(FatalError, match="damaged"):
            loader.load(KEYED, batch(encoding, damaged.as_uri()))
    with pytest.raises(NotFoundError, match="nowhere"):
        loader.load(KEYED, batch(GZIPPED, (tmp_path / "nowhere").as_uri()))
    assert loader.rows("s") == []


def test_stream_maps_and_flattening_refuse_files(loader: Loader, put: Any) -> None:
    url = put(JSONL, [{"k": 1, "v": "a"}])
    for config in (
        {"stream_maps": {"s": {"v": "v + '!'"}}},
        {"flattening_enabled": True, "flattening_max_depth": 1},
    ):
        with pytest.raises(BadRequestError, match="stream maps or flattening"):
            loader.load(KEYED, batch(JSONL, url), **config)


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws() as running:
        yield running


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder for temporary files, empty."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def upload(aws: LocalAws, name: str, body: bytes) -> str:
    bucket = aws.create_bucket()
    client = aws.client("s3")
    client.put_object(Bucket=bucket, Key=f"folder with spaces/{name}", Body=body)
    client.close()
    return f"s3://{bucket}/folder with spaces/{name}"


def test_files_come_from_a_bucket_with_the_credentials_of_the_environment(
    loader: Loader, aws: LocalAws, encoding: dict[str, str], monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint_urls["s3"])
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    for name, value in aws.credentials.items():
        monkeypatch.setenv(name.upper(), value)
    rows = rows_of_all(50)
    loader.load(ALL, batch(encoding, upload(aws, "file", content(encoding, rows))))
    assert loader.ask("SELECT count(*), sum(k) FROM s") == [(50, sum(range(50)))]
    assert list(temporary.iterdir()) == []


def test_few_copies_of_a_message_that_names_many_files_are_here_at_once(
    loader: Loader, aws: LocalAws, encoding: dict[str, str], monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", aws.endpoint_urls["s3"])
    for name, value in {"aws_region": "us-east-1", **aws.credentials}.items():
        monkeypatch.setenv(name.upper(), value)
    files = [content(encoding, [{"k": k, "v": "a"}, {"k": 99, "v": str(k)}]) for k in range(8)]
    monkeypatch.setattr("target_offgridflow_duckdb.batch_files._TOGETHER_BYTES", len(files[0]) + 1)
    copies = []
    load = Table.load

    def counting(self: Table, *arguments: Any, **options: Any) -> int:
        copies.append(len(list(temporary.glob("*/*"))))
        return load(self, *arguments, **options)

    monkeypatch.setattr(Table, "load", counting)
    loader.load(KEYED, batch(encoding, *(upload(aws, "file", file) for file in files)))
    assert loader.ask("SELECT count(*), max(v) FILTER (k = 99) FROM s") == [(9, "7")]
    assert max(copies) == 2
    assert list(temporary.iterdir()) == []


def test_files_come_from_a_bucket_with_the_credentials_of_the_settings(
    loader: Loader, aws: LocalAws, temporary: Path
) -> None:
    url = upload(aws, "file", content(PARQUET, [{"k": 1, "v": "a"}]))
    parameters = {
        "endpoint": aws.endpoint_urls["s3"],
        "region": "us-east-1",
        "access_key_id": aws.credentials["aws_access_key_id"],
        "secret_access_key": aws.credentials["aws_secret_access_key"],
    }
    storage = {"root": "s3://anywhere", "params": parameters}
    loader.load(KEYED, batch(PARQUET, url), batch_config={"encoding": PARQUET, "storage": storage})
    assert loader.rows("s") == [{"k": 1, "v": "a"}]
    with pytest.raises(NotFoundError, match="gone"):
        loader.load(
            KEYED, batch(PARQUET, f"{url}-gone"), batch_config={"encoding": PARQUET, "storage": storage}
        )
    assert list(temporary.iterdir()) == []


def test_plain_http_is_for_this_machine_only(loader: Loader) -> None:
    parameters = {
        "endpoint": "http://buckets.example.com",
        "region": "us-east-1",
        "access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "secret_access_key": "not-to-be-shown",
        "retry_config": {"max_retries": 0},
    }
    storage = {"root": "s3://anywhere", "params": parameters}
    with pytest.raises(BadRequestError, match="credentials and the endpoint") as caught:
        loader.load(
            KEYED, batch(PARQUET, "s3://bucket/key"), batch_config={"encoding": PARQUET, "storage": storage}
        )
    assert "not-to-be-shown" not in str(caught.value)
    assert "AKIAIOSFODNN7EXAMPLE" not in str(caught.value)
