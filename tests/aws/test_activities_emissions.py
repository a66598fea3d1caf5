"""Activities made of emissions and water: per scope, in kg and cubic metres, and adding up exactly."""

from __future__ import annotations

import uuid
from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.local_clouds.aws import month_range
from tests.local_clouds.sustainability import EMISSIONS_TYPES, SourceRow, demo_emissions, demo_water

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.aws.conftest import Config, RunTap
    from tests.local_clouds.sustainability import SustainabilityServer

STREAM = "activities"
LBM, MBM, SCOPE_1, SCOPE_2_LBM, SCOPE_2_MBM, SCOPE_3_LBM, SCOPE_3_MBM = EMISSIONS_TYPES
SCOPES = {
    SCOPE_1: (1, "both"),
    SCOPE_2_LBM: (2, "location_based"),
    SCOPE_2_MBM: (2, "market_based"),
    SCOPE_3_LBM: (3, "location_based"),
    SCOPE_3_MBM: (3, "market_based"),
}
MONTHS = demo_emissions(
    month_range("2026-01", "2026-06"),
    ["111122223333", "012345678901"],
    ["us-east-1", "eu-central-1"],
    ["AmazonEC2", "AmazonCloudFront", "Other", "SomethingNew"],
    3,
)
YEARS = demo_water([2024, 2025], ["111122223333", "012345678901"], ["eu-central-1"], ["AmazonEC2"], 3)
SOURCE_ROWS = [(month, row) for month, rows in MONTHS.items() for row in rows]
Record = dict[str, Any]


@pytest.fixture
def run_activities(
    sustainability: SustainabilityServer, tap_config: Config, run_tap: RunTap
) -> Callable[..., list[Record]]:
    """Run the stream over what the service has; settings come on top."""

    def run(**settings: Any) -> list[Record]:
        window = {"start_date": "2024-01-01", "end_date": "2026-07-01"}
        done = run_tap(tap_config(**(window | settings)), select=[STREAM])
        assert done.exit_code == 0, done.stderr
        return done.records(STREAM)

    sustainability.set_months(MONTHS)
    sustainability.set_years(YEARS)
    return run


def emissions(records: Iterable[Record]) -> list[Record]:
    return [record for record in records if record["activity_type"] == "emissions"]


def decimal(number: float) -> Decimal:
    return Decimal(str(number))


def key(record: Record) -> tuple[Any, ...]:
    place = "Global" if record["region"] == "global" else record["region"]
    scope = (record["scope"], record["accounting_method"])
    return record["period_start"][:7], record["account_id"], place, record["service_code"], *scope


def test_each_scope_of_each_row_is_one_activity_in_kg_and_zero_is_a_value(
    run_activities: Callable[..., list[Record]],
) -> None:
    records = emissions(run_activities())
    expected = {
        (month, row.account, row.region, row.service, *scope): row.values[name] * 1000
        for month, row in SOURCE_ROWS
        for name, scope in SCOPES.items()
    }
    assert {key(record): decimal(record["quantity"]) for record in records} == expected
    assert len(records) == len(expected)
    assert any(not quantity for quantity in expected.values())
    assert {record["unit"] for record in records} == {"kgCO2e"}
    assert {record["data_quality"] for record in records} == {"estimated"}
    assert {(record["cost"], record["currency"]) for record in records} == {(None, None)}


@pytest.mark.parametrize(("total", "method"), [(LBM, "location_based"), (MBM, "market_based")])
def test_the_sums_by_method_are_the_services_own_totals(
    total: str, method: str, run_activities: Callable[..., list[Record]]
) -> None:
    sums: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    held: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for record in emissions(run_activities()):
        if record["accounting_method"] in {method, "both"}:
            sums[record["period_start"][:7], record["account_id"]] += decimal(record["quantity"])
    for month, row in SOURCE_ROWS:
        held[month, row.account] += row.values[total] * 1000
    assert sums == held


