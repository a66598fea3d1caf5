"""Activities of both clouds in one table: one schema, one view, and neither replaces the other's."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tap_offgridflow_aws.tap import TapOffgridflowAws
from tap_offgridflow_azure.tap import TapOffgridflowAzure
from tests.azure.answers import only
from tests.azure.driving import catalog, run_here
from tests.azure.shelf import made
from tests.local_clouds.azure import LocalAzure
from tests.local_clouds.azure_carbon import Emission
from tests.local_clouds.azure_discovery import Subscription
from tests.local_clouds.azure_exports import publish_azure
from tests.local_clouds.exports import FolderStore
from tests.sql.provider import ACCOUNT, day, emissions, usage
from tests.sql.questions import COSTS, FIRST_OF_SEPTEMBER, SEPTEMBER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime
    from pathlib import Path

    from tests.driving import Message, Run
    from tests.sql.provider import Provider
    from tests.sql.warehouses import Warehouses

SUBSCRIPTION = "aaaaaaaa-0000-0000-0000-000000000001"
COUNTS = "SELECT provider, activity_type, count(*) FROM current_activities GROUP BY provider, activity_type"
KILOGRAMS = """
    SELECT provider, account_id, scope, sum(quantity) FROM current_activities
    WHERE activity_type = 'emissions' AND accounting_method <> 'location_based'
    GROUP BY provider, account_id, scope
