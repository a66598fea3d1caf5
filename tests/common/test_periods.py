"""Periods: what is read again, what is remembered, and that nothing is left out whenever a run ends."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offgridflow_common.months import MONTH, YEAR, Period, add_months, floor, periods
from offgridflow_common.singer.periods import History, VersionedPeriods, version_key


def at(text: str) -> datetime:
    """A month or a day as a moment."""
    return datetime.fromisoformat(f"{text}-01" if len(text) == len("2026-01") else text).replace(tzinfo=UTC)


def months(first: str, last: str) -> list[str]:
    """All months from one to another, both included."""
    return [period.label for period in periods(at(first), add_months(at(last), 1), MONTH)]


@dataclass
class Source:
    """A source with its state: what is published, under which model version."""

    published: dict[str, str] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    def run(
        self,
        end: str = "2026-12",
        *,
        start: str = "2026-01",
        lookback: int = 1,
        months: int = MONTH,
        stop_after: int | None = None,
    ) -> list[str]:
        """Read what is pending, at most so many periods, and say which these were."""
        history = History(at(start), at(end), months, lookback)
        plan = VersionedPeriods(history, dict(self.state), self.state.update)
        read = []
        for period in itertools.islice(plan.pending(), stop_after):
            versions = self.versions(period)
            plan.acknowledge(period, len(versions), set(versions))
            read.append(period.label)
        return read

    def versions(self, period: Period) -> list[str]:
        return [
            version for month, version in self.published.items() if period.start <= at(month) < period.end
        ]


def published(last: str, version: str = "v1.0.0", first: str = "2026-01") -> dict[str, str]:
    return dict.fromkeys(months(first, last), version)


def test_the_first_run_reads_everything_once_in_order() -> None:
    source = Source(published("2026-06"))
    assert source.run(end="2026-08") == months("2026-01", "2026-07")
    assert source.state == {
        "replication_key": "period_start",
        "replication_key_value": "2026-06-01T00:00:00.000000+00:00",
        "history_start": "2026-01-01T00:00:00.000000+00:00",
        "model_version": "v1.0.0",
    }


def test_a_source_without_a_model_is_remembered_by_its_own_column() -> None:
    state: dict[str, Any] = {}
    history = History(at("2026-01"), at("2026-04"), MONTH, 1)
    for expected in (months("2026-01", "2026-03"), months("2026-02", "2026-03")):
        plan = VersionedPeriods(history, dict(state), state.update, "usage_date")
        read = list(plan.pending())
        assert [period.label for period in read] == expected
        for period in read:
            plan.acknowledge(period, int(period.label < "2026-03"), set())
        assert state == {
            "replication_key": "usage_date",
            "replication_key_value": "2026-02-01T00:00:00.000000+00:00",
            "history_start": "2026-01-01T00:00:00.000000+00:00",
        }


@pytest.mark.parametrize(
    ("lookback", "first"),
    [(0, "2026-06"), (1, "2026-06"), (2, "2026-05"), (3, "2026-04"), (6, "2026-01"), (120, "2026-01")],
)
def test_a_later_run_reads_the_lookback_and_what_is_new(lookback: int, first: str) -> None:
    source = Source(published("2026-06"))
    source.run(end="2026-08")
    assert source.run(end="2026-08", lookback=lookback) == months(first, "2026-07")
    source.published = published("2026-08")
    assert source.run(end="2026-10", lookback=lookback) == months(first, "2026-09")
    assert source.run(end="2026-10", lookback=1) == months("2026-08", "2026-09")


def test_windows_that_move_to_and_fro_leave_no_gap() -> None:
    source = Source(published("2026-06"))
    windows = [("2026-03", "2026-04"), ("2026-01", "2026-02"), ("2026-03", "2026-06"), ("2026-01", "2026-07")]
    read = [source.run(start=start, end=end, lookback=3) for start, end in windows]
    assert set(itertools.chain(*read)) == set(months("2026-01", "2026-06"))


@pytest.mark.parametrize("stop_after", range(1, 8))
def test_an_interrupted_first_run_goes_on_where_it_was_ended(stop_after: int) -> None:
    source = Source(published("2026-06"))
    first = source.run(end="2026-08", stop_after=stop_after)
    again = source.run(end="2026-08")
    assert first == months("2026-01", "2026-07")[:stop_after]
    assert again[0] == first[:6][-1]
    assert sorted({*first, *again}) == months("2026-01", "2026-07")


def test_months_that_are_not_published_yet_are_asked_for_again() -> None:
    source = Source()
    assert source.run(end="2026-04") == source.run(end="2026-04") == months("2026-01", "2026-03")
    assert source.state == {}
    source.published = published("2026-02")
    source.run(end="2026-05")
    assert source.run(end="2026-05") == months("2026-02", "2026-04")


def test_a_month_without_rows_between_others_is_not_asked_for_beyond_the_lookback() -> None:
    source = Source({"2026-01": "v1", "2026-03": "v1", "2026-04": "v1"})
    source.run(end="2026-05")
    assert source.run(end="2026-05", lookback=3) == months("2026-02", "2026-04")
    assert source.run(end="2026-05", lookback=1) == ["2026-04"]


def test_a_new_model_version_reads_all_history_again_exactly_once() -> None:
    source = Source(published("2026-06"))
    source.run(end="2026-08")
    source.published = published("2026-07", "v1.1.0")
    assert source.run(end="2026-08") == [*months("2026-06", "2026-07"), *months("2026-01", "2026-05")]
    assert source.state["model_version"] == "v1.1.0"
    assert source.run(end="2026-08") == ["2026-07"]


@pytest.mark.parametrize("stop_after", range(1, 7))
def test_a_re_reading_that_was_ended_starts_again(stop_after: int) -> None:
    source = Source(published("2026-06"))
    source.run(end="2026-07")
    source.published = published("2026-06", "v2.0.0")
    source.run(end="2026-07", stop_after=stop_after)
    assert source.run(end="2026-07") == ["2026-06", *months("2026-01", "2026-05")]
    assert source.run(end="2026-07") == ["2026-06"]


def test_an_older_model_version_is_another_one_too() -> None:
    source = Source(published("2026-03", "v2.0.0"))
    source.run(end="2026-04")
    source.published = published("2026-03", "v1.9.0")
    assert source.run(end="2026-04") == ["2026-03", *months("2026-01", "2026-02")]
    assert source.run(end="2026-04") == ["2026-03"]


def test_a_model_version_that_is_taken_back_during_an_interrupted_re_reading_is_noticed() -> None:
    source = Source(published("2026-06"))
    source.run(end="2026-07")
    source.published = published("2026-06", "v2.0.0")
    source.run(end="2026-07", stop_after=4)
    source.published = published("2026-06")
    assert source.run(end="2026-07") == ["2026-06", *months("2026-01", "2026-05")]


@pytest.mark.parametrize("recalculated_first", [months("2026-09", "2026-11"), months("2026-01", "2026-02")])
def test_all_history_is_read_until_all_of_it_is_of_the_new_version(recalculated_first: list[str]) -> None:
    """The provider takes days for all months."""
    source = Source(published("2026-11"))
    source.run(lookback=3)
    source.published |= dict.fromkeys([*recalculated_first, "2026-11"], "v2.0.0")
    everything = months("2026-01", "2026-11")
    for _ in range(2):
        assert set(source.run(lookback=3)) >= set(everything)
        assert source.state["model_version"] is None
    source.published = published("2026-11", "v2.0.0")
    assert set(source.run(lookback=3)) >= set(everything)
    assert source.state["model_version"] == "v2.0.0"
    assert source.run(lookback=3) == months("2026-09", "2026-11")


def test_a_version_that_changes_during_an_interrupted_first_run_is_noticed() -> None:
    source = Source(published("2026-06"))
    source.run(end="2026-07", stop_after=4)
    source.published = published("2026-06", "v2.0.0")
    read = source.run(end="2026-07")
    assert sorted(read) == months("2026-01", "2026-06")


def test_several_versions_in_an_interrupted_first_run_are_noticed() -> None:
    source = Source(published("2026-03") | published("2026-06", "v2.0.0", first="2026-04"))
    source.run(end="2026-07", stop_after=5)
    source.published = published("2026-06", "v2.0.0")
    read = source.run(end="2026-07")
    assert sorted(read) == months("2026-01", "2026-06")


def test_a_model_that_changes_during_a_run_has_the_next_one_read_all_again() -> None:
    """What the old version had and the new one lacks went out together with it, and would stay."""
    source = Source(published("2026-06"))
    read = []
    plan = VersionedPeriods(
        History(at("2026-01"), at("2026-07"), MONTH, 1), source.state, source.state.update
    )
    for period in plan.pending():
        versions = source.versions(period)
        plan.acknowledge(period, len(versions), set(versions))
        read.append(period.label)
        if period.label == "2026-03":
            source.published = published("2026-06", "v2.0.0")
    assert read == [*months("2026-01", "2026-06"), *months("2026-01", "2026-03")]
    assert source.run(end="2026-07") == [*months("2026-06", "2026-06"), *months("2026-01", "2026-05")]
    assert source.run(end="2026-07") == ["2026-06"]


def test_rows_without_a_version_are_no_change() -> None:
    source = Source(published("2026-03"))
    source.run(end="2026-04")
    plan = VersionedPeriods(
        History(at("2026-01"), at("2026-04"), MONTH, 1), source.state, source.state.update
    )
    for period in plan.pending():
        plan.acknowledge(period, 1, set())
    assert source.state["model_version"] == "v1.0.0"


def test_an_earlier_start_reads_what_lies_before_once() -> None:
    source = Source(published("2026-06", first="2025-01"))
    source.run(end="2026-07")
    assert source.run(end="2026-07", start="2025-11") == ["2026-06", *months("2025-11", "2026-05")]
    assert source.run(end="2026-07", start="2025-11") == ["2026-06"]


def test_an_earlier_start_is_not_forgotten_when_the_run_is_ended() -> None:
    source = Source(published("2026-06", first="2025-01"))
    source.run(end="2026-07")
    source.run(end="2026-07", start="2025-11", stop_after=2)
    read = source.run(end="2026-07", start="2025-11")
    assert set(months("2025-11", "2025-12")) <= set(read)


def test_a_later_start_reads_nothing_before_it() -> None:
    source = Source(published("2026-06"))
    source.run(end="2026-07")
    assert source.run(end="2026-07", start="2026-05", lookback=6) == months("2026-05", "2026-06")


def test_a_start_that_is_later_for_a_while_leaves_nothing_of_an_old_version() -> None:
    source = Source(published("2026-07"))
    source.run(end="2026-08")
    source.published = published("2026-07", "v1.1.0")
    assert source.run(end="2026-08", start="2026-04") == ["2026-07", *months("2026-04", "2026-06")]
    assert source.run(end="2026-08") == ["2026-07", *months("2026-01", "2026-06")]
    assert source.run(end="2026-08") == ["2026-07"]


def test_a_start_beyond_what_was_read_and_back_leaves_no_gap() -> None:
    source = Source(published("2026-02"))
    source.run(end="2026-03")
    source.published = published("2026-09")
    source.run(end="2026-10", start="2026-06", stop_after=2)
    assert set(months("2026-03", "2026-05")) <= set(source.run(end="2026-10", start="2026-01"))


@pytest.mark.parametrize(
    ("end", "last"), [("2026-03", "2026-02"), ("2026-03-01", "2026-02"), ("2026-03-02", "2026-03")]
)
def test_periods_that_begin_at_the_end_or_later_are_not_read(end: str, last: str) -> None:
    assert Source(published("2026-06")).run(end=end) == months("2026-01", last)


def test_an_end_before_what_was_read_reads_nothing_beyond_it() -> None:
    source = Source(published("2026-06", first="2025-01"))
    source.run(end="2026-07")
    assert source.run(end="2026-03") == []
    assert source.run(end="2026-03", start="2025-11") == months("2025-11", "2026-02")


@pytest.mark.parametrize(("lookback", "first"), [(0, 2025), (12, 2025), (13, 2024), (24, 2024), (36, 2023)])
def test_years_are_read_as_months_are(lookback: int, first: int) -> None:
    source = Source({f"{year}-01": "v1" for year in range(2023, 2026)})
    read = partial(source.run, "2026-04", start="2023-05", months=YEAR)
    assert read() == ["2023", "2024", "2025", "2026"]
    again = read(lookback=lookback)
    assert again == [str(year) for year in range(first, 2027)]


steps = st.lists(
    st.tuples(
        st.integers(1, 12),  # months published
        st.integers(1, 3),  # model version
        st.integers(0, 4),  # lookback
        st.none() | st.integers(0, 14),  # periods after which the run is ended
    ),
    min_size=1,
    max_size=6,
)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(steps)
def test_whatever_happened_before_an_undisturbed_run_ends_with_all_of_one_version(steps: list[Any]) -> None:
    source = Source()
    landed: dict[str, str] = {}
    newest = 0
    for count, version, lookback, stop_after in [*steps, (12, steps[-1][1], 1, None)]:
        newest = max(newest, count)
        source.published = published(f"2026-{newest:02}", f"v{version}.0.0")
        read = source.run(end="2027-01", lookback=lookback, stop_after=stop_after)
        landed |= {month: version for month, version in source.published.items() if month in read}
    assert landed == source.published


def test_versions_sort_by_their_numbers() -> None:
    ordered = [
        *("v1", "v1.9.0", "v1.10.0", "v2.9.9", "v3.0.0-alpha", "v3.0.0-rc.2", "v3.0.0-rc.10", "v3.0.0"),
        *("v3.0.1", "v3.0.10", "v10.0.0"),
    ]
    assert sorted([*ordered[4:], *ordered[:4]], key=version_key) == ordered
    assert version_key("3.0.1") == version_key("v3.0.1") == version_key("V3.0.1")


@pytest.mark.parametrize("version", ["", "v", "draft", "v3.x", "2026-03"])
def test_no_version_is_too_odd_to_sort(version: str) -> None:
    assert sorted([version, "v9999.0.0"], key=version_key) == [version, "v9999.0.0"]


@pytest.mark.parametrize(
    ("moment", "length", "start", "following"),
    [
        ("2026-03-31", MONTH, "2026-03", "2026-04"),
        ("2026-12-31", MONTH, "2026-12", "2027-01"),
        ("2024-02-29", YEAR, "2024-01", "2025-01"),
    ],
)
def test_a_period_begins_where_its_month_or_year_does(
    moment: str, length: int, start: str, following: str
) -> None:
    assert floor(at(moment), length) == at(start)
    [period] = periods(at(moment), at(following), length)
    assert period == Period(at(start), at(following))
    assert add_months(at(following), -length) == at(start)
