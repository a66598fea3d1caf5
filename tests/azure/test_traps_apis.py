"""The known traps of Azure's interfaces, by number: those of emissions, queries, reports, subscriptions."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.answers import ONE, SCOPES, TWO, VM, costs, emissions
from tests.local_clouds.azure_carbon import Emission
from tests.local_clouds.azure_cost_csv import cost_details_csv
from tests.local_clouds.azure_cost_query import Cost
from tests.local_clouds.azure_discovery import Subscription
from tests.local_clouds.azure_errors import ERROR_AS_LIST
from tests.local_clouds.mcfs import ImpactRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from offgridflow_common.testing.clock import FakeClock
    from tests.azure.conftest import Config, RunTap
    from tests.local_clouds.azure import LocalAzure

CARBON, COST, IMPACT = "carbon_emissions", "cost_query", "emissions_impact"
MONTHS = ["2026-08", "2026-09"]
FIRST = date(2026, 9, 1)


@pytest.fixture(autouse=True)
def _published(azure: LocalAzure) -> None:
    azure.discovery.subscriptions = [Subscription(ONE, "Shop"), Subscription(TWO, "Lab")]
    azure.scopes.subscriptions = {ONE, TWO}
    azure.carbon.publish(emissions(MONTHS))
    azure.queries.publish(costs(FIRST, 30))


@pytest.fixture
def config(azure: LocalAzure, tap_config: Config) -> dict[str, Any]:
    return tap_config(**azure.impact_settings, start_date="2026-08-01", end_date="2026-10-01")


def bodies(azure: LocalAzure, operation: str = "carbon") -> list[Any]:
    return [request.body for request in azure.arm.asked(operation)]


def total(records: Iterable[Mapping[str, Any]], column: str) -> Decimal:
    return sum((Decimal(str(one[column])) for one in records), Decimal(0))


def test_trap_01_scopes_are_asked_for_one_by_one_since_one_report_would_add_them_up(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    run = run_tap(config, [CARBON])
    assert {tuple(body["carbonScopeList"]) for body in bodies(azure)} == {(scope,) for scope in SCOPES}
    for scope in SCOPES:
        rows = [one for one in run.records(CARBON) if one["carbon_scope"] == scope]
        expected = sum(azure.carbon.total(month, one, scope) for month in MONTHS for one in (ONE, TWO))
        assert float(total(rows, "latest_month_emissions")) == pytest.approx(float(expected), 1e-15)


@pytest.mark.parametrize("fails", [True, False])
def test_trap_02_a_subscription_is_denied_within_a_good_answer(
    fails: bool,  # noqa: FBT001 - a parameter of the test
    *,
    azure: LocalAzure,
    config: dict[str, Any],
    run_tap: RunTap,
) -> None:
    azure.carbon.denied = {TWO: None}
    run = run_tap(config | {"fail_on_denied": fails}, [CARBON])
    assert {request.status for request in azure.arm.asked("carbon")} == {200}
    assert run.exit_code == int(fails)
    assert f"Lab ({TWO}): no reason given" in run.stderr
    assert {one["subscription_id"] for one in run.records(CARBON)} == {ONE}


def test_trap_03_a_month_is_asked_for_by_itself_since_values_cover_the_whole_range(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    run_tap(config, [CARBON])
    ranges = [body["dateRange"] for body in bodies(azure)]
    assert all(asked["start"] == asked["end"] for asked in ranges)
    assert {asked["start"][:7] for asked in ranges} == set(MONTHS)


@pytest.mark.parametrize("category", ["Location", "ResourceType"])
def test_trap_04_rows_that_do_not_say_whose_they_are_are_asked_for_by_subscription(
    category: str, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    run = run_tap(config | {"carbon_category": category}, [CARBON])
    assert all(len(body["subscriptionList"]) == 1 for body in bodies(azure))
    for subscription in (ONE, TWO):
        rows = [one for one in run.records(CARBON) if one["subscription_id"] == subscription]
        expected = sum(azure.carbon.total(month, subscription, scope) for month in MONTHS for scope in SCOPES)
        assert float(total(rows, "latest_month_emissions")) == pytest.approx(float(expected), 1e-15)


def test_trap_05_each_interface_spells_regions_in_its_own_way(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.carbon.publish([Emission("2026-09", ONE, "group", "vm", VM, "east us", Decimal(1))])
    azure.impact.publish([ImpactRow("2026-09", ONE, "Storage", 1, Decimal(1), region="East US")])
    run = run_tap(config | {"subscription_ids": [ONE.upper()]}, [CARBON, COST, IMPACT])
    assert run.exit_code == 0
    assert all(body["subscriptionList"] == [ONE] for body in bodies(azure))
    spelled = {
        stream: {one[column] for one in run.records(stream) if one["region"] == "eastus"}
        for stream, column in (
            (CARBON, "location"),
            (IMPACT, "azure_region_name"),
            (COST, "resource_location"),
        )
    }
    assert spelled == {CARBON: {"east us"}, IMPACT: {"East US"}, COST: {"US East"}}


def test_trap_06_kilograms_and_metric_tons_are_told_apart(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.carbon.publish([Emission("2026-09", ONE, "group", "vm", VM, "east us", Decimal("1234.5"))])
    azure.impact.publish([ImpactRow("2026-09", ONE, "Storage", 1, Decimal("1.2345"))])
    run = run_tap(config | {"start_date": "2026-09-01"}, [CARBON, IMPACT])
    kilograms = next(one for one in run.records(CARBON) if one["carbon_scope"] == "Scope1")
    (tons,) = run.records(IMPACT)
    assert (kilograms["latest_month_emissions"], kilograms["emissions_unit"]) == (1234.5, "kgCO2e")
    assert (tons["total_emissions"], tons["emissions_unit"]) == (1.2345, "mtCO2e")


def test_trap_07_zero_is_a_value_and_changes_may_be_missing(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.carbon.omit_optional = True
    run = run_tap(config, [CARBON])
    assert run.exit_code == 0
    rows = [one for one in run.records(CARBON) if one["carbon_scope"] == "Scope2"]
    assert len(rows) == len(MONTHS) * 2 * 3
    assert {one["latest_month_emissions"] for one in rows} == {0}
    assert {one["month_over_month_emissions_change_ratio"] for one in rows} == {None}


def test_trap_08_months_are_restated_and_leave_so_no_bookmark_alone_decides(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    first = run_tap(config, [CARBON])
    azure.carbon.publish(emissions(MONTHS, factor=2))
    second = run_tap(config, [CARBON], first.state)
    sums = [total(run.records(CARBON), "latest_month_emissions") for run in (first, second)]
    assert sums[1] == pytest.approx(2 * sums[0])
    azure.carbon.withdraw(MONTHS[0])
    third = run_tap(config, [CARBON], second.state)
    assert {one["period_start"][:7] for one in third.records(CARBON)} == {MONTHS[1]}
    assert third.exit_code == 0


def test_trap_09_links_want_the_body_again_and_may_name_another_version(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.queries.most_rows = 25
    azure.queries.published_links = True
    run = run_tap(config | {"subscription_ids": [ONE]}, [COST])
    assert run.exit_code == 0
    assert len(run.records(COST)) == 60
    links = [request for request in azure.arm.asked("query") if "$skiptoken" in request.query]
    assert {(request.method, request.query["api-version"]) for request in links} == {("POST", "2021-10-01")}
    assert all(request.body["dataset"]["granularity"] == "Daily" for request in links)


def test_trap_10_a_range_that_was_shortened_without_notice_is_noticed(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.queries.shorten = lambda start, end: (max(start, end - timedelta(9)), end)
    run = run_tap(config | {"subscription_ids": [ONE]}, [COST])
    assert {one["usage_date"][:10] for one in run.records(COST)} == {
        f"2026-09-{day:02}" for day in range(1, 31)
    }
    assert total(run.records(COST), "cost") == sum(row.cost for row in costs(FIRST, 30))
    assert "an answer left out 2026-09-01 to 2026-09-20" in run.stderr


def test_trap_11_nothing_is_an_answer_columns_have_no_order_and_numbers_many_digits(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.queries.no_content = True
    azure.queries.column_order = ("Currency", "UsageDate")
    azure.queries.publish([Cost(FIRST, ONE, Decimal("19.545363672276512"), dimensions={"ServiceName": "A"})])
    run = run_tap(config, [COST])
    assert run.exit_code == 0
    assert {request.status for request in azure.arm.asked("query")} == {200, 204}
    assert [str(one["cost"]) for one in run.records(COST)] == ["19.545363672276512"]


def test_trap_12_charges_without_a_service_are_not_missing(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    marketplace = [Cost(FIRST, ONE, Decimal(7)), Cost(FIRST, ONE, Decimal("0.5"), currency="EUR")]
    azure.queries.publish([*costs(FIRST, 30), *marketplace])
    run = run_tap(config, [COST])
    unassigned = [one for one in run.records(COST) if one["service_name"] == "Unassigned"]
    assert {(one["cost"], one["currency"]) for one in unassigned} == {(7, "USD"), (0.5, "EUR")}
    expected = sum(row.cost for row in costs(FIRST, 30)) + Decimal("7.5")
    assert total(run.records(COST), "cost") == expected


class TestTrap15:
    """Cost details reports are asked for, waited for at changing places, and may be nothing."""

    @pytest.fixture(autouse=True)
    def _reports(self, azure: LocalAzure, clock: FakeClock) -> None:
        del clock
        azure.details.publish(
            f"subscriptions/{ONE}",
            "2026-09",
            "ActualCost",
            cost_details_csv(costs(FIRST, 30), rows_per_blob=25),
        )

    @pytest.mark.parametrize("waits", [None, 0, 4])
    def test_trap_15_places_change_and_files_are_several(
        self, waits: int | None, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        azure.details.waits, azure.details.moves = waits, True
        config |= {"cost_scopes": [f"subscriptions/{ONE}"], "start_date": "2026-09-01"}
        run = run_tap(config, ["cost_details"])
        assert run.exit_code == 0
        assert {one["file_ordinal"] for one in run.records()} == {1, 2, 3}
        expected = sum(row.cost for row in costs(FIRST, 30))
        assert total(run.records(), "cost_in_billing_currency") == expected

    @pytest.mark.parametrize("no_data", ["204", "NoDataFound"])
    def test_trap_15_there_may_be_no_data(
        self, no_data: str, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        azure.details.no_data = no_data
        run = run_tap(config | {"cost_scopes": [f"subscriptions/{TWO}"]}, ["cost_details"])
        assert run.exit_code == 0
        assert not run.records()

    def test_trap_15_errors_may_be_a_list(
        self, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        azure.arm.fail_next(ERROR_AS_LIST, operation="create_report")
        run = run_tap(config | {"cost_scopes": [f"subscriptions/{ONE}"]}, ["cost_details"])
        assert run.exit_code == 1
        assert "One of several." in run.stderr

    def test_trap_16_links_carry_their_own_authorization(
        self, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
    ) -> None:
        run = run_tap(config | {"cost_scopes": [f"subscriptions/{ONE}"]}, ["cost_details"])
        assert run.exit_code == 0
        downloads = azure.downloads.asked("download")
        assert len(downloads) == 3
        assert not any(request.token for request in downloads)
        assert not any(request.query["sig"] in run.stderr for request in downloads)


def test_trap_28_who_may_not_list_subscriptions_names_them(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.arm.forbid("subscriptions")
    assert run_tap(config, [CARBON]).exit_code == 1
    run = run_tap(config | {"subscription_ids": [ONE, TWO]}, [CARBON])
    assert run.exit_code == 0
    assert {one["subscription_id"] for one in run.records(CARBON)} == {ONE, TWO}


@pytest.mark.parametrize("reason", [None, "", "Carbon Optimization Reader permisison required", "Näh.\n"])
def test_trap_29_why_access_is_denied_is_shown_and_never_read(
    reason: str | None, azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.carbon.denied = {TWO: reason}
    run = run_tap(config, [CARBON])
    assert run.exit_code == 1
    assert "carbon_emissions (auth)" in run.stderr
    assert f"Lab ({TWO}): {(reason or '').strip() or 'no reason given'}" in run.stderr
    assert {one["subscription_id"] for one in run.records(CARBON)} == {ONE}


def test_trap_30_ids_in_any_case_are_the_same_id(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    quiet = run_tap(config, [CARBON, COST, "subscriptions"])

    def shout(answer: Any) -> None:
        for row in answer["value"]:
            for name in ("subscriptionId", "resourceId"):
                if name in row:
                    row[name] = row[name].upper()

    azure.arm.alter("carbon", shout)
    azure.arm.alter("subscriptions", shout)
    loud = run_tap(
        config | {"cost_scopes": [f"Subscriptions/{ONE.upper()}"]}, [CARBON, COST, "subscriptions"]
    )
    assert loud.exit_code == 0
    for stream, names in (
        (CARBON, ("period_start", "carbon_scope", "subscription_id", "item_id")),
        (COST, ("scope", "usage_date", "service_name", "resource_location")),
        ("subscriptions", ("subscription_id",)),
    ):
        keys = [{tuple(one[name] for name in names) for one in run.records(stream)} for run in (quiet, loud)]
        assert keys[0] == keys[1]
        assert keys[0]
