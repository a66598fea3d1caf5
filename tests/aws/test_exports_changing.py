"""Exports that change while they are read, and answers that break on the way."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.aws import truth
from tests.aws.bench import PERIOD, line_items
from tests.aws.shelf import Shelf
from tests.local_clouds.s3_proxy import (
    INTERNAL_ERROR,
    RESET,
    SLOW_DOWN,
    Fault,
    call_first,
    truncate,
)

if TYPE_CHECKING:
    from pathlib import Path

    from offgridflow_common.testing.clock import FakeClock
    from tests.aws.bench import Bench
    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run
    from tests.local_clouds.exports import PublishedDelivery

#: What is asked of S3, as a glob over keys.
LISTING, MANIFEST, DATA = "", "*-Manifest.json", "*/data/*-00002.*"


def items(count: int, mark: str) -> Any:
    return line_items(line_item_operation=[f"{mark}{number}" for number in range(count)])


def read_of(run: Run) -> set[str]:
    """The deliveries that state says were read, by any stream."""
    return {
        entry["delivery_id"]
        for stream in run.state.get("bookmarks", {}).values()
        for entry in stream.get("partitions", [])
        if "delivery_id" in entry
    }


def is_only_current(bench: Bench, run: Run, new: PublishedDelivery) -> None:
    """All rows of the new delivery are out; of an old one nothing counts, whatever came of it."""
    assert run.exit_code == 0, run.stderr
    assert [row["delivery_id"] for row in run.records("deliveries")] == [new.execution_id]
    assert read_of(run) == {new.execution_id}
    mine = [record for record in run.records() if record["delivery_id"] == new.execution_id]
    assert truth.differences(truth.by_place(mine), bench.rows(PERIOD, new)) == []


@pytest.mark.parametrize("asked", [MANIFEST, "*/data/*-00001.*", DATA])
@pytest.mark.parametrize("mode", ["overwrite", "create-new"])
def test_a_delivery_that_is_replaced_while_it_is_read_is_read_again_and_never_becomes_current(
    bench: Bench, mode: str, asked: str
) -> None:
    old = bench.publish(PERIOD, items(20, "old"), mode=mode, chunks=3)
    replaced: list[PublishedDelivery] = []
    bench.aws.proxy.inject(
        call_first(lambda: replaced.append(bench.publish(PERIOD, items(7, "new"), mode=mode))), asked
    )
    run = bench.run()
    (new,) = replaced
    is_only_current(bench, run, new)
    assert "changed while it was read" in run.stderr
    assert old.execution_id not in read_of(run)


def test_files_that_are_removed_with_their_delivery_have_changed(bench: Bench) -> None:
    """Who keeps the newest delivery only removes the files of the one before."""
    old = bench.publish(PERIOD, items(20, "old"), mode="create-new", chunks=3)
    replaced: list[PublishedDelivery] = []

    def replace() -> None:
        replaced.append(bench.publish(PERIOD, items(7, "new"), mode="create-new"))
        for key in old.data_keys:
            bench.s3.delete_object(Bucket=bench.bucket, Key=key)

    bench.aws.proxy.inject(call_first(replace), DATA)
    run = bench.run()
    (new,) = replaced
    is_only_current(bench, run, new)


def test_a_manifest_that_is_replaced_after_the_last_file_counts(bench: Bench) -> None:
    """The old files are all read, and unchanged, when the manifest is looked at once more."""
    bench.publish(PERIOD, items(20, "old"))
    replaced: list[PublishedDelivery] = []

    def replace() -> None:
        replaced.append(bench.publish(PERIOD, items(7, "new")))

    # Listings of a quiet run: manifests, the month before in two spellings, data files, manifests.
    bench.aws.proxy.inject(call_first(replace), LISTING, skip=4)
    run = bench.run()
    (new,) = replaced
    is_only_current(bench, run, new)


def test_what_is_told_of_a_delivery_is_what_was_read_of_it(bench: Bench) -> None:
    """Its manifest is not read once more for that."""
    old = bench.publish("2026-08", items(5, "old"))
    bench.publish(PERIOD, items(6, "other"))
    change = call_first(lambda: bench.publish("2026-08", items(7, "new")))
    bench.aws.proxy.inject(change, f"*{old.manifest_key}*", skip=1)
    assert told(bench.read()) == {"2026-08": 5, PERIOD: 6}


def test_a_delivery_that_nobody_reads_and_that_is_replaced_keeps_no_other_from_being_told(
    bench: Bench,
) -> None:
    old = bench.publish("2026-08", items(5, "old"))
    bench.publish(PERIOD, items(6, "other"))
    change = call_first(lambda: bench.publish("2026-08", items(7, "new")))
    bench.aws.proxy.inject(change, f"*{old.manifest_key}*")
    first = bench.read(select=["deliveries"])
    assert told(first) == {PERIOD: None}
    assert "2026-08 is left to the next run: " in first.stderr
    second = bench.read(first.state, select=["deliveries"])
    assert told(second) == {"2026-08": None}


def test_a_delivery_that_was_read_before_its_size_was_remembered_is_opened(bench: Bench) -> None:
    bench.publish(PERIOD, items(6, "some"))
    whole = bench.read()
    before = bench.read(select=["cost_and_usage"])
    for entry in before.state["bookmarks"]["cost_and_usage"]["partitions"]:
        del entry["files"], entry["bytes"]
    again = bench.read(before.state)
    assert again.records("cost_and_usage") == []
    assert again.records("deliveries") == whole.records("deliveries")


def told(run: Run) -> dict[str, int | None]:
    """Rows of the deliveries that are told of, by month."""
    return {row["billing_period"]: row["rows"] for row in run.records("deliveries")}


def test_a_file_that_is_overwritten_without_a_new_manifest_is_a_delivery_under_way(bench: Bench) -> None:
    early = bench.publish("2026-08", items(5, "early"))
    delivery = bench.publish(PERIOD, items(20, "old"), mode="overwrite")

    def overwrite() -> None:
        bench.store.put(delivery.data_keys[1], b"of the next delivery")

    bench.aws.proxy.inject(call_first(overwrite), f"*{PERIOD}*-00002.*")
    run = bench.run()
    assert run.exit_code == 1
    assert read_of(run) == {early.execution_id}
    assert [row["billing_period"] for row in run.records("deliveries")] == ["2026-08"]
    assert "class=transient" in run.stderr
    assert "run again" in run.stderr
    new = bench.publish(PERIOD, items(7, "new"), mode="overwrite")
    after = bench.read(run.state)
    assert [row["delivery_id"] for row in after.records("deliveries")] == [new.execution_id]


@pytest.mark.parametrize(("hours", "read"), [(0, False), (5, False), (7, True), (24 * 30, True)])
def test_files_newer_than_their_manifest_are_a_delivery_under_way_for_some_hours(
    bench: Bench,
    hours: int,
    read: bool,  # noqa: FBT001 - what is expected
) -> None:
    """Later they are the files of a copied bucket, which were copied after the manifest."""
    delivery = bench.publish(PERIOD, items(4, "x"), mode="overwrite")
    written = datetime.now(UTC) - timedelta(hours=hours)
    bench.set_time(written - timedelta(minutes=5), delivery.manifest_key)
    bench.set_time(written, *delivery.data_keys)
    run = bench.run()
    assert (run.exit_code == 0) is read, run.stderr
    assert (read_of(run) == {delivery.execution_id}) is read
    assert bool(run.records("deliveries")) is read
    if not read:
        assert "class=transient" in run.stderr
        assert "data files that are newer than their manifest" in run.stderr
        assert "changed while it was read" not in run.stderr


def test_newer_data_files_on_local_disk_are_read(tmp_path: Path, tap_config: Config, run_tap: RunTap) -> None:
    """They are a copy, whose times say when it was made."""
    shelf = Shelf(tmp_path / "bucket", tap_config, run_tap)
    delivery = shelf.cur2(PERIOD, items(4, "x"), mode="overwrite")
    now = datetime.now(UTC)
    shelf.set_time(now - timedelta(minutes=5), delivery.manifest_key)
    shelf.set_time(now, *delivery.data_keys)
    assert read_of(shelf.read("cur2")) == {delivery.execution_id}


def test_files_in_a_folder_of_their_delivery_may_be_newer_than_their_manifest(bench: Bench) -> None:
    """They overwrite nothing: the bucket is a copy, whose manifests arrived first."""
    delivery = bench.publish(PERIOD, items(4, "x"), mode="create-new")
    now = datetime.now(UTC)
    bench.set_time(now - timedelta(minutes=5), delivery.manifest_key)
    bench.set_time(now, *delivery.data_keys)
    assert read_of(bench.read()) == {delivery.execution_id}


def test_without_manifests_files_that_come_while_others_are_read_are_noticed(bench: Bench) -> None:
    def deliver(rows: int) -> None:
        delivery = bench.publish(PERIOD, items(rows, f"{rows}-"), mode="create-new", chunks=2)
        for key in bench.store.keys(delivery.manifest_key.partition("metadata/")[0] + "metadata/"):
            bench.store.delete(key)

    deliver(20)
    bench.aws.proxy.inject(call_first(lambda: deliver(7)), DATA)
    run = bench.read()
    assert "changed while it was read" in run.stderr
    assert told(run) == {PERIOD: 7}


def test_storage_is_not_asked_at_the_rate_of_the_apis(bench: Bench, clock: FakeClock) -> None:
    bench.publish(PERIOD, items(20, "x"), chunks=9)
    bench.read(config=bench.config(rate_limit_per_second=0.001, rate_limit_capacity=1))
    assert clock.slept == []


def test_a_period_that_never_holds_still_ends_the_stream_and_counts_as_unread(bench: Bench) -> None:
    first = bench.publish("2026-08", items(5, "first"))
    bench.publish(PERIOD, items(9, "x"), mode="overwrite")

    numbers = itertools.count()

    def replace() -> None:
        bench.publish(PERIOD, items(9, f"{next(numbers)}-"), mode="overwrite")

    bench.aws.proxy.inject(call_first(replace), f"*{PERIOD}*-00002.*", times=50)
    run = bench.run()
    assert run.exit_code == 1
    assert read_of(run) == {first.execution_id}
    assert [row["delivery_id"] for row in run.records("deliveries")] == [first.execution_id]
    assert "class=transient" in run.stderr
    bench.aws.proxy.clear_faults()
    assert {row["billing_period"] for row in bench.read(run.state).records("deliveries")} == {PERIOD}


def test_a_period_whose_manifest_goes_away_while_it_is_read_counts_as_unread(bench: Bench) -> None:
    other = bench.publish("2026-08", items(9, "x"))
    delivery = bench.publish(PERIOD, items(9, "x"))
    bench.aws.proxy.inject(
        call_first(lambda: bench.store.delete(delivery.manifest_key)), f"*{PERIOD}*-00002.*"
    )
    run = bench.run()
    assert run.exit_code == 1
    assert read_of(run) == {other.execution_id}
    assert [row["delivery_id"] for row in run.records("deliveries")] == [other.execution_id]
    assert "class=not_found" in run.stderr


@pytest.mark.parametrize("asked", [LISTING, MANIFEST, DATA])
@pytest.mark.parametrize(
    "fault", [SLOW_DOWN, INTERNAL_ERROR, RESET, truncate(40)], ids=["503", "500", "reset", "cut short"]
)
def test_an_answer_that_fails_is_asked_for_again(
    bench: Bench, clock: FakeClock, asked: str, fault: Fault
) -> None:
    delivery = bench.publish(PERIOD, items(9, "x"))
    bench.aws.proxy.inject(fault, asked, times=3)
    run = bench.run()
    is_only_current(bench, run, delivery)
    assert len(run.records()) == 9
    assert len(clock.slept) == 3
    assert all(0 <= seconds <= 2**place for place, seconds in enumerate(clock.slept))


@pytest.mark.parametrize("asked", [LISTING, MANIFEST, DATA])
def test_after_so_many_attempts_the_stream_ends_and_the_period_counts_as_unread(
    bench: Bench, clock: FakeClock, asked: str
) -> None:
    delivery = bench.publish(PERIOD, items(9, "x"))
    bench.aws.proxy.inject(SLOW_DOWN, asked, times=3)
    run = bench.run(config=bench.config(max_attempts=3), select=["cost_and_usage"])
    assert run.exit_code == 1
    assert len(clock.slept) == 2
    assert read_of(run) == set()
    assert "class=transient, code=SlowDown" in run.stderr
    again = bench.read(run.state)
    assert read_of(again) == {delivery.execution_id}


def test_the_wait_that_s3_asks_for_is_kept(bench: Bench, clock: FakeClock) -> None:
    bench.publish(PERIOD, items(9, "x"))
    busy = Fault(status=503, code="SlowDown", message="Slow down.", headers={"Retry-After": "42"})
    bench.aws.proxy.inject(busy, DATA)
    bench.read()
    assert max(clock.slept) >= 42


def test_a_body_cut_short_at_any_place_never_ends_up_as_rows(bench: Bench, clock: FakeClock) -> None:
    delivery = bench.publish(PERIOD, items(9, "x"), format="csv", chunks=2)
    size = len(bench.get(delivery.data_keys[1]))
    for keep in (0, 1, size // 2, size - 1):
        bench.aws.proxy.inject(truncate(keep), DATA)
    run = bench.run()
    is_only_current(bench, run, delivery)
    assert len(clock.slept) == 4
