"""Exports from run to run: only what is new is read, and a month that is delivered again replaces itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.shelf import Shelf, made
from tests.export_files import decimal, file_rows
from tests.local_clouds.azure_exports import BY_DAYS, BY_RUN, BY_TIME_AND_RUN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.driving import Run
    from tests.local_clouds.exports import PublishedDelivery

    Row = dict[str, Any]

LINES = "cost_details"
AUGUST, SEPTEMBER = "2026-08", "2026-09"


def at(day: int, hour: int = 4, month: int = 9) -> datetime:
    return datetime(2026, month, day, hour, 12, 7, 523_444, tzinfo=UTC)


def deliver(shelf: Shelf, rows: int, period: str, at: datetime, **options: Any) -> PublishedDelivery:
    return shelf.deliver(
        "actual", made("actual", rows, rows, period), period=period, submitted_at=at, **options
    )


def current_cost(runs: Iterable[Run]) -> dict[str, Decimal]:
    """What a warehouse has as current after some runs: rows of each month's newest delivery."""
    newest: dict[str, str] = {}
    lines: dict[tuple[Any, ...], Row] = {}
    for run in runs:
        assert run.exit_code == 0, run.stderr
        for row in sorted(run.records("deliveries"), key=lambda row: row["delivered_at"]):
            newest[row["billing_period"]] = row["delivery_id"]
        for row in run.records(LINES):
            key = ("billing_period", "delivery_id", "file_ordinal", "row_number")
            lines[tuple(row[name] for name in key)] = row
    sums = dict.fromkeys(newest, Decimal(0))
    for row in lines.values():
        if newest[row["billing_period"]] == row["delivery_id"]:
            sums[row["billing_period"]] += decimal(row["cost_in_billing_currency"])
    return sums


def cost_in(shelf: Shelf, delivery: PublishedDelivery) -> Decimal:
    return sum(
        (decimal(row["Cost"]) for key in delivery.data_keys for row in file_rows(shelf.path(key))), Decimal(0)
    )


def months_read(run: Run) -> list[str]:
    return sorted({row["billing_period"] for row in run.records(LINES)})


@pytest.mark.parametrize(
    "options",
    [{"layout": BY_RUN}, {"layout": BY_TIME_AND_RUN}, {"layout": BY_DAYS, "overwrite": True}],
    ids=str,
)
def test_a_month_follows_the_other_and_the_last_one_settles(shelf: Shelf, options: Any) -> None:
    """Month to date each day; on the first days of a month, the one before is delivered once more."""
    runs: list[Run] = []
    newest: dict[str, PublishedDelivery] = {}
    plan = [
        (AUGUST, at(30, month=8), [AUGUST]),
        (AUGUST, at(31, month=8), [AUGUST]),
        *(
            step
            for day in (1, 2, 3)
            for step in ((SEPTEMBER, at(day), [SEPTEMBER]), (AUGUST, at(day, 9), [AUGUST]))
        ),
        (SEPTEMBER, at(4), [SEPTEMBER]),
    ]
    for number, (period, moment, months) in enumerate(plan):
        newest[period] = deliver(shelf, 10 + number, period, moment, **options)
        runs.append(shelf.read("actual", state=runs[-1].state if runs else None))
        assert months_read(runs[-1]) == months
        assert current_cost(runs) == {month: cost_in(shelf, run) for month, run in newest.items()}
    quiet = shelf.read("actual", state=runs[-1].state)
    assert quiet.records(LINES) == quiet.records("deliveries") == []


def test_what_was_submitted_between_two_runs_counts_once(shelf: Shelf) -> None:
    first = shelf.run("actual")
    assert first.exit_code == 1
    for day in range(1, 6):
        last = deliver(shelf, day, SEPTEMBER, at(day))
    assert current_cost([shelf.read("actual")]) == {SEPTEMBER: cost_in(shelf, last)}


def test_a_run_that_arrives_late_is_not_newer_than_what_was_read(shelf: Shelf) -> None:
    last = deliver(shelf, 9, SEPTEMBER, at(9))
    first = shelf.read("actual")
    deliver(shelf, 3, SEPTEMBER, at(3))
    second = shelf.read("actual", state=first.state)
    assert second.records(LINES) == second.records("deliveries") == []
    assert current_cost([first, second]) == {SEPTEMBER: cost_in(shelf, last)}


def test_a_copy_that_is_made_again_is_not_new(shelf: Shelf) -> None:
    """Its times have changed, and what its manifests say has not."""
    delivery = deliver(shelf, 9, SEPTEMBER, at(9))
    first = shelf.read("actual")
    for key in (*delivery.data_keys, delivery.manifest_key):
        shelf.store.put(key, shelf.path(key).read_bytes())
    assert shelf.read("actual", state=first.state).records(LINES) == []


