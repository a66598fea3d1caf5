"""All stand-ins for Azure together, in this process and as one of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
import requests

from tests.local_clouds.azure import LocalAzure
from tests.local_clouds.azure_demo import (
    BILLING_ACCOUNT,
    SUBSCRIPTIONS,
    demo_costs,
    demo_emissions,
    demo_impact,
    month_range,
)

if TYPE_CHECKING:
    from tests.local_clouds.azurite import Azurite

ROOT = Path(__file__).parents[2]
MONTHS = ["2026-09", "2026-10"]


def post(azure: LocalAzure, http: requests.Session, path: str, body: Any, version: str) -> Any:
    answer = http.post(f"{azure.arm.url}/{path}?api-version={version}", json=body)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text, parse_float=Decimal)


def test_the_made_up_tenant_agrees_with_itself(azure: LocalAzure, http: requests.Session) -> None:
    azure.seed(1, MONTHS)
    azure.details.waits = None
    listed = http.get(f"{azure.arm.url}/subscriptions?api-version=2022-12-01").json()["value"]
    assert [entry["state"] for entry in listed] == ["Enabled", "Enabled", "Disabled"]
    total = {"total": {"name": "Cost", "function": "Sum"}}
    body = {
        "type": "ActualCost",
        "timeframe": "Custom",
        "timePeriod": {"from": "2026-09-01", "to": "2026-10-31"},
        "dataset": {"granularity": "Monthly", "aggregation": total},
    }
    costs = f"{BILLING_ACCOUNT}/providers/Microsoft.CostManagement"
    rows = post(azure, http, f"{costs}/query", body, "2025-03-01")["properties"]["rows"]
    assert [row[0] for row in rows] == [sum(cost.cost for cost in demo_costs(1, [month])) for month in MONTHS]
    for subscription in SUBSCRIPTIONS:
        path = f"subscriptions/{subscription.id}/providers/Microsoft.CostManagement/generateCostDetailsReport"
        report = post(azure, http, path, {"metric": "ActualCost", "billingPeriod": "202609"}, "2025-03-01")
        assert report["manifest"]["blobCount"] >= 1


def test_emissions_are_the_same_in_both_interfaces() -> None:
    emissions = demo_emissions(1, MONTHS)
    impact = demo_impact(emissions)
    for scope in (1, 2, 3):
        kilograms = sum(row.sum([f"Scope{scope}"]) for row in emissions)
        assert sum(row.emissions for row in impact if row.scope == scope) * 1000 == kilograms
    assert {row.subscription for row in emissions} == {one.id for one in SUBSCRIPTIONS}


def test_a_longer_range_repeats_the_shorter_one_and_another_seed_does_not() -> None:
    assert set(demo_emissions(1, MONTHS[1:])) < set(demo_emissions(1, MONTHS))
    assert not set(demo_emissions(1, MONTHS)) & set(demo_emissions(2, MONTHS))
    assert demo_costs(1, MONTHS) == demo_costs(1, MONTHS[:1]) + demo_costs(1, MONTHS[1:])
    assert month_range("2025-11", "2026-02") == ["2025-11", "2025-12", "2026-01", "2026-02"]


def test_seeding_more_keeps_what_was_there(azure: LocalAzure, http: requests.Session) -> None:
    azure.seed(1, MONTHS)
    azure.seed(2, ["2026-11", MONTHS[1]])
    path = "providers/Microsoft.Carbon/queryCarbonEmissionDataAvailableDateRange"
    window = post(azure, http, path, None, "2025-04-01")
    assert window == {"startDate": "2026-09-01", "endDate": "2026-11-01"}
    owner = SUBSCRIPTIONS[0].id
    for month, seed in ((MONTHS[0], 1), (MONTHS[1], 2)):
        rows = [row for row in demo_emissions(seed, [month]) if row.subscription == owner]
        assert azure.carbon.total(month, owner, "Scope3") == sum(row.scope3 for row in rows)


def test_a_shared_azurite_brings_its_authority(azurite: Azurite) -> None:
    with LocalAzure(azurite=azurite) as azure:
        assert azure.settings["ca_bundle"] == str(azurite.authority.ca_file)
        assert azure.azurite is azurite
    with azurite.client() as client:
        assert client.get_account_information()["sku_name"]


class Process:
    """The stand-ins as a process of their own."""

    def __init__(self, *options: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "tests.local_clouds.azure", "--first-month", "2026-09", *options],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self) -> Any:
        assert self.popen.stdout is not None
        return json.loads(self.popen.stdout.readline())

    def command(self, **command: Any) -> Any:
        assert self.popen.stdin is not None
        self.popen.stdin.write(json.dumps(command) + "\n")
        self.popen.stdin.flush()
        return self.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.popen.kill()
        self.popen.communicate()


def carbon_window(ready: Any) -> Any:
    settings = ready["settings"]
    with requests.Session() as session:
        session.trust_env, session.verify = False, settings["ca_bundle"]
        form = {
            "grant_type": "client_credentials",
            "client_id": settings["client_id"],
            "client_secret": settings["client_secret"],
            "scope": "https://management.azure.com/.default",
        }
        url = f"{settings['authority_url']}/{settings['tenant_id']}/oauth2/v2.0/token"
        session.headers["Authorization"] = f"Bearer {session.post(url, data=form).json()['access_token']}"
        path = "providers/Microsoft.Carbon/queryCarbonEmissionDataAvailableDateRange"
        return session.post(f"{settings['arm_endpoint_url']}/{path}?api-version=2025-04-01").json()


def test_the_process_obeys_and_ends_with_its_input() -> None:
    with Process() as process:
        ready = process.read()
        assert carbon_window(ready) == {"startDate": "2026-09-01", "endDate": "2026-10-01"}
        answer = process.command(seed=2, months=["2026-11"])
        assert answer == {"requests": {"entra": 1, "arm": 1, "downloads": 0, "impact": 0, "blobs": 0}}
        assert carbon_window(ready)["endDate"] == "2026-11-01"
        assert ready["blobs"]["account_url"].startswith("https://127.0.0.1:")
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(ready["blobs"]["account_url"], timeout=5)
        assert process.popen.stdin is not None
        process.popen.stdin.close()
        assert process.popen.wait(10) == 0
        with pytest.raises(requests.ConnectionError, match="refused"):
            requests.get(ready["blobs"]["account_url"], timeout=5)
        assert not Path(ready["settings"]["ca_bundle"]).exists()
        process.popen.stdin = None


def test_the_process_ends_when_it_is_terminated() -> None:
    with Process("--no-blobs", "--deny-carbon") as process:
        ready = process.read()
        assert ready["blobs"] is None
        process.popen.send_signal(signal.SIGTERM)
        assert process.popen.wait(10) == 0
        assert not Path(ready["settings"]["ca_bundle"]).exists()
