"""The known traps of AWS's interfaces, by number: those of places, keys, state and the API."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
from functools import cache
from typing import TYPE_CHECKING

import boto3
import pytest

from tests.aws.bench import line_items
from tests.aws.shelf import PERIOD, Shelf, emitted
from tests.local_clouds.carbon_export import PARTITIONS, carbon_table
from tests.local_clouds.cur2 import cur2_table
from tests.local_clouds.focus import focus_table
from tests.local_clouds.legacy_cur import legacy_table
from tests.local_clouds.s3_proxy import call_first
from tests.local_clouds.sustainability import EMISSIONS_TYPES

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from tests.aws.bench import Bench
    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run
    from tests.local_clouds.sustainability import SustainabilityServer

LINES = ("cost_and_usage", "deliveries")
ACTIVITIES = ("activities",)


@pytest.fixture
def shelf(tmp_path: Path, tap_config: Config, run_tap: RunTap) -> Shelf:
    return Shelf(tmp_path / "bucket", tap_config, run_tap)


@cache
def lines(rows: int = 30, seed: int = 1) -> pa.Table:
    return cur2_table(rows, seed, PERIOD)


def told(run: Run) -> list[str]:
    return [row["delivery_id"] for row in run.records("deliveries")]


@pytest.mark.parametrize("mode", ["create-new", "overwrite"])
def test_trap_01_the_manifest_says_which_files_count_not_the_listing(shelf: Shelf, mode: str) -> None:
    for chunks in (3, 2):
        delivery = shelf.cur2(PERIOD, lines(), mode=mode, chunks=chunks)
    listed = [key for key in shelf.store.keys("exports/ofg-cur2/data/") if key.endswith(".parquet")]
    assert len(listed) > len(delivery.data_keys)
    run = shelf.read("cur2", select=LINES)
    assert (len(run.records()), told(run)) == (30, [delivery.execution_id])


def test_trap_02_only_the_newest_manifest_of_a_month_is_a_manifest(shelf: Shelf) -> None:
    """Not the second one of FOCUS, not Redshift's, and not those of single executions."""
    focus = shelf.focus(PERIOD, focus_table(lines()))
    legacy = [shelf.cur(PERIOD, legacy_table(lines())) for _ in range(2)]
    keys = shelf.store.keys("")
    for ending in ("-Manifest-FOCUS.json", "-RedshiftManifest.json"):
        assert [key for key in keys if key.endswith(ending)]
    assert len([key for key in keys if key.endswith("/ofg-cur-Manifest.json")]) == 3
    run = shelf.read("focus", "cur", select=("cost_and_usage", "focus_costs", "deliveries"))
    assert set(told(run)) == {focus.execution_id, legacy[1].execution_id}


@pytest.mark.parametrize("spelling", ["BILLING_PERIOD", "billing_period", "Billing_Period"])
def test_trap_03_partitions_are_matched_in_any_case_and_with_or_without_carbon(
    shelf: Shelf, spelling: str
) -> None:
    shelf.cur2(PERIOD, lines(), partition_key=spelling)
    for number, partition in enumerate((*PARTITIONS, *map(str.upper, PARTITIONS))):
        shelf.carbon(f"2026-{number + 7:02}", carbon_table(PERIOD, [emitted("0.1")]), partition=partition)
    run = shelf.read("cur2", "carbon", select=("cost_and_usage", "carbon_export", "deliveries"))
    assert len(told(run)) == 5


@pytest.mark.parametrize("kind", ["cur2", "cur"])
def test_trap_04_files_are_found_in_the_configured_place_whatever_the_manifest_says(
    shelf: Shelf, kind: str
) -> None:
    if kind == "cur2":
        delivery = shelf.cur2(PERIOD, lines(), manifest_bucket="a-bucket-of-somebody-else")
    else:
        delivery = shelf.cur(PERIOD, legacy_table(lines()), manifest={"bucket": "somebody-elses"})
    manifest = shelf.path(delivery.manifest_key).read_text()
    assert f'"{delivery.data_keys[0]}"' not in manifest if kind == "cur2" else "s3://" not in manifest
    shutil.move(shelf.root, shelf.root.with_name("replica"))
    replica = Shelf(shelf.root.with_name("replica"), shelf.tap_config, shelf.run_tap)
    assert len(replica.read(kind, select=LINES).records()) == 30


def test_trap_05_the_key_of_a_row_is_its_place_not_its_line_item_id(shelf: Shelf) -> None:
    data = line_items(identity_line_item_id=["the-same"] * 6)
    shelf.cur2(PERIOD, data, chunks=2)
    run = shelf.read("cur2", select=LINES)
    (schema,) = [m for m in run.messages if m["type"] == "SCHEMA" and m["stream"] == "cost_and_usage"]
    assert "identity_line_item_id" not in schema["key_properties"]
    assert len({tuple(row[name] for name in schema["key_properties"]) for row in run.records()}) == 6


