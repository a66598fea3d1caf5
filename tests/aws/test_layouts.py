"""Where exports lie: replicated, without manifests, without a prefix, among other things, or empty."""

from __future__ import annotations

import gzip
import json
import shutil
import sys
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from tests.aws.bench import EXPORT, Bench, line_items
from tests.aws.shelf import FIRST_DELIVERY, KINDS, PERIOD, Shelf
from tests.local_clouds.carbon_export import carbon_table
from tests.local_clouds.cur2 import cur2_table
from tests.local_clouds.cur2_vocabulary import DATA
from tests.local_clouds.exports import publish_cur2
from tests.local_clouds.focus import focus_table
from tests.local_clouds.legacy_cur import legacy_table, publish_legacy_cur
from tests.local_clouds.s3_proxy import ACCESS_DENIED, Fault
from tests.local_clouds.sustainability import demo_emissions

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run
    from tests.local_clouds.exports import PublishedDelivery

TYPES = ("cur2", "cur", "focus", "carbon")
DATA_EXPORTS = ("cur2", "focus", "carbon")
STREAM = {
    "cur2": "cost_and_usage",
    "cur": "cost_and_usage",
    "focus": "focus_costs",
    "carbon": "carbon_export",
}
EMPTY_CSV = gzip.compress(b"")


@pytest.fixture
def shelf(tmp_path: Path, tap_config: Config, run_tap: RunTap) -> Shelf:
    return Shelf(tmp_path / "bucket", tap_config, run_tap)


@cache
def data(kind: str, seed: int = 1, rows: int = 40) -> pa.Table:
    if kind == "carbon":
        months = demo_emissions(
            [PERIOD], ["012345678901"], ["us-east-1"], [str(n) for n in range(rows)], seed
        )
        return carbon_table(PERIOD, months[PERIOD])
    lines = cur2_table(rows, seed, PERIOD, commitments=False)
    return {"cur2": lambda: lines, "cur": lambda: legacy_table(lines), "focus": lambda: focus_table(lines)}[
        kind
    ]()


def deliver(
    shelf: Shelf, kind: str, *, period: str = PERIOD, seed: int = 1, rows: int = 40, **options: Any
) -> PublishedDelivery:
    publish = {"cur2": shelf.cur2, "cur": shelf.cur, "focus": shelf.focus, "carbon": shelf.carbon}[kind]
    return publish(period, data(kind, seed, rows), **options)


def read(shelf: Shelf, kind: str, **options: Any) -> Run:
    return shelf.read(kind, select=(STREAM[kind], "deliveries"), **options)


@pytest.mark.parametrize("name", ["bill[1]", "bill*", "bill?"])
def test_a_name_that_looks_like_a_pattern_names_one_folder(shelf: Shelf, name: str) -> None:
    shelf.cur2(PERIOD, data("cur2", rows=5), export=name)
    for other in ("bill1", "billing"):
        shelf.cur2(PERIOD, data("cur2", rows=7, seed=2), export=other)
    exports = [{"name": "mine", "type": "cur2", "url": (shelf.root / "exports" / name).as_uri()}]
    run = shelf.read(select=("cost_and_usage", "deliveries"), exports=exports)
    assert [delivery["rows"] for delivery in run.records("deliveries")] == [5]
    assert len(run.records("cost_and_usage")) == 5


def without_manifests(shelf: Shelf, kind: str) -> None:
    name, prefix, *_ = KINDS[kind]
    shutil.rmtree(shelf.root / prefix / name / "metadata")


@pytest.mark.parametrize(
    ("example", "made"),
    [
        ("manifest_cur2.json", "cur2"),
        ("manifest_focus_1_2.json", "focus"),
        ("manifest_carbon_export.json", "carbon"),
        ("manifest_legacy_cur.json", "cur"),
    ],
)
def test_made_up_manifests_have_the_shape_of_the_examples(shelf: Shelf, example: str, made: str) -> None:
    delivery = deliver(shelf, made)
    expected = json.loads((DATA / example).read_text(encoding="utf-8"))
    got = json.loads(shelf.path(delivery.manifest_key).read_text(encoding="utf-8"))
    assert list(got) == list(expected)
    assert {name: type(value) for name, value in got.items()} == {
        name: type(value) for name, value in expected.items()
    }
    assert set(got["columns"][0]) == set(expected["columns"][0])
    if made == "cur":
        kinds = {(column["category"], column["name"]): column["type"] for column in got["columns"]}
        same = [kinds.get((c["category"], c["name"]), c["type"]) == c["type"] for c in expected["columns"]]
        assert sum(same) >= len(same) - 1  # types of tags are not known
        assert [list(a) for a in got["additionalArtifactKeys"]] == [
            list(a) for a in expected["additionalArtifactKeys"]
        ]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("mode", ["create-new", "overwrite"])