@pytest.mark.parametrize(
    "value", ["0.000001", "0.0000005", "123456.789012", "0.1", "0.7", "0.000007", "99999999.999999"]
)
def test_numbers_that_floats_spoil_come_out_as_they_went_in(
    value: str, sustainability: SustainabilityServer, tap_config: Config, run_tap: RunTap
) -> None:
    values = dict.fromkeys(EMISSIONS_TYPES, Decimal(value))
    sustainability.set_month("2026-01", [SourceRow("111122223333", "us-east-1", "Other", values)])
    config = tap_config(start_date="2026-01-01", end_date="2026-02-01")
    records = run_tap(config, select=[STREAM]).records(STREAM)
    shown = Decimal(str(float(Decimal(value).quantize(Decimal("0.000001")))))
    assert {decimal(record["quantity"]) for record in records} == {shown * 1000}


def test_places_and_services_are_in_offgridflows_words(run_activities: Callable[..., list[Record]]) -> None:
    records = emissions(run_activities())
    places = {(record["region"], record["location"], record["country"]) for record in records}
    assert places == {
        ("global", "GLOBAL", None),
        ("us-east-1", "US-EAST", "USA"),
        ("eu-central-1", "EU-CENTRAL", "DEU"),
    }
    services = {
        record["service_code"]: (record["category"], record["service_category"]) for record in records
    }
    assert services["AmazonEC2"] == ("cloud_compute", "Compute")
    assert services["SomethingNew"] == ("cloud_other", "Other")
    assert services["Other"] == ("cloud_other", "Other")


def test_what_cannot_be_mapped_is_named_once(
    sustainability: SustainabilityServer, tap_config: Config, run_tap: RunTap
) -> None:
    values = dict.fromkeys(EMISSIONS_TYPES, Decimal(1))
    rows = [SourceRow("111122223333", region, "MoonBase", values) for region in ("mars-north-1", "us-east-1")]
    sustainability.set_months({"2026-01": rows, "2026-02": rows})
    run = run_tap(tap_config(start_date="2026-01-01", end_date="2026-03-01"), select=[STREAM])
    records = run.records(STREAM)
    assert {(record["region"], record["location"], record["country"]) for record in records} == {
        ("mars-north-1", "GLOBAL", None),
        ("us-east-1", "US-EAST", "USA"),
    }
    for name in ("mars-north-1", "MoonBase"):
        assert len([line for line in run.stderr.splitlines() if name in line]) == 1


def test_ids_belong_to_the_fact_and_not_to_the_run_or_the_figure(
    sustainability: SustainabilityServer, run_activities: Callable[..., list[Record]]
) -> None:
    first = run_activities()
    ids = {record["id"]: record["idempotency_key"] for record in first}
    assert len(ids) == len(first)
    assert {uuid.UUID(identity).version for identity in ids} == {5}
    restated = {
        month: [
            SourceRow(
                row.account, row.region, row.service, {n: v + 1 for n, v in row.values.items()}, "v4.0.0"
            )
            for row in reversed(rows)
        ]
        for month, rows in MONTHS.items()
    }
    sustainability.set_months(restated)
    second = run_activities(org_id="org", activity_grain="day")
    assert {record["id"]: record["idempotency_key"] for record in second} == ids
    assert {record["model_version"] for record in emissions(second)} == {"v4.0.0"}


def test_what_replaces_an_activity_and_whose_it_is_stands_in_it(
    run_activities: Callable[..., list[Record]],
) -> None:
    records = run_activities(org_id="org-1", workspace_id="ws-1")
    assert {(record["org_id"], record["workspace_id"]) for record in records} == {("org-1", "ws-1")}
    assert {record["provider"] for record in records} == {"aws"}
    for record in records:
        period = record["period_start"][: 7 if record["activity_type"] == "emissions" else 4]
        assert record["external_id"] == f"{record['account_id']}/{period}"
    (batch,) = {record["import_batch_id"] for record in records}
    assert datetime.fromisoformat(batch)


