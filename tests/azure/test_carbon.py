"""Emissions from the Carbon Optimization API: what is asked, what comes out, what is remembered."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.answers import (
    ONE,
    SCOPES,
    STORE,
    THREE,
    TWO,
    VM,
    emissions,
)
from tests.local_clouds.azure_discovery import Subscription

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.azure.conftest import Config, RunTap
    from tests.driving import Run
    from tests.local_clouds.azure import LocalAzure

CARBON = "carbon_emissions"
MONTHS = ["2026-07", "2026-08", "2026-09"]


@pytest.fixture(autouse=True)
def _published(azure: LocalAzure) -> None:
    azure.discovery.subscriptions = [Subscription(ONE, "Shop"), Subscription(TWO, "Lab", "Disabled")]
    azure.carbon.publish(emissions(MONTHS))


def key(record: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("period_start", "carbon_scope", "category_type", "subscription_id", "item_id", "item_number")
    return tuple(record[name] for name in names)


def asked(azure: LocalAzure, *, since: int = 0) -> list[tuple[str, str, list[str]]]:
    """Month, scope and subscriptions of each report that was asked for, pages of one report once."""
    bodies = [request.body for request in azure.arm.asked("carbon")][since:]
    return [
        (body["dateRange"]["start"][:7], *body["carbonScopeList"], body["subscriptionList"])
        for body in bodies
        if "skipToken" not in body
    ]


def newest(run: Run) -> dict[str, str]:
    """The newest month that counts as read, by subscription."""
    partitions = run.state["bookmarks"][CARBON].get("partitions", [])
    return {entry["context"]["subscription_id"]: entry["replication_key_value"][:7] for entry in partitions}


def test_every_value_of_every_row_arrives_as_the_service_has_it(tap_config: Config, run_tap: RunTap) -> None:
    run = run_tap(tap_config(), [CARBON])
    assert run.exit_code == 0
    records = run.records(CARBON)
    expected = {
        (row.month, scope, row.subscription, row.resource_id): float(row.sum([scope]))
        for row in emissions(MONTHS)
        for scope in SCOPES
    }
    assert {
        (one["period_start"][:7], one["carbon_scope"], one["subscription_id"], one["resource_id"]): one[
            "latest_month_emissions"
        ]
        for one in records
    } == expected
    assert len({key(one) for one in records}) == len(records) == len(expected)
    first = records[0]
    assert first | {"retrieved_at": None} == {
        "period_start": "2026-07-01T00:00:00.000000+00:00",
        "period_end": "2026-08-01T00:00:00.000000+00:00",
        "carbon_scope": "Scope1",
        "category_type": "Resource",
        "subscription_id": ONE,
        "item_id": f"/subscriptions/{ONE}/resourcegroups/group0/providers/{VM}/resource0",
        "item_number": 1,
        "item_name": "Resource0",
        "resource_id": f"/subscriptions/{ONE}/resourceGroups/Group0/providers/{VM}/Resource0",
        "resource_group": "Group0",
        "resource_group_url": None,
        "resource_type": VM,
        "location": "east us",
        "region": "eastus",
        "latest_month_emissions": 0.10123456789071,
        "previous_month_emissions": 0.0,
        "month_over_month_emissions_change_ratio": None,
        "monthly_emissions_change_value": 0.10123456789071,
        "emissions_unit": "kgCO2e",
        "data_type": "ResourceItemDetailsData",
        "extra": None,
        "retrieved_at": None,
    }
    assert len({one["retrieved_at"] for one in records}) == 1


@pytest.mark.parametrize(
    ("category", "items", "region"),
    [
        ("ResourceGroup", [f"/subscriptions/{ONE}/resourcegroups/group{number}" for number in (0, 1)], None),
        ("ResourceType", [VM, STORE], None),
        ("Location", ["east us", "global", "west europe"], "westeurope"),
        ("Subscription", [ONE], None),
    ],
)
def test_a_row_is_about_what_the_category_says(
    category: str,
    items: list[str],
    region: str | None,
    *,
    azure: LocalAzure,
    tap_config: Config,
    run_tap: RunTap,
) -> None:
    run = run_tap(tap_config(carbon_category=category), [CARBON])
    assert run.exit_code == 0
    records = run.records(CARBON)
    assert len({key(one) for one in records}) == len(records)
    assert [one["item_id"] for one in records if one["subscription_id"] == ONE][: len(items)] == items
    assert records[len(items) - 1]["region"] == region
    for scope in SCOPES:
        for subscription in (ONE, TWO):
            rows = [
                one["latest_month_emissions"]
                for one in records
                if (one["period_start"][:7], one["carbon_scope"], one["subscription_id"])
                == (MONTHS[0], scope, subscription)
            ]
            assert sum(rows) == pytest.approx(
                float(azure.carbon.total(MONTHS[0], subscription, scope)), 1e-15
            )


@pytest.mark.parametrize(
    ("category", "together"),
    [("Resource", True), ("ResourceGroup", True), ("Subscription", True), ("ResourceType", False)],
)
def test_subscriptions_are_asked_for_together_where_rows_say_whose_they_are(
    category: str,
    together: bool,  # noqa: FBT001 - a parameter of the test
    *,
    azure: LocalAzure,
    tap_config: Config,
    run_tap: RunTap,
) -> None:
    run_tap(tap_config(carbon_category=category, end_date="2026-08-01"), [CARBON])
    groups = [[ONE, TWO]] if together else [[ONE], [TWO]]
    assert asked(azure) == [("2026-07", scope, group) for group in groups for scope in SCOPES]
    (body, *_) = (request.body for request in azure.arm.asked("carbon"))
    assert (body["pageSize"], body["orderBy"], body["sortDirection"]) == (5000, "ItemName", "Asc")
    assert body["dateRange"] == {"start": "2026-07-01", "end": "2026-07-01"}


def test_many_subscriptions_are_asked_for_in_groups(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    ids = [f"aaaaaaaa-0000-0000-0000-{number:012}" for number in range(1, 103)]
    azure.carbon.publish(emissions(["2026-09"], ids, resources=1))
    run = run_tap(tap_config(subscription_ids=ids, start_date="2026-09-01"), [CARBON])
    assert [len(group) for _, _, group in asked(azure)] == [100] * 3 + [2] * 3
    assert Counter(one["subscription_id"] for one in run.records(CARBON)) == dict.fromkeys(ids, 3)


def test_after_a_group_with_too_many_rows_the_next_one_is_smaller_and_others_grow_again(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    ids = [f"aaaaaaaa-0000-0000-0000-{number:012}" for number in range(1, 206)]
    azure.carbon.publish(emissions(["2026-09"], ids, resources=55))
    azure.carbon.row_cap = 5000
    run = run_tap(tap_config(subscription_ids=ids, start_date="2026-09-01"), [CARBON])
    assert len(run.records(CARBON)) == 3 * 55 * 205
    groups = [len(group) for _, _, group in asked(azure)]
    assert groups == [100, 50, 50] * 3 + [50] * 3 + [55] * 3


@pytest.mark.parametrize("last_page", [{}, {"skipToken": None}, {"skipToken": ""}])
def test_pages_are_asked_for_with_the_same_body_until_there_is_no_token(
    last_page: Mapping[str, Any],
    azure: LocalAzure,
    tap_config: Config,
    run_tap: RunTap,
) -> None:
    azure.carbon.last_page = last_page
    azure.carbon.most_rows = 2
    run = run_tap(tap_config(start_date="2026-09-01"), [CARBON])
    assert len({key(one) for one in run.records(CARBON)}) == len(run.records(CARBON)) == 2 * 3 * 3
    pages = [request.body for request in azure.arm.asked("carbon")]
    assert ["skipToken" in body for body in pages] == [False, True, True] * 3
    assert {str(body | {"skipToken": None, "carbonScopeList": None}) for body in pages} == {
        str(pages[0] | {"skipToken": None, "carbonScopeList": None})
    }


def test_more_pages_than_allowed_is_an_error_that_names_the_setting(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    azure.carbon.most_rows = 1
    run = run_tap(tap_config(max_pages=2), [CARBON])
    assert run.exit_code == 1
    assert "max_pages" in run.stderr
    assert not run.records(CARBON)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, MONTHS),
        ({"start_date": "2026-08-17"}, MONTHS[1:]),
        ({"start_date": "2020-01-01", "end_date": "2026-09-01"}, MONTHS[:2]),
        ({"end_date": "2026-09-01T00:00:01Z"}, MONTHS),
        ({"start_date": "2026-10-01"}, []),
    ],
)
def test_the_available_months_of_the_window_are_read(
    settings: dict[str, str], expected: list[str], azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    run = run_tap(tap_config(**settings), [CARBON])
    assert run.exit_code == 0
    assert list(dict.fromkeys(month for month, _, _ in asked(azure))) == expected
    assert ("no month of the window is there; those that are: 2026-07 to 2026-09" in run.stderr) == (
        not expected
    )


def test_every_month_is_read_each_time_and_restated_rows_replace_themselves(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    first = run_tap(tap_config(), [CARBON])
    azure.carbon.publish(emissions(MONTHS, factor=2))
    second = run_tap(tap_config(), [CARBON], first.state)
    assert second.exit_code == 0
    before, after = ({key(one): one for one in run.records(CARBON)} for run in (first, second))
    assert before.keys() == after.keys()
    for place, record in after.items():
        doubled = before[place]["latest_month_emissions"] * 2
        assert record["latest_month_emissions"] == pytest.approx(doubled, 1e-15)
    assert newest(second) == newest(first) == dict.fromkeys((ONE, TWO), "2026-09")


def test_months_that_left_the_service_unread_are_named(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    first = run_tap(tap_config(end_date="2026-08-01"), [CARBON])
    azure.carbon.available = ("2026-08", "2026-09")
    second = run_tap(tap_config(), [CARBON], first.state)
    assert "are gone" not in second.stderr
    azure.carbon.available = ("2026-09", "2026-09")
    third = run_tap(tap_config(), [CARBON], first.state)
    assert third.exit_code == 0
    assert f"months before 2026-09 are gone from the API and were not read of {ONE}, {TWO}" in third.stderr
    on_purpose = run_tap(tap_config(start_date="2026-09-01"), [CARBON], first.state)
    assert "are gone" not in on_purpose.stderr


def test_ids_are_keys_in_lower_case_and_rows_that_share_one_are_told_apart(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    def shout(answer: Any) -> None:
        again = dict(answer["value"][0])
        for name in ("resourceId", "subscriptionId"):
            again[name] = again[name].upper()
        answer["value"].append(again)

    azure.arm.alter("carbon", shout)
    config = tap_config(subscription_ids=[ONE.upper()], start_date="2026-09-01")
    run = run_tap(config, [CARBON])
    assert run.exit_code == 0
    records = [one for one in run.records(CARBON) if one["carbon_scope"] == "Scope1"]
    assert len({key(one) for one in records}) == len(records) == 4
    first, second = (one for one in records if one["item_name"] == "Resource0")
    assert first["item_id"] == second["item_id"] == first["resource_id"].lower()
    assert second["resource_id"] == first["resource_id"].upper()
    assert (first["item_number"], second["item_number"]) == (1, 2)
    assert {one["subscription_id"] for one in records} == {ONE}


def test_what_is_not_known_yet_is_kept(azure: LocalAzure, tap_config: Config, run_tap: RunTap) -> None:
    def add(answer: Any) -> None:
        answer["value"][0] |= {
            "dataType": "NewKindOfData",
            "waterUse": {"liters": 1.5},
            "isEstimate": True,
            "note": "new",
            "nothing": None,
        }

    azure.arm.alter("carbon", add)
    run = run_tap(tap_config(start_date="2026-09-01"), [CARBON])
    assert run.exit_code == 0
    first, second, *_ = run.records(CARBON)
    assert first["data_type"] == "NewKindOfData"
    assert first["extra"] == {"water_use": '{"liters":1.5}', "is_estimate": "true", "note": "new"}
    assert second["extra"] is None


def test_fields_that_are_optional_may_be_absent(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    azure.carbon.omit_optional = True
    run = run_tap(tap_config(), [CARBON])
    assert run.exit_code == 0
    optional = (
        "month_over_month_emissions_change_ratio",
        "monthly_emissions_change_value",
        "location",
        "region",
        "resource_type",
    )
    assert {record[name] for record in run.records(CARBON) for name in optional} == {None}
    assert len(run.records(CARBON)) == 3 * 3 * 2 * 3


def test_a_region_that_is_not_known_is_named_once(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    azure.arm.alter("carbon", lambda answer: answer["value"][0].update(location="atlantis one"))
    run = run_tap(tap_config(), [CARBON])
    assert run.stderr.count("atlantis one") == 1
    assert {one["region"] for one in run.records(CARBON) if one["location"] == "atlantis one"} == {None}


def test_a_subscription_that_is_added_is_read_whole(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    first = run_tap(tap_config(), [CARBON])
    azure.discovery.subscriptions.append(Subscription(THREE, "New"))
    azure.carbon.publish(emissions(MONTHS, [ONE, TWO, THREE]))
    second = run_tap(tap_config(), [CARBON], first.state)
    months = {one["period_start"][:7] for one in second.records(CARBON) if one["subscription_id"] == THREE}
    assert months == set(MONTHS)
    assert newest(second)[THREE] == "2026-09"