def test_a_replica_is_read_where_it_lies(shelf: Shelf, kind: str, mode: str) -> None:
    """Its manifests name the bucket and the prefix of the original."""
    delivery = deliver(shelf, kind, mode=mode)
    name, prefix, *_ = KINDS[kind]
    (shelf.root / "aggregated/111122223333").mkdir(parents=True)
    shutil.move(shelf.root / prefix / name, shelf.root / "aggregated/111122223333" / name)
    exports = [{"type": kind, "url": shelf.url("aggregated/111122223333", name)}]
    run = read(shelf, kind, exports=exports)
    assert len(run.records(STREAM[kind])) == delivery.rows > 0


def test_a_folder_is_read_without_loading_boto3(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.cur2(PERIOD, data("cur2"))
    monkeypatch.setitem(sys.modules, "tap_offgridflow_aws.client", None)
    run = shelf.read("cur2", select=("cost_and_usage", "deliveries"))
    assert len(run.records("cost_and_usage")) == data("cur2").num_rows
    assert "tap_offgridflow_aws.client" in shelf.run("cur2", select=("activities",)).stderr


@pytest.mark.parametrize("kind", ["cur2", "cur"])
def test_nothing_but_the_configured_place_is_ever_asked(bench: Bench, kind: str) -> None:
    """Both the bucket that the manifest names and the prefix there exist, and hold something else."""
    original = bench.aws.create_bucket()
    bench.s3.put_object(Bucket=original, Key=f"elsewhere/{kind}/data/x.parquet", Body=b"bait")
    options: dict[str, Any] = {
        "period": PERIOD,
        "store": bench.store,
        "prefix": "replica",
        "data": data(kind),
    }
    if kind == "cur2":
        publish_cur2(**options, export=kind, execution_id="an-id", manifest_bucket=original)
    else:
        publish_legacy_cur(**options, report=kind, assembly_id="an-id", manifest={"bucket": original})
    config = bench.config(exports=[{"type": kind, "url": f"s3://{bench.bucket}/replica/{kind}"}])
    bench.aws.proxy.clear_requests()
    assert len(bench.read(config=config).records()) == 40
    assert {request.bucket for request in bench.aws.proxy.requests} == {bench.bucket}


@pytest.mark.parametrize("key", ["s3://{0}/somewhere/else.parquet", "s3://{0}/exports/{1}-2/data/x.parquet"])
def test_a_manifest_that_points_out_of_its_export_is_refused(bench: Bench, key: str) -> None:
    delivery = bench.publish(PERIOD, line_items(line_item_operation=["x"]))
    bench.put_manifest(delivery, dataFiles=[key.format(bench.bucket, "cur2-export")])
    run = bench.run()
    assert run.exit_code == 1
    assert "a data file that is not below" in run.stderr


def test_a_folder_that_was_made_in_the_console_is_no_manifest(bench: Bench) -> None:
    """It is an object of no bytes, whose key ends with a slash."""
    bench.publish(PERIOD, line_items(line_item_operation=["x", "y"]))
    for key in bench.store.keys(f"exports/{EXPORT}/metadata/"):
        bench.store.delete(key)
    bench.store.put(f"exports/{EXPORT}/metadata/", b"")
    assert len(bench.read().records()) == 2


@pytest.mark.parametrize("kind", DATA_EXPORTS)
@pytest.mark.parametrize("mode", ["create-new", "overwrite"])
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_without_manifests_the_newest_files_are_read_with_a_warning(
    shelf: Shelf, kind: str, mode: str, form: str
) -> None:
    """Of an execution that needed fewer files: the surplus is empty, or lies in a folder of its own."""
    deliver(shelf, kind, mode=mode, format=form, chunks=3, seed=1, decoys=False)
    less = deliver(shelf, kind, mode=mode, format=form, chunks=1, seed=2, rows=10, decoys=False)
    if mode == "overwrite" and form == "csv":
        left = less.data_keys[0].replace("00001", "00002")
        shelf.store.put(left, EMPTY_CSV)
        shelf.set_time(less.delivered_at, left)
    without_manifests(shelf, kind)
    run = read(shelf, kind)
    assert len(run.records(STREAM[kind])) == less.rows > 0
    assert run.stderr.count(f"export '{KINDS[kind][0]}' has no manifests") == 1
    assert [row["rows"] for row in run.records("deliveries")] == [less.rows]
    again = read(shelf, kind, state=run.state)
    assert again.records(STREAM[kind]) == again.records("deliveries") == []


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("cur2", {"partition_key": "BILLING_PERIOD"}, {"partition_key": "BILLING_PERIOD"}),
        ("cur2", {"partition_key": "BILLING_PERIOD"}, {"partition_key": "billing_period"}),
        ("focus", {"partition_key": "billing_period"}, {"partition_key": "billing_period"}),
        ("carbon", {}, {}),
        ("cur", {"mode": "create-new"}, {"mode": "create-new"}),
        ("cur", {"mode": "overwrite", "format": "zip"}, {"mode": "athena"}),
        ("cur", {"mode": "athena"}, {"mode": "athena"}),
    ],
)
def test_months_that_lack_their_manifest_are_named_and_left_out(
    shelf: Shelf, kind: str, before: dict[str, Any], after: dict[str, Any]
) -> None:
    """Replication of manifests was begun late, in July, and failed once, in August."""
    for period in ("2026-05", "2026-06", "2026-08"):
        lost = deliver(shelf, kind, period=period, **before)
        shelf.path(lost.manifest_key).unlink()
    for period in ("2026-07", PERIOD):
        deliver(shelf, kind, period=period, **after)
    run = read(shelf, kind, start_date=None)
    assert {row["billing_period"] for row in run.records("deliveries")} == {"2026-07", PERIOD}
    warning = "has data files, but no manifest, of 2026-05, 2026-06, 2026-08: these months are left out"
    assert run.stderr.count(warning) == 1
    assert "no manifest, of 2026-06, 2026-08:" in read(shelf, kind, start_date="2026-06-01").stderr


