"""A company that changed its export: one history of line items, and every usage taken once."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from tests.aws.shelf import Shelf
from tests.export_files import sums
from tests.local_clouds.cur2 import ACCOUNTS, PAYER, cur2_table
from tests.local_clouds.focus import focus_table
from tests.local_clouds.legacy_cur import legacy_table
from tests.local_clouds.s3_proxy import call_first

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pyarrow as pa

    from tests.aws.bench import Bench
    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run
    from tests.local_clouds.exports import PublishedDelivery

    Row = dict[str, Any]

ACTIVITIES = ("activities",)
BY = ("line_item_usage_account_id", "line_item_product_code", "line_item_line_item_type")
COST = "line_item_unblended_cost"
ROWS = 200
OTHER_PAYER = "444455556666"


@pytest.fixture
def shelf(tmp_path: Path, tap_config: Config, run_tap: RunTap) -> Shelf:
    return Shelf(tmp_path / "bucket", tap_config, run_tap)


@cache
def lines(period: str, payer: str = PAYER, seed: int = 1) -> pa.Table:
    return cur2_table(ROWS, seed, period, payer=payer)


def deliver(shelf: Shelf, kind: str, period: str, payer: str = PAYER, **options: Any) -> PublishedDelivery:
    data = lines(period, payer)
    if kind == "cur2":
        return shelf.cur2(period, data, **options)
    if kind == "cur":
        return shelf.cur(period, legacy_table(data), **options)
    return shelf.focus(period, focus_table(data), **options)


def by_export(run: Run) -> dict[str, set[str]]:
    """From which export the usage of each month is."""
    shown: dict[str, set[str]] = {}
    for record in run.records("activities"):
        shown.setdefault(record["period_start"][:7], set()).add(record["metadata"]["export"])
    return shown


def current(records: Iterable[Row]) -> list[Row]:
    """What a consumer sees: rows upserted by id, then of each external id those of the newest batch."""
    landed = {record["id"]: record for record in records}
    newest: dict[str, str] = {}
    for record in landed.values():
        newest[record["external_id"]] = max(newest.get(record["external_id"], ""), record["import_batch_id"])
    return [row for row in landed.values() if row["import_batch_id"] == newest[row["external_id"]]]


def said(records: Iterable[Row]) -> dict[str, tuple[Any, ...]]:
    """What activities say, by id, apart from the export that they were read from."""
    apart = {"id", "import_batch_id", "metadata"}
    return {
        record["id"]: tuple(value for name, value in sorted(record.items()) if name not in apart)
        for record in records
    }


@pytest.mark.parametrize("grain", ["month", "day"])
def test_legacy_and_cur2_of_the_same_line_items_make_the_same_activities(shelf: Shelf, grain: str) -> None:
    deliver(shelf, "cur2", "2026-09")
    deliver(shelf, "cur", "2026-09")
    new, old = (
        said(shelf.read(kind, select=ACTIVITIES, activity_grain=grain).records("activities"))
        for kind in ("cur2", "cur")
    )
    assert old == new
    assert len(new) > 50


def test_a_company_that_migrated_has_one_history(shelf: Shelf) -> None:
    """Legacy until June, CUR 2.0 from May on, which was back-filled."""
    months = {"cur": ("2026-04", "2026-05", "2026-06"), "cur2": ("2026-05", "2026-06", "2026-07")}
    for kind, periods in months.items():
        for period in periods:
            deliver(shelf, kind, period)
    run = shelf.read("cur", "cur2", start_date="2026-04-01")
    line_items = run.records()
    assert Counter((r["export_name"], r["billing_period"]) for r in line_items) == {
        (f"ofg-{kind}", period): ROWS for kind, periods in months.items() for period in periods
    }
    for kind, periods in months.items():
        for period in periods:
            shown = [
                r for r in line_items if (r["export_name"], r["billing_period"]) == (f"ofg-{kind}", period)
            ]
            assert sums(shown, BY, COST) == sums(lines(period).to_pylist(), BY, COST)
    assert by_export(run) == {
        "2026-04": {"ofg-cur"},
        "2026-05": {"ofg-cur2"},
        "2026-06": {"ofg-cur2"},
        "2026-07": {"ofg-cur2"},
    }
    activities = run.records("activities")
    assert len({record["id"] for record in activities}) == len(activities)
    assert len(run.records("deliveries")) == 6
    left_out = [line for line in run.stderr.splitlines() if "another export counts for these" in line]
    assert [
        f"ofg-cur {period}" in line for line, period in zip(left_out, ("2026-05", "2026-06"), strict=True)
    ]
    names = ", ".join(f"{PAYER}/{account}" for account in sorted(ACCOUNTS))
    assert all(line.endswith(f": {names}") for line in left_out)


@pytest.mark.parametrize("order", [("cur2", "cur", "focus"), ("focus", "cur", "cur2")])
def test_cur2_goes_before_legacy_and_legacy_before_focus_whatever_the_order_of_the_settings(
    shelf: Shelf, order: tuple[str, ...]
) -> None:
    for kind, periods in {
        "focus": ("2026-07", "2026-08", "2026-09"),
        "cur": ("2026-08", "2026-09"),
        "cur2": ("2026-09",),
    }.items():
        for period in periods:
            deliver(shelf, kind, period)
    run = shelf.read(*order, select=ACTIVITIES)
    assert by_export(run) == {"2026-07": {"ofg-focus"}, "2026-08": {"ofg-cur"}, "2026-09": {"ofg-cur2"}}
    assert run.stderr.count("another export counts for these, and they are left out here") == 3


def test_the_rule_holds_for_each_payer_by_itself(shelf: Shelf) -> None:
    """One payer has migrated, the other has not."""
    deliver(shelf, "cur2", "2026-09")
    for payer in (PAYER, OTHER_PAYER):
        deliver(shelf, "cur", "2026-09", payer, report=f"of-{payer}")
    exports = [
        *shelf.exports("cur2"),
        *({"type": "cur", "url": shelf.url("billing", f"of-{payer}")} for payer in (PAYER, OTHER_PAYER)),
    ]
    records = shelf.read(select=ACTIVITIES, exports=exports).records("activities")
    taken = {(record["external_id"].partition("/")[0], record["metadata"]["export"]) for record in records}
    assert taken == {(PAYER, "ofg-cur2"), (OTHER_PAYER, f"of-{OTHER_PAYER}")}


def test_of_two_exports_of_a_type_the_first_of_the_settings_counts(shelf: Shelf) -> None:
    for name in ("second", "first"):
        deliver(shelf, "cur2", "2026-09", export=name)
    exports = [{"type": "cur2", "url": shelf.url("exports", name)} for name in ("first", "second")]
    run = shelf.read(select=ACTIVITIES, exports=exports)
    assert by_export(run) == {"2026-09": {"first"}}


def test_the_rule_holds_over_runs(shelf: Shelf) -> None:
    """What an earlier run took from the export that counts first is not taken again from a later delivery."""
    deliver(shelf, "cur2", "2026-09")
    deliver(shelf, "cur", "2026-09")
    first = shelf.read("cur2", "cur", select=ACTIVITIES)
    deliver(shelf, "cur", "2026-09")
    second = shelf.read("cur2", "cur", select=ACTIVITIES, state=first.state)
    assert second.records("activities") == []
    deliver(shelf, "cur2", "2026-09")
    third = shelf.read("cur2", "cur", select=ACTIVITIES, state=second.state)
    assert by_export(third) == {"2026-09": {"ofg-cur2"}}


@pytest.mark.parametrize("before", ["cur", "focus"])
def test_an_export_that_is_added_later_takes_over_the_months_that_it_has(shelf: Shelf, before: str) -> None:
    deliver(shelf, "cur2", "2026-09")
    deliver(shelf, before, "2026-09")
    first = shelf.read(before, select=ACTIVITIES)
    second = shelf.read("cur2", before, select=ACTIVITIES, state=first.state)
    assert by_export(second) == {"2026-09": {"ofg-cur2"}}


def test_an_export_that_lost_a_payer_leaves_its_months_to_the_others(shelf: Shelf) -> None:
    """CUR 2.0 had the payer, and was then delivered again without: its legacy report still has it."""
    deliver(shelf, "cur2", "2026-09")
    deliver(shelf, "cur", "2026-09")
    first = shelf.read("cur2", "cur", select=ACTIVITIES)
    shelf.cur2("2026-09", lines("2026-09").slice(0, 0))
    deliver(shelf, "cur", "2026-09")
    second = shelf.read("cur2", "cur", select=ACTIVITIES, state=first.state)
    assert by_export(second) == {"2026-09": {"ofg-cur"}}


@pytest.mark.parametrize("without", ["cur2", "cur"])
def test_usage_is_not_silently_counted_twice_where_an_export_does_not_name_the_payer(
    shelf: Shelf, without: str
) -> None:
    """Nobody can tell then whether both are about the same."""
    data = lines("2026-09")
    nameless = data.drop_columns(["bill_payer_account_id"])
    shelf.cur2("2026-09", nameless if without == "cur2" else data)
    legacy = legacy_table(data)
    shelf.cur("2026-09", legacy.drop_columns(["bill/PayerAccountId"]) if without == "cur" else legacy)
    run = shelf.run("cur2", "cur", select=ACTIVITIES)
    warned = [
        line for line in run.stderr.splitlines() if "payer" in line and f"ofg-{without} 2026-09" in line
    ]
    assert warned


@pytest.mark.parametrize("ids", [("0", "f"), ("f", "0")])
def test_activities_of_a_month_that_was_restated_during_the_run_are_those_of_the_new_delivery(
    bench: Bench, ids: tuple[str, str]
) -> None:
    old, new = (f"{letter * 8}-0000-4000-8000-000000000000" for letter in ids)
    bench.publish("2026-09", lines("2026-09"), execution_id=old)

    def replace() -> None:
        bench.publish("2026-09", lines("2026-09", seed=2), execution_id=new)

    # The listings of a quiet run: manifests, data files, and manifests again when all is out.
    bench.aws.proxy.inject(call_first(replace), "", skip=2)
    config = bench.config(start_date="2026-09-01", end_date="2026-10-01")
    run = bench.read(select=ACTIVITIES, config=config)
    assert "changed while it was read" in run.stderr
    undisturbed = bench.read(select=ACTIVITIES, config=config).records("activities")
    assert said(current(run.records("activities"))) == said(undisturbed)
