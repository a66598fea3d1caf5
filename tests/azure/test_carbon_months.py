"""Months of emissions that may not be asked for: they are computed, and the first or last may be missing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tap_offgridflow_azure.apis.carbon import computed_months
from tests.azure.answers import ONE, TWO, emissions
from tests.local_clouds.azure_discovery import Subscription
from tests.local_clouds.azure_errors import arm_error

if TYPE_CHECKING:
    from tests.azure.conftest import Config, RunTap
    from tests.driving import Run
    from tests.local_clouds.azure import LocalAzure

CARBON = "carbon_emissions"


@pytest.fixture
def months(azure: LocalAzure) -> list[str]:
    """Those that should be there, all of which are published; which ones they are may not be asked."""
    azure.discovery.subscriptions = [Subscription(ONE, "Shop"), Subscription(TWO, "Lab")]
    azure.arm.forbid("carbon_range")
    labels = [month.label for month in computed_months(datetime.now(UTC))]
    azure.carbon.publish(emissions(labels))
    return labels


def asked(azure: LocalAzure) -> list[str]:
    """The months that reports were asked for, each once."""
    return list(dict.fromkeys(body.body["dateRange"]["start"][:7] for body in azure.arm.asked("carbon")))


def read(run: Run) -> list[str]:
    """The months that came out, each once."""
    return list(dict.fromkeys(one["period_start"][:7] for one in run.records(CARBON)))


def newest(run: Run) -> set[str]:
    """The newest months that count as read."""
    partitions = run.state["bookmarks"][CARBON].get("partitions", ())
    return {entry["replication_key_value"][:7] for entry in partitions}


@pytest.mark.parametrize(
    ("day", "first", "last"),
    [
        ("2026-11-18", "2025-10", "2026-09"),
        ("2026-11-19", "2025-11", "2026-10"),
        ("2026-01-01", "2024-12", "2025-11"),
    ],
)
def test_a_month_should_be_there_from_the_nineteenth_of_the_next_one_on(
    day: str, first: str, last: str
) -> None:
    months = computed_months(datetime.fromisoformat(day).replace(tzinfo=UTC))
    assert (len(months), months[0].label, months[-1].label) == (12, first, last)


def test_where_the_months_may_not_be_asked_for_those_that_should_be_there_are_read(
    azure: LocalAzure, months: list[str], tap_config: Config, run_tap: RunTap
) -> None:
    azure.carbon.available = (months[0], months[-1])
    azure.carbon.withdraw(months[-1])
    run = run_tap(tap_config(), [CARBON])
    assert run.exit_code == 0
    assert asked(azure) == months
    assert read(run) == months[:-1]
    assert f"those that should be there, {months[0]} to {months[-1]}" in run.stderr
    # The last month has no rows, so it may not be published yet.
    assert newest(run) == {months[-2]}


def test_a_newest_month_that_is_not_there_yet_is_left_out_and_asked_for_again(
    azure: LocalAzure, months: list[str], tap_config: Config, run_tap: RunTap
) -> None:
    azure.carbon.available = (months[0], months[-2])
    first = run_tap(tap_config(), [CARBON])
    assert first.exit_code == 0
    assert read(first) == months[:-1]
    assert newest(first) == {months[-2]}
    assert f"{months[-1]} should be there and is not, it is left out: " in first.stderr
    azure.carbon.available = (months[0], months[-1])
    second = run_tap(tap_config(), [CARBON], first.state)
    assert read(second) == months
    assert newest(second) == {months[-1]}
    assert "is left out" not in second.stderr


def test_an_oldest_month_that_is_gone_is_left_out(
    azure: LocalAzure, months: list[str], tap_config: Config, run_tap: RunTap
) -> None:
    azure.carbon.available = (months[1], months[-1])
    run = run_tap(tap_config(), [CARBON])
    assert run.exit_code == 0
    assert read(run) == months[1:]
    assert newest(run) == {months[-1]}
    assert f"{months[0]} should be there and is not, it is left out: " in run.stderr


def test_activities_leave_out_the_same_months(
    azure: LocalAzure, months: list[str], tap_config: Config, run_tap: RunTap
) -> None:
    azure.carbon.available = (months[1], months[-2])
    run = run_tap(tap_config(), ["activities"])
    assert run.exit_code == 0
    assert sorted({one["period_start"][:7] for one in run.records("activities")}) == months[1:-1]


@pytest.mark.parametrize("reports", [0, 11 * 3])
def test_a_month_is_absent_also_where_the_service_does_not_find_it(
    reports: int, azure: LocalAzure, months: list[str], tap_config: Config, run_tap: RunTap
) -> None:
    azure.arm.fail_next(arm_error(404, "NotFound", "because of it"), operation="carbon", skip=reports)
    run = run_tap(tap_config(), [CARBON])
    assert run.exit_code == 0
    assert read(run) == (months[:-1] if reports else months[1:])
    assert "because of it" in run.stderr


@pytest.mark.parametrize("status", [400, 404])
@pytest.mark.parametrize(
    ("reports", "whole"),
    [(1, 0), (1 * 3, 1), (10 * 3, 10), (11 * 3 + 1, 11)],
    ids=["within the first", "the second", "the last but one", "within the last"],
)
def test_any_other_refusal_ends_the_stream(
    status: int,
    reports: int,
    whole: int,
    *,
    azure: LocalAzure,
    months: list[str],
    tap_config: Config,
    run_tap: RunTap,
) -> None:
    """After so many reports; a month of which one came is there."""
    azure.arm.fail_next(arm_error(status, "Refused", "because of it"), operation="carbon", skip=reports)
    run = run_tap(tap_config(), [CARBON])
    assert run.exit_code == 1
    assert asked(azure) == months[: whole + 1]
    assert newest(run) == set(months[whole - 1 : whole])


@pytest.mark.parametrize("status", [400, 404])
def test_months_that_the_service_names_are_never_taken_for_absent(
    status: int, azure: LocalAzure, months: list[str], tap_config: Config, run_tap: RunTap
) -> None:
    azure.arm.allow("carbon_range")
    azure.arm.fail_next(arm_error(status, "NotFound", "because of it"), operation="carbon")
    run = run_tap(tap_config(), [CARBON])
    assert run.exit_code == 1
    assert read(run) == []
    assert asked(azure) == months[:1]
