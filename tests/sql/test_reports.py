"""The reports, over months that were restated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sql.provider import ACCOUNT, OTHER_ACCOUNT, day, emissions, usage, water
from tests.sql.questions import FIRST_OF_OCTOBER, FIRST_OF_SEPTEMBER, OCTOBER, SEPTEMBER

if TYPE_CHECKING:
    from tests.sql.provider import Provider
    from tests.sql.warehouses import Warehouses


@pytest.fixture
def reported(provider: Provider, warehouses: Warehouses) -> Warehouses:
    """Two months of emissions, of which one was restated, a year of water, and a month of usage."""
    select = ["activities", "deliveries"]
    provider.export("costs", "cur2")
    provider.deliver("costs", usage(("AmazonEC2", "Box", 1, 10), ("AmazonEC2", "Big", 2, 20)), day(2))
    provider.server.set_year(2026, water((ACCOUNT, "AmazonEC2", 1.5)))
    provider.server.set_month(
        SEPTEMBER, emissions((ACCOUNT, "AmazonEC2", 4.0), (OTHER_ACCOUNT, "AmazonS3", 4.0))
    )
    provider.server.set_month(OCTOBER, emissions((ACCOUNT, "AmazonEC2", 2.0)))
    warehouses.load(provider.read(select, day(3)).messages)
    provider.server.set_month(OCTOBER, emissions((ACCOUNT, "AmazonS3", 1.0)))
    warehouses.load(provider.read(select, day(4)).messages)
    warehouses.install()
    return warehouses


def test_emissions_by_month_are_those_of_the_provider_by_both_methods(reported: Warehouses) -> None:
    scopes = (1000.0, 4000.0, 2000.0, 3000.0, 2500.0)
    assert reported.ask("SELECT * FROM emissions_by_month") == [
        ("aws", FIRST_OF_OCTOBER, *(kg / 8 for kg in scopes), 1000.0, 687.5),
        ("aws", FIRST_OF_SEPTEMBER, *scopes, 8000.0, 5500.0),
    ]


def test_emissions_by_service_add_up_to_those_by_month(reported: Warehouses) -> None:
    ec2, s3 = "Amazon Elastic Compute Cloud", "Amazon Simple Storage Service"
    assert reported.ask("SELECT * FROM emissions_by_service") == [
        ("aws", FIRST_OF_OCTOBER, "cloud_storage", "AmazonS3", s3, 1000.0, 687.5),
        ("aws", FIRST_OF_SEPTEMBER, "cloud_compute", "AmazonEC2", ec2, 4000.0, 2750.0),
        ("aws", FIRST_OF_SEPTEMBER, "cloud_storage", "AmazonS3", s3, 4000.0, 2750.0),
    ]
    sums = (
        "SELECT month, sum(location_based_kg), sum(market_based_kg) FROM emissions_by_service GROUP BY month"
    )
    totals = "SELECT month, location_based_kg, market_based_kg FROM emissions_by_month"
    assert reported.ask(sums) == reported.ask(totals)


def test_emissions_by_country_add_up_to_those_by_month(reported: Warehouses) -> None:
    assert reported.ask("SELECT * FROM emissions_by_country") == [
        ("aws", FIRST_OF_OCTOBER, "Storage", "DEU", 1000.0, 687.5),
        ("aws", FIRST_OF_SEPTEMBER, "Compute", "DEU", 4000.0, 2750.0),
        ("aws", FIRST_OF_SEPTEMBER, "Storage", "DEU", 4000.0, 2750.0),
    ]


def test_the_cost_of_usage_is_without_water_and_emissions(reported: Warehouses) -> None:
    assert reported.ask("SELECT * FROM usage_cost_by_service") == [
        ("aws", FIRST_OF_SEPTEMBER, "cloud_compute", "AmazonEC2", "Amazon Elastic Compute Cloud", "USD", 30.0)
    ]
