"""Emissions are asked for once in a run, though activities are made of them, too."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.answers import ONE, THREE, TWO, emissions
from tests.local_clouds.azure_discovery import Subscription
from tests.local_clouds.azure_errors import arm_error
from tests.local_clouds.mcfs import ImpactRow

if TYPE_CHECKING:
    from tests.azure.conftest import Config, RunTap
    from tests.driving import Run
    from tests.local_clouds.azure import LocalAzure

MONTHS = ["2026-07", "2026-08", "2026-09"]
ALL = ["carbon_emissions", "emissions_impact", "activities"]
REPORTS = ("carbon_range", "carbon", "emissions")


@pytest.fixture(autouse=True)
def _published(azure: LocalAzure) -> None:
    azure.discovery.subscriptions = [Subscription(one, one[-1]) for one in (ONE, TWO, THREE)]
    azure.carbon.publish(emissions(MONTHS))
    azure.impact.publish(
        ImpactRow(month, ONE, "Storage", 1, Decimal("0.5"), region="East US")
        for month in ("2026-05", *MONTHS)
    )


@pytest.fixture
def config(azure: LocalAzure, tap_config: Config) -> dict[str, Any]:
    """Both services, and a window that has all that they have."""
    return tap_config(start_date="2026-01-01", end_date="2026-11-01", **azure.impact_settings)


def asked(azure: LocalAzure, since: int = 0) -> Counter[str]:
    """The requests for reports, each as often as it was made."""
    return Counter(
        json.dumps([request.operation, request.target, request.body], default=str)
        for server in (azure.arm, azure.impact)
        for request in server.requests[since:]
        if request.operation in REPORTS
    )


def activities(run: Run) -> list[dict[str, Any]]:
    batch = {"import_batch_id", "metadata"}
    return [
        {name: value for name, value in record.items() if name not in batch}
        for record in run.records("activities")
    ]


def test_each_report_is_asked_for_once(azure: LocalAzure, config: dict[str, Any], run_tap: RunTap) -> None:
    alone = run_tap(config, ["activities"])
    once = asked(azure)
    together = run_tap(config, ALL)
    assert (alone.exit_code, together.exit_code) == (0, 0)
    assert asked(azure) == once + once
    assert activities(together) == activities(alone) != []


def test_who_is_denied_fails_both_streams(azure: LocalAzure, config: dict[str, Any], run_tap: RunTap) -> None:
    azure.carbon.denied = {TWO: None}
    run = run_tap(config, ALL)
    assert "2 of 3 streams failed: carbon_emissions (auth), activities (auth)" in run.stderr
    accounts = {
        record["account_id"] for record in activities(run) if record["source"] == "azure_carbon_optimization"
    }
    assert accounts == {ONE}


def test_rows_that_are_missing_are_missed_by_both_streams(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tap_offgridflow_azure.apis.carbon.MOST_ROWS", 2)
    azure.carbon.row_cap = 2
    run = run_tap(config, ALL)
    assert run.stderr.count("12 reports whose rows are not all there") == 2
    assert not [record for record in activities(run) if record["source"] == "azure_carbon_optimization"]


def test_what_one_stream_could_not_read_the_other_asks_for_itself(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    expected = activities(run_tap(config, ["activities"]))
    azure.arm.fail_next(arm_error(400, "BadRequest", "not today"), operation="carbon", skip=4)
    run = run_tap(config, ALL)
    assert "1 of 3 streams failed: carbon_emissions (bad_request)" in run.stderr
    assert activities(run) == expected
