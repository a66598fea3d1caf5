"""Which runs make up the months of an export: no day twice, and none left out without a word."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.shelf import Shelf, made

if TYPE_CHECKING:
    from tests.driving import Run
    from tests.local_clouds.exports import PublishedDelivery

LINES = "cost_details"
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


def deliver(
    shelf: Shelf, first: tuple[int, int], last: tuple[int, int], rows: int, day: int
) -> PublishedDelivery:
    """A run over some days of 2026 that is submitted so many days after the first of October."""
    days = (date(2026, *first), date(2026, *last))
    return shelf.deliver(
        "actual",
        made("actual", rows, period=f"2026-{first[0]:02}"),
        period=f"2026-{first[0]:02}",
        days=days,
        submitted_at=NOON + timedelta(days=day),
    )


def rows_by_month(run: Run) -> dict[str, int]:
    assert run.exit_code == 0, run.stderr
    told = {row["billing_period"]: row["rows"] for row in run.records("deliveries")}
    assert sum(told.values()) == len(run.records(LINES))
    return told


def refused(run: Run, said: str) -> bool:
    """Whether nothing was read, and why."""
    assert said in run.stderr, run.stderr
    assert "export whole months one by one, or a month to date" in run.stderr
    return run.exit_code == 1 and run.records(LINES) == run.records("deliveries") == []


def test_a_month_to_date_grows(shelf: Shelf) -> None:
    for day in range(1, 5):
        deliver(shelf, (9, 1), (9, day), rows=day, day=day)
    assert rows_by_month(shelf.read("actual")) == {"2026-09": 4}


def test_a_run_of_several_months_counts_for_the_month_that_it_begins_in(shelf: Shelf) -> None:
    deliver(shelf, (1, 1), (3, 31), rows=9, day=1)
    deliver(shelf, (4, 1), (4, 30), rows=3, day=2)
    run = shelf.read("actual")
    assert rows_by_month(run) == {"2026-01": 9, "2026-04": 3}
    assert {record["billing_period"] for record in run.records(LINES)} == {"2026-01", "2026-04"}


def test_a_run_of_several_months_beside_runs_of_each_would_count_twice(shelf: Shelf) -> None:
    deliver(shelf, (1, 1), (3, 31), rows=9, day=1)
    deliver(shelf, (2, 1), (2, 28), rows=3, day=2)
    run = shelf.run("actual")
    assert refused(run, "runs of the same days: 2026-01-01 to 2026-03-31, 2026-02-01 to 2026-02-28")


def test_once_each_month_has_a_run_of_its_own_the_one_of_several_is_old(shelf: Shelf) -> None:
    deliver(shelf, (1, 1), (3, 31), rows=9, day=1)
    for month, last in ((1, 31), (2, 28), (3, 31)):
        deliver(shelf, (month, 1), (month, last), rows=month, day=2)
    assert rows_by_month(shelf.read("actual")) == {"2026-01": 1, "2026-02": 2, "2026-03": 3}


def test_a_month_that_only_an_old_run_of_several_has_is_not_lost_in_silence(shelf: Shelf) -> None:
    deliver(shelf, (1, 1), (3, 31), rows=9, day=1)
    deliver(shelf, (1, 1), (1, 31), rows=3, day=2)
    assert refused(shelf.run("actual"), "2026-01-01 to 2026-01-31, 2026-01-01 to 2026-03-31")


def test_weeks_are_no_months(shelf: Shelf) -> None:
    """The run of the last week would stand for all of its month."""
    for week in range(4):
        deliver(shelf, (9, 1 + 7 * week), (9, 7 + 7 * week), rows=7, day=week)
    run = shelf.run("actual")
    assert refused(run, "runs of parts of what they cover together: 2026-09-01 to 2026-09-07, 2026-09-08")


def test_a_later_run_of_some_days_does_not_replace_the_month(shelf: Shelf) -> None:
    deliver(shelf, (9, 1), (9, 30), rows=9, day=1)
    deliver(shelf, (9, 10), (9, 12), rows=2, day=2)
    assert rows_by_month(shelf.read("actual")) == {"2026-09": 9}


def test_a_later_run_of_the_first_days_only_does_not_replace_the_month(shelf: Shelf) -> None:
    deliver(shelf, (9, 1), (9, 30), rows=30, day=1)
    short = deliver(shelf, (9, 1), (9, 15), rows=15, day=19)
    run = shelf.run("actual")
    assert run.exit_code == 1
    said = "a run of fewer days than one before it: 2026-09-01 to 2026-09-15, 2026-09-01 to 2026-09-30"
    assert f"{said}. remove the folder of " in run.stderr
    assert f"/{short.manifest_key}, or export the whole month again" in run.stderr
    assert run.records(LINES) == run.records("deliveries") == []
    shelf.path(short.manifest_key).unlink()
    assert rows_by_month(shelf.read("actual")) == {"2026-09": 30}


@pytest.mark.parametrize("named", [21, 30], ids=["the day of the run", "the end of the month"])
def test_a_later_run_of_the_first_days_does_not_replace_the_month_to_date(shelf: Shelf, named: int) -> None:
    deliver(shelf, (9, 1), (9, named), rows=21, day=-10)
    deliver(shelf, (9, 1), (9, 3), rows=3, day=-9)
    run = shelf.run("actual")
    assert run.exit_code == 1
    assert f"2026-09-01 to 2026-09-03, 2026-09-01 to 2026-09-{named}. remove the folder of " in run.stderr
    deliver(shelf, (9, 1), (9, 23), rows=23, day=-8)
    assert rows_by_month(shelf.read("actual")) == {"2026-09": 23}


def test_a_later_run_of_the_whole_month_makes_one_of_the_first_days_harmless(shelf: Shelf) -> None:
    deliver(shelf, (9, 1), (9, 30), rows=30, day=1)
    deliver(shelf, (9, 1), (9, 15), rows=15, day=19)
    deliver(shelf, (9, 1), (9, 30), rows=31, day=20)
    assert rows_by_month(shelf.read("actual")) == {"2026-09": 31}


def test_days_that_a_run_of_several_months_had_are_not_lost_either(shelf: Shelf) -> None:
    deliver(shelf, (1, 1), (3, 31), rows=9, day=1)
    for month, last in ((1, 31), (2, 10), (3, 31)):
        deliver(shelf, (month, 1), (month, last), rows=month, day=2)
    assert "a run of fewer days than one before it" in shelf.run("actual").stderr


def test_manifests_that_name_the_end_of_a_month_under_way_do_no_harm(shelf: Shelf) -> None:
    """Older ones do; then the export is changed, and its manifests name the day that they are of."""
    deliver(shelf, (9, 1), (9, 30), rows=10, day=-21)
    deliver(shelf, (9, 1), (9, 12), rows=12, day=-19)
    assert rows_by_month(shelf.read("actual")) == {"2026-09": 12}


def test_billing_months_that_begin_on_another_day_follow_each_other(shelf: Shelf) -> None:
    deliver(shelf, (7, 15), (8, 14), rows=5, day=1)
    deliver(shelf, (8, 15), (9, 14), rows=6, day=2)
    deliver(shelf, (8, 15), (9, 14), rows=7, day=3)
    assert rows_by_month(shelf.read("actual")) == {"2026-07": 5, "2026-08": 7}


@pytest.mark.parametrize("end", ["2026-09-30T00:00:00Z", "2026-10-01T00:00:00Z", None])
def test_where_the_end_is_the_first_moment_of_the_next_month_nothing_overlaps(
    shelf: Shelf, end: str | None
) -> None:
    info: dict[str, Any] = {"run_info": {"endDate": end}}
    shelf.deliver("actual", made("actual", 5), **info)
    shelf.deliver("actual", made("actual", 6, period="2026-10"), period="2026-10")
    assert rows_by_month(shelf.read("actual")) == {"2026-09": 5, "2026-10": 6}
