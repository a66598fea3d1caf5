"""Activities beside exports that cannot be read or listed, and beside deliveries that are gone."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from tests.aws.shelf import KINDS, PERIOD, Shelf, emitted
from tests.local_clouds.carbon_export import carbon_table
from tests.local_clouds.cur2 import cur2_table

if TYPE_CHECKING:
    from pathlib import Path

    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run

COSTS = ("activities", "cost_and_usage", "deliveries")


@pytest.fixture
def shelf(tmp_path: Path, tap_config: Config, run_tap: RunTap) -> Shelf:
    return Shelf(tmp_path / "bucket", tap_config, run_tap)


def lines(seed: int, **columns: list[str]) -> pa.Table:
    table = cur2_table(30, seed, PERIOD)
    for name, values in columns.items():
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
    return table


def usage(run: Run) -> list[Any]:
    return [row for row in run.records("activities") if row["activity_type"] == "usage"]


def test_activities_of_a_delivery_wait_until_its_line_items_are_read(shelf: Shelf) -> None:
    """Otherwise they would replace those of before, and not count: `deliveries` does not tell it."""
    shelf.cur2(PERIOD, lines(1), format="csv")
    first = shelf.read("cur2", select=COSTS)
    assert usage(first)
    bad = shelf.cur2(PERIOD, lines(2, line_item_usage_end_date=["soon"] * 30), format="csv")
    second = shelf.run("cur2", state=first.state, select=COSTS)
    assert second.exit_code == 1
    assert usage(second) == second.records("deliveries") == []
    assert f"ofg-cur2 {PERIOD} waits until cost_and_usage has read it" in second.stderr
    assert usage(shelf.read("cur2", state=second.state, select=("activities",)))
    for key in bad.data_keys:
        shelf.path(key).unlink()
    good = shelf.cur2(PERIOD, lines(3), format="csv")
    third = shelf.read("cur2", state=second.state, select=COSTS)
    assert {row["import_batch_id"].partition("/")[2] for row in usage(third)} == {good.execution_id}
    assert [row["delivery_id"] for row in third.records("deliveries")] == [good.execution_id]


@pytest.mark.parametrize("place", ["first", "last"])
def test_an_export_that_cannot_be_listed_keeps_no_usage_of_others(shelf: Shelf, place: str) -> None:
    delivery = shelf.cur2(PERIOD, lines(1))
    missing = {"name": "not-yet", "type": "cur2", "url": shelf.url("exports", "not-yet")}
    exports = [missing, *shelf.exports("cur2")] if place == "first" else [*shelf.exports("cur2"), missing]
    run = shelf.run(exports=exports, select=COSTS)
    assert run.exit_code == 1
    assert "looking for the manifests of export 'not-yet'" in run.stderr
    assert usage(run)
    assert [row["delivery_id"] for row in run.records("deliveries")] == [delivery.execution_id]


def test_what_an_export_had_taken_stays_its_own_while_it_cannot_be_listed(shelf: Shelf) -> None:
    for name in ("one", "two"):
        shelf.cur2(PERIOD, lines(1), export=name)
    exports = [{"name": name, "type": "cur2", "url": shelf.url("exports", name)} for name in ("one", "two")]
    both = shelf.read(exports=exports, select=COSTS)
    assert {row["metadata"]["export"] for row in usage(both)} == {"one"}
    shutil.move(shelf.root / "exports/one", shelf.root / "exports/gone")
    shelf.cur2(PERIOD, lines(2), export="two")
    run = shelf.run(exports=exports, select=COSTS, state=both.state)
    assert run.exit_code == 1
    assert usage(run) == []
    assert [row["export_name"] for row in run.records("deliveries")] == ["two"]


def test_a_month_whose_data_expired_stays_as_it_was_read_and_keeps_no_other_waiting(shelf: Shelf) -> None:
    """Another export takes its usage, so that it would be read again."""
    old = shelf.cur2(PERIOD, lines(1), export="second", chunks=1)
    exports = [
        {"name": name, "type": "cur2", "url": shelf.url("exports", name)} for name in ("first", "second")
    ]
    first = shelf.read(exports=exports[1:], select=COSTS)
    for key in old.data_keys:
        shelf.path(key).unlink()
    shelf.cur2(PERIOD, lines(2), export="first")
    shelf.cur2("2026-10", cur2_table(30, 3, "2026-10"), export="second")
    second = shelf.read(exports=exports, select=COSTS, state=first.state)
    assert "second 2026-09 would be read again" in second.stderr
    assert {(row["metadata"]["export"], row["period_start"][:7]) for row in usage(second)} == {
        ("first", PERIOD),
        ("second", "2026-10"),
    }
    assert len(second.records("deliveries")) == 2


def test_a_carbon_export_that_cannot_be_listed_keeps_no_emissions_of_others(shelf: Shelf) -> None:
    shelf.carbon(PERIOD, carbon_table(PERIOD, [emitted("0.5")]))
    missing = {"name": "not-yet", "type": "carbon", "url": shelf.url("exports", "not-yet")}
    run = shelf.run(
        exports=[missing, *shelf.exports("carbon")], select=("activities", "carbon_export", "deliveries")
    )
    assert run.exit_code == 1
    assert "activities" in run.stderr.splitlines()[-1]
    assert len(run.records("activities")) == 5
    assert len(run.records("deliveries")) == 1


def test_an_older_delivery_that_is_left_when_the_newest_is_gone_is_not_read(shelf: Shelf) -> None:
    """It would not be current: its delivery was replaced long ago."""
    old = shelf.cur2(PERIOD, lines(1))
    kept = shelf.path(old.manifest_key).read_bytes()
    first = shelf.read("cur2", select=COSTS)
    shelf.cur2(PERIOD, lines(2))
    second = shelf.read("cur2", select=COSTS, state=first.state)
    shelf.store.put(old.manifest_key, kept)
    shelf.set_time(old.delivered_at, old.manifest_key)
    third = shelf.read("cur2", select=COSTS, state=second.state)
    assert third.records("cost_and_usage") == usage(third) == third.records("deliveries") == []
    assert f"{KINDS['cur2'][0]} {PERIOD}: the delivery of" in third.stderr
    assert "that was read is gone" in third.stderr
