"""What the tap does when emissions are denied, cut short or broken: what it says, and what it keeps."""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.answers import ONE, SCOPES, THREE, TWO, emissions, only, overlapping
from tests.local_clouds.azure_discovery import Subscription
from tests.local_clouds.azure_errors import BAD_GATEWAY_HTML, arm_error, throttled, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from offgridflow_common.testing.clock import FakeClock
    from tests.azure.conftest import Config, RunTap
    from tests.driving import Run
    from tests.local_clouds.azure import LocalAzure
    from tests.local_clouds.azure_messages import Reply

CARBON = "carbon_emissions"
MONTHS = ["2026-07", "2026-08", "2026-09"]
ROWS = 3 * 3


@pytest.fixture(autouse=True)
def _published(azure: LocalAzure) -> None:
    azure.discovery.subscriptions = [
        Subscription(one, name) for one, name in ((ONE, "Shop"), (TWO, "Lab"), (THREE, "Old"))
    ]
    azure.carbon.publish(emissions(MONTHS, [ONE, TWO, THREE]))


def rows_out(run: Run) -> dict[tuple[str, str], int]:
    """How many rows of a month and a subscription went out."""
    places = [(one["period_start"][:7], one["subscription_id"]) for one in run.records(CARBON)]
    return {place: places.count(place) for place in places}


def newest(run: Run) -> dict[str, str]:
    """The newest month that counts as read, by subscription."""
    partitions = run.state.get("bookmarks", {}).get(CARBON, {}).get("partitions", [])
    return {entry["context"]["subscription_id"]: entry["replication_key_value"][:7] for entry in partitions}


