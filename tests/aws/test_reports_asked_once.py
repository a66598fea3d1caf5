"""Emissions and water are asked for once in a run, though activities are made of them, too."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.local_clouds.aws import month_range
from tests.local_clouds.sustainability import demo_emissions, demo_water

if TYPE_CHECKING:
    from tests.aws.conftest import Config, RunTap
    from tests.driving import Run
    from tests.local_clouds.sustainability import SustainabilityServer

MONTHS = month_range("2026-01", "2026-06")
WINDOW = {"start_date": "2024-01-01", "end_date": "2026-07-01"}
ALL = ["carbon_emissions", "water_allocation", "activities"]


@pytest.fixture(autouse=True)
def _published(sustainability: SustainabilityServer) -> None:
    publish(sustainability, "v3.0.1")
    sustainability.set_years(demo_water([2024, 2025], ["111122223333"], ["us-east-1"], ["AmazonEC2"], 3))


def publish(server: SustainabilityServer, version: str) -> None:
    server.set_months(
        demo_emissions(MONTHS, ["111122223333"], ["us-east-1"], ["AmazonEC2"], 3, model_version=version)
    )


def asked(server: SustainabilityServer, since: int = 0) -> Counter[tuple[str, str]]:
    return Counter(
        (request.operation, request.body["TimePeriod"]["Start"][:7]) for request in server.requests[since:]
    )


def activities(run: Run) -> list[dict[str, object]]:
    batch = {"import_batch_id", "metadata"}
    return [
        {name: value for name, value in record.items() if name not in batch}
        for record in run.records("activities")
    ]


def test_each_period_is_asked_for_once(
    sustainability: SustainabilityServer, tap_config: Config, run_tap: RunTap
) -> None:
    alone = run_tap(tap_config(**WINDOW), select=["activities"])
    once = asked(sustainability)
    assert set(once.values()) == {1}
    before = len(sustainability.requests)
    together = run_tap(tap_config(**WINDOW), select=ALL)
    assert asked(sustainability, before) == once
    assert activities(together) == activities(alone) != []


def test_what_one_stream_could_not_read_the_other_asks_for_itself(
    sustainability: SustainabilityServer, tap_config: Config, run_tap: RunTap
) -> None:
    expected = activities(run_tap(tap_config(**WINDOW), select=["activities"]))
    before = len(sustainability.requests)
    sustainability.fail_next(
        1, 400, "ValidationException", operation="GetEstimatedCarbonEmissions", skip=len(MONTHS)
    )
    run = run_tap(tap_config(**WINDOW), select=ALL)
    assert run.exit_code == 1
    again = asked(sustainability, before)
    assert max(again.values()) == 2
    assert sum(again.values()) == len(again) + 1
    assert activities(run) == expected


def test_streams_that_are_not_at_the_same_place_each_read_what_they_need(
    sustainability: SustainabilityServer, tap_config: Config, run_tap: RunTap
) -> None:
    before = run_tap(tap_config(**WINDOW), select=["carbon_emissions"])
    publish(sustainability, "v3.0.2")
    run = run_tap(tap_config(**WINDOW), before.state, select=ALL)
    assert len(run.records("carbon_emissions")) == len(MONTHS)
    made = [record for record in activities(run) if record["activity_type"] == "emissions"]
    assert {record["model_version"] for record in made} == {"v3.0.2"}
    assert {str(record["period_start"])[:7] for record in made} == set(MONTHS)
