"""Activities made of emissions: per scope, in kg, adding up exactly, and each month from one source."""

from __future__ import annotations

import uuid
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tap_offgridflow_azure.tap import TapOffgridflowAzure
from tests.azure.answers import ONE, SCOPES, STORE, THREE, TWO, VM, emissions
from tests.export_files import decimal
from tests.local_clouds.azure_discovery import Subscription
from tests.local_clouds.mcfs import ENROLLMENT, ImpactRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.azure.conftest import Config, RunTap
    from tests.driving import Message, Run
    from tests.local_clouds.azure import LocalAzure
    from tests.local_clouds.azure_carbon import Emission

STREAM = "activities"
CARBON, IMPACT = "azure_carbon_optimization", "azure_emissions_impact"
MONTHS = ["2026-07", "2026-08", "2026-09"]
#: Resources 0 and 3, and others, share place and type, so that their emissions are one fact.
ROWS = emissions(MONTHS, resources=8)
METHODS = {"Scope1": (1, "both"), "Scope2": (2, "market_based"), "Scope3": (3, "both")}
REGIONS = {"east us": "eastus", "west europe": "westeurope", "global": "global"}
#: What tells the facts of each category apart beside month, subscription and scope: region and service.
FACTS: dict[str, Callable[[Emission], tuple[str | None, str | None]]] = {
    "Resource": lambda row: (REGIONS[row.location], row.resource_type),
    "ResourceType": lambda row: (None, row.resource_type),
    "Location": lambda row: (REGIONS[row.location], None),
    "ResourceGroup": lambda _: (None, None),
    "Subscription": lambda _: (None, None),
}


@pytest.fixture
def run(azure: LocalAzure, tap_config: Config, run_tap: RunTap) -> Callable[..., Run]:
    """Runs the stream over what the service has, which must succeed; settings come on top."""
    azure.discovery.subscriptions = [Subscription(ONE, "Shop"), Subscription(TWO, "Lab")]
    azure.carbon.publish(ROWS)

    def read(state: Any = None, **settings: Any) -> Run:
        window = {"start_date": "2026-01-01", "end_date": "2026-11-01"}
        done = run_tap(tap_config(**(window | settings)), [STREAM], state)
        assert done.exit_code == 0, done.stderr
        return done

    return read


@pytest.fixture
def impact(azure: LocalAzure) -> dict[str, str]:
    """Settings of Cloud for Sustainability, which has all months of the year until September."""
    azure.impact.publish(impact_rows([f"2026-{month:02}" for month in range(1, 10)]))
    return azure.impact_settings


def impact_rows(months: Iterable[str], subscription: str = ONE) -> list[ImpactRow]:
    return [
        ImpactRow(month, subscription, "Storage", scope, Decimal(f"0.00000{scope}2345678"), region=region)
        for month in months
        for scope in (1, 2, 3)
        for region in ("East US", "West Europe")
    ]


def records(run: Run) -> list[Message]:
    found = run.records(STREAM)
    assert len({record["id"] for record in found}) == len(found)
    return found


def key(record: Message) -> tuple[Any, ...]:
    scope = (record["scope"], record["accounting_method"])
    return record["period_start"][:7], record["account_id"], *scope, record["region"], record["service_code"]


def held(category: str, rows: Iterable[Emission] = ROWS) -> dict[tuple[Any, ...], Decimal]:
    """What the service has by fact, told with decimals."""
    sums: defaultdict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
    for row in rows:
        for scope, method in METHODS.items():
            sums[row.month, row.subscription, *method, *FACTS[category](row)] += row.sum([scope])
    return dict(sums)


def given(found: Iterable[Message]) -> dict[tuple[Any, ...], Decimal]:
    return {key(record): decimal(record["quantity"]) for record in found}


def months_by_source(found: Iterable[Message]) -> dict[str, list[str]]:
    months: defaultdict[str, set[str]] = defaultdict(set)
    for record in found:
        months[record["source"]].add(record["period_start"][:7])
    return {source: sorted(them) for source, them in months.items()}