"""
EMPTY: dict[str, Any] = {}


class ReadAzure(Protocol):
    """Runs the Azure tap at a moment, which must succeed."""

    def __call__(
        self, at: datetime, state: Message = EMPTY, category: str = "Resource", stream: str = "activities"
    ) -> Run: ...


def totals(warehouses: Warehouses) -> list[tuple[Any, ...]]:
    """Provider, country, then service, and both totals."""
    question = "SELECT provider, {}, location_based_kg, market_based_kg FROM emissions_by_{}"
    return [
        *warehouses.ask(question.format("country", "country")),
        *warehouses.ask(question.format("service_code", "service")),
    ]


def schema_of(tap: type[Any], stream: str) -> Any:
    (entry,) = (one for one in tap(config={}).catalog_dict["streams"] if one["tap_stream_id"] == stream)
    return entry["schema"], entry["key_properties"], entry["replication_key"]


@pytest.fixture
def azure() -> Iterator[LocalAzure]:
    """A local cloud with one subscription, whose two machines emit in one place."""
    with LocalAzure() as running:
        running.discovery.subscriptions = [Subscription(SUBSCRIPTION, "Shop")]
        running.carbon.publish(
            Emission(
                month=SEPTEMBER,
                subscription=SUBSCRIPTION,
                resource_group="shop",
                name=name,
                resource_type="microsoft.compute/virtualmachines",
                location="west europe",
                scope1=Decimal("1.5"),
                scope3=Decimal("0.25"),
            )
            for name in ("one", "two")
        )
        yield running


@pytest.fixture
def read_azure(azure: LocalAzure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReadAzure:
    """Reads its emissions, and an export of a month of cost."""
    container = tmp_path / "container"

    def read(
        at: datetime, state: Message = EMPTY, category: str = "Resource", stream: str = "activities"
    ) -> Run:
        publish_azure(
            FolderStore(container),
            export="azure-costs",
            period=SEPTEMBER,
            parts=[made("actual", 60, period=SEPTEMBER)],
            run_id=f"00000000-0000-0000-0000-0000000000{at:%d}",
            submitted_at=at - timedelta(hours=1),
        )
        monkeypatch.setattr(TapOffgridflowAzure, "started_at", at)
        config = {
            **azure.settings,
            "carbon_category": category,
            "exports": [{"type": "actual", "url": (container / "cost/azure-costs").as_uri()}],
            "start_date": "2026-07-01",
            "end_date": "2026-11-30",
            "rate_limit_per_second": 1000,
            "rate_limit_capacity": 10_000,
            "spool_dir": str(tmp_path),
        }
        run = run_here(config, state, catalog([stream, "deliveries"]))
        assert run.exit_code == 0, run.stderr
        return run

    return read


@pytest.mark.parametrize("stream", ["activities", "deliveries"])
def test_both_taps_have_one_schema(stream: str) -> None:
    assert schema_of(TapOffgridflowAws, stream) == schema_of(TapOffgridflowAzure, stream)


def test_a_scope_that_has_no_emissions_any_more_is_not_current(
    azure: LocalAzure, read_azure: ReadAzure, warehouses: Warehouses
) -> None:
    question = "SELECT carbon_scope, count(*) FROM current_carbon_emissions GROUP BY carbon_scope"
    warehouses.load(read_azure(day(3), stream="carbon_emissions").messages)
    warehouses.install("azure")
    scopes = [("Scope1", 2), ("Scope2", 2), ("Scope3", 2)]
    assert warehouses.ask(question) == scopes
    azure.arm.alter("carbon", only(1, lambda answer: answer["value"].clear()))
    warehouses.load(read_azure(day(4), stream="carbon_emissions").messages)
    assert warehouses.ask(question) == scopes[1:]


def test_activities_of_both_clouds_are_current_in_one_table(
    provider: Provider, read_azure: ReadAzure, warehouses: Warehouses
) -> None:
    provider.export("costs", "cur2")
    provider.deliver("costs", usage(("AmazonEC2", "Box", 1, 10), ("AmazonS3", "Store", 2, 20)), day(2))
    provider.server.set_month(SEPTEMBER, emissions((ACCOUNT, "AmazonEC2", 1.0)))
    warehouses.load(provider.read(COSTS, day(3)).messages)
    first = read_azure(day(3))
    azure_usage = sum(one["activity_type"] == "usage" for one in first.records("activities"))
    assert azure_usage > 10
    warehouses.load(first.messages)
    warehouses.install()
    expected = [
        ("aws", "emissions", 5),
        ("aws", "usage", 2),
        ("azure", "emissions", 3),
        ("azure", "usage", azure_usage),
    ]
    assert warehouses.ask(COUNTS) == expected
    kilograms = [
        ("aws", ACCOUNT, 1, 125.0),
        ("aws", ACCOUNT, 2, 250.0),
        ("aws", ACCOUNT, 3, 312.5),
        ("azure", SUBSCRIPTION, 1, 3.0),
        ("azure", SUBSCRIPTION, 2, 0.0),
        ("azure", SUBSCRIPTION, 3, 0.5),
    ]
    assert warehouses.ask(KILOGRAMS) == kilograms
    # What one cloud delivers anew replaces nothing of the other's.
    provider.deliver("costs", usage(("AmazonEC2", "Box", 4, 40)), day(4))
    warehouses.load(provider.read(COSTS, day(5)).messages)
    expected[1] = ("aws", "usage", 1)
    assert warehouses.ask(COUNTS) == expected
    warehouses.load(read_azure(day(6), first.state).messages)
    assert warehouses.ask(COUNTS) == expected
    assert warehouses.ask(KILOGRAMS) == kilograms
    assert warehouses.ask("SELECT DISTINCT provider FROM activities") == [("aws",), ("azure",)]


def test_what_a_cloud_does_not_report_is_null_and_its_totals_are_without_other_methods(
    provider: Provider, read_azure: ReadAzure, warehouses: Warehouses
) -> None:
    provider.server.set_month(SEPTEMBER, emissions((ACCOUNT, "AmazonEC2", 1.0)))
    warehouses.load(provider.read(COSTS, day(3)).messages)
    warehouses.load(read_azure(day(3)).messages)
    warehouses.install()
    assert warehouses.ask("SELECT * FROM emissions_by_month") == [
        ("aws", FIRST_OF_SEPTEMBER, 125.0, 500.0, 250.0, 375.0, 312.5, 1000.0, 687.5),
        ("azure", FIRST_OF_SEPTEMBER, 3.0, None, 0.0, 0.5, 0.5, None, 3.5),
    ]
    assert totals(warehouses) == [
        ("aws", "DEU", 1000.0, 687.5),
        ("azure", "NLD", None, 3.5),
        ("aws", "AmazonEC2", 1000.0, 687.5),
        ("azure", "microsoft.compute/virtualmachines", None, 3.5),
    ]


def test_a_month_without_scope_2_has_no_totals(read_azure: ReadAzure, warehouses: Warehouses) -> None:
    messages = read_azure(day(3)).messages
    warehouses.load(message for message in messages if message.get("record", EMPTY).get("scope") != 2)
    warehouses.install()
    assert warehouses.ask("SELECT * FROM emissions_by_month") == [
        ("azure", FIRST_OF_SEPTEMBER, 3.0, None, None, 0.5, 0.5, None, None)
    ]
    assert totals(warehouses) == [
        ("azure", "NLD", None, None),
        ("azure", "microsoft.compute/virtualmachines", None, None),
    ]


def test_emissions_of_another_category_replace_those_of_the_first(
    read_azure: ReadAzure, warehouses: Warehouses
) -> None:
    first = read_azure(day(3))
    warehouses.load(first.messages)
    warehouses.install("azure")
    before = warehouses.ask(KILOGRAMS)
    warehouses.load(read_azure(day(4), first.state, "Location").messages)
    assert warehouses.ask(KILOGRAMS) == before
    question = "SELECT DISTINCT service_code FROM current_activities WHERE activity_type = 'emissions'"
    assert warehouses.ask(question) == [(None,)]
    assert warehouses.ask("SELECT count(*) FROM activities WHERE activity_type = 'emissions'") == [(6,)]
