"""Costs from queries of Cost Management: what is asked, what comes out, what is remembered."""

from __future__ import annotations

from calendar import monthrange
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tap_offgridflow_azure.tap import TapOffgridflowAzure
from tests.azure.answers import ONE, TWO, costs
from tests.local_clouds.azure_cost_query import DATE_STYLES, Cost
from tests.local_clouds.azure_discovery import Subscription
from tests.local_clouds.azure_errors import throttled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.azure.conftest import Config, RunTap
    from tests.driving import Run
    from tests.local_clouds.azure import LocalAzure

STREAM = "cost_query"
FIRST = date(2026, 7, 1)
SCOPE = f"subscriptions/{ONE}"
ACCOUNT = "providers/Microsoft.Billing/billingAccounts/1234567"
KEY = ("scope", "cost_metric", "usage_date", "service_name", "resource_location", "currency", "item_number")


@pytest.fixture(autouse=True)
def _published(azure: LocalAzure) -> None:
    azure.scopes.subscriptions = {ONE, TWO}
    azure.discovery.subscriptions = [Subscription(ONE, "Shop")]
    azure.queries.publish(costs(FIRST, 92))


@pytest.fixture
def config(tap_config: Config) -> dict[str, Any]:
    return tap_config(start_date="2026-07-01", end_date="2026-10-01")


