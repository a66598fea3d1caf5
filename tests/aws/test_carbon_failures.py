"""What the tap does when the Sustainability API fails: what it tries again, what it says, what it keeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.local_clouds.aws import month_range
from tests.local_clouds.sustainability import demo_emissions, demo_water

if TYPE_CHECKING:
    from collections.abc import Callable

    from offgridflow_common.testing.clock import FakeClock
    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run
    from tests.local_clouds.sustainability import SustainabilityServer

CARBON, WATER = "carbon_emissions", "water_allocation"
MONTHS = month_range("2026-01", "2026-04")
ROWS = 4


@pytest.fixture(autouse=True)
def _published(sustainability: SustainabilityServer) -> None:
    dimensions = (["111122223333"], ["us-east-1", "eu-central-1"], ["AmazonEC2", "Other"])
    sustainability.set_months(demo_emissions(MONTHS, *dimensions, 1))
    sustainability.set_years(demo_water([2025], *dimensions, 1))


@pytest.fixture
def config(tap_config: Config) -> dict[str, Any]:
    return tap_config(start_date="2026-01-01", end_date="2026-05-01")


def months_out(run: Run) -> list[str]:
    """The months of the rows that went out; each is there with all of its rows."""
    months = [record["period_start"][:7] for record in run.records(CARBON)]
    assert all(months.count(month) == ROWS for month in months)
    return sorted(set(months))


def position(run: Run) -> str:
    """The newest month that counts as read."""
    (partition,) = run.state["bookmarks"][CARBON]["partitions"]
    return str(partition["replication_key_value"][:7])


FAULTS: dict[str, Callable[[SustainabilityServer], None]] = {
    "throttled": lambda server: server.fail_next(2, 429, "ThrottlingException", skip=1),
    "throttled by a code nobody knows": lambda server: server.fail_next(2, 429, "Enough", skip=1),
    "broken inside": lambda server: server.fail_next(2, 500, "InternalServerException", skip=1),
    "a gateway's page": lambda server: server.html_next(2, skip=1),
    "reset": lambda server: server.reset_next(2, skip=1),
    "cut short": lambda server: server.truncate_next(2, skip=1),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_may_pass_is_tried_again_until_it_has(
    fault: Callable[[SustainabilityServer], None],
    sustainability: SustainabilityServer,
    config: dict[str, Any],
    run_tap: RunTap,
    clock: FakeClock,
) -> None:
    fault(sustainability)
    run = run_tap(config, select=[CARBON])
    assert run.exit_code == 0
    assert months_out(run) == MONTHS
    assert len(sustainability.requests) == len(MONTHS) + 2
    first, second = (seconds for seconds in clock.slept if seconds)
    assert 0 < first <= 1
    assert 0 < second <= 2


@pytest.mark.parametrize("as_date", [False, True])
def test_a_pause_that_the_service_asks_for_is_made(
    as_date: bool,  # noqa: FBT001 - a parameter of the test
    sustainability: SustainabilityServer,
    config: dict[str, Any],
    run_tap: RunTap,
    clock: FakeClock,
) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=91), usegmt=True)
    wait = later if as_date else "90"
    sustainability.fail_next(1, 429, "ThrottlingException", headers={"Retry-After": wait})
    assert months_out(run_tap(config, select=[CARBON])) == MONTHS
    assert 88 < clock.monotonic() < 93


def test_a_pause_longer_than_the_patience_ends_the_stream_at_once(
    sustainability: SustainabilityServer, config: dict[str, Any], run_tap: RunTap, clock: FakeClock
) -> None:
    sustainability.fail_next(1, 429, "ThrottlingException", headers={"Retry-After": "86400"})
    run = run_tap(config, select=[CARBON])
    assert run.exit_code == 1
    assert "class=transient, code=ThrottlingException" in run.stderr
    assert not clock.slept


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.usefixtures("clock")
def test_a_service_that_stays_broken_is_asked_so_often_and_the_other_streams_still_run(
    attempts: int, sustainability: SustainabilityServer, config: dict[str, Any], run_tap: RunTap
) -> None:
    operation = "GetEstimatedCarbonEmissions"
    sustainability.fail_next(99, 500, "InternalServerException", "broken", operation=operation)
    config |= {"max_attempts": attempts, "start_date": "2025-01-01"}
    run = run_tap(config, select=[CARBON, WATER])
    assert run.exit_code == 1
    assert [request.operation for request in sustainability.requests].count(operation) == attempts
    assert "1 of 2 streams failed: carbon_emissions (transient)" in run.stderr
    assert "GetEstimatedCarbonEmissions for 2025-01: broken." in run.stderr
    assert not run.records(CARBON)
    assert len(run.records(WATER)) == ROWS


@pytest.mark.parametrize(
    ("status", "code", "expected", "advice"),
    [
        (400, "ValidationException", "bad_request", "settings"),
        (403, "AccessDeniedException", "auth", "sustainability:GetEstimatedCarbonEmissions"),
        (403, "UnrecognizedClientException", "auth", "aws_access_key_id"),
        (403, "ExpiredTokenException", "auth", "aws_assume_role_arn"),
        (400, "ExpiredToken", "auth", "renew the session token"),
        (403, "RequestTimeTooSkewed", "auth", "clock of this machine"),
        (400, "RequestExpired", "auth", "clock of this machine"),
        (404, "ResourceNotFoundException", "not_found", "check the names"),
    ],
)
def test_what_stays_wrong_is_asked_once_and_the_message_says_what_to_do(
    status: int,
    code: str,
    expected: str,
    advice: str,
    *,
    sustainability: SustainabilityServer,
    config: dict[str, Any],
    run_tap: RunTap,
) -> None:
    sustainability.fail_next(1, status, code, "because of it", skip=2)
    run = run_tap(config, select=[CARBON])
    assert run.exit_code == 1
    assert len(sustainability.requests) == 3
    (line,) = (line for line in run.stderr.splitlines() if "because of it" in line)
    assert line.startswith("GetEstimatedCarbonEmissions for 2026-03: because of it. ")
    assert advice in line
    assert f"[class={expected}, code={code}, request id=" in line
    assert months_out(run) == MONTHS[:2]
    assert position(run) == "2026-02"
    again = run_tap(config, run.state, select=[CARBON])
    assert set(MONTHS[2:]) <= set(months_out(again))


def second_row(page: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = page["Results"][1]
    return row


BREAKS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no account": (
        lambda page: second_row(page)["DimensionsValues"].pop("USAGE_ACCOUNT_ID"),
        "USAGE_ACCOUNT_ID",
    ),
    "no region": (lambda page: second_row(page)["DimensionsValues"].pop("REGION"), "REGION"),
    "no service": (lambda page: second_row(page)["DimensionsValues"].pop("SERVICE"), "SERVICE"),
    "an empty service": (lambda page: second_row(page)["DimensionsValues"].update(SERVICE=""), "SERVICE"),
    "no dimensions": (lambda page: second_row(page).pop("DimensionsValues"), "USAGE_ACCOUNT_ID"),
    "another unit": (
        lambda page: second_row(page)["EmissionsValues"]["TOTAL_SCOPE_1_CARBON_EMISSIONS"].update(Unit="kg"),
        "TOTAL_SCOPE_1_CARBON_EMISSIONS in kg, expected MTCO2e",
    ),
    "no unit": (
        lambda page: second_row(page)["EmissionsValues"]["TOTAL_LBM_CARBON_EMISSIONS"].pop("Unit"),
        "Unit",
    ),
    "no value": (
        lambda page: second_row(page)["EmissionsValues"]["TOTAL_LBM_CARBON_EMISSIONS"].pop("Value"),
        "Value",
    ),
    "no period": (lambda page: second_row(page).pop("TimePeriod"), "TimePeriod"),
    "no model version": (lambda page: second_row(page).pop("ModelVersion"), "ModelVersion"),
    "no values": (lambda page: second_row(page).pop("EmissionsValues"), "EmissionsValues"),
    "a token that comes again": (lambda page: page.update(NextToken="again"), "a page that was read before"),
}


def change_answers(
    server: SustainabilityServer,
    monkeypatch: pytest.MonkeyPatch,
    month: str,
    change: Callable[[dict[str, Any]], Any],
) -> None:
    """Let something else come back for a month."""
    answer = server._answer

    def changed(operation: str, body: dict[str, Any]) -> dict[str, Any]:
        page = answer(operation, {name: value for name, value in body.items() if value != "again"})
        if body["TimePeriod"]["Start"].startswith(month):
            change(page)
        return page

    monkeypatch.setattr(server, "_answer", changed)


@pytest.mark.parametrize(("change", "named"), BREAKS.values(), ids=BREAKS)
@pytest.mark.usefixtures("clock")
def test_an_answer_outside_of_the_contract_is_fatal_and_nothing_of_its_month_goes_out(
    change: Callable[[dict[str, Any]], Any],
    named: str,
    *,
    sustainability: SustainabilityServer,
    config: dict[str, Any],
    run_tap: RunTap,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change_answers(sustainability, monkeypatch, "2026-03", change)
    run = run_tap(config, select=[CARBON])
    assert run.exit_code == 1
    assert "carbon_emissions (fatal)" in run.stderr
    assert named in run.stderr
    assert months_out(run) == MONTHS[:2]
    assert position(run) == "2026-02"


def test_a_type_that_is_not_known_yet_is_kept(
    sustainability: SustainabilityServer,
    config: dict[str, Any],
    run_tap: RunTap,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def add(page: dict[str, Any]) -> None:
        second_row(page)["EmissionsValues"]["TOTAL_SCOPE_4"] = {"Value": 0.5, "Unit": "MTCO2e"}

    change_answers(sustainability, monkeypatch, "2026-03", add)
    run = run_tap(config, select=[CARBON])
    extras = [record["extra"] for record in run.records(CARBON) if record["extra"]]
    assert run.exit_code == 0
    assert extras == [{"total_scope_4": 0.5}]


def test_a_month_that_breaks_off_between_its_pages_does_not_go_out_in_part(
    sustainability: SustainabilityServer,
    config: dict[str, Any],
    run_tap: RunTap,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    page = sustainability._page
    small = {"MaxResults": 3}
    monkeypatch.setattr(sustainability, "_page", lambda name, body, rows: page(name, body | small, rows))
    sustainability.fail_next(1, 403, "AccessDeniedException", "no more", skip=3)
    run = run_tap(config, select=[CARBON])
    assert months_out(run) == ["2026-01"]
    assert position(run) == "2026-01"
    again = run_tap(config, run.state, select=[CARBON])
    assert months_out(again) == MONTHS
