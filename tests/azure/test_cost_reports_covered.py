"""A scope that an export covers, whose runs so far are all of the time before the window."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from tap_offgridflow_azure.tap import TapOffgridflowAzure
from tests.azure.answers import ONE, costs
from tests.azure.shelf import made
from tests.local_clouds.azure_cost_csv import cost_details_csv

if TYPE_CHECKING:
    from tests.azure.conftest import Config
    from tests.azure.shelf import Shelf
    from tests.local_clouds.azure import LocalAzure

SCOPE = f"subscriptions/{ONE}"


@pytest.mark.parametrize("readable", [True, False])
def test_no_report_is_made_of_a_scope_whose_export_has_not_yet_run_in_the_window(
    azure: LocalAzure, shelf: Shelf, tap_config: Config, monkeypatch: pytest.MonkeyPatch, *, readable: bool
) -> None:
    """Unless what it covers is not to be had: what lies before the window may be archived."""
    monkeypatch.setattr(TapOffgridflowAzure, "started_at", datetime(2024, 5, 2, tzinfo=UTC))
    azure.scopes.subscriptions = {ONE}
    azure.details.waits = None
    azure.details.publish(
        SCOPE, "2024-05", "ActualCost", cost_details_csv(costs(date(2024, 5, 1), 1), "ActualCost")
    )
    resource_id = f"/{SCOPE}/providers/Microsoft.CostManagement/exports/ofg-actual"
    delivered = shelf.deliver(
        "actual", made("actual", 5, period="2024-04"), period="2024-04", resource_id=resource_id
    )
    if not readable:
        shelf.path(delivered.manifest_key).write_text("archived")
    settings = tap_config(
        start_date="2024-05-01", end_date="2024-06-01", cost_scopes=[SCOPE], auth_method="client_secret"
    )
    run = shelf.read("actual", select=("cost_details", "deliveries"), **settings)
    assert len(azure.arm.asked("create_report")) == (0 if readable else 1)
    assert len(run.records("cost_details")) == (0 if readable else 2)
