"""Cost Management's limits: how long the tap waits, for whom, and that it asks one thing at a time."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from offgridflow_common.errors import Throttled, TransientError
from tap_offgridflow_azure.connection.throttling import pause_after
from tests.azure.answers import ONE
from tests.azure.asking import client_of, failure, subscriptions
from tests.local_clouds.azure_errors import COSTS, THROTTLES, throttled, unavailable, until

if TYPE_CHECKING:
    from collections.abc import Callable

    from offgridflow_common.testing.clock import FakeClock
    from tap_offgridflow_azure.client import AzureClient
    from tests.azure.conftest import Config
    from tests.local_clouds.azure import LocalAzure

PATH = f"/subscriptions/{ONE}/providers/Microsoft.CostManagement/query"
LEFT = f"{COSTS}-qpu-remaining"
BODY = {
    "type": "ActualCost",
    "timeframe": "Custom",
    "timePeriod": {"from": "2026-09-01T00:00:00Z", "to": "2026-09-30T23:59:59Z"},
    "dataset": {"granularity": "Daily", "aggregation": {"cost": {"name": "Cost", "function": "Sum"}}},
}


@pytest.fixture(autouse=True)
def _published(azure: LocalAzure) -> None:
    azure.scopes.subscriptions = {ONE}


@pytest.fixture
def client(tap_config: Config) -> AzureClient:
    return client_of(tap_config(max_attempts=9))


def query(client: AzureClient) -> Any:
    return client.costs.request("POST", PATH, params={"api-version": "2025-03-01"}, json=BODY)


@pytest.mark.parametrize(("headers", "seconds"), THROTTLES.values(), ids=THROTTLES)
def test_the_longest_wait_that_an_answer_names_is_waited(
    headers: dict[str, str],
    seconds: float | None,
    *,
    azure: LocalAzure,
    client: AzureClient,
    clock: FakeClock,
) -> None:
    azure.arm.fail_next(throttled(headers), operation="query")
    assert query(client).status == 200
    (waited,) = clock.slept
    least = seconds or 30
    assert least <= waited <= max(least, 1)


def test_a_date_is_waited_for(azure: LocalAzure, client: AzureClient, clock: FakeClock) -> None:
    azure.arm.fail_next(throttled(until(clock.now() + timedelta(seconds=90))), operation="query")
    assert query(client).status == 200
    (waited,) = clock.slept
    assert 89 <= waited <= 90


def test_a_date_and_seconds_are_compared(azure: LocalAzure, client: AzureClient, clock: FakeClock) -> None:
    headers = {**until(clock.now() + timedelta(seconds=20)), f"{COSTS}-tenant-retry-after": "21.5"}
    azure.arm.fail_next(throttled(headers), operation="query")
    assert query(client).status == 200
    assert clock.slept == [21.5]


@pytest.mark.parametrize("nonsense", ["soon", "", "-3", "NaN", "1e400"])
def test_what_is_no_time_counts_as_none(
    nonsense: str, azure: LocalAzure, client: AzureClient, clock: FakeClock
) -> None:
    azure.arm.fail_next(throttled({f"{COSTS}-qpu-retry-after": nonsense}), operation="query")
    assert query(client).status == 200
    assert clock.slept == [30]


@pytest.mark.parametrize("ask", [query, subscriptions])
def test_without_a_word_waits_grow_to_five_minutes(
    ask: Callable[[AzureClient], Any], azure: LocalAzure, client: AzureClient, clock: FakeClock
) -> None:
    azure.arm.fail_next(throttled(), 6, operation=ask.__name__)
    assert ask(client).status == 200
    assert clock.slept == [30, 60, 120, 240, 300, 300]


@pytest.mark.parametrize("retry_after", ["3601", "86400"])
def test_a_wait_that_is_longer_than_a_request_may_take_is_not_begun(
    retry_after: str, azure: LocalAzure, client: AzureClient, clock: FakeClock
) -> None:
    azure.arm.fail_next(throttled({"Retry-After": retry_after}), operation="query")
    error = failure(lambda: query(client))
    assert isinstance(error, Throttled)
    assert error.retry_after == float(retry_after)
    assert clock.slept == []


def test_all_waits_together_end_at_the_deadline(
    azure: LocalAzure, client: AzureClient, clock: FakeClock
) -> None:
    azure.arm.fail_next(throttled({"Retry-After": "1000"}), 99, operation="query")
    assert isinstance(failure(lambda: query(client)), Throttled)
    assert sum(clock.slept) <= 3600
    assert len(azure.arm.asked("query")) == 4


@pytest.mark.parametrize("reply", [unavailable(None), unavailable("60")], ids=["no time", "a time"])
def test_a_service_that_is_down_is_tried_a_few_times_and_then_wants_an_hour(
    reply: Any, azure: LocalAzure, tap_config: Config, clock: FakeClock
) -> None:
    azure.arm.fail_next(reply, 99, operation="query")
    error = failure(lambda: query(client_of(tap_config(max_attempts=3))))
    assert isinstance(error, TransientError)
    assert "run again in an hour" in error.do
    assert len(azure.arm.asked("query")) == 3
    assert all(60 <= seconds <= 61 or "Retry-After" not in reply.headers for seconds in clock.slept)


@pytest.mark.parametrize(
    ("left", "seconds"),
    [
        ("QueriesPerHour:597,QueriesPerMin:57,QueriesPer10Sec:9", 0),
        ("QueriesPerHour:597,QueriesPerMin:57,QueriesPer10Sec:0", 10),
        ("QueriesPerHour:597,QueriesPerMin:0,QueriesPer10Sec:9", 60),
        ("QueriesPerHour:0,QueriesPerMin:0,QueriesPer10Sec:0", 300),
        ("QueriesPerMin:0", 60),
        ("QueriesPerMin:60, QueriesPer10Sec:0", 10),
        ("QueriesPerDay:0", 0),
        ("nothing", 0),
        ("", 0),
    ],
)
def test_when_units_are_used_up_the_next_call_waits_before_it_is_told_to(
    left: str, seconds: float, *, azure: LocalAzure, client: AzureClient, clock: FakeClock
) -> None:
    assert pause_after({LEFT: left}) == seconds
    azure.queries.headers = {LEFT: left}
    query(client)
    assert clock.monotonic() == 0
    query(client)
    assert clock.monotonic() == seconds


def test_pauses_of_cost_management_hold_up_nobody_else(
    azure: LocalAzure, client: AzureClient, clock: FakeClock
) -> None:
    azure.queries.headers = {LEFT: "QueriesPerMin:0"}
    query(client)
    subscriptions(client)
    assert clock.monotonic() == 0


def test_pauses_of_others_do_not_hold_up_cost_management(
    azure: LocalAzure, tap_config: Config, clock: FakeClock
) -> None:
    client = client_of(tap_config(max_attempts=1))
    azure.arm.fail_next(throttled({"Retry-After": "50"}), operation="subscriptions")
    assert isinstance(failure(lambda: subscriptions(client)), Throttled)
    query(client)
    assert clock.monotonic() == 0
    subscriptions(client)
    assert clock.monotonic() == 50


def test_calls_go_one_at_a_time_whoever_makes_them(azure: LocalAzure, client: AzureClient) -> None:
    azure.arm.delay_next(0.02, 99, operation="query")
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(query(client).status), daemon=True) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert statuses == [200] * 6
    assert azure.arm.at_once("costs") == 1


@pytest.mark.parametrize(
    ("api", "path", "operation"),
    [
        (lambda client: client.costs, PATH, "query"),
        (lambda client: client.arm, "/subscriptions", "subscriptions"),
    ],
    ids=["costs", "arm"],
)
def test_only_cost_management_has_headers_of_its_own(
    api: Callable[[AzureClient], Any],
    path: str,
    operation: str,
    *,
    azure: LocalAzure,
    client: AzureClient,
    clock: FakeClock,
) -> None:
    azure.arm.fail_next(throttled({f"{COSTS}-qpu-retry-after": "45"}), operation=operation)
    method = "POST" if operation == "query" else "GET"
    api(client).request(method, path, params={"api-version": "2025-03-01"}, json=BODY)
    assert (max(clock.slept) == 45) is (operation == "query")
