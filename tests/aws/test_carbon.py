"""Emissions and water from the Sustainability API: what is asked, what comes out, what is remembered."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.local_clouds.aws import month_range
from tests.local_clouds.sustainability import (
    EMISSIONS_TYPES,
    WATER_TYPES,
    SourceRow,
    SustainabilityServer,
    demo_emissions,
    demo_water,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from offgridflow_common.testing.clock import FakeClock
    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run

CARBON, WATER = "carbon_emissions", "water_allocation"
OPERATIONS = {CARBON: "GetEstimatedCarbonEmissions", WATER: "GetEstimatedWaterAllocation"}
ACCOUNTS = ("111122223333", "012345678901")
REGIONS = ("us-east-1", "eu-central-1")
SERVICES = ("AmazonEC2", "AmazonCloudFront", "Other")


def emissions(months: Iterable[str], seed: int = 1, version: str = "v3.0.1") -> dict[str, list[SourceRow]]:
    return demo_emissions(list(months), ACCOUNTS, REGIONS, SERVICES, seed, model_version=version)


def water(years: Iterable[int]) -> dict[int, list[SourceRow]]:
    return demo_water(list(years), ACCOUNTS, REGIONS, SERVICES, 1)


def asked(server: SustainabilityServer, stream: str = CARBON, *, since: int = 0) -> list[str]:
    """The periods asked for, each by the month it starts in, one entry a request."""
    return [
        request.body["TimePeriod"]["Start"][:7]
        for request in server.requests[since:]
        if request.operation == OPERATIONS[stream]
    ]


def key(record: Mapping[str, Any]) -> tuple[str, ...]:
    return record["period_start"][:7], record["account_id"], record["region"], record["service"]


def numbers(record: Mapping[str, Any], types: Iterable[str]) -> list[Decimal]:
    return [Decimal(str(record[name.lower()])) for name in types]


def bookmark(run: Run, stream: str = CARBON) -> dict[str, Any]:
    (partition,) = run.state["bookmarks"][stream]["partitions"]
    return dict(partition)


def months_out(run: Run, stream: str = CARBON) -> Counter[str]:
    return Counter(record["period_start"][:7] for record in run.records(stream))


@pytest.mark.parametrize("stream", [CARBON, WATER])
def test_every_value_of_every_row_arrives_as_the_service_has_it(
    stream: str, sustainability: SustainabilityServer, tap_config: Config, run_tap: RunTap
) -> None:
    months = emissions(month_range("2026-01", "2026-03"))
    years = water((2024, 2025))
    sustainability.set_months(months)
    sustainability.set_years(years)
    run = run_tap(tap_config(start_date="2024-01-01", end_date="2026-04-01"), select=[stream])
    assert run.exit_code == 0
    held = {**months} if stream == CARBON else {f"{year}-01": rows for year, rows in years.items()}
    types, unit = (EMISSIONS_TYPES, "MTCO2e") if stream == CARBON else (WATER_TYPES, "m3")
    expected = {
        (month, row.account, row.region, row.service): [row.values[name] for name in types]
        for month, rows in held.items()
        for row in rows
    }
    records = run.records(stream)
    assert {key(record): numbers(record, types) for record in records} == expected
    assert len(records) == len(expected)
    column = "emissions_unit" if stream == CARBON else "allocation_unit"
    version = "v3.0.1" if stream == CARBON else "v1.0.0"
    assert {(record[column], record["model_version"], record["extra"]) for record in records} == {
        (unit, version, None)
    }
    first = records[0]
    end = "2026-02-01" if stream == CARBON else "2025-01-01"
    assert first["period_end"] == f"{end}T00:00:00.000000+00:00"


@pytest.fixture
def small_pages(sustainability: SustainabilityServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service gives four rows at a time, however many are asked for."""
    page = sustainability._page
    small = {"MaxResults": 4}
    monkeypatch.setattr(sustainability, "_page", lambda name, body, rows: page(name, body | small, rows))


