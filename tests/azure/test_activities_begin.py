"""Which months are Carbon Optimization's is remembered when they are out, and holds where a run was ended."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.answers import ONE, TWO, emissions
from tests.local_clouds.azure_discovery import Subscription
from tests.local_clouds.azure_errors import arm_error
from tests.local_clouds.mcfs import ImpactRow

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.azure.conftest import Config, RunTap
    from tests.driving import Run
    from tests.local_clouds.azure import LocalAzure

STREAM = "activities"
MONTHS = ["2026-07", "2026-08", "2026-09"]
EARLIER = ["2026-04", "2026-05", "2026-06"]
CARBON, IMPACT = "azure_carbon_optimization", "azure_emissions_impact"


@pytest.fixture
def config(azure: LocalAzure, tap_config: Config) -> Mapping[str, Any]:
    """Both sources: Carbon Optimization has the later months, Cloud for Sustainability has all."""
    azure.discovery.subscriptions = [Subscription(ONE, "Shop"), Subscription(TWO, "Lab")]
    azure.carbon.publish(emissions(MONTHS))
    azure.impact.publish(
        ImpactRow(month, ONE, "Storage", 1, Decimal("0.001"), region="East US") for month in EARLIER + MONTHS
    )
    window = {"start_date": "2026-01-01", "end_date": "2026-11-01", "fail_on_denied": False}
    return tap_config(**(window | azure.impact_settings))


def months(run: Run, source: str) -> list[str]:
    found = (record for record in run.records(STREAM) if record["source"] == source)
    return sorted({record["period_start"][:7] for record in found})


def months_of_both(run: Run) -> dict[tuple[str, str], list[str]]:
    """By source and subscription."""
    found = defaultdict(set)
    for record in run.records(STREAM):
        found[record["source"], record["account_id"]].add(record["period_start"][:7])
    return {key: sorted(months) for key, months in found.items()}


def begin(state: Any) -> str | None:
    """The month from which on emissions are remembered as Carbon Optimization's."""
    partitions = state.get("bookmarks", {}).get(STREAM, {}).get("partitions", [])
    known = [entry["history_start"] for entry in partitions if entry["context"] == {"source": CARBON}]
    return known[0][:7] if known else None


def records_before_begin(messages: Sequence[Any]) -> int:
    """How many records were out when the beginning was first in the state."""
    states = (number for number, message in enumerate(messages) if begin(message.get("value", {})))
    return sum(message["type"] == "RECORD" for message in messages[: next(states)])


def test_the_first_month_is_remembered_when_it_is_out(config: Any, run_tap: RunTap) -> None:
    run = run_tap(config, [STREAM])
    assert run.exit_code == 0
    assert begin(run.state) == MONTHS[0]
    first = [record for record in run.records(STREAM) if record["period_start"][:7] == MONTHS[0]]
    assert records_before_begin(run.messages) == len(first) > 0
    assert months(run, CARBON) == MONTHS
    assert months(run, IMPACT) == EARLIER


def test_nothing_is_missing_where_a_run_was_killed_before_anything_was_out(
    azure: LocalAzure, config: Any, run_tap: RunTap
) -> None:
    """And all subscriptions deny access from then on: all months are the other source's."""
    states = run_tap(config, [STREAM]).states
    azure.carbon.denied = {ONE: None, TWO: None}
    resumed = run_tap(config, [STREAM], states[0])
    assert resumed.exit_code == 0
    assert months(resumed, IMPACT) == EARLIER + MONTHS


@pytest.mark.parametrize("month", [0, 1])
def test_months_that_were_not_read_to_their_end_are_the_other_sources(
    azure: LocalAzure, config: Any, run_tap: RunTap, month: int
) -> None:
    azure.arm.fail_next(
        arm_error(403, "AuthorizationFailed", "no more"), operation="carbon", skip=3 * month + 1
    )
    run = run_tap(config, [STREAM])
    assert run.exit_code == 1
    assert months(run, CARBON) == MONTHS[:month]
    assert months(run, IMPACT) == EARLIER + MONTHS[month:]
    assert begin(run.state) == (MONTHS[0] if month else None)


@pytest.mark.parametrize("denied", [True, False], ids=["denied", "not asked for"])
def test_what_carbon_optimization_does_not_tell_of_a_subscription_is_the_other_sources(
    azure: LocalAzure, config: Any, run_tap: RunTap, *, denied: bool
) -> None:
    azure.impact.publish(
        ImpactRow(month, one, "Storage", 1, Decimal("0.001"))
        for month in EARLIER + MONTHS
        for one in (ONE, TWO)
    )
    if denied:
        azure.carbon.denied = {TWO: None}
    else:
        config = config | {"subscription_ids": [ONE]}
    first = run_tap(config, [STREAM])
    assert first.exit_code == 0
    expected = {(CARBON, ONE): MONTHS, (IMPACT, ONE): EARLIER, (IMPACT, TWO): EARLIER + MONTHS}
    assert months_of_both(first) == expected
    # Once it is told of, all that Carbon Optimization has replaces that.
    azure.carbon.denied = {}
    admitted = run_tap(config | {"subscription_ids": [ONE, TWO], "lookback_months": 9}, [STREAM], first.state)
    assert months_of_both(admitted) == {
        **{(CARBON, one): MONTHS for one in (ONE, TWO)},
        **{(IMPACT, one): EARLIER for one in (ONE, TWO)},
    }


def test_emissions_without_any_value_leave_the_month_to_the_other_source(
    azure: LocalAzure, config: Any, run_tap: RunTap
) -> None:
    def without(answer: Any) -> None:
        for row in answer["value"]:
            row["latestMonthEmissions"] = None

    azure.arm.alter("carbon", without)
    run = run_tap(config, [STREAM])
    assert run.exit_code == 0
    assert begin(run.state) is None
    assert months(run, IMPACT) == EARLIER + MONTHS