@pytest.mark.parametrize("category", FACTS)
def test_each_category_adds_up_to_what_the_service_has(run: Callable[..., Run], category: str) -> None:
    found = records(run(carbon_category=category))
    expected = held(category)
    assert given(found) == expected
    assert len(found) == len(expected)
    assert {record["unit"] for record in found} == {"kgCO2e"}
    assert {record["activity_type"] for record in found} == {"emissions"}
    assert {record["data_quality"] for record in found} == {"estimated"}
    assert {(record["cost"], record["currency"]) for record in found} == {(None, None)}


def test_zero_is_a_value_and_no_value_makes_no_activity(run: Callable[..., Run], azure: LocalAzure) -> None:
    zero = {record["scope"] for record in records(run()) if record["quantity"] == 0}
    assert zero == {2}

    def without(answer: Any) -> None:
        for row in answer["value"]:
            if row["resourceType"] == VM:
                row["latestMonthEmissions"] = None

    azure.arm.alter("carbon", without)
    assert {record["service_code"] for record in records(run())} == {STORE}


def test_places_and_services_are_in_offgridflows_words(run: Callable[..., Run]) -> None:
    found = records(run())
    assert {(one["region"], one["location"], one["country"]) for one in found} == {
        ("eastus", "US-EAST", "USA"),
        ("westeurope", "EU-WEST", "NLD"),
        ("global", "GLOBAL", None),
    }
    assert {(one["service_code"], one["service_name"], one["category"]) for one in found} == {
        (VM, "Virtual Machines", "cloud_compute"),
        (STORE, "Storage Accounts", "cloud_storage"),
    }


def test_what_cannot_be_mapped_is_kept_and_named_once(run: Callable[..., Run], azure: LocalAzure) -> None:
    odd = [replace(row, resource_type="moon.base/domes", location="mars north") for row in ROWS[:8]]
    azure.carbon.publish([replace(row, month=month) for row in odd for month in MONTHS])
    done = run()
    assert {(one["region"], one["location"], one["country"]) for one in records(done)} == {
        ("mars north", "GLOBAL", None)
    }
    assert {(one["service_code"], one["category"]) for one in records(done)} == {
        ("moon.base/domes", "cloud_other")
    }
    for word in ("mars north", "moon.base/domes"):
        assert len([line for line in done.stderr.splitlines() if word in line]) == 1


def test_ids_belong_to_the_fact_and_not_to_the_run_or_the_figure(
    run: Callable[..., Run], azure: LocalAzure
) -> None:
    first = run()
    ids = {record["id"]: record["idempotency_key"] for record in records(first)}
    assert {uuid.UUID(identity).version for identity in ids} == {5}
    azure.carbon.publish(reversed(emissions(MONTHS, resources=8, factor=2)))
    for state in (None, first.state):
        again = records(run(state, org_id="org", activity_grain="day"))
        assert {record["id"]: record["idempotency_key"] for record in again} == ids
    doubled = {fact: 2 * amount for fact, amount in held("Resource").items()}
    assert given(again).keys() == doubled.keys()
    for fact, amount in given(again).items():
        assert abs(amount - doubled[fact]) <= doubled[fact] * Decimal("1e-15")