def test_an_empty_run_is_a_delivery_and_a_missing_month_is_none(shelf: Shelf) -> None:
    deliver(shelf, 5, "2026-07", at(1))
    shelf.deliver("actual", period=SEPTEMBER)
    run = shelf.read("actual")
    assert {row["billing_period"]: (row["files"], row["rows"]) for row in run.records("deliveries")} == {
        "2026-07": (1, 5),
        SEPTEMBER: (0, 0),
    }
    assert months_read(run) == ["2026-07"]
    new = deliver(shelf, 4, SEPTEMBER, at(5, month=11))
    again = shelf.read("actual", state=run.state)
    assert current_cost([run, again])[SEPTEMBER] == cost_in(shelf, new)


def test_a_month_that_becomes_empty_has_no_current_rows(shelf: Shelf) -> None:
    deliver(shelf, 5, SEPTEMBER, at(1))
    first = shelf.read("actual")
    shelf.deliver("actual", submitted_at=at(2))
    second = shelf.read("actual", state=first.state)
    assert current_cost([first, second]) == {SEPTEMBER: 0}


def test_a_file_of_another_size_than_the_manifest_says_is_a_delivery_under_way(shelf: Shelf) -> None:
    deliver(shelf, 5, AUGUST, at(1))
    delivery = deliver(shelf, 5, SEPTEMBER, at(1))
    content = shelf.path(delivery.data_keys[0]).read_bytes()
    shelf.store.put(delivery.data_keys[0], content + content.splitlines(keepends=True)[1])
    run = shelf.run("actual")
    assert run.exit_code == 1
    assert f"{len(content):,}. a delivery is under way: run again when it is complete" in run.stderr
    assert "class=transient" in run.stderr
    assert months_read(run) == [AUGUST]
    assert [row["billing_period"] for row in run.records("deliveries")] == [AUGUST]
    shelf.store.put(delivery.data_keys[0], content)
    assert months_read(shelf.read("actual", state=run.state)) == [SEPTEMBER]


@pytest.mark.parametrize("form", ["gzip", "parquet"])
@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
def test_sizes_of_compressed_files_may_be_counted_otherwise(form: Any, *, told: bool, shelf: Shelf) -> None:
    """Also where the manifest does not tell that they are compressed."""
    delivery = deliver(shelf, 5, SEPTEMBER, at(1), form=form)
    manifest = json.loads(shelf.path(delivery.manifest_key).read_text("utf-8"))
    manifest["blobs"][0]["byteCount"] *= 7
    manifest["deliveryConfig"] = manifest["deliveryConfig"] if told else None
    shelf.store.put(delivery.manifest_key, json.dumps(manifest).encode())
    assert len(shelf.read("actual").records(LINES)) == 5


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_with_other_rows_than_the_manifest_counts_is_told(shelf: Shelf, form: Any) -> None:
    delivery = deliver(shelf, 5, SEPTEMBER, at(1), form=form)
    said = "has 5 rows where the manifest says"
    manifest = json.loads(shelf.path(delivery.manifest_key).read_text("utf-8"))
    first = shelf.read("actual")
    manifest["blobs"][0]["dataRowCount"] = 1004
    shelf.store.put(delivery.manifest_key, json.dumps(manifest).encode())
    second = shelf.read("actual", state=first.state)
    assert said not in first.stderr
    assert f"{said} 1,004" in second.stderr
    assert len(second.records(LINES)) == 5


def test_what_is_wrong_with_one_export_keeps_no_other_from_being_read(shelf: Shelf) -> None:
    shelf.deliver("focus", made("focus", 7))
    run = shelf.run("actual", "focus")
    assert run.exit_code == 1
    assert len(run.records("focus_costs")) == 7
    assert [row["export_type"] for row in run.records("deliveries")] == ["focus"]


def test_actual_and_amortized_are_side_by_side_each_with_its_metric(shelf: Shelf) -> None:
    for kind in ("actual", "amortized"):
        shelf.deliver(kind, made(kind, 6))
    run = shelf.read("actual", "amortized")
    assert [(row["export_name"], row["metric"]) for row in run.records(LINES)] == [
        *[("ofg-actual", "ActualCost")] * 6,
        *[("ofg-amortized", "AmortizedCost")] * 6,
    ]
    keys = {(row["delivery_id"], row["file_ordinal"], row["row_number"]) for row in run.records(LINES)}
    assert len(keys) == 12
