"""Line items from cost details reports, of scopes that no export covers: which are made, and when again."""

from __future__ import annotations

import copy
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tap_offgridflow_azure.tap import TapOffgridflowAzure
from tests.azure.answers import ONE, THREE, TWO, costs
from tests.azure.driving import catalog, run_here
from tests.local_clouds.azure_cost_csv import cost_details_csv
from tests.local_clouds.azure_discovery import Subscription

if TYPE_CHECKING:
    from offgridflow_common.testing.clock import FakeClock
    from tests.azure.conftest import Config, RunTap
    from tests.driving import Run
    from tests.local_clouds.azure import LocalAzure

STREAMS = ["cost_details", "deliveries"]
LINES = "cost_details"
SCOPE = f"subscriptions/{ONE}"
ACCOUNT = "providers/Microsoft.Billing/billingAccounts/1234567"
MONTHS = ["2026-09", "2026-10", "2026-11"]
NOW = datetime(2026, 11, 20, 8, tzinfo=UTC)


def publish(
    azure: LocalAzure, month: str, *, scope: str = SCOPE, amount: str = "1.25", rows: int = 20
) -> None:
    """Have a report of a month, two rows a day for 20 days."""
    for metric in ("ActualCost", "AmortizedCost"):
        azure.details.publish(scope, month, metric, files_of(month, metric, amount, rows))


def files_of(month: str, metric: str, amount: str = "1.25", rows: int = 20) -> list[bytes]:
    """Its files of at most 25 rows."""
    return cost_details_csv(
        costs(date.fromisoformat(f"{month}-01"), rows, amount=amount), metric, rows_per_blob=25
    )


