"""Emissions from Cloud for Sustainability: off unless configured, month by month, in metric tons."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.answers import ONE, TWO, overlapping
from tests.local_clouds.azure_errors import arm_error, unavailable
from tests.local_clouds.mcfs import ENROLLMENT, ImpactRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.azure.conftest import Config, RunTap
    from tests.driving import Run
    from tests.local_clouds.azure import LocalAzure

STREAM = "emissions_impact"
MONTHS = ["2026-07", "2026-08", "2026-09"]
ROWS = 2 * 2 * 3


def rows(months: list[str], factor: int = 1) -> list[ImpactRow]:
    return [
        ImpactRow(
            month=month,
            subscription=subscription,
            service=service,
            scope=scope,
            emissions=factor * Decimal(f"0.000{scope}23456789{month[-2:]}"),
            region="West Europe" if subscription == TWO else "East US",
        )
        for month in months
        for subscription in (ONE.upper(), TWO)
        for service in ("App Service", "Storage")
        for scope in (1, 2, 3)
    ]


@pytest.fixture(autouse=True)
def _published(azure: LocalAzure) -> None:
    azure.impact.publish(rows(MONTHS))


@pytest.fixture
def config(azure: LocalAzure, tap_config: Config) -> dict[str, Any]:
    return tap_config(**azure.impact_settings, start_date="2026-07-01", end_date="2026-11-01")


def months_out(run: Run) -> dict[str, int]:
    months = [one["period_start"][:7] for one in run.records(STREAM)]
    return {month: months.count(month) for month in months}


def asked(azure: LocalAzure, *, since: int = 0) -> list[str]:
    """The months asked for, one entry a request."""
    filters = [request.query["$filter"] for request in azure.impact.asked("emissions")[since:]]
    return [f"{text[-8:-4]}-{text[-4:-2]}" for text in filters]


def newest(run: Run) -> str:
    (partition,) = run.state["bookmarks"][STREAM]["partitions"]
    return str(partition["replication_key_value"][:7])


def test_without_settings_nobody_is_asked(azure: LocalAzure, tap_config: Config, run_tap: RunTap) -> None:
    run = run_tap(tap_config(), [STREAM])
    assert run.exit_code == 0
    assert run.stderr.count("skipped: the settings that begin with impact_ turn it on") == 1
    assert not azure.impact.requests
    assert not run.records(STREAM)


def test_every_value_of_every_row_arrives_as_the_service_has_it(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.impact.page_size = 5
    run = run_tap(config, [STREAM])
    assert run.exit_code == 0
    records = run.records(STREAM)
    expected = {
        (row.month, row.subscription.lower(), row.service, f"Scope {row.scope}"): float(row.emissions)
        for row in rows(MONTHS)
    }
    assert {
        (one["period_start"][:7], one["subscription_id"], one["azure_service_name"], one["scope"]): one[
            "total_emissions"
        ]
        for one in records
    } == expected
    assert len(records) == len(expected)
    first = next(one for one in records if one["subscription_id"] == ONE)
    assert first | {"retrieved_at": None} == {
        "period_start": "2026-07-01T00:00:00.000000+00:00",
        "period_end": "2026-08-01T00:00:00.000000+00:00",
        "enrollment_id": ENROLLMENT,
        "subscription_id": ONE,
        "azure_service_name": "App Service",
        "sub_service": "Azure Compute",
        "azure_region_name": "East US",
        "scope": "Scope 1",
        "item_number": 1,
        "scope_id": 1,
        "org_name": "Contoso",
        "subscription_name": f"Name of {ONE[-4:]}",
        "region": "eastus",
        "total_emissions": 0.00012345678907,
        "emissions_unit": "mtCO2e",
        "extra": None,
        "retrieved_at": None,
    }
    # October is not published yet, so it does not count as read.
    assert newest(run) == "2026-09"


def test_pages_that_overlap_are_refused(azure: LocalAzure, config: dict[str, Any], run_tap: RunTap) -> None:
    azure.impact.page_size = 5
    azure.impact.alter("emissions", overlapping(lambda answer: answer["value"]))
    run = run_tap(config, [STREAM])
    assert run.exit_code == 1
    assert "the same row on two pages" in run.stderr
    assert not run.records(STREAM)


def test_both_headers_go_with_every_request(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.impact.page_size = 5
    assert run_tap(config, [STREAM]).exit_code == 0
    for request in azure.impact.requests:
        assert request.status == 200
        assert {"authorization", "ocp-apim-subscription-key"} <= request.headers.keys()


@pytest.mark.parametrize(
    ("lookback", "expected"),
    [(0, ["2026-09"]), (2, ["2026-08", "2026-09"]), (120, MONTHS)],
)
def test_what_was_read_is_read_again_for_the_lookback_and_no_further(
    lookback: int, expected: list[str], azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    config |= {"lookback_months": lookback}
    first = run_tap(config, [STREAM])
    before = len(azure.impact.requests)
    azure.impact.publish(rows(MONTHS, factor=2))
    second = run_tap(config, [STREAM], first.state)
    assert asked(azure, since=before) == [*expected, "2026-10"]
    assert months_out(second) == dict.fromkeys(expected, ROWS)
    assert second.state == first.state


def test_five_years_are_read_where_the_settings_say_no_more(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    run = run_tap(tap_config(**azure.impact_settings), [STREAM])
    assert run.exit_code == 0
    months = asked(azure)
    assert months == sorted(set(months))
    now = datetime.now(UTC)
    assert (months[0], months[-1]) == (f"{now.year - 5}-{now.month:02}", f"{now.year}-{now.month:02}")


def test_a_subscription_may_be_missing_and_rows_may_share_a_key(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    def alter(answer: Any) -> None:
        for row in answer["value"][:2]:
            row |= {"subscriptionId": None, "subService": None, "azureRegionName": "", "scope": "Scope 1"}
            row |= {"m365Share": 0.5}

    azure.impact.alter("emissions", alter)
    run = run_tap(config, [STREAM])
    assert run.exit_code == 0
    first, second = run.records(STREAM)[:2]
    assert (first["subscription_id"], first["sub_service"]) == ("unassigned", "Unassigned")
    assert (first["item_number"], second["item_number"]) == (1, 2)
    assert first["extra"] == {"m365_share": "0.5"}


BREAKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "another month": (lambda answer: answer["value"][1].update(dateKey=20260701), "a row of 20260701"),
    "no month": (lambda answer: answer["value"][1].pop("dateKey"), "an object without dateKey"),
    "no scope": (lambda answer: answer["value"][1].pop("scope"), "an object without scope"),
    "no rows": (lambda answer: answer.pop("value"), "nothing in place of a list in value"),
    "a link to elsewhere": (
        lambda answer: answer.update({"@odata.nextLink": "https://example.com/emissions?$skip=1000"}),
        "it is not the origin that the credentials are for",
    ),
}


@pytest.mark.parametrize(("change", "named"), BREAKS.values(), ids=BREAKS)
def test_an_answer_outside_of_the_contract_ends_the_stream_and_nothing_of_its_month_goes_out(
    change: Callable[[Any], Any],
    named: str,
    *,
    azure: LocalAzure,
    config: dict[str, Any],
    run_tap: RunTap,
) -> None:
    def alter(answer: Any) -> None:
        if answer["value"] and answer["value"][0]["dateKey"] == 20260801:
            change(answer)

    azure.impact.alter("emissions", alter)
    run = run_tap(config, [STREAM])
    assert run.exit_code == 1
    assert named in run.stderr
    assert months_out(run) == {"2026-07": ROWS}
    assert newest(run) == "2026-07"


def test_who_is_not_admitted_is_told_what_is_missing(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.impact.fail_next(arm_error(403, "Forbidden", "No access to this instance."))
    run = run_tap(config, [STREAM])
    assert run.exit_code == 1
    assert "for 2026-07: HTTP 403 (No access to this instance.)" in run.stderr
    assert "App.Emissions.Read" in run.stderr


def test_a_wrong_key_is_refused_and_never_shown(config: dict[str, Any], run_tap: RunTap) -> None:
    run = run_tap(config | {"impact_subscription_key": "wrong-key-of-nobody"}, [STREAM])
    assert run.exit_code == 1
    assert "emissions_impact (auth)" in run.stderr
    assert "wrong-key-of-nobody" not in run.stderr


@pytest.mark.usefixtures("clock")
def test_what_may_pass_is_tried_again_until_it_has(
    azure: LocalAzure, config: dict[str, Any], run_tap: RunTap
) -> None:
    azure.impact.fail_next(unavailable("3"), 2)
    azure.impact.reset_next(skip=1)
    azure.impact.truncate_next(skip=2)
    run = run_tap(config, [STREAM])
    assert run.exit_code == 0
    assert months_out(run) == dict.fromkeys(MONTHS, ROWS)