@pytest.mark.usefixtures("small_pages")
def test_a_month_of_several_pages_arrives_whole(
    sustainability: SustainabilityServer, tap_config: Config, run_tap: RunTap
) -> None:
    months = emissions(["2026-01"])
    sustainability.set_months(months)
    run = run_tap(tap_config(start_date="2026-01-01", end_date="2026-02-01"), select=[CARBON])
    records = run.records(CARBON)
    assert len({key(record) for record in records}) == len(records) == len(months["2026-01"]) == 10
    for name in EMISSIONS_TYPES:
        held = sum(row.values[name] for row in months["2026-01"])
        assert sum(Decimal(str(record[name.lower()])) for record in records) == held
    bodies = [request.body for request in sustainability.requests]
    assert ["NextToken" in body for body in bodies] == [False, True, True]
    assert {body["MaxResults"] for body in bodies} == {5000}
    assert bodies[0]["EmissionsTypes"] == list(EMISSIONS_TYPES)


@pytest.mark.usefixtures("small_pages")
def test_more_pages_than_allowed_is_an_error_that_names_the_setting(
    sustainability: SustainabilityServer, tap_config: Config, run_tap: RunTap
) -> None:
    sustainability.set_months(emissions(["2026-01"]))
    config = tap_config(start_date="2026-01-01", end_date="2026-02-01", max_pages=2)
    run = run_tap(config, select=[CARBON])
    assert run.exit_code == 1
    assert "max_pages" in run.stderr
    assert not run.records(CARBON)
    assert len(sustainability.requests) == 2


@pytest.mark.parametrize(
    ("stream", "settings", "expected"),
    [
        (CARBON, {"end_date": "2022-04-01"}, month_range("2022-01", "2022-03")),
        (CARBON, {"start_date": "2020-05-05", "end_date": "2022-02-01"}, ["2022-01"]),
        (CARBON, {"start_date": "2026-03-17", "end_date": "2026-06-01"}, month_range("2026-03", "2026-05")),
        (
            CARBON,
            {"start_date": "2026-03-01", "end_date": "2026-06-01T00:00:01Z"},
            month_range("2026-03", "2026-06"),
        ),
        (
            CARBON,
            {"start_date": "2026-03-01T01:00:00+02:00", "end_date": "2026-03-02"},
            ["2026-02", "2026-03"],
        ),
        (WATER, {"end_date": "2025-12-31"}, ["2023-01", "2024-01", "2025-01"]),
        (WATER, {"start_date": "2024-06-15", "end_date": "2026-01-01"}, ["2024-01", "2025-01"]),
    ],
)
def test_the_window_is_asked_for_period_by_period(
    stream: str,
    settings: dict[str, str],
    expected: list[str],
    *,
    sustainability: SustainabilityServer,
    tap_config: Config,
    run_tap: RunTap,
) -> None:
    run = run_tap(tap_config(**settings), select=[stream])
    assert run.exit_code == 0
    assert asked(sustainability, stream) == expected


def test_a_month_that_is_not_published_yet_is_asked_for_until_it_is(
    sustainability: SustainabilityServer, tap_config: Config, run_tap: RunTap
) -> None:
    config = tap_config(start_date="2026-01-01", end_date="2026-05-01", lookback_months=1)
    nothing = run_tap(config, select=[CARBON])
    assert "partitions" not in nothing.state.get("bookmarks", {}).get(CARBON, {})
    sustainability.set_months(emissions(["2026-01", "2026-02"]))
    first = run_tap(config, nothing.state, select=[CARBON])
    assert bookmark(first)["replication_key_value"] == "2026-02-01T00:00:00.000000+00:00"
    sustainability.set_months(emissions(["2026-03"]))
    before = len(sustainability.requests)
    second = run_tap(config, first.state, select=[CARBON])
    assert asked(sustainability, since=before) == ["2026-02", "2026-03", "2026-04"]
    assert set(months_out(second)) == {"2026-02", "2026-03"}
    assert bookmark(second)["replication_key_value"] == "2026-03-01T00:00:00.000000+00:00"