def test_folders_of_months_that_there_are_not_are_left_alone(shelf: Shelf) -> None:
    delivery = deliver(shelf, "cur2")
    for month in ("2026-13", "2026-00"):
        other = shelf.path(delivery.manifest_key.replace(PERIOD, month))
        other.parent.mkdir()
        other.write_bytes(shelf.path(delivery.manifest_key).read_bytes())
    assert {row["billing_period"] for row in read(shelf, "cur2").records("deliveries")} == {PERIOD}


@pytest.mark.parametrize("kind", TYPES)
def test_months_behind_the_newest_manifest_that_lack_theirs_are_named(shelf: Shelf, kind: str) -> None:
    """Manifests were copied once, by hand; the first delivery of September may be under way."""
    deliver(shelf, kind, period="2026-06")
    for period in ("2026-07", "2026-08", PERIOD):
        lost = deliver(shelf, kind, period=period)
        shelf.path(lost.manifest_key).unlink()
    shelf.set_time(datetime.now(UTC), *lost.data_keys)
    run = read(shelf, kind, start_date=None)
    assert {row["billing_period"] for row in run.records("deliveries")} == {"2026-06"}
    assert "has data files, but no manifest, of 2026-07, 2026-08:" in run.stderr
    assert "no manifest, of 2026-07:" in read(shelf, kind, start_date=None, end_date="2026-08-01").stderr


@pytest.mark.parametrize(
    ("kind", "folder"),
    [
        ("cur2", "exports/ofg-cur2/data/BILLING_PERIOD=2026-07"),
        ("cur", "billing/ofg-cur/20260701-20260801"),
    ],
)
def test_a_month_of_which_nothing_is_there_does_not_lack_its_manifest(
    shelf: Shelf, kind: str, folder: str
) -> None:
    for period in ("2026-06", PERIOD):
        deliver(shelf, kind, period=period)
    shelf.store.put(f"{folder}/left.csv.gz", b"")
    assert "no manifest" not in read(shelf, kind).stderr


def test_without_manifests_a_new_execution_is_a_new_delivery(shelf: Shelf) -> None:
    deliver(shelf, "cur2")
    without_manifests(shelf, "cur2")
    first = read(shelf, "cur2")
    deliver(shelf, "cur2", seed=2, rows=7)
    without_manifests(shelf, "cur2")
    second = read(shelf, "cur2", state=first.state)
    ids = [{r["delivery_id"] for r in run.records("deliveries")} for run in (first, second)]
    assert len(ids[0] | ids[1]) == 2
    assert len(second.records()) == 7
    assert {record["delivery_id"] for record in second.records()} == ids[1]