def key(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(record[name] for name in KEY)


def asked(azure: LocalAzure, *, since: int = 0) -> list[str]:
    """The days that were asked for, one entry for each first page."""
    return [
        f"{period['from'][:10]}..{period['to'][:10]}"
        for request in azure.arm.asked("query")[since:]
        if "$skiptoken" not in request.query
        for period in [request.body["timePeriod"]]
    ]


def months_out(run: Run) -> set[str]:
    return {one["usage_date"][:7] for one in run.records(STREAM)}


def newest(run: Run) -> dict[str, str]:
    partitions = run.state["bookmarks"][STREAM].get("partitions", [])
    assert {entry["replication_key"] for entry in partitions} <= {"usage_date"}
    return {entry["context"]["scope"]: entry["replication_key_value"][:7] for entry in partitions}


def test_every_value_of_every_row_arrives_as_the_service_has_it(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    run = run_tap(config, [STREAM])
    assert run.exit_code == 0
    records = run.records(STREAM)
    expected = {
        (f"{row.day}", row.dimension("ServiceName"), row.dimension("ResourceLocation")): row.cost
        for row in costs(FIRST, 92)
    }
    assert {
        (one["usage_date"][:10], one["service_name"], one["resource_location"]): Decimal(str(one["cost"]))
        for one in records
    } == expected
    assert len({key(one) for one in records}) == len(records) == len(expected)
    assert records[0] | {"retrieved_at": None} == {
        "scope": SCOPE,
        "cost_metric": "ActualCost",
        "usage_date": "2026-07-01T00:00:00.000000+00:00",
        "service_name": "Storage",
        "resource_location": "US East",
        "currency": "USD",
        "item_number": 1,
        "region": "eastus",
        "cost": 1.25,
        "cost_usd": 1.25,
        "extra": None,
        "retrieved_at": None,
    }
    assert len({one["retrieved_at"] for one in records}) == 1
    assert asked(azure) == [
        "2026-07-01..2026-07-31",
        "2026-08-01..2026-08-31",
        "2026-09-01..2026-09-30",
    ]
    (request, *_) = azure.arm.asked("query")
    assert request.body["type"] == "ActualCost"
    assert request.body["timePeriod"] == {"from": "2026-07-01T00:00:00Z", "to": "2026-07-31T23:59:59Z"}
    assert request.body["dataset"]["granularity"] == "Daily"
    assert request.query["$top"] == "5000"


def test_a_number_keeps_the_digits_that_a_float_has(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    amounts = ["19.545363672276512", "0.000000123456789012345", "173419792.412902", "-4.25", "0"]
    dimensions = [{"ServiceName": f"Service {number}"} for number in range(len(amounts))]
    azure.queries.publish(
        Cost(FIRST, ONE, Decimal(amount), dimensions=dimension)
        for amount, dimension in zip(amounts, dimensions, strict=True)
    )
    run = run_tap(config | {"end_date": "2026-07-02"}, [STREAM])
    assert [Decimal(str(one["cost"])) for one in run.records(STREAM)] == list(map(Decimal, amounts))


@pytest.mark.parametrize("style", DATE_STYLES)
@pytest.mark.parametrize(
    "order", [(), ("Currency", "ResourceLocation", "UsageDate", "CostUSD", "ServiceName", "Cost")]
)
def test_columns_come_in_any_order_and_dates_in_any_form(
    style: str, order: tuple[str, ...], azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    usual = run_tap(config, [STREAM])
    azure.queries.day_style = style
    azure.queries.column_order = order
    changed = run_tap(config, [STREAM])
    assert changed.exit_code == 0
    assert [one | {"retrieved_at": 0} for one in changed.records(STREAM)] == [
        one | {"retrieved_at": 0} for one in usual.records(STREAM)
    ]


def test_columns_in_another_case_are_known_and_others_are_kept(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    def alter(answer: Any) -> None:
        table = answer["properties"]
        for column in table["columns"]:
            column["name"] = column["name"].upper()
        table["columns"] += [{"name": "CostStatus", "type": "String"}, {"name": "Share", "type": "Number"}]
        for row in table["rows"]:
            row += ["Forecast", 0.5]

    azure.arm.alter("query", alter)
    run = run_tap(config, [STREAM])
    assert run.exit_code == 0
    first = run.records(STREAM)[0]
    assert (first["service_name"], first["cost"], first["cost_usd"]) == ("Storage", 1.25, 1.25)
    assert first["extra"] == {"cost_status": "Forecast", "share": "0.5"}


def test_services_and_places_may_be_missing_and_currencies_differ(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.queries.publish(
        [
            Cost(FIRST, ONE, Decimal(1), dimensions={"ServiceName": "Storage"}),
            Cost(FIRST, ONE, Decimal(2), currency="EUR", dimensions={"ServiceName": "Storage"}),
            Cost(FIRST, ONE, Decimal(3), dimensions={"ResourceLocation": "Unassigned"}),
        ]
    )

    def forget(answer: Any) -> None:
        for row in answer["properties"]["rows"]:
            row[:] = [value or None if isinstance(value, str) else value for value in row]

    azure.arm.alter("query", forget)
    run = run_tap(config | {"end_date": "2026-07-02"}, [STREAM])
    assert run.exit_code == 0
    assert {
        (one["service_name"], one["resource_location"], one["currency"]): (one["cost"], one["region"])
        for one in run.records(STREAM)
    } == {
        ("Storage", "Unassigned", "USD"): (1, "global"),
        ("Storage", "Unassigned", "EUR"): (2, "global"),
        ("Unassigned", "Unassigned", "USD"): (3, "global"),
    }


@pytest.mark.parametrize("published_links", [False, True])
def test_links_are_followed_as_they_are_with_the_same_body(
    published_links: bool,  # noqa: FBT001 - a parameter of the test
    *,
    azure: LocalAzure,
    config: dict[str, Any],
    run_tap: RunTap,
) -> None:
    azure.queries.most_rows = 25
    azure.queries.published_links = published_links
    run = run_tap(config, [STREAM])
    assert run.exit_code == 0
    assert len({key(one) for one in run.records(STREAM)}) == len(run.records(STREAM)) == 2 * 92
    requests = azure.arm.asked("query")
    assert len(requests) == 3 * 3
    for first, *others in (requests[:3], requests[3:6], requests[6:]):
        for other in others:
            assert other.body == first.body
            assert other.query["api-version"] == ("2021-10-01" if published_links else "2025-03-01")


def test_a_scope_in_several_spellings_is_read_once(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    """The first one is asked for."""
    spellings = [f"/Subscriptions/{ONE.upper()}/", SCOPE, f"{SCOPE}/"]
    run = run_tap(config | {"cost_scopes": spellings, "start_date": "2026-09-01"}, [STREAM])
    assert run.exit_code == 0
    assert asked(azure) == ["2026-09-01..2026-09-30"]
    assert azure.arm.asked("query")[0].path.startswith(f"/Subscriptions/{ONE.upper()}/providers/")
    assert {one["scope"] for one in run.records(STREAM)} == {SCOPE}
    assert len({key(one) for one in run.records(STREAM)}) == len(run.records(STREAM)) == 30 * 2


def test_scopes_that_were_read_longest_ago_are_asked_first(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    """A run that is ended before it is through leaves others out each time."""
    azure.scopes.wider[ACCOUNT.lower()] = {ONE}
    scopes = [SCOPE, ACCOUNT]
    first = run_tap(config | {"cost_scopes": scopes[:1]}, [STREAM])
    azure.arm.clear_requests()
    run_tap(config | {"cost_scopes": scopes}, [STREAM], first.state)
    asked_first, *_, asked_last = azure.arm.asked("query")
    assert ACCOUNT in asked_first.path
    assert SCOPE in asked_last.path


def test_so_many_scopes_that_they_take_hours_are_told(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.arm.fail_next(throttled({"Retry-After": "86400"}), 999, operation="query")
    scopes = [f"subscriptions/aaaaaaaa-0000-0000-0000-{number:012}" for number in range(151)]
    run = run_tap(config | {"cost_scopes": scopes, "lookback_months": 3}, [STREAM])
    assert "151 scopes are some 604 queries a run, and Cost Management answers 600 an hour" in run.stderr


@pytest.mark.parametrize("no_content", [True, False])
def test_no_cost_is_an_answer(
    no_content: bool,  # noqa: FBT001 - a parameter of the test
    *,
    azure: LocalAzure,
    config: dict[str, Any],
    run_tap: RunTap,
) -> None:
    azure.queries.publish([])
    azure.queries.no_content = no_content
    first = run_tap(config, [STREAM])
    assert first.exit_code == 0
    assert not first.records(STREAM)
    assert len(asked(azure)) == 3
    assert newest(first) == {SCOPE: "2026-09"}
    second = run_tap(config | {"lookback_months": 1}, [STREAM], first.state)
    assert asked(azure, since=3) == ["2026-09-01..2026-09-30"]
    assert second.state == first.state


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"end_date": "2026-07-15"}, ["2026-07-01..2026-07-31"]),
        ({"end_date": "2026-08-01"}, ["2026-07-01..2026-07-31"]),
        ({"end_date": "2026-08-01T00:00:01Z"}, ["2026-07-01..2026-07-31", "2026-08-01..2026-08-31"]),
        ({"start_date": "2026-09-20"}, ["2026-09-01..2026-09-30"]),
        ({"start_date": "2026-02-01", "end_date": "2026-03-01"}, ["2026-02-01..2026-02-28"]),
    ],
)
def test_the_window_is_asked_for_month_by_month(
    settings: dict[str, str],
    expected: list[str],
    azure: LocalAzure,
    config: dict[str, Any],
    run_tap: RunTap,
) -> None:
    run = run_tap(config | settings, [STREAM])
    assert run.exit_code == 0
    assert asked(azure) == expected
    last = expected[-1][-10:]
    assert all(one["usage_date"][:10] <= last for one in run.records(STREAM))


def test_nothing_later_than_now_is_asked_for_and_thirteen_months_where_no_start_is_set(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    azure.queries.publish([])
    before = datetime.now(UTC).replace(microsecond=0)
    assert run_tap(tap_config(), [STREAM]).exit_code == 0
    periods = [request.body["timePeriod"] for request in azure.arm.asked("query")]
    this_month = f"{before:%Y-%m}"
    months = [period["from"][:7] for period in periods]
    assert (len(months), months[-1]) == (14, this_month)
    for period in periods[:-1]:
        year, month = int(period["from"][:4]), int(period["from"][5:7])
        assert period["to"] == f"{year}-{month:02}-{monthrange(year, month)[1]}T23:59:59Z"
    assert before <= datetime.fromisoformat(periods[-1]["to"]) <= datetime.now(UTC)


def test_a_start_that_the_service_would_refuse_is_told(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    azure.queries.publish([])
    run = run_tap(tap_config(start_date="2020-01-01"), [STREAM])
    assert run.exit_code == 0
    months = asked(azure)
    assert len(months) == 37
    assert f"cost goes back to {months[0][:10]} only" in run.stderr


class TestShortenedAnswers:
    """Answers may silently be of fewer days than were asked for."""

    SHORTENED: Mapping[str, Callable[[date, date], tuple[date, date]]] = {
        "the last day only": lambda _start, end: (end, end),
        "the first day only": lambda start, _end: (start, start),
        "the first ten days": lambda start, end: (start, min(end, start + timedelta(9))),
        "a middle": lambda start, end: (start + (end - start) // 3, end - (end - start) // 3),
    }

    @pytest.mark.parametrize("shorten", SHORTENED.values(), ids=SHORTENED)
    def test_days_that_are_left_out_are_asked_for_again(
        self,
        shorten: Callable[[date, date], tuple[date, date]],
        azure: LocalAzure,
        config: dict[str, Any],
        run_tap: RunTap,
    ) -> None:
        whole = run_tap(config, [STREAM])
        azure.queries.shorten = shorten
        run = run_tap(config, [STREAM])
        assert run.exit_code == 0
        assert {key(one) for one in run.records(STREAM)} == {key(one) for one in whole.records(STREAM)}
        assert len(run.records(STREAM)) == len(whole.records(STREAM))
        assert f"cost of {SCOPE}: an answer left out" in run.stderr
        assert "left out" not in whole.stderr

    def test_days_without_cost_are_asked_for_once_more_and_no_further(
        self, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        azure.queries.publish(costs(date(2026, 7, 10), 5))
        run = run_tap(config | {"end_date": "2026-08-01"}, [STREAM])
        assert run.exit_code == 0
        assert len(run.records(STREAM)) == 10
        assert sorted(asked(azure)) == [
            "2026-07-01..2026-07-09",
            "2026-07-01..2026-07-31",
            "2026-07-15..2026-07-31",
        ]
        assert "left out" not in run.stderr

    def test_the_last_days_before_today_may_still_be_without_cost(
        self, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        today = datetime.now(UTC).date()
        first = today.replace(day=1)
        days = max(1, (today - first).days - 1)
        azure.queries.publish(costs(first, days))
        assert run_tap(tap_config(start_date=first.isoformat()), [STREAM]).exit_code == 0
        assert len(asked(azure)) == 1


class TestAgain:
    """What a second run reads."""

    @pytest.mark.parametrize(("lookback", "expected"), [(0, 1), (1, 1), (2, 2), (120, 3)])
    def test_what_was_read_is_read_again_for_the_lookback_and_restated_days_replace_themselves(
        self, lookback: int, expected: int, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        config |= {"lookback_months": lookback}
        first = run_tap(config, [STREAM])
        azure.queries.publish(costs(FIRST, 92, amount="2.5"))
        before = len(asked(azure))
        second = run_tap(config, [STREAM], first.state)
        assert len(asked(azure)) - before == expected
        months = sorted(months_out(first))[-expected:]
        assert sorted(months_out(second)) == months
        old, new = ({key(one): one["cost"] for one in run.records(STREAM)} for run in (first, second))
        assert new == {place: 2 * cost for place, cost in old.items() if place[2][:7] in months}
        assert second.state == first.state

    def test_a_scope_that_is_added_and_another_metric_are_read_whole(
        self, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        config |= {"lookback_months": 1}
        first = run_tap(config, [STREAM])
        azure.scopes.wider[ACCOUNT.lower()] = {ONE, TWO}
        scopes = run_tap(config | {"cost_scopes": [f"/{SCOPE}/", ACCOUNT]}, [STREAM], first.state)
        by_scope = defaultdict(set)
        for one in scopes.records(STREAM):
            by_scope[one["scope"]].add(one["usage_date"][:7])
        assert by_scope == {SCOPE: {"2026-09"}, ACCOUNT.lower(): {"2026-07", "2026-08", "2026-09"}}
        amortized = run_tap(config | {"cost_metric": "AmortizedCost"}, [STREAM], first.state)
        assert months_out(amortized) == {"2026-07", "2026-08", "2026-09"}
        assert {one["cost_metric"] for one in amortized.records(STREAM)} == {"AmortizedCost"}
        assert azure.arm.asked("query")[-1].body["type"] == "AmortizedCost"


class TestSettling:
    """Costs of the last days of a month arrive in the first days of the next one; runs are in September."""

    BOTH = ("2026-08", "2026-09")

    @pytest.fixture(params=[0, 1])
    def run_on(
        self,
        request: pytest.FixtureRequest,
        azure: LocalAzure,
        tap_config: Config,
        run_tap: RunTap,
        monkeypatch: pytest.MonkeyPatch,
    ) -> Callable[..., Run]:
        """Runs the stream on a day of September, with the costs until then; settings come on top."""

        def run(day: int, state: Any = None, **settings: Any) -> Run:
            monkeypatch.setattr(TapOffgridflowAzure, "started_at", datetime(2026, 9, day, 20, tzinfo=UTC))
            azure.queries.publish(costs(FIRST, 62 + day))
            usual = {"start_date": FIRST.isoformat(), "lookback_months": request.param}
            done = run_tap(tap_config(**(usual | settings)), [STREAM], state)
            assert done.exit_code == 0
            return done

        return run

    @pytest.mark.parametrize(
        ("days", "expected"),
        [
            ([1, 2], BOTH),
            ([1, 5], BOTH),
            ([1, 6], BOTH),
            ([1, 28], BOTH),
            ([1, 5, 6], BOTH),
            ([1, 6, 7], BOTH[1:]),
            ([8, 9], BOTH[1:]),
        ],
    )
    def test_last_month_is_read_until_it_was_read_after_it_has_settled(
        self, days: Sequence[int], expected: Sequence[str], run_on: Callable[..., Run]
    ) -> None:
        state = None
        for day in days:
            run = run_on(day, state)
            state = run.state
        assert newest(run) == {SCOPE: "2026-09"}
        assert sorted(months_out(run)) == list(expected)

    def test_wherever_a_run_is_killed_a_later_one_reads_it(self, run_on: Callable[..., Run]) -> None:
        """Be it the first run, or one that left last month's rows torn; the next days' are whole."""
        first = run_on(4)
        killed = run_on(6, first.state)
        assert killed.states == [first.state, killed.state]
        for state in first.states:
            assert {*self.BOTH} <= months_out(run_on(8, state))
        assert sorted(months_out(run_on(8, killed.state))) == ["2026-09"]

    def test_where_it_is_not_known_when_all_was_read_last_month_is_read_once_more(
        self, run_on: Callable[..., Run]
    ) -> None:
        """As in states of before, or where the first run was killed behind the newest month."""
        state = run_on(1).state
        (entry,) = state["bookmarks"][STREAM]["partitions"]
        del entry["read_at"]
        again = run_on(8, state)
        assert sorted(months_out(again)) == list(self.BOTH)
        assert sorted(months_out(run_on(9, again.state))) == ["2026-09"]

    def test_a_window_that_begins_later_leaves_it_to_one_that_reaches_back(
        self, run_on: Callable[..., Run]
    ) -> None:
        state = run_on(1).state
        for day in (8, 9):
            later = run_on(day, state, start_date="2026-09-01")
            assert sorted(months_out(later)) == ["2026-09"]
            state = later.state
        back = run_on(10, state)
        assert "2026-08" in months_out(back)
        assert sorted(months_out(run_on(11, back.state))) == ["2026-09"]

    def test_a_window_that_ends_before_leaves_it_to_the_next_run(self, run_on: Callable[..., Run]) -> None:
        first = run_on(1)
        earlier = run_on(8, first.state, end_date="2026-08-01")
        assert "2026-08" in months_out(run_on(9, earlier.state))