@pytest.mark.parametrize(
    ("stream", "lookback", "expected"),
    [
        (CARBON, 0, ["2026-03"]),
        (CARBON, 1, ["2026-03"]),
        (CARBON, 2, ["2026-02", "2026-03"]),
        (CARBON, None, ["2026-01", "2026-02", "2026-03"]),
        (CARBON, 120, month_range("2025-06", "2026-03")),
        (WATER, 0, ["2025-01"]),
        (WATER, 12, ["2025-01"]),
        (WATER, 13, ["2024-01", "2025-01"]),
    ],
)
def test_what_was_read_is_read_again_for_the_lookback_and_no_further(
    stream: str,
    lookback: int | None,
    expected: list[str],
    *,
    sustainability: SustainabilityServer,
    tap_config: Config,
    run_tap: RunTap,
) -> None:
    sustainability.set_months(emissions(month_range("2025-06", "2026-03")))
    sustainability.set_years(water((2023, 2024, 2025)))
    again = {} if lookback is None else {"lookback_months": lookback}
    start = {"start_date": "2025-06-01"} if stream == CARBON else {}
    config = tap_config(end_date="2026-04-01", **start, **again)
    first = run_tap(config, select=[stream])
    before = len(sustainability.requests)
    second = run_tap(config, first.state, select=[stream])
    not_published = ["2026-01"] if stream == WATER else []
    assert asked(sustainability, stream, since=before) == expected + not_published
    assert second.state == first.state


