"""The known traps of Azure's interfaces, by number: those of Cost Management's limits."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.answers import ONE, costs
from tests.local_clouds.azure_cost_csv import cost_details_csv
from tests.local_clouds.azure_discovery import Subscription
from tests.local_clouds.azure_errors import COSTS, throttled

if TYPE_CHECKING:
    from offgridflow_common.testing.clock import FakeClock
    from tests.azure.conftest import Config, RunTap
    from tests.local_clouds.azure import LocalAzure

FIRST = date(2026, 9, 1)


@pytest.fixture(autouse=True)
def _published(azure: LocalAzure) -> None:
    azure.discovery.subscriptions = [Subscription(ONE, "Shop")]
    azure.scopes.subscriptions = {ONE}
    azure.queries.publish(costs(FIRST, 30))
    files = cost_details_csv(costs(FIRST, 30))
    azure.details.publish(f"subscriptions/{ONE}", "2026-09", "ActualCost", files)


@pytest.fixture
def config(tap_config: Config) -> dict[str, Any]:
    return tap_config(cost_scopes=[f"subscriptions/{ONE}"], start_date="2026-09-01", end_date="2026-10-01")


@pytest.mark.usefixtures("clock")
def test_trap_13_every_call_of_cost_management_names_its_client(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.queries.most_rows = 25
    run = run_tap(config, ["cost_query", "cost_details"])
    assert run.exit_code == 0, run.stderr
    calls = [
        request for request in azure.arm.requests if "/microsoft.costmanagement/" in request.path.lower()
    ]
    assert {request.operation for request in calls} >= {"query", "create_report"}
    assert {request.headers.get("clienttype") for request in calls} == {"tap-offgridflow-azure"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 30),
        ({"Retry-After": "0"}, 30),
        ({"Retry-After": "3", f"{COSTS}-entity-retry-after": "45", f"{COSTS}-qpu-retry-after": "12.5"}, 45),
        (
            {f"{COSTS}-client-retry-after": "0", "x-ms-ratelimit-microsoft.consumption-retry-after": "61.5"},
            61.5,
        ),
    ],
    ids=["none", "zero", "several", "a zero and a fraction"],
)
def test_trap_14_an_answer_may_have_several_times_to_wait_or_none(
    headers: dict[str, str],
    seconds: float,
    *,
    azure: LocalAzure,
    config: dict[str, Any],
    run_tap: RunTap,
    clock: FakeClock,
) -> None:
    azure.arm.fail_next(throttled(headers), operation="query")
    run = run_tap(config, ["cost_query"])
    assert run.exit_code == 0, run.stderr
    assert len(run.records("cost_query")) == 60
    assert max(clock.slept) == seconds