class TestDenied:
    """Azure answers 200 for subscriptions that it denies."""

    @pytest.fixture(autouse=True)
    def _denied(self, azure: LocalAzure) -> None:
        azure.carbon.denied = {TWO: "Carbon Optimization Reader permisison required", THREE: None}

    def test_the_others_are_read_and_then_the_stream_fails(
        self, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        run = run_tap(tap_config(), [CARBON])
        assert run.exit_code == 1
        assert rows_out(run) == {(month, ONE): ROWS for month in MONTHS}
        assert newest(run) == {ONE: "2026-09"}
        assert "carbon_emissions (auth)" in run.stderr
        (line,) = (line for line in run.stderr.splitlines() if "denied access" in line)
        assert "2 denied access" in line
        assert f"Lab ({TWO}): Carbon Optimization Reader permisison required" in line
        assert f"Old ({THREE}): no reason given" in line
        assert "fail_on_denied" in line
        # Who has said no once is not asked again.
        asked = [request.body["subscriptionList"] for request in azure.arm.asked("carbon")]
        assert asked == [[ONE, TWO, THREE]] + [[ONE]] * 8

    def test_of_who_is_denied_in_the_middle_nothing_of_the_month_is_out(
        self, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        """What is out of a month replaces what was read of it before."""
        azure.carbon.denied = {}
        answers = count(1)

        def deny(answer: dict[str, Any]) -> None:
            """From the second scope of the second month on."""
            if next(answers) < len(SCOPES) + 2:
                return
            for decision in answer["subscriptionAccessDecisionList"]:
                if decision["subscriptionId"] == TWO:
                    decision |= {"decision": "Denied", "denialReason": "not any more"}
            answer["value"] = [row for row in answer["value"] if row["subscriptionId"] != TWO]

        azure.arm.alter("carbon", deny)
        run = run_tap(tap_config(fail_on_denied=False), [CARBON])
        assert run.exit_code == 0
        assert "not any more" in run.stderr
        allowed = {(month, one): ROWS for month in MONTHS for one in (ONE, THREE)}
        assert rows_out(run) == allowed | {("2026-07", TWO): ROWS}
        assert newest(run) == dict.fromkeys((ONE, THREE), "2026-09") | {TWO: "2026-07"}

    def test_it_can_be_a_warning(self, tap_config: Config, run_tap: RunTap) -> None:
        run = run_tap(tap_config(fail_on_denied=False), [CARBON])
        assert run.exit_code == 0
        assert rows_out(run) == {(month, ONE): ROWS for month in MONTHS}
        assert newest(run) == {ONE: "2026-09"}
        assert "2 denied access" in run.stderr

    def test_who_is_admitted_later_is_read_whole(
        self, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        first = run_tap(tap_config(), [CARBON])
        azure.carbon.denied = {}
        second = run_tap(tap_config(), [CARBON], first.state)
        assert second.exit_code == 0
        assert {place: ROWS for place in rows_out(second) if place[1] != ONE} == {
            (month, one): ROWS for month in MONTHS for one in (TWO, THREE)
        }
        assert newest(second) == dict.fromkeys((ONE, TWO, THREE), "2026-09")

    @pytest.mark.parametrize("category", ["Resource", "Location"])
    def test_all_may_be_denied(
        self, category: str, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        azure.carbon.denied[ONE] = None
        run = run_tap(tap_config(carbon_category=category), [CARBON])
        assert run.exit_code == 1
        assert "3 denied access" in run.stderr
        assert not run.records(CARBON)
        assert newest(run) == {}
        assert len(azure.arm.asked("carbon")) == (1 if category == "Resource" else 3)

    def test_names_are_told_where_they_can_be_seen_only(
        self, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        azure.arm.forbid("subscriptions")
        run = run_tap(tap_config(subscription_ids=[ONE, TWO]), [CARBON])
        assert run.exit_code == 1
        assert f"1 denied access: {TWO}: Carbon" in run.stderr

    @pytest.mark.usefixtures("clock")
    @pytest.mark.parametrize("fail_on_denied", [True, False])
    @pytest.mark.parametrize("answer", [unavailable(None), arm_error(400, "BadRequest", "no names")])
    def test_names_that_cannot_be_had_hide_nothing(
        self, answer: Reply, *, fail_on_denied: bool, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        azure.arm.fail_next(answer, 99, operation="subscriptions")
        settings = tap_config(subscription_ids=[ONE, TWO, THREE], fail_on_denied=fail_on_denied)
        run = run_tap(settings, [CARBON])
        assert run.exit_code == fail_on_denied
        assert rows_out(run) == {(month, ONE): ROWS for month in MONTHS}
        assert f"2 denied access: {TWO}: Carbon" in run.stderr
        assert f"{THREE}: no reason given" in run.stderr
        assert run.stderr.count("the names of subscriptions stay unknown: ") == 1
        strict = run_tap(settings, ["subscriptions"])
        assert strict.exit_code == 1

    def test_an_unknown_decision_is_no_admission(
        self, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        azure.carbon.denied = {}

        def suspend(answer: Any) -> None:
            answer["subscriptionAccessDecisionList"][-1]["decision"] = "Suspended"

        azure.arm.alter("carbon", suspend)
        run = run_tap(tap_config(), [CARBON])
        assert run.exit_code == 1
        assert f"Old ({THREE}): no reason given" in run.stderr


class TestRowCap:
    """Reports may end at 5,000 rows whether or not there are more."""

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("tap_offgridflow_azure.apis.carbon.MOST_ROWS", 4)

    def test_subscriptions_are_asked_for_in_smaller_groups_until_nothing_is_cut(
        self, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        azure.carbon.row_cap = 4
        run = run_tap(tap_config(start_date="2026-09-01"), [CARBON])
        assert run.exit_code == 0
        assert rows_out(run) == {("2026-09", one): ROWS for one in (ONE, TWO, THREE)}
        groups = [request.body["subscriptionList"] for request in azure.arm.asked("carbon")]
        assert groups == [[ONE, TWO, THREE], [ONE], [TWO, THREE], [TWO], [THREE]] * 3

    def test_rows_that_are_missing_fail_the_stream_after_all_else_is_out(
        self, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        azure.carbon.row_cap = 4
        azure.carbon.publish(emissions(["2026-08"], [TWO], resources=5))
        run = run_tap(tap_config(), [CARBON])
        assert run.exit_code == 1
        assert "carbon_emissions (fatal)" in run.stderr
        # Of scope 2 there is nothing, so nothing is missing.
        for scope in ("Scope1", "Scope3"):
            assert f"{scope} emissions of 2026-08 of {TWO}: rows are missing" in run.stderr
        assert "2 reports whose rows are not all there" in run.stderr
        assert "carbon_category" in run.stderr
        assert ("2026-08", TWO) not in rows_out(run)
        assert rows_out(run)["2026-09", THREE] == ROWS
        # The month after it was read whole.
        assert newest(run) == dict.fromkeys((ONE, TWO, THREE), "2026-09")

    def test_a_month_that_is_cut_does_not_count_as_read(
        self, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        azure.carbon.row_cap = 4
        azure.carbon.publish(emissions(["2026-09"], [TWO], resources=5))
        run = run_tap(tap_config(start_date="2026-09-01"), [CARBON])
        assert newest(run) == dict.fromkeys((ONE, THREE), "2026-09")

    def test_exactly_as_many_rows_as_a_report_may_have_can_be_all(
        self, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        azure.carbon.publish(emissions(["2026-09"], [ONE], resources=4))
        run = run_tap(tap_config(start_date="2026-09-01", subscription_ids=[ONE]), [CARBON])
        assert run.exit_code == 0
        assert rows_out(run) == {("2026-09", ONE): 4 * 3}
        categories = [request.body["categoryType"] for request in azure.arm.asked("carbon")]
        assert categories == ["Resource", "Subscription"] * 3

    def test_more_rows_on_further_pages_are_all(
        self, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        azure.carbon.most_rows = 4
        run = run_tap(tap_config(start_date="2026-09-01"), [CARBON])
        assert run.exit_code == 0
        assert rows_out(run) == {("2026-09", one): ROWS for one in (ONE, TWO, THREE)}


FAULTS: dict[str, Callable[[LocalAzure], None]] = {
    "throttled": lambda azure: azure.arm.fail_next(
        throttled({"Retry-After": "7"}), operation="carbon", skip=4
    ),
    "down": lambda azure: azure.arm.fail_next(unavailable(None), 2, operation="carbon", skip=4),
    "a gateway's page": lambda azure: azure.arm.fail_next(BAD_GATEWAY_HTML, operation="carbon", skip=4),
    "reset": lambda azure: azure.arm.reset_next(operation="carbon", skip=4),
    "cut short": lambda azure: azure.arm.truncate_next(operation="carbon", skip=4),
    "an expired token": lambda azure: azure.arm.fail_next(
        arm_error(401, "ExpiredAuthenticationToken", "Too old."), operation="carbon", skip=4
    ),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.usefixtures("clock")
def test_what_may_pass_is_tried_again_until_it_has(
    fault: Callable[[LocalAzure], None], azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    fault(azure)
    run = run_tap(tap_config(), [CARBON])
    assert run.exit_code == 0
    assert rows_out(run) == {(month, one): ROWS for month in MONTHS for one in (ONE, TWO, THREE)}


def test_a_pause_that_is_asked_for_is_made(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap, clock: FakeClock
) -> None:
    azure.arm.fail_next(throttled({"Retry-After": "90"}), operation="carbon")
    assert run_tap(tap_config(), [CARBON]).exit_code == 0
    assert 89 < clock.monotonic() < 92


@pytest.mark.usefixtures("clock")
def test_a_service_that_stays_down_ends_the_stream_and_the_other_streams_still_run(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    azure.arm.fail_next(unavailable(None), 99, operation="carbon", skip=3)
    run = run_tap(tap_config(max_attempts=3), [CARBON, "subscriptions"])
    assert run.exit_code == 1
    assert "1 of 2 streams failed: carbon_emissions (transient)" in run.stderr
    assert f"for Scope1 emissions of 2026-08 of {ONE}, {TWO}, {THREE}: HTTP 503" in run.stderr
    assert rows_out(run) == {("2026-07", one): ROWS for one in (ONE, TWO, THREE)}
    assert newest(run) == dict.fromkeys((ONE, TWO, THREE), "2026-07")
    assert len(run.records("subscriptions")) == 3
    assert len(azure.arm.asked("carbon")) == 3 + 3


@pytest.mark.parametrize(
    ("operation", "status", "code", "expected", "advice"),
    [
        ("carbon", 403, "AuthorizationFailed", "auth", "Carbon Optimization Reader"),
        ("carbon", 400, "BadRequest", "bad_request", "settings"),
        ("carbon", 404, "SubscriptionNotFound", "not_found", "exists"),
        ("carbon_range", 400, "BadRequest", "bad_request", "settings"),
    ],
)
def test_what_stays_wrong_is_asked_once(
    operation: str,
    status: int,
    code: str,
    expected: str,
    advice: str,
    *,
    azure: LocalAzure,
    tap_config: Config,
    run_tap: RunTap,
) -> None:
    azure.arm.fail_next(arm_error(status, code, "because of it"), operation=operation)
    run = run_tap(tap_config(), [CARBON])
    assert run.exit_code == 1
    assert len(azure.arm.asked(operation)) == 1
    (line,) = (line for line in run.stderr.splitlines() if "because of it" in line)
    assert advice in line
    assert f"[class={expected}, code={code}, request id=" in line
    assert not run.records(CARBON)


def second(answer: Any) -> Any:
    return answer["value"][1]


BREAKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no rows": (lambda answer: answer.pop("value"), "nothing in place of a list in value"),
    "no list": (lambda answer: answer.update(value={}), "dict in place of a list in value"),
    "a row that is none": (lambda answer: answer["value"].append(7), "int in place of an object"),
    "no item": (
        lambda answer: [second(answer).pop(name) for name in ("itemName", "resourceId")],
        "an item without id and name",
    ),
    "another's row": (
        lambda answer: second(answer).update(subscriptionId="bbbbbbbb-0000-0000-0000-000000000001"),
        "bbbbbbbb-0000-0000-0000-000000000001, which was not asked for",
    ),
    "nobody's row": (lambda answer: second(answer).pop("subscriptionId"), "which was not asked for"),
    "another category": (
        lambda answer: second(answer).update(categoryType="Location"),
        "a row of the category Location",
    ),
    "text for a number": (
        lambda answer: second(answer).update(latestMonthEmissions="many"),
        "str in place of a number in latestMonthEmissions",
    ),
    "no number at all": (
        lambda answer: second(answer).update(latestMonthEmissions=float("nan")),
        "float in place of a number in latestMonthEmissions",
    ),
    "an object for a text": (
        lambda answer: second(answer).update(location={}),
        "dict in place of text in location",
    ),
}


@pytest.mark.parametrize(("change", "named"), BREAKS.values(), ids=BREAKS)
def test_an_answer_outside_of_the_contract_is_fatal_and_nothing_of_it_goes_out(
    change: Callable[[Any], Any],
    named: str,
    *,
    azure: LocalAzure,
    tap_config: Config,
    run_tap: RunTap,
) -> None:
    # The first report of the second month.
    azure.arm.alter("carbon", only(4, change))
    run = run_tap(tap_config(), [CARBON])
    assert run.exit_code == 1
    assert "carbon_emissions (fatal)" in run.stderr
    assert named in run.stderr
    assert {month for month, _ in rows_out(run)} == {"2026-07"}
    assert newest(run) == dict.fromkeys((ONE, TWO, THREE), "2026-07")


def test_pages_that_overlap_are_refused(azure: LocalAzure, tap_config: Config, run_tap: RunTap) -> None:
    azure.carbon.most_rows = 2
    azure.arm.alter("carbon", overlapping(lambda answer: answer["value"]))
    run = run_tap(tap_config(), [CARBON])
    assert run.exit_code == 1
    assert "the same row on two pages" in run.stderr
    assert not run.records(CARBON)


def test_rows_of_one_page_may_be_alike(azure: LocalAzure, tap_config: Config, run_tap: RunTap) -> None:
    azure.arm.alter("carbon", only(1, lambda answer: answer["value"].append(dict(second(answer)))))
    run = run_tap(tap_config(end_date="2026-08-01"), [CARBON])
    assert run.exit_code == 0
    assert Counter(one["item_number"] for one in run.records(CARBON))[2] == 1


def test_a_range_that_cannot_be_read_is_fatal(azure: LocalAzure, tap_config: Config, run_tap: RunTap) -> None:
    azure.arm.alter("carbon_range", lambda answer: answer.update(startDate="May"))
    run = run_tap(tap_config(), [CARBON])
    assert run.exit_code == 1
    assert "'May' in place of a date in startDate" in run.stderr


def test_a_run_that_ends_in_a_month_has_the_months_before_and_a_rerun_repeats_the_same_keys(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    azure.arm.fail_next(arm_error(403, "AuthorizationFailed", "no more"), operation="carbon", skip=4)
    first = run_tap(tap_config(), [CARBON])
    assert rows_out(first) == {("2026-07", one): 9 for one in (ONE, TWO, THREE)}
    assert newest(first) == dict.fromkeys((ONE, TWO, THREE), "2026-07")
    second = run_tap(tap_config(), [CARBON], first.state)
    keys = [
        {
            (one["period_start"], one["carbon_scope"], one["item_id"], one["item_number"])
            for one in run.records(CARBON)
        }
        for run in (first, second)
    ]
    assert keys[0] < keys[1]
    assert len(keys[1]) == len(MONTHS) * len(SCOPES) * 9