@pytest.fixture(autouse=True)
def _published(azure: LocalAzure, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    del clock
    be_at(monkeypatch, NOW)
    azure.discovery.subscriptions = [Subscription(ONE, "Shop")]
    azure.scopes.subscriptions = {ONE, TWO, THREE}
    azure.scopes.wider[ACCOUNT.lower()] = {ONE}
    for month in MONTHS:
        publish(azure, month)


@pytest.fixture
def config(tap_config: Config) -> dict[str, Any]:
    return tap_config(start_date="2026-09-01")


def be_at(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    """Let runs begin at this moment."""
    monkeypatch.setattr(TapOffgridflowAzure, "started_at", moment)


def made(azure: LocalAzure, *, since: int = 0) -> list[tuple[str, str, str]]:
    """Scope, first and last day of the reports that were asked for."""
    return [
        (
            request.path.strip("/").partition("/providers/Microsoft.CostManagement")[0],
            request.body["timePeriod"]["start"],
            request.body["timePeriod"]["end"],
        )
        for request in azure.arm.asked("create_report")[since:]
    ]


def current(*runs: Run) -> dict[tuple[str, str], Decimal]:
    """The cost of each scope's month after some runs: of the rows of its newest delivery."""
    newest: dict[tuple[str, str], Any] = {}
    for run in runs:
        for one in run.records("deliveries"):
            newest[one["export_name"], one["billing_period"]] = one
    lines = {
        tuple(one[name] for name in ("billing_period", "delivery_id", "file_ordinal", "row_number")): one
        for run in runs
        for one in run.records(LINES)
    }
    sums: dict[tuple[str, str], Decimal] = {}
    for place, delivery in newest.items():
        rows = [one for one in lines.values() if one["delivery_id"] == delivery["delivery_id"]]
        assert len(rows) == delivery["rows"]
        sums[place] = sum((Decimal(str(one["cost_in_billing_currency"])) for one in rows), Decimal(0))
    return sums


#: Of two rows a day, the first day's amount more each day, for 20 days.
WHOLE = 2 * Decimal("1.25") * sum(range(1, 21))


def test_months_of_a_scope_are_deliveries_of_several_files(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    run = run_tap(config, STREAMS)
    assert run.exit_code == 0
    assert made(azure) == [
        (SCOPE, "2026-09-01", "2026-09-30"),
        (SCOPE, "2026-10-01", "2026-10-31"),
        (SCOPE, "2026-11-01", "2026-11-20"),
    ]
    name = f"{SCOPE} ActualCost"
    assert current(run) == {(name, month): WHOLE for month in MONTHS}
    deliveries = run.records("deliveries")
    assert {(one["export_type"], one["files"], one["rows"]) for one in deliveries} == {
        ("actual_report", 2, 40)
    }
    assert len({one["delivery_id"] for one in deliveries}) == 3
    assert {one["delivered_at"] for one in deliveries} == {"2026-11-20T08:00:00.000000+00:00"}
    first = run.records(LINES)[0]
    assert (first["billing_period"], first["file_ordinal"], first["row_number"]) == ("2026-09", 1, 1)
    assert (first["export_name"], first["metric"], first["subscription_id"]) == (name, "ActualCost", ONE)
    assert first["date"] == "2026-09-01T00:00:00.000000+00:00"
    assert {one["file_ordinal"] for one in run.records(LINES)} == {1, 2}


def test_the_metric_is_the_one_of_the_settings_and_each_has_state_of_its_own(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    first = run_tap(config, STREAMS)
    second = run_tap(config | {"cost_metric": "AmortizedCost"}, STREAMS, first.state)
    assert second.exit_code == 0
    assert {one["metric"] for one in second.records(LINES)} == {"AmortizedCost"}
    assert {one["export_type"] for one in second.records("deliveries")} == {"amortized_report"}
    assert len(current(second)) == len(MONTHS)
    assert {request.body["metric"] for request in azure.arm.asked("create_report")[3:]} == {"AmortizedCost"}


def test_without_a_start_there_are_thirteen_months(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    azure.details.no_data = "204"
    run = run_tap(tap_config(), STREAMS)
    assert run.exit_code == 0
    assert [first for _, first, _ in made(azure)] == [
        "2025-11-01",
        "2025-12-01",
        *(f"2026-{month:02}-01" for month in range(1, 12)),
    ]
    assert [one["rows"] for one in run.records("deliveries")] == [0] * 10 + [40] * 3


class TestScopes:
    """Reports are made of scopes that nothing else tells of."""

    def test_named_scopes_come_before_subscriptions(
        self, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        publish(azure, "2026-11", scope=ACCOUNT)
        scopes = [f"/{ACCOUNT}/", f"subscriptions/{TWO.upper()}"]
        run = run_tap(config | {"cost_scopes": scopes, "start_date": "2026-11-01"}, STREAMS)
        assert run.exit_code == 0
        assert [scope for scope, _, _ in made(azure)] == [ACCOUNT, f"subscriptions/{TWO.upper()}"]
        assert not azure.arm.asked("subscriptions")
        assert current(run) == {
            (f"{ACCOUNT.lower()} ActualCost", "2026-11"): WHOLE,
            (f"subscriptions/{TWO} ActualCost", "2026-11"): 0,
        }

    @pytest.mark.parametrize(
        "scope",
        [f"subscriptions/{ONE}/resourceGroups/web", "providers/Microsoft.Management/managementGroups/root"],
    )
    def test_scopes_that_only_queries_know_have_none(
        self, scope: str, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        run = run_tap(config | {"cost_scopes": [scope]}, STREAMS)
        assert run.exit_code == 0
        assert f"no cost details reports exist of {scope}" in run.stderr
        assert not made(azure)

    def test_subscriptions_that_cannot_be_found_fail_the_stream(
        self, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        azure.discovery.subscriptions = []
        run = run_tap(config, STREAMS)
        assert run.exit_code == 1
        assert "cost_details (auth)" in run.stderr
        assert "no role on any subscription" in run.stderr

    def test_a_scope_that_is_denied_keeps_no_other_from_being_read(
        self, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        azure.discovery.subscriptions.insert(0, Subscription(TWO, "Denied"))
        azure.arm.forbid("create_report", f".*{TWO}.*")
        run = run_tap(config, STREAMS)
        assert run.exit_code == 1
        assert "Cost Management Reader on the scope, or Cost Management Contributor" in run.stderr
        assert current(run) == {(f"{SCOPE} ActualCost", month): WHOLE for month in MONTHS}

    def test_who_reads_other_streams_has_no_report_made(
        self, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        run = run_tap(config, ["focus_costs", "deliveries"])
        assert run.exit_code == 0
        assert not made(azure)
        assert not azure.arm.requests


class TestAgain:
    """When a month is read again: the report does not say whether it has changed."""

    def test_on_the_same_day_nothing_is(
        self,
        azure: LocalAzure,
        config: dict[str, Any],
        run_tap: RunTap,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        first = run_tap(config, STREAMS)
        be_at(monkeypatch, NOW.replace(hour=23))
        second = run_tap(config, STREAMS, first.state)
        assert len(made(azure)) == 3
        assert not second.records(LINES)
        assert not second.records("deliveries")
        assert second.state["bookmarks"][LINES] == first.state["bookmarks"][LINES]

    def test_on_another_day_the_lookback_is_and_replaces_what_was_read(
        self,
        azure: LocalAzure,
        config: dict[str, Any],
        run_tap: RunTap,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        config |= {"lookback_months": 1}
        first = run_tap(config, STREAMS)
        for month in MONTHS:
            publish(azure, month, amount="2.5", rows=10)
        be_at(monkeypatch, datetime(2026, 11, 21, tzinfo=UTC))
        second = run_tap(config, STREAMS, first.state)
        assert [start for _, start, _ in made(azure, since=3)] == ["2026-10-01", "2026-11-01"]
        restated = 2 * Decimal("2.5") * sum(range(1, 11))
        name = f"{SCOPE} ActualCost"
        assert current(first, second) == {
            (name, "2026-09"): WHOLE,
            (name, "2026-10"): restated,
            (name, "2026-11"): restated,
        }

    def test_a_month_is_until_it_was_read_after_it_has_settled(
        self,
        azure: LocalAzure,
        config: dict[str, Any],
        run_tap: RunTap,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        config |= {"lookback_months": 0, "start_date": "2026-10-01", "end_date": "2026-11-01"}
        azure.details.no_data = "204"
        state = None
        days = (
            date(2026, 10, 30),
            date(2026, 11, 2),
            date(2026, 11, 5),
            date(2026, 11, 6),
            date(2026, 11, 7),
        )
        counts = []
        for day in days:
            be_at(monkeypatch, datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
            state = run_tap(config, STREAMS, state).state
            counts.append(len(made(azure)))
        assert counts == [1, 2, 3, 4, 4]
        assert made(azure)[0][1:] == ("2026-10-01", "2026-10-30")

    def test_a_stream_that_comes_later_tells_of_the_version_that_was_read(
        self,
        azure: LocalAzure,
        config: dict[str, Any],
        run_tap: RunTap,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """As after a run that was killed in between; what is restated since is another delivery."""
        sizes = {month: sum(map(len, files_of(month, "ActualCost"))) for month in MONTHS}
        lines = run_tap(config, [LINES])
        for month in MONTHS:
            publish(azure, month, rows=10)
        be_at(monkeypatch, NOW.replace(hour=20))
        told = run_tap(config, ["deliveries", LINES], lines.state)
        assert not told.records(LINES)
        assert len(made(azure)) == 3
        ids = {one["delivery_id"] for one in lines.records(LINES)}
        assert {one["delivery_id"] for one in told.records("deliveries")} == ids
        assert {one["billing_period"]: one["bytes"] for one in told.records("deliveries")} == sizes
        assert {(one["files"], one["rows"]) for one in told.records("deliveries")} == {(2, 40)}
        assert current(lines, told) == {(f"{SCOPE} ActualCost", month): WHOLE for month in MONTHS}

    @pytest.mark.parametrize("full_table", [[], [LINES]])
    def test_where_all_rows_are_read_again_a_report_is_another_delivery(
        self,
        full_table: list[str],
        azure: LocalAzure,
        config: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """It has other rows than the one that `deliveries` has told, and none of both may be mixed."""
        config |= {"lookback_months": 1}
        first = run_here(config, None, catalog(STREAMS))
        for month in MONTHS:
            publish(azure, month, rows=10)
        be_at(monkeypatch, datetime(2026, 11, 21, tzinfo=UTC))
        state = copy.deepcopy(first.state)
        if not full_table:
            del state["bookmarks"][LINES]
        again = run_here(config, state, catalog(STREAMS, full_table=full_table))
        assert again.exit_code == 0
        ids = [{one["delivery_id"] for one in run.records(LINES)} for run in (first, again)]
        assert ids[0].isdisjoint(ids[1])
        restated = 2 * Decimal("1.25") * sum(range(1, 11))
        assert current(first, again) == {(f"{SCOPE} ActualCost", month): restated for month in MONTHS}