def test_another_category_replaces_what_the_first_one_made(
    run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other facts have other ids; what is current is the newest batch of each subscription's month."""
    found: list[Message] = []
    state = None
    for day, category in ((1, "Resource"), (2, "Location"), (3, "Subscription")):
        monkeypatch.setattr(TapOffgridflowAzure, "started_at", datetime(2026, 10, day, tzinfo=UTC))
        done = run(state, carbon_category=category)
        state = done.state
        found += records(done)
    newest: dict[str, str] = {}
    for record in found:
        batch = newest.setdefault(record["external_id"], "")
        newest[record["external_id"]] = max(batch, record["import_batch_id"])
    assert newest.keys() == {f"{subscription}/{month}" for subscription in (ONE, TWO) for month in MONTHS}
    assert set(newest.values()) == {"2026-10-03T00:00:00Z"}
    current = [record for record in found if record["import_batch_id"] == newest[record["external_id"]]]
    assert given(current) == held("Subscription")


def test_what_replaces_an_activity_and_whose_it_is_stands_in_it(run: Callable[..., Run]) -> None:
    found = records(run(org_id="org-1", workspace_id="ws-1"))
    assert {(one["org_id"], one["workspace_id"], one["provider"]) for one in found} == {
        ("org-1", "ws-1", "azure")
    }
    assert {one["source"] for one in found} == {CARBON}
    for one in found:
        assert one["external_id"] == f"{one['account_id']}/{one['period_start'][:7]}"
    assert len({one["import_batch_id"] for one in found}) == 1


def test_the_sums_are_the_services_own_totals(run: Callable[..., Run], azure: LocalAzure) -> None:
    sums: defaultdict[tuple[str, str, int], Decimal] = defaultdict(Decimal)
    for record in records(run()):
        sums[record["period_start"][:7], record["account_id"], record["scope"]] += decimal(record["quantity"])
    assert sums == {
        (month, subscription, METHODS[scope][0]): azure.carbon.total(month, subscription, scope)
        for month in MONTHS
        for subscription in (ONE, TWO)
        for scope in SCOPES
    }


def test_a_negative_figure_is_refused_and_nothing_of_its_month_goes_out(
    run: Callable[..., Run], azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    run()
    azure.carbon.publish([replace(row, scope1=Decimal(-1)) for row in ROWS if row.month == "2026-08"])
    done = run_tap(tap_config(), [STREAM])
    assert done.exit_code == 1
    assert "activities (fatal)" in done.stderr
    assert "negative" in done.stderr
    assert {record["period_start"][:7] for record in done.records(STREAM)} == {"2026-07"}


# Cloud for Sustainability.


def test_metric_tons_become_kilograms(run: Callable[..., Run], impact: dict[str, str]) -> None:
    found = [one for one in records(run(**impact)) if one["source"] == IMPACT]
    assert given(found) == {
        (f"2026-{month:02}", ONE, scope, method, region, "Storage"): Decimal(f"0.00{scope}2345678")
        for month in range(1, 7)
        for scope, method in METHODS.values()
        for region in ("eastus", "westeurope")
    }
    assert {one["category"] for one in found} == {"cloud_storage"}
    assert {one["country"] for one in found} == {"USA", "NLD"}


def test_each_month_comes_from_one_source(run: Callable[..., Run], impact: dict[str, str]) -> None:
    assert months_by_source(records(run(**impact))) == {
        CARBON: MONTHS,
        IMPACT: [f"2026-{month:02}" for month in range(1, 7)],
    }


def test_a_month_that_left_carbon_optimization_does_not_change_its_source(
    run: Callable[..., Run], impact: dict[str, str], azure: LocalAzure
) -> None:
    first = run(**impact)
    azure.carbon.withdraw("2026-07")
    second = run(first.state, lookback_months=120, **impact)
    assert months_by_source(records(second)) == {
        CARBON: ["2026-08", "2026-09"],
        IMPACT: [f"2026-{month:02}" for month in range(1, 7)],
    }


def test_a_window_that_carbon_optimization_has_whole_leaves_nothing_to_the_other(
    run: Callable[..., Run], impact: dict[str, str]
) -> None:
    assert months_by_source(records(run(start_date="2026-07-01", **impact))) == {CARBON: MONTHS}


def test_what_no_subscription_has_belongs_to_the_billing_account(
    run: Callable[..., Run], impact: dict[str, str], azure: LocalAzure
) -> None:
    azure.impact.publish([*impact_rows(["2026-06"], THREE), *impact_rows(["2026-06"], "")])
    found = [one for one in records(run(**impact)) if one["source"] == IMPACT]
    assert {one["account_id"] for one in found} == {THREE, ENROLLMENT}
    assert {one["external_id"] for one in found} == {f"{THREE}/2026-06", f"{ENROLLMENT}/2026-06"}