def test_without_manifests_the_latest_execution_counts_not_the_one_that_was_copied_last(
    shelf: Shelf,
) -> None:
    old = deliver(shelf, "cur2", seed=1)
    new = deliver(shelf, "cur2", seed=2, rows=7)
    shelf.set_time(new.delivered_at + timedelta(days=1), *old.data_keys)
    without_manifests(shelf, "cur2")
    assert len(read(shelf, "cur2").records()) == new.rows


def test_without_manifests_an_execution_of_nothing_counts(shelf: Shelf) -> None:
    deliver(shelf, "cur2", format="csv")
    without_manifests(shelf, "cur2")
    first = read(shelf, "cur2")
    empty = deliver(shelf, "cur2", format="csv", chunks=1)
    shelf.replace(empty, 0, b"")
    without_manifests(shelf, "cur2")
    second = read(shelf, "cur2", state=first.state)
    assert second.records() == []
    assert [row["rows"] for row in second.records("deliveries")] == [0]


@pytest.mark.parametrize("modes", [("create-new", "overwrite"), ("overwrite", "create-new")])
def test_without_manifests_the_newer_of_two_ways_of_delivering_counts(
    shelf: Shelf, modes: tuple[str, str]
) -> None:
    """The export was changed from the one to the other; the files of before stay where they are."""
    old = deliver(shelf, "cur2", mode=modes[0], seed=1)
    files = {key: shelf.path(key).read_bytes() for key in old.data_keys}
    new = deliver(shelf, "cur2", mode=modes[1], seed=2, rows=7)
    for key, content in files.items():
        shelf.store.put(key, content)
        shelf.set_time(old.delivered_at, key)
    without_manifests(shelf, "cur2")
    assert len(read(shelf, "cur2").records()) == new.rows


@pytest.mark.parametrize(
    "spellings", [("BILLING_PERIOD", "billing_period"), ("billing_period", "BILLING_PERIOD")]
)
@pytest.mark.parametrize("manifests", [True, False], ids=["with manifests", "without"])
def test_both_spellings_of_a_partition_are_one_export(
    shelf: Shelf,
    spellings: tuple[str, str],
    manifests: bool,  # noqa: FBT001 - whether there are any
) -> None:
    """AWS changed the case in between: each month once, and of a month that is in both the newer one."""
    deliver(shelf, "cur2", period="2026-08", partition_key=spellings[0])
    deliver(shelf, "cur2", partition_key=spellings[0])
    newer = deliver(shelf, "cur2", partition_key=spellings[1], rows=7)
    if not manifests:
        without_manifests(shelf, "cur2")
    run = read(shelf, "cur2")
    rows = {row["billing_period"]: row["rows"] for row in run.records("deliveries")}
    assert rows == {"2026-08": 40, PERIOD: newer.rows}
    assert len(run.records()) == 47


@pytest.mark.parametrize("kind", DATA_EXPORTS)
def test_without_manifests_other_files_are_left_alone(shelf: Shelf, kind: str) -> None:
    delivery = deliver(shelf, kind, mode="overwrite", decoys=True)
    for name in ("_SUCCESS", ".DS_Store", "notes.json"):
        shelf.store.put(f"{delivery.data_keys[0].rpartition('/')[0]}/{name}", b"nothing of ours")
    without_manifests(shelf, kind)
    assert len(read(shelf, kind).records(STREAM[kind])) == delivery.rows


def test_manifests_that_may_not_be_listed_are_no_missing_manifests(bench: Bench) -> None:
    bench.publish()
    bench.aws.proxy.inject(ACCESS_DENIED, "")
    run = bench.run(select=["cost_and_usage"])
    assert run.exit_code == 1
    assert run.records() == []
    assert "s3:ListBucket" in run.stderr
    assert "no manifests" not in run.stderr


def test_a_listing_that_is_none_is_asked_for_again(bench: Bench) -> None:
    """An answer of 200 in which something on the way says something else is no empty folder."""
    bench.publish()
    bench.aws.proxy.inject(Fault(status=200, body=b"<html><body>Please wait</body></html>"), "")
    run = bench.read(select=["cost_and_usage"])
    assert run.records()
    assert "it broke off" in run.stderr


@pytest.mark.parametrize("kind", TYPES)
def test_where_there_is_nothing_the_place_is_named(shelf: Shelf, kind: str) -> None:
    shelf.root.mkdir()
    run = shelf.run(kind, select=(STREAM[kind],))
    assert run.exit_code == 1
    assert "neither manifests nor data files" in run.stderr
    assert shelf.exports(kind)[0]["url"] in run.stderr


