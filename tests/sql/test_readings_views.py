"""The views of what the API reports: the newest reading of each account and period."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sql.provider import ACCOUNT, OTHER_ACCOUNT, day, emissions, water
from tests.sql.questions import EMISSIONS, FIRST_OF_OCTOBER, FIRST_OF_SEPTEMBER, OCTOBER, SEPTEMBER

if TYPE_CHECKING:
    from tests.sql.provider import Provider
    from tests.sql.warehouses import Warehouses


def test_what_vanished_from_a_restated_month_is_not_current(
    provider: Provider, warehouses: Warehouses
) -> None:
    select = ["carbon_emissions", "activities", "deliveries"]
    kept = emissions((ACCOUNT, "AmazonEC2", 1.0))
    provider.server.set_month(SEPTEMBER, [*kept, *emissions((ACCOUNT, "AmazonS3", 2.0))])
    provider.server.set_month(OCTOBER, kept)
    warehouses.load(provider.read(select, day(3)).messages)
    warehouses.install()
    question = """
        SELECT period_start, service, total_lbm_carbon_emissions FROM current_carbon_emissions
    """
    assert warehouses.ask(question) == [
        (FIRST_OF_OCTOBER, "AmazonEC2", 1.0),
        (FIRST_OF_SEPTEMBER, "AmazonEC2", 1.0),
        (FIRST_OF_SEPTEMBER, "AmazonS3", 2.0),
    ]
    provider.server.set_month(SEPTEMBER, emissions((ACCOUNT, "AmazonEC2", 4.0)))
    warehouses.load(provider.read(select, day(4)).messages)
    assert warehouses.ask(question) == [
        (FIRST_OF_OCTOBER, "AmazonEC2", 1.0),
        (FIRST_OF_SEPTEMBER, "AmazonEC2", 4.0),
    ]
    assert warehouses.ask(EMISSIONS) == [(ACCOUNT, "AmazonEC2", 5000.0)]
    assert warehouses.ask("SELECT count(*) FROM carbon_emissions") == [(3,)]


def test_what_vanished_from_a_restated_year_of_water_is_not_current(
    provider: Provider, warehouses: Warehouses
) -> None:
    select = ["water_allocation", "activities", "deliveries"]
    provider.server.set_year(2026, water((ACCOUNT, "AmazonEC2", 1.5), (ACCOUNT, "AmazonS3", 2.5)))
    warehouses.load(provider.read(select, day(3)).messages)
    provider.server.set_year(2026, water((ACCOUNT, "AmazonS3", 3.5)))
    warehouses.load(provider.read(select, day(4)).messages)
    warehouses.install()
    question = "SELECT service, total_water_withdrawals FROM current_water_allocation"
    assert warehouses.ask(question) == [("AmazonS3", 3.5)]
    activities = "SELECT service_code, quantity, unit FROM current_activities"
    assert warehouses.ask(activities) == [("AmazonS3", 3.5, "m3")]


def test_months_that_a_run_does_not_read_again_stay(provider: Provider, warehouses: Warehouses) -> None:
    select = ["carbon_emissions", "activities", "deliveries"]
    for month in ("2026-07", "2026-08", SEPTEMBER):
        provider.server.set_month(month, emissions((ACCOUNT, "AmazonEC2", 1.0)))
    for moment in (3, 4):
        warehouses.load(provider.read(select, day(moment), lookback_months=1).messages)
    warehouses.install()
    assert warehouses.ask("SELECT count(DISTINCT retrieved_at) FROM current_carbon_emissions") == [(2,)]
    assert warehouses.ask("SELECT count(*) FROM current_carbon_emissions") == [(3,)]
    assert warehouses.ask(EMISSIONS) == [(ACCOUNT, "AmazonEC2", 3000.0)]


def test_organisations_that_are_read_one_after_another_stand_beside_each_other(
    provider: Provider, warehouses: Warehouses
) -> None:
    """One set of credentials sees one organisation; several taps may fill one schema."""
    select = ["carbon_emissions", "activities", "deliveries"]
    for moment, account in ((3, ACCOUNT), (4, OTHER_ACCOUNT), (5, ACCOUNT)):
        provider.server.set_month(SEPTEMBER, emissions((account, "AmazonEC2", float(moment))))
        warehouses.load(provider.read_as_another(select, day(moment)).messages)
    warehouses.install()
    question = "SELECT account_id, total_lbm_carbon_emissions FROM current_carbon_emissions"
    assert warehouses.ask(question) == [(ACCOUNT, 5.0), (OTHER_ACCOUNT, 4.0)]
    assert warehouses.ask(EMISSIONS) == [
        (ACCOUNT, "AmazonEC2", 5000.0),
        (OTHER_ACCOUNT, "AmazonEC2", 4000.0),
    ]
