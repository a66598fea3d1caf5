"""What the tap does when queries of cost are denied, throttled or broken: what it says, and what it keeps."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.answers import ONE, THREE, TWO, costs, only, overlapping
from tests.local_clouds.azure_discovery import Subscription
from tests.local_clouds.azure_errors import (
    BAD_GATEWAY_HTML,
    VIEW_CHARGES_OFF,
    arm_error,
    throttled,
    unavailable,
)
from tests.local_clouds.azure_qpu import QpuMeter

if TYPE_CHECKING:
    from collections.abc import Callable

    from offgridflow_common.testing.clock import FakeClock
    from tests.azure.conftest import Config, RunTap
    from tests.driving import Run
    from tests.local_clouds.azure import LocalAzure

STREAM = "cost_query"
FOUR = "aaaaaaaa-0000-0000-0000-000000000004"
FIRST = date(2026, 7, 1)
MONTHS = ("2026-07", "2026-08", "2026-09")


@pytest.fixture(autouse=True)
def _published(azure: LocalAzure) -> None:
    azure.scopes.subscriptions = {ONE, TWO, THREE, FOUR}
    azure.discovery.subscriptions = [Subscription(one, one[-1]) for one in (ONE, TWO, THREE)]
    azure.queries.publish(
        row for one in (ONE, TWO, THREE, FOUR) for row in costs(FIRST, 92, subscription=one)
    )


@pytest.fixture
def config(tap_config: Config) -> dict[str, Any]:
    return tap_config(start_date="2026-07-01", end_date="2026-10-01")


def rows_out(run: Run) -> dict[tuple[str, str], int]:
    """How many rows of a subscription and a month went out."""
    places = [(one["scope"][-36:], one["usage_date"][:7]) for one in run.records(STREAM)]
    return {place: places.count(place) for place in places}


def newest(run: Run) -> dict[str, str]:
    partitions = run.state["bookmarks"].get(STREAM, {}).get("partitions", [])
    return {entry["context"]["scope"][-36:]: entry["replication_key_value"][:7] for entry in partitions}


def whole(*subscriptions: str) -> dict[tuple[str, str], int]:
    days = dict(zip(MONTHS, (31, 31, 30), strict=True))
    return {(one, month): 2 * days[month] for one in subscriptions for month in MONTHS}


def test_a_scope_that_is_denied_fails_the_stream_after_the_others_are_read(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.arm.forbid("query", f".*{ONE}.*")
    run = run_tap(config, [STREAM])
    assert run.exit_code == 1
    assert "cost_query (auth)" in run.stderr
    (line,) = (line for line in run.stderr.splitlines() if "AuthorizationFailed" in line)
    assert (
        f"/subscriptions/{ONE}/providers/Microsoft.CostManagement/query for 2026-07-01 to 2026-07-31" in line
    )
    assert "Cost Management Reader on the scope" in line
    assert rows_out(run) == whole(TWO, THREE)
    assert newest(run) == dict.fromkeys((TWO, THREE), "2026-09")


def test_charges_that_may_not_be_viewed_are_named_as_such(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.arm.fail_next(VIEW_CHARGES_OFF, 2, operation="query")
    run = run_tap(config, [STREAM])
    assert run.exit_code == 1
    assert "'view charges' is off" in run.stderr
    assert rows_out(run) == whole(TWO, THREE)


def test_a_scope_that_does_not_exist_is_named(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.scopes.subscriptions.remove(TWO)
    run = run_tap(config, [STREAM])
    assert run.exit_code == 1
    assert f"The subscription '{TWO}' could not be found." in run.stderr
    assert rows_out(run) == whole(ONE, THREE)


def test_without_any_subscription_the_stream_fails_with_the_missing_role(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.discovery.subscriptions = []
    run = run_tap(config, [STREAM])
    assert run.exit_code == 1
    assert "no role on any subscription" in run.stderr
    assert not azure.arm.asked("query")


@pytest.mark.usefixtures("clock")
def test_a_service_that_stays_down_is_not_asked_scope_after_scope(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.arm.fail_next(unavailable(None), 99, operation="query", skip=2)
    run = run_tap(config | {"max_attempts": 3}, [STREAM])
    assert run.exit_code == 1
    assert "cost_query (transient)" in run.stderr
    assert f"Cost Management does not answer: subscriptions/{THREE} and what follows is left" in run.stderr
    assert len(azure.arm.asked("query")) == 2 + 3 + 3
    assert newest(run) == {ONE: "2026-08"}
    azure.arm.clear_faults()
    second = run_tap(config, [STREAM], run.state)
    assert second.exit_code == 0
    assert newest(second) == dict.fromkeys((ONE, TWO, THREE), "2026-09")


@pytest.mark.usefixtures("clock")
def test_of_a_month_whose_answers_do_not_all_come_nothing_is_out(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    """What is out of a month replaces what was read of it before."""
    azure.queries.shorten = lambda _first, last: (last, last)
    azure.arm.fail_next(unavailable(None), 99, operation="query", skip=1)
    run = run_tap(config | {"max_attempts": 2, "cost_scopes": [f"subscriptions/{ONE}"]}, [STREAM])
    assert run.exit_code == 1
    assert run.records(STREAM) == []
    assert newest(run) == {}


@pytest.mark.parametrize("is_denied", [False, True])
@pytest.mark.usefixtures("clock")
def test_scopes_that_are_never_answered_keep_no_other_from_being_read(
    *, is_denied: bool, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    """Two in a row would; between these two is one that gets an answer, be it a refusal."""
    azure.discovery.subscriptions.append(Subscription(FOUR, "4"))
    if is_denied:
        azure.arm.forbid("query", f".*{TWO}.*")
    azure.arm.fail_next(unavailable(None), 2, operation="query")
    azure.arm.fail_next(unavailable(None), 2, operation="query", skip=1 if is_denied else len(MONTHS))
    run = run_tap(config | {"max_attempts": 2}, [STREAM])
    assert run.exit_code == 1
    assert "cost_query (transient)" in run.stderr
    assert "does not answer" not in run.stderr
    assert rows_out(run) == (whole(FOUR) if is_denied else whole(TWO, FOUR))


FAULTS: dict[str, Callable[[LocalAzure], None]] = {
    "throttled": lambda azure: azure.arm.fail_next(
        throttled({"Retry-After": "7"}), operation="query", skip=4
    ),
    "throttled without a word": lambda azure: azure.arm.fail_next(throttled(), 2, operation="query", skip=4),
    "down": lambda azure: azure.arm.fail_next(unavailable(None), 2, operation="query", skip=4),
    "a gateway's page": lambda azure: azure.arm.fail_next(BAD_GATEWAY_HTML, operation="query", skip=4),
    "reset": lambda azure: azure.arm.reset_next(operation="query", skip=4),
    "cut short": lambda azure: azure.arm.truncate_next(operation="query", skip=4),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.usefixtures("clock")
def test_what_may_pass_is_tried_again_until_it_has(
    fault: Callable[[LocalAzure], None], azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.queries.most_rows = 40
    fault(azure)
    run = run_tap(config, [STREAM])
    assert run.exit_code == 0
    assert rows_out(run) == whole(ONE, TWO, THREE)


def test_the_units_of_the_tenant_are_kept(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap, clock: FakeClock
) -> None:
    azure.queries.quota = QpuMeter(clock.monotonic)
    run = run_tap(tap_config(start_date="2024-01-01", end_date="2026-10-01"), [STREAM])
    assert run.exit_code == 0
    assert rows_out(run).items() >= whole(ONE, TWO, THREE).items()
    # Within 10 seconds 12 queries, in a minute 60.
    assert len(azure.arm.asked("query")) == 3 * 33
    assert clock.monotonic() > 60
    assert {request.status for request in azure.arm.asked("query")} == {200}


def table(answer: Any) -> Any:
    return answer["properties"]


def column(name: str) -> Callable[[Any], Any]:
    """Removes a column from an answer."""

    def remove(answer: Any) -> None:
        at = [one["name"] for one in table(answer)["columns"]].index(name)
        for entries in (table(answer)["columns"], *table(answer)["rows"]):
            del entries[at]

    return remove


BREAKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a day before": (
        lambda answer: table(answer)["rows"][0].__setitem__(2, 20260731),
        "a row of 2026-07-31",
    ),
    "a day after": (lambda answer: table(answer)["rows"][0].__setitem__(2, 20260901), "a row of 2026-09-01"),
    "no day": (lambda answer: table(answer)["rows"][0].__setitem__(2, "May"), "'May' in place of a day"),
    "no column of cost": (column("Cost"), "no column Cost"),
    "no column of days": (column("UsageDate"), "no column UsageDate"),
    "no column of currencies": (column("Currency"), "no column Currency"),
    "no currency": (lambda answer: table(answer)["rows"][0].__setitem__(5, ""), "an object without Currency"),
    "text for a cost": (
        lambda answer: table(answer)["rows"][0].__setitem__(0, "much"),
        "str in place of a number in Cost",
    ),
    "a short row": (lambda answer: table(answer)["rows"][0].pop(), "a row that does not have 6 values"),
    "no rows": (lambda answer: table(answer).pop("rows"), "nothing in place of a list in rows"),
    "nothing": (lambda answer: answer.clear(), "no column Cost, UsageDate"),
    "a link to elsewhere": (
        lambda answer: table(answer).update(nextLink="https://example.com/query?$skiptoken=1"),
        "it is not the origin that the credentials are for",
    ),
}


@pytest.mark.parametrize(("change", "named"), BREAKS.values(), ids=BREAKS)
def test_an_answer_outside_of_the_contract_ends_its_scope_and_nothing_of_its_month_goes_out(
    change: Callable[[Any], Any],
    named: str,
    *,
    azure: LocalAzure,
    config: dict[str, Any],
    run_tap: RunTap,
) -> None:
    azure.arm.alter("query", only(2, change))
    run = run_tap(config, [STREAM])
    assert run.exit_code == 1
    assert named in run.stderr
    assert rows_out(run) == {(ONE, "2026-07"): 62} | whole(TWO, THREE)
    assert newest(run) == {ONE: "2026-07"} | dict.fromkeys((TWO, THREE), "2026-09")


def test_pages_that_overlap_are_refused(azure: LocalAzure, config: dict[str, Any], run_tap: RunTap) -> None:
    azure.queries.most_rows = 25
    azure.arm.alter("query", overlapping(lambda answer: table(answer)["rows"]))
    run = run_tap(config | {"subscription_ids": [ONE]}, [STREAM])
    assert run.exit_code == 1
    assert "the same row on two pages" in run.stderr
    assert not run.records(STREAM)


def test_a_refused_request_is_not_repeated(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    too_long = "The time period for pulling the data cannot exceed 1 year(s)."
    azure.arm.fail_next(arm_error(400, "BadRequest", too_long), operation="query")
    run = run_tap(config | {"subscription_ids": [ONE]}, [STREAM])
    assert run.exit_code == 1
    assert too_long in run.stderr
    assert len(azure.arm.asked("query")) == 1