@pytest.mark.parametrize("prefix", ["", "/", "a//b", "my bills/été+1%20", "what?#1"])
@pytest.mark.parametrize("kind", ["cur2", "cur"])
def test_a_prefix_is_taken_as_it_is(bench: Bench, kind: str, prefix: str) -> None:
    """Without a prefix the keys of legacy reports begin with a slash, those of data exports do not."""
    options: dict[str, Any] = {"period": PERIOD, "store": bench.store, "prefix": prefix, "data": data(kind)}
    if kind == "cur2":
        delivery = publish_cur2(**options, export="x", execution_id="an-id")
    else:
        delivery = publish_legacy_cur(**options, report="x", assembly_id="an-id")
    assert delivery.manifest_key.startswith("/") is (prefix == "/" or (kind == "cur" and not prefix))
    base = delivery.manifest_key.partition("x/")[0]
    config = bench.config(exports=[{"type": kind, "url": f"s3://{bench.bucket}/{base}x"}])
    assert len(bench.read(config=config).records()) == 40


@pytest.mark.parametrize("kind", TYPES)
def test_what_lies_beside_an_export_is_not_taken_for_it(shelf: Shelf, kind: str) -> None:
    name, prefix, *_ = KINDS[kind]
    options: dict[str, Any] = {} if kind == "cur" else {"decoys": True}
    another: dict[str, Any] = {KINDS[kind][3]: f"{name}-2"}
    delivery = deliver(shelf, kind, **options)
    deliver(shelf, kind, rows=7, **another)
    folder = delivery.manifest_key.rpartition("/")[0]
    for key in (
        "aws-programmatic-access-test-object",
        f"{prefix}/{name}/{name}-Manifest.json",
        f"{folder}/other-Manifest.json",
        f"{folder}/{name}-RedshiftManifest.json",
        f"{folder}/{name}-Manifest.json.bak",
        f"{folder}/a-run/{name}-Manifest.json",
        f"{prefix}/{name}/metadata/{name}-Manifest.json",
    ):
        shelf.store.put(key, b'{"entries": []}')
    run = read(shelf, kind)
    (told,) = run.records("deliveries")
    assert delivery.execution_id in told["delivery_id"]
    assert len(run.records(STREAM[kind])) == delivery.rows


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize(
    "content", [b"", EMPTY_CSV, None], ids=["no bytes", "no bytes in gzip", "a header only"]
)
def test_an_empty_month_is_a_delivery_and_a_missing_one_is_none(
    shelf: Shelf, kind: str, content: bytes | None
) -> None:
    """June is missing, August is empty: what is delivered with no rows is data, what is absent is not."""
    form: dict[str, Any] = {"format": "gzip" if kind == "cur" else "csv"}
    deliver(shelf, kind, period="2026-07", **form)
    empty = deliver(shelf, kind, period="2026-09", rows=0, chunks=1, **form)
    if content is not None:
        shelf.replace(empty, 0, content)
    run = read(shelf, kind)
    rows = {row["billing_period"]: row["rows"] for row in run.records("deliveries")}
    assert set(rows) == {"2026-07", "2026-09"}
    assert rows["2026-09"] == 0
    assert {record["billing_period"] for record in run.records(STREAM[kind])} == {"2026-07"}


def test_a_data_file_that_the_manifest_names_must_be_there(shelf: Shelf) -> None:
    """Otherwise a copy that is under way would be a month with less in it."""
    for kind in TYPES:
        delivery = deliver(shelf, kind, chunks=2)
        shelf.path(delivery.data_keys[-1]).unlink()
        run = shelf.run(kind, select=(STREAM[kind], "deliveries"))
        assert run.exit_code == 1
        assert run.records(STREAM[kind]) == run.records("deliveries") == []
        assert "class=not_found" in run.stderr


def test_deliveries_sort_by_when_their_manifests_were_written(shelf: Shelf) -> None:
    at = FIRST_DELIVERY
    for kind in TYPES:
        delivery = deliver(shelf, kind)
        at += timedelta(days=1)
        shelf.set_time(at, delivery.manifest_key)
    told = shelf.read(*TYPES, select=("deliveries",)).records("deliveries")
    assert [row["export_type"] for row in told] == list(TYPES)
    assert [row["delivered_at"] for row in told] == sorted(row["delivered_at"] for row in told)