class TestModelVersion:
    """When AWS recalculates its history, all of it is read again, once."""

    @pytest.fixture
    def config(self, tap_config: Config) -> dict[str, Any]:
        return tap_config(start_date="2026-01-01", end_date="2026-09-01", lookback_months=2)

    @pytest.fixture
    def months(self, sustainability: SustainabilityServer) -> list[str]:
        months = month_range("2026-01", "2026-08")
        sustainability.set_months(emissions(months))
        return months

    def test_a_change_brings_all_history_and_only_once(
        self, sustainability: SustainabilityServer, config: dict[str, Any], months: list[str], run_tap: RunTap
    ) -> None:
        first = run_tap(config, select=[CARBON])
        sustainability.set_months(emissions(months, seed=2, version="v3.1.0"))
        before = len(sustainability.requests)
        second = run_tap(config, first.state, select=[CARBON])
        assert sorted(asked(sustainability, since=before)) == months
        assert {record["model_version"] for record in second.records(CARBON)} == {"v3.1.0"}
        assert bookmark(second)["model_version"] == "v3.1.0"
        assert bookmark(second)["replication_key_value"] == bookmark(first)["replication_key_value"]
        before = len(sustainability.requests)
        run_tap(config, second.state, select=[CARBON])
        assert asked(sustainability, since=before) == months[-2:]

    def test_an_end_in_between_starts_the_history_again(
        self, sustainability: SustainabilityServer, config: dict[str, Any], months: list[str], run_tap: RunTap
    ) -> None:
        first = run_tap(config, select=[CARBON])
        months = [*months, "2026-09"]
        sustainability.set_months(emissions(months, seed=2, version="v3.1.0"))
        config |= {"end_date": "2026-10-01"}
        sustainability.fail_next(1, 403, "AccessDeniedException", "no more", skip=6)
        second = run_tap(config, first.state, select=[CARBON])
        assert second.exit_code == 1
        assert bookmark(second)["replication_key_value"] == "2026-09-01T00:00:00.000000+00:00"
        whole = run_tap(config, first.state, select=[CARBON])
        states = [*second.states, *whole.states[:-1]]
        # The last good one, the one that says history is of several versions, and the one of the new month.
        assert len({str(state) for state in states}) == 3
        for state in states:
            before = len(sustainability.requests)
            third = run_tap(config, state, select=[CARBON])
            assert sorted(asked(sustainability, since=before)) == months
            assert third.state == whole.state
            assert bookmark(third)["model_version"] == "v3.1.0"

    def test_a_change_during_the_first_run_leaves_no_month_behind(
        self,
        sustainability: SustainabilityServer,
        config: dict[str, Any],
        months: list[str],
        run_tap: RunTap,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        answer = sustainability._answer

        def change_after_three(operation: str, body: Any) -> dict[str, Any]:
            if len(sustainability.requests) == 3:
                sustainability.set_months(emissions(months, seed=2, version="v3.1.0"))
            return answer(operation, body)

        monkeypatch.setattr(sustainability, "_answer", change_after_three)
        first = run_tap(config, select=[CARBON])
        second = run_tap(config, first.state, select=[CARBON])
        newest = {
            key(record): record["model_version"] for run in (first, second) for record in run.records(CARBON)
        }
        assert set(newest.values()) == {"v3.1.0"}


def test_a_full_table_is_read_from_its_beginning_each_time(
    sustainability: SustainabilityServer, tap_config: Config, run_tap: RunTap
) -> None:
    months = month_range("2025-07", "2026-03")
    sustainability.set_months(emissions(months))
    config = tap_config(start_date="2025-07-01", end_date="2026-04-01")
    first = run_tap(config, select=[CARBON])
    second = run_tap(config, first.state, select=[CARBON], full_table=[CARBON])
    assert asked(sustainability) == months * 2
    assert second.state == first.state


def test_an_earlier_start_later_brings_the_older_months(
    sustainability: SustainabilityServer, tap_config: Config, run_tap: RunTap
) -> None:
    months = month_range("2025-07", "2026-03")
    sustainability.set_months(emissions(months))
    narrow = tap_config(start_date="2026-01-01", end_date="2026-04-01", lookback_months=1)
    wide = narrow | {"start_date": "2025-07-01"}
    first = run_tap(narrow, select=[CARBON])
    before = len(sustainability.requests)
    second = run_tap(wide, first.state, select=[CARBON])
    assert sorted(asked(sustainability, since=before)) == months
    before = len(sustainability.requests)
    run_tap(wide, second.state, select=[CARBON])
    assert asked(sustainability, since=before) == ["2026-03"]


def test_a_window_that_ends_before_the_bookmark_stays_a_window(
    sustainability: SustainabilityServer, tap_config: Config, run_tap: RunTap
) -> None:
    sustainability.set_months(emissions(month_range("2025-01", "2026-03")))
    first = run_tap(tap_config(start_date="2026-01-01", end_date="2026-04-01"), select=[CARBON])
    before = len(sustainability.requests)
    older = tap_config(start_date="2025-01-01", end_date="2025-04-01")
    second = run_tap(older, first.state, select=[CARBON])
    assert asked(sustainability, since=before) == month_range("2025-01", "2025-03")
    assert bookmark(second)["replication_key_value"] == bookmark(first)["replication_key_value"]


def test_the_rate_limit_keeps_the_service_from_throttling(
    tap_config: Config, run_tap: RunTap, clock: FakeClock
) -> None:
    with SustainabilityServer(rate=5.000001, capacity=5, now=clock.monotonic) as server:
        server.set_months(emissions(month_range("2022-01", "2024-12")))
        endpoints = tap_config()["aws_endpoint_urls"] | {"sustainability": server.url}
        limits = {"rate_limit_per_second": 5, "rate_limit_capacity": 5}
        config = tap_config(aws_endpoint_urls=endpoints, end_date="2025-01-01", **limits)
        run = run_tap(config, select=[CARBON])
        assert run.exit_code == 0
        assert {request.status for request in server.requests} == {200}
        assert clock.monotonic() == pytest.approx((36 - 5) / 5)


@pytest.mark.parametrize("region", [None, "eu-central-1", "ap-southeast-2"])
def test_the_service_is_asked_in_its_one_region_wherever_the_buckets_are(
    region: str | None, sustainability: SustainabilityServer, tap_config: Config, run_tap: RunTap
) -> None:
    config = tap_config(start_date="2026-01-01", end_date="2026-02-01", aws_default_region=region)
    if region is None:
        del config["aws_default_region"]
    assert run_tap(config, select=[CARBON, WATER]).exit_code == 0
    for request in sustainability.requests:
        assert "/us-east-1/sustainability/aws4_request" in request.headers["Authorization"]