def test_water_is_usage_in_cubic_metres_and_never_among_the_emissions(
    run_activities: Callable[..., list[Record]],
) -> None:
    records = run_activities()
    water = [record for record in records if record["source"] == "aws_sustainability_water"]
    held = {
        (str(year), row.account, row.region, row.service): next(iter(row.values.values()))
        for year, rows in YEARS.items()
        for row in rows
    }
    assert {
        (r["period_start"][:4], r["account_id"], r["region"], r["service_code"]): decimal(r["quantity"])
        for r in water
    } == held
    assert {(r["activity_type"], r["unit"], r["scope"], r["accounting_method"]) for r in water} == {
        ("usage", "m3", None, None)
    }
    assert {r["period_end"][:10] for r in water} == {"2025-01-01", "2026-01-01"}
    assert {r["source"] for r in emissions(records)} == {"aws_sustainability_emissions"}


def test_one_place_in_two_spellings_is_one_fact(
    sustainability: SustainabilityServer, run_activities: Callable[..., list[Record]]
) -> None:
    places = ("eu-central-1", "EU (Frankfurt)")
    one = Decimal("0.25")
    rows = [
        SourceRow("111122223333", place, "AmazonEC2", dict.fromkeys(EMISSIONS_TYPES, one)) for place in places
    ]
    cubic_metres = [
        SourceRow("111122223333", place, "AmazonEC2", {"TOTAL_WATER_WITHDRAWALS": one}) for place in places
    ]
    sustainability.set_months({"2026-01": rows})
    sustainability.set_years({2025: cubic_metres})
    records = run_activities()
    of_month = [r for r in emissions(records) if r["period_start"][:7] == "2026-01"]
    of_year = [r for r in records if r["unit"] == "m3" and r["period_start"][:4] == "2025"]
    assert {(r["region"], r["quantity"]) for r in of_month} == {("eu-central-1", 500.0)}
    assert len({r["id"] for r in of_month}) == len(of_month) == 5
    assert [(r["region"], r["quantity"]) for r in of_year] == [("eu-central-1", 0.5)]


def test_a_value_that_is_not_reported_makes_no_activity(
    sustainability: SustainabilityServer,
    tap_config: Config,
    run_tap: RunTap,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sustainability.set_month("2026-01", MONTHS["2026-01"][:1])
    answer = sustainability._answer

    def without(operation: str, body: Any) -> dict[str, Any]:
        page = answer(operation, body)
        for row in page["Results"]:
            row.get("EmissionsValues", {}).pop(SCOPE_2_MBM, None)
        return page

    monkeypatch.setattr(sustainability, "_answer", without)
    run = run_tap(tap_config(start_date="2026-01-01", end_date="2026-02-01"), select=[STREAM])
    scopes = {(record["scope"], record["accounting_method"]) for record in run.records(STREAM)}
    assert scopes == set(SCOPES.values()) - {(2, "market_based")}


def test_a_negative_figure_is_refused_and_nothing_of_its_month_goes_out(
    sustainability: SustainabilityServer, tap_config: Config, run_tap: RunTap
) -> None:
    good = dict.fromkeys(EMISSIONS_TYPES, Decimal(1))
    bad = good | {SCOPE_3_LBM: Decimal(-1)}
    sustainability.set_month("2026-01", [SourceRow("111122223333", "us-east-1", "Other", good)])
    sustainability.set_month(
        "2026-02",
        [
            SourceRow("111122223333", "us-east-1", "Other", good),
            SourceRow("111122223333", "us-east-1", "AmazonEC2", bad),
        ],
    )
    run = run_tap(tap_config(start_date="2026-01-01", end_date="2026-03-01"), select=[STREAM])
    assert run.exit_code == 1
    assert "activities (fatal)" in run.stderr
    assert "negative" in run.stderr
    assert {record["period_start"][:7] for record in run.records(STREAM)} == {"2026-01"}
