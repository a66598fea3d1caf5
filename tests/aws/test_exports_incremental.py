"""What a run reads again and what it does not, what state says at each moment, and which export is whose."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.aws import truth
from tests.aws.bench import EXPORT, FIRST_DELIVERY, PERIOD, made_up
from tests.aws.driving import EXPORT_STREAMS, LINE_ITEMS

if TYPE_CHECKING:
    from tests.aws.bench import Bench
    from tests.aws.driving import Run
    from tests.local_clouds.exports import PublishedDelivery

MONTHS = ("2026-07", "2026-08", "2026-09")
#: So few that a test of many runs is quick.
FEW = (
    "identity_line_item_id",
    "line_item_currency_code",
    "line_item_line_item_type",
    "line_item_product_code",
    "line_item_unblended_cost",
    "line_item_usage_account_id",
    "line_item_usage_amount",
    "line_item_usage_start_date",
    "line_item_usage_type",
    "pricing_unit",
    "product",
)


def few(rows: int, period: str, seed: int = 1) -> Any:
    return made_up(rows, period, seed).select(FEW)


def accounts_with_usage(bench: Bench, period: str, delivery: PublishedDelivery) -> set[str]:
    """Whose usage a delivery has, as its files say."""
    return {
        row["line_item_usage_account_id"]
        for row in bench.rows(period, delivery).values()
        if row["line_item_line_item_type"] in {"Usage", "DiscountedUsage", "SavingsPlanCoveredUsage"}
        and not row["line_item_usage_type"].startswith(("Reservation:", "DedicatedRes:"))
    }


def publish_months(bench: Bench, **options: Any) -> dict[str, PublishedDelivery]:
    return {
        month: bench.publish(month, few(20 + place, month), **options) for place, month in enumerate(MONTHS)
    }


def periods(run: Run, stream: str = LINE_ITEMS) -> Counter[str]:
    return Counter(record["billing_period"] for record in run.records(stream))


def bookmarked(state: dict[str, Any], stream: str = LINE_ITEMS) -> dict[str, dict[str, Any]]:
    """The bookmarks of a stream that stand for deliveries, by delivery."""
    partitions = state.get("bookmarks", {}).get(stream, {}).get("partitions", [])
    return {entry["delivery_id"]: entry for entry in partitions if "delivery_id" in entry}


def test_a_second_run_reads_no_data_and_emits_nothing(bench: Bench) -> None:
    publish_months(bench)
    first = bench.read(select=EXPORT_STREAMS)
    assert periods(first) == {"2026-07": 20, "2026-08": 21, "2026-09": 22}
    bench.aws.proxy.clear_requests()
    second = bench.read(first.state, select=EXPORT_STREAMS)
    assert [second.records(stream) for stream in EXPORT_STREAMS] == [[], [], []]
    for stream in EXPORT_STREAMS:
        assert bookmarked(second.state, stream) == bookmarked(first.state, stream) != {}
    assert bench.data_requests() == []


def test_a_new_delivery_moves_its_period_only_and_moves_it_whole(bench: Bench) -> None:
    before = publish_months(bench)
    first = bench.read(select=EXPORT_STREAMS)
    new = bench.publish("2026-08", few(9, "2026-08", seed=5))
    bench.aws.proxy.clear_requests()
    second = bench.read(first.state, select=EXPORT_STREAMS)
    assert periods(second) == {"2026-08": 9}
    assert {record["delivery_id"] for record in second.records()} == {new.execution_id}
    assert [row["delivery_id"] for row in second.records("deliveries")] == [new.execution_id]
    assert set(bench.data_requests()) == set(new.data_keys)
    taken = {record["external_id"] for record in second.records("activities")}
    assert taken == {f"{account}/2026-08" for account in accounts_with_usage(bench, "2026-08", new)}
    unchanged = {before["2026-07"].execution_id, before["2026-09"].execution_id}
    for stream in EXPORT_STREAMS:
        assert set(bookmarked(second.state, stream)) == {*unchanged, new.execution_id}


@pytest.mark.parametrize("mode", ["create-new", "overwrite"])
def test_of_a_restated_month_the_rows_of_the_newest_delivery_are_the_rows_of_the_file(
    bench: Bench, mode: str
) -> None:
    bench.publish(PERIOD, few(40, PERIOD), mode=mode, chunks=4)
    first = bench.read()
    less = bench.publish(PERIOD, few(13, PERIOD, seed=2), mode=mode, chunks=2)
    second = bench.read(first.state)
    landed = truth.by_place(first.records() + second.records())
    assert len(landed) == 53
    now = truth.current(list(landed.values()), first.records("deliveries") + second.records("deliveries"))
    assert truth.differences(truth.by_place(now), bench.rows(PERIOD, less)) == []


def test_state_follows_each_finished_period_and_never_runs_ahead(bench: Bench) -> None:
    publish_months(bench, chunks=3)
    run = bench.read(select=EXPORT_STREAMS, config=bench.config(org_id="x"))
    out: Counter[str] = Counter()
    told: set[str] = set()
    steps = []
    for message in run.messages:
        if message["type"] == "RECORD" and message["stream"] == LINE_ITEMS:
            out[message["record"]["delivery_id"]] += 1
        if message["type"] == "RECORD" and message["stream"] == "deliveries":
            row = message["record"]
            told.add(row["delivery_id"])
            assert out[row["delivery_id"]] == row["rows"]
        if message["type"] == "STATE":
            read = bookmarked(message["value"])
            assert all(out[delivery] == entry["rows"] for delivery, entry in read.items())
            assert told >= set(bookmarked(message["value"], "deliveries"))
            steps.append([entry["context"]["billing_period"] for entry in read.values()])
    for count in range(4):
        assert list(MONTHS[:count]) in steps
    last = max(place for place, message in enumerate(run.messages) if message["type"] == "RECORD")
    assert [message["type"] for message in run.messages[last + 1 :]].count("STATE") >= 1


def test_a_period_that_fails_is_in_neither_deliveries_nor_state_and_is_read_once_it_is_repaired(
    bench: Bench,
) -> None:
    months = publish_months(bench)
    broken = months["2026-08"]
    whole = bench.get(broken.data_keys[1])
    bench.store.put(broken.data_keys[1], whole[: len(whole) // 2])
    bench.set_time(broken.delivered_at, broken.data_keys[1])
    failed = bench.run(select=EXPORT_STREAMS)
    assert failed.exit_code == 1
    assert [row["billing_period"] for row in failed.records("deliveries")] == ["2026-07"]
    for stream in EXPORT_STREAMS:
        assert set(bookmarked(failed.state, stream)) == {months["2026-07"].execution_id}
    repaired = bench.publish("2026-08", few(21, "2026-08"))
    after = bench.read(failed.state, select=EXPORT_STREAMS)
    assert periods(after) == {"2026-08": 21, "2026-09": 22}
    landed = failed.records() + after.records()
    now = truth.current(landed, failed.records("deliveries") + after.records("deliveries"))
    expected: dict[Any, Any] = {}
    for month, delivery in (months | {"2026-08": repaired}).items():
        expected |= bench.rows(month, delivery)
    assert truth.differences(truth.by_place(now), expected) == []


def test_deliveries_waits_for_every_stream_that_reads_the_export(bench: Bench) -> None:
    """Activities need the amount of usage; line items do not."""
    names = [name for name in FEW if name != "line_item_usage_amount"]
    bench.publish(PERIOD, few(10, PERIOD).select(names))
    run = bench.run(select=EXPORT_STREAMS)
    assert run.exit_code == 1
    assert "no column line_item_usage_amount" in run.stderr
    assert periods(run) == {PERIOD: 10}
    assert run.records("deliveries") == []
    assert periods(bench.read(run.state), "deliveries") == {PERIOD: 1}


def test_deliveries_alone_names_all_deliveries_without_reading_them(bench: Bench) -> None:
    months = publish_months(bench, chunks=3)
    run = bench.read(select=["deliveries"])
    assert [(row["billing_period"], row["files"], row["rows"]) for row in run.records("deliveries")] == [
        (month, 3, None) for month in MONTHS
    ]
    assert [row["bytes"] for row in run.records("deliveries")] == [
        sum(len(bench.get(key)) for key in delivery.data_keys) for delivery in months.values()
    ]
    bench.aws.proxy.clear_requests()
    assert bench.read(run.state, select=["deliveries"]).records("deliveries") == []
    assert bench.data_requests() == []


def test_deliveries_come_in_the_order_of_their_delivery(bench: Bench) -> None:
    for month in ("2026-09", "2026-07", "2026-08"):
        bench.publish(month, few(3, month))
    rows = bench.read().records("deliveries")
    assert [row["billing_period"] for row in rows] == ["2026-09", "2026-07", "2026-08"]
    assert [row["delivered_at"] for row in rows] == [
        truth.iso(FIRST_DELIVERY + timedelta(minutes=minute)) for minute in range(3)
    ]


def test_both_spellings_of_the_partition_are_one_export_and_the_newer_delivery_of_a_period_counts(
    bench: Bench,
) -> None:
    bench.publish("2026-07", few(3, "2026-07"), partition_key="billing_period")
    bench.publish("2026-08", few(4, "2026-08"), partition_key="BILLING_PERIOD")
    bench.publish("2026-09", few(5, "2026-09"), partition_key="BILLING_PERIOD")
    bench.publish("2026-08", few(6, "2026-08"), partition_key="billing_period")
    first = bench.read()
    assert periods(first) == {"2026-07": 3, "2026-08": 6, "2026-09": 5}
    bench.publish("2026-08", few(7, "2026-08"), partition_key="Billing_Period")
    assert periods(bench.read(first.state)) == {"2026-08": 7}


def test_only_current_manifests_and_the_files_they_name_are_fetched(bench: Bench) -> None:
    old = bench.publish(PERIOD, few(30, PERIOD), decoys=True, chunks=3)
    new = bench.publish(PERIOD, few(8, PERIOD), decoys=True)
    assert len([key for key in bench.store.keys("") if "-Manifest.json" in key]) == 3
    bench.aws.proxy.clear_requests()
    assert periods(bench.read()) == {PERIOD: 8}
    fetched = {request.key for request in bench.aws.proxy.requests if request.key}
    assert fetched == {new.manifest_key, *new.data_keys}
    assert fetched.isdisjoint(old.data_keys)


def test_a_replicated_bucket_is_read_although_its_manifests_name_the_original(bench: Bench) -> None:
    delivery = bench.publish(PERIOD, few(8, PERIOD), manifest_bucket="the-original", prefix="exports")
    for key in bench.store.keys(""):
        bench.store.put(f"cur2/111122223333/{key.removeprefix('exports/')}", bench.get(key))
        bench.store.delete(key)
    bench.aws.proxy.clear_requests()
    url = f"s3://{bench.bucket}/cur2/111122223333/{EXPORT}"
    run = bench.read(config=bench.config(exports=[{"type": "cur2", "url": url}]))
    assert periods(run) == {PERIOD: 8}
    assert {record["delivery_id"] for record in run.records()} == {delivery.execution_id}
    assert {request.bucket for request in bench.aws.proxy.requests} == {bench.bucket}


@pytest.mark.parametrize("prefix", ["", "a/b c/ü", "/begins/with/slash"])
def test_exports_lie_below_any_prefix(bench: Bench, prefix: str) -> None:
    bench.publish(PERIOD, few(4, PERIOD), prefix=prefix)
    url = "/".join(part for part in (f"s3://{bench.bucket}", prefix, EXPORT) if part)
    run = bench.read(config=bench.config(exports=[{"type": "cur2", "url": f"{url}/"}]))
    assert periods(run) == {PERIOD: 4}
    assert {record["export_name"] for record in run.records()} == {EXPORT}


@pytest.mark.parametrize(
    ("start", "end", "months"),
    [
        ("2026-08-15", "2026-10-01", ["2026-08", "2026-09"]),
        ("2026-08-15", "2026-09-01T00:00:01Z", ["2026-08", "2026-09"]),
        ("2026-09-01T00:30:00+02:00", "2026-09-01", ["2026-08"]),
        (None, "2026-08-02", ["2026-07", "2026-08"]),
    ],
)
def test_only_periods_that_begin_in_the_window_are_read(
    bench: Bench, start: str | None, end: str, months: list[str]
) -> None:
    publish_months(bench)
    config = bench.config(end_date=end) | ({"start_date": start} if start else {})
    if start is None:
        del config["start_date"]
    first = bench.read(config=config)
    assert list(periods(first)) == months
    rest = bench.read(first.state)
    assert set(periods(rest)) == set(MONTHS) - set(months)


def test_a_stream_that_is_set_to_full_table_reads_all_again_and_the_others_do_not(bench: Bench) -> None:
    publish_months(bench)
    first = bench.read(select=EXPORT_STREAMS)
    again = bench.read(first.state, select=EXPORT_STREAMS, full_table=[LINE_ITEMS])
    assert again.records() == first.records()
    assert again.records("activities") == again.records("deliveries") == []
    assert bookmarked(again.state) == bookmarked(first.state)


def test_two_exports_of_one_run_stay_apart(bench: Bench) -> None:
    """They share their name, and one of them shares a period with the other."""
    published = [
        (name, period, bench.publish(period, few(rows, period), prefix=name))
        for name, period, rows in (("one", "2026-08", 3), ("two", "2026-08", 4), ("two", "2026-09", 5))
    ]
    exports = [
        {"name": name, "type": "cur2", "url": f"s3://{bench.bucket}/{name}/{EXPORT}"}
        for name in ("one", "two")
    ]
    config = bench.config(exports=exports)
    first = bench.read(config=config, select=EXPORT_STREAMS)
    wanted = {("one", "2026-08"): 3, ("two", "2026-08"): 4, ("two", "2026-09"): 5}
    assert Counter((row["export_name"], row["billing_period"]) for row in first.records()) == wanted
    told = {(row["export_name"], row["billing_period"]): row["rows"] for row in first.records("deliveries")}
    assert told == wanted
    expected: dict[str, str] = {}
    for name, period, delivery in published:
        for account in accounts_with_usage(bench, period, delivery):
            expected.setdefault(f"{account}/{period}", name)
    sources = {(row["external_id"], row["metadata"]["export"]) for row in first.records("activities")}
    assert sources == set(expected.items())
    ids = [record["id"] for record in first.records("activities")]
    assert len(ids) == len(set(ids))
    bench.publish("2026-08", few(2, "2026-08"), prefix="one")
    second = bench.read(first.state, config=config)
    assert Counter((row["export_name"], row["billing_period"]) for row in second.records()) == {
        ("one", "2026-08"): 2
    }


def test_without_an_export_the_streams_are_skipped_with_a_line_in_the_log(bench: Bench) -> None:
    run = bench.read(config=bench.config(exports=[]))
    assert run.records() == run.records("deliveries") == []
    assert "skipped: no export of type" in run.stderr


def test_a_listing_of_several_pages_is_read_to_its_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_months(bench, chunks=3, decoys=True)
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    assert periods(bench.read()) == {"2026-07": 20, "2026-08": 21, "2026-09": 22}
    assert any("continuation-token" in request.query for request in bench.aws.proxy.requests)


def test_more_pages_than_allowed_is_an_error_that_names_the_setting(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_months(bench)
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "1")
    run = bench.run(config=bench.config(max_pages=2))
    assert run.exit_code == 1
    assert run.records() == run.records("deliveries") == []
    assert "max_pages" in run.stderr