def test_trap_06_a_restated_month_comes_whole_and_its_vanished_rows_are_not_current(shelf: Shelf) -> None:
    """The new delivery has fewer rows, and a late credit of the month's first day."""
    shelf.cur2(PERIOD, line_items(line_item_operation=["a", "b", "c"]))
    first = shelf.read("cur2", select=LINES)
    data = line_items(
        line_item_operation=["a", "late"],
        line_item_line_item_type=["Usage", "Credit"],
        line_item_unblended_cost=[0.25, -0.1],
    )
    newer = shelf.cur2(PERIOD, data)
    second = shelf.read("cur2", select=LINES, state=first.state)
    assert told(second) == [newer.execution_id]
    everything = first.records() + second.records()
    current = [row["line_item_operation"] for row in everything if row["delivery_id"] == told(second)[0]]
    assert current == ["a", "late"]


def test_trap_07_state_never_holds_a_month_that_was_not_read_whole(bench: Bench) -> None:
    """Of two files the second breaks; then the month is overwritten while it is read."""
    delivery = bench.publish(PERIOD, line_items(line_item_operation=["a", "b"]))
    whole = bench.get(delivery.data_keys[1])
    bench.store.put(delivery.data_keys[1], whole[:-20])
    bench.set_time(delivery.delivered_at, delivery.data_keys[1])
    streams = ("cost_and_usage", "activities", "deliveries")
    config = bench.config(start_date="2026-09-01", end_date="2026-10-01")
    failed = bench.run(select=streams, config=config)
    assert failed.exit_code == 1
    assert delivery.execution_id not in json.dumps(failed.state)
    assert failed.records("activities") == failed.records("deliveries") == []
    bench.store.put(delivery.data_keys[1], whole)
    bench.set_time(delivery.delivered_at, delivery.data_keys[1])

    def overwrite() -> None:
        bench.publish(PERIOD, line_items(line_item_operation=["new"]), mode="overwrite")

    bench.aws.proxy.inject(call_first(overwrite), "*-00002.*")
    after = bench.read(failed.state, select=streams, config=config)
    assert delivery.execution_id not in json.dumps(after.state)
    assert sum(record["quantity"] for record in after.records("activities")) == 1.0


def test_trap_08_emissions_are_told_once_per_scope_of_the_newest_version(shelf: Shelf) -> None:
    for version in ("v3.0.9", "v3.0.10"):
        data = carbon_table(PERIOD, [emitted("0.25")], model_version=version)
        shelf.carbon(PERIOD, data, model_version=version)
    records = shelf.read("carbon", select=ACTIVITIES).records("activities")
    methods = [(record["scope"], record["accounting_method"]) for record in records]
    three = [(scope, f"{method}_based") for scope in (2, 3) for method in ("location", "market")]
    assert sorted(methods) == [(1, "both"), *three]
    assert {record["model_version"] for record in records} == {"v3.0.10"}


def test_trap_09_all_types_of_emissions_are_asked_for_by_name(
    sustainability: SustainabilityServer, shelf: Shelf
) -> None:
    sustainability.set_month(PERIOD, [emitted("0.000001")])
    run = shelf.read(select=("carbon_emissions",))
    assert all(set(r.body["EmissionsTypes"]) == set(EMISSIONS_TYPES) for r in sustainability.requests)
    (record,) = run.records("carbon_emissions")
    assert {record[kind.lower()] for kind in EMISSIONS_TYPES} == {1e-06}


def test_trap_10_windows_begin_where_months_and_years_do_and_end_is_exclusive(
    sustainability: SustainabilityServer, shelf: Shelf
) -> None:
    sustainability.set_months({month: [emitted("1")] for month in ("2026-07", "2026-08", "2026-09")})
    window = {"start_date": "2026-07-20", "end_date": "2026-09-01"}
    run = shelf.read(select=("carbon_emissions", "water_allocation"), **window)
    assert [r["period_start"][:10] for r in run.records("carbon_emissions")] == ["2026-07-01", "2026-08-01"]
    for request in sustainability.requests:
        start, end = (request.body["TimePeriod"][edge] for edge in ("Start", "End"))
        first = "-01-01T00:00:00Z" if "Water" in request.operation else "-01T00:00:00Z"
        assert start.endswith(first)
        assert end.endswith(first)


def test_trap_11_the_api_is_asked_in_its_one_region_wherever_the_buckets_are(
    sustainability: SustainabilityServer, shelf: Shelf
) -> None:
    shelf.read(select=("carbon_emissions",), aws_default_region="eu-west-1")
    assert sustainability.requests
    assert all("/us-east-1/" in request.headers["Authorization"] for request in sustainability.requests)


def test_trap_12_boto3_is_new_enough_for_emissions_and_water() -> None:
    needed = [text for text in importlib.metadata.requires("tap-offgridflow-aws") or () if "boto3" in text]
    (version,) = [text.partition(">=")[2].partition(",")[0] for text in needed]
    assert tuple(map(int, version.split("."))) >= (1, 43, 50)
    model = boto3.client("sustainability", region_name="us-east-1").meta.service_model
    assert {"GetEstimatedCarbonEmissions", "GetEstimatedWaterAllocation"} <= set(model.operation_names)
