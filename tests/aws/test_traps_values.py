"""The known traps of AWS's interfaces, by number: those of values and answers."""

from __future__ import annotations

import gzip
import logging
import time
import zipfile
from datetime import datetime
from decimal import Decimal
from functools import cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pyarrow as pa
import pytest
from botocore.config import Config as BotoConfig
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from offgridflow_common.pagination import CursorPager
from tap_offgridflow_aws.client import AwsClient
from tap_offgridflow_aws.exports.discovery import discover_exports
from tests.aws.bench import HEADER, LEAST, LINE, line_items
from tests.aws.shelf import PERIOD, Shelf, emitted
from tests.local_clouds.carbon_export import carbon_table
from tests.local_clouds.cur2 import cur2_table
from tests.local_clouds.focus import focus_table
from tests.local_clouds.legacy_cur import legacy_table
from tests.local_clouds.s3_proxy import ACCESS_DENIED, EXPIRED_TOKEN, redirect_to, truncate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from offgridflow_common.testing.clock import FakeClock
    from tests.aws.bench import Bench
    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run
    from tests.local_clouds.aws import LocalAws
    from tests.local_clouds.sustainability import SustainabilityServer

LINES = ("cost_and_usage", "deliveries")
ACTIVITIES = ("activities",)
REGIONS = pa.map_(pa.string(), pa.string())


@pytest.fixture
def shelf(tmp_path: Path, tap_config: Config, run_tap: RunTap) -> Shelf:
    return Shelf(tmp_path / "bucket", tap_config, run_tap)


@cache
def lines(rows: int = 30, seed: int = 1) -> pa.Table:
    return cur2_table(rows, seed, PERIOD)


def told(run: Run) -> list[str]:
    return [row["delivery_id"] for row in run.records("deliveries")]


@pytest.fixture
def _far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_far_from_utc")
def test_trap_13_times_are_utc_wherever_the_tap_runs_and_tax_lasts_its_month(
    sustainability: SustainabilityServer, shelf: Shelf
) -> None:
    sustainability.set_month(PERIOD, [emitted("0.000001")])
    month = [datetime(2026, 9, 1), datetime(2026, 10, 1)]  # noqa: DTZ001 - naive means UTC in Parquet
    data = line_items(
        line_item_line_item_type=["Tax", "Usage"],
        line_item_usage_end_date=pa.array([month[1]] * 2, pa.timestamp("ns")),
    )
    shelf.cur2(PERIOD, data, chunks=1)
    shelf.cur2("2026-08", data, chunks=1, format="csv", time_format="%Y-%m-%d %H:%M:%S")
    run = shelf.read("cur2", select=("carbon_emissions", "cost_and_usage", *ACTIVITIES), activity_grain="day")
    shown = {(r["line_item_usage_start_date"], r["line_item_usage_end_date"]) for r in run.records()}
    utc = tuple(f"{moment:%Y-%m-%dT%H:%M:%S}.000000+00:00" for moment in month)
    assert shown == {utc}
    (emissions,) = run.records("carbon_emissions")
    assert (emissions["period_start"], emissions["period_end"]) == utc
    usage = [record for record in run.records("activities") if record["activity_type"] == "usage"]
    assert [(r["period_start"], r["metadata"]["line_items"]) for r in usage] == [(utc[0], "1")] * 2


@pytest.mark.parametrize("nothing", [None, ""], ids=["null", "no text"])
def test_trap_14_a_region_is_found_wherever_the_line_item_has_it(shelf: Shelf, nothing: Any) -> None:
    """In the map, in three columns, in the usage type; global and unknown are not the same."""
    maps = [[("region", "eu-west-1")], [], None, [("region", nothing)], [], [("region", "global")], []]
    data = line_items(
        product=pa.array(maps, REGIONS),
        product_region_code=["us-east-1", "us-east-2", *[nothing] * 5],
        product_from_region_code=[nothing, nothing, "us-west-1", *[nothing] * 4],
        product_to_region_code=[*[nothing] * 3, "us-west-2", *[nothing] * 3],
        line_item_usage_type=["a", "b", "c", "d", "EUC1-BoxUsage", "f", "g"],
    )
    shelf.cur2(PERIOD, data)
    records = shelf.read("cur2", select=ACTIVITIES).records("activities")
    regions = {record["metadata"]["usage_type"]: record["region"] for record in records}
    places = ["eu-west-1", "us-east-2", "us-west-1", "us-west-2", "eu-central-1", "global", None]
    assert regions == dict(zip(data["line_item_usage_type"].to_pylist(), places, strict=True))


def test_trap_15_usage_that_costs_nothing_is_usage_and_what_only_costs_is_none(shelf: Shelf) -> None:
    kinds = ["Usage", "SavingsPlanCoveredUsage", "DiscountedUsage", "Credit", "Refund", "Tax", "RIFee"]
    kinds += ["SavingsPlanNegation", "SavingsPlanRecurringFee", "Fee", "BundledDiscount"]
    data = line_items(line_item_line_item_type=kinds, line_item_unblended_cost=[0.0] * len(kinds))
    shelf.cur2(PERIOD, data)
    (record,) = shelf.read("cur2", select=ACTIVITIES).records("activities")
    assert (record["quantity"], record["cost"], record["metadata"]["line_items"]) == (3.0, 0.0, "3")


def test_trap_16_unknown_columns_are_kept_and_missing_ones_are_named_at_once(shelf: Shelf) -> None:
    shelf.cur2("2026-08", line_items(brand_new=["x"]), chunks=1)
    (record,) = shelf.read("cur2", select=LINES).records()
    assert record["extra"] == {"brand_new": "x"}
    delivery = shelf.cur2(PERIOD, line_items(x=["y"]).drop_columns(["line_item_product_code"]))
    for key in delivery.data_keys:
        shelf.path(key).write_bytes(b"never read: the manifest names the columns")
    shelf.set_time(delivery.delivered_at, *delivery.data_keys)
    run = shelf.run("cur2", select=LINES)
    assert "no column line_item_product_code." in run.stderr


@pytest.mark.parametrize(
    "text", ["0.1", "1e-06", "0.0000000001", "123456789.0123456", "-7.105427357601002e-15"]
)
def test_trap_17_numbers_come_out_as_they_went_in(shelf: Shelf, text: str) -> None:
    line = LINE.replace(",0.25,", f",{text},")
    delivery = shelf.cur2(PERIOD, line_items(x=["y"]), chunks=1, format="csv", columns=["x", *LEAST])
    shelf.replace(delivery, 0, gzip.compress(f"{HEADER}\n{line}\n".encode()))
    run = shelf.read("cur2", select=LINES)
    (record,) = run.records()
    assert Decimal(repr(record["line_item_unblended_cost"])) == Decimal(text)


def test_trap_18_nothing_is_null_however_it_is_written_and_zero_is_a_value(shelf: Shelf) -> None:
    nothings = ["", "[]", "{}", "NULL"]
    data = focus_table(lines()).slice(0, 4)
    for name, values in {"Tags": nothings, "ListUnitPrice": ["", "NULL", "0", ""]}.items():
        data = data.set_column(data.column_names.index(name), name, pa.array(values))
    shelf.focus(PERIOD, data, format="csv", chunks=1)
    shelf.carbon(PERIOD, carbon_table(PERIOD, [emitted("0")]))
    run = shelf.read("focus", "carbon", select=("focus_costs", "activities"))
    assert [record["tags"] or None for record in run.records("focus_costs")] == [None] * 4
    assert [record["list_unit_price"] for record in run.records("focus_costs")] == [None, None, 0.0, None]
    emissions = [r["quantity"] for r in run.records("activities") if r["activity_type"] == "emissions"]
    assert emissions == [0.0] * 5


@pytest.mark.parametrize(("broken", "read"), [(2, True), (3, False)])
def test_trap_19_a_body_that_breaks_is_got_again_as_often_as_was_set(
    bench: Bench,
    clock: FakeClock,
    broken: int,
    read: bool,  # noqa: FBT001 - what is expected
) -> None:
    delivery = bench.publish(PERIOD, line_items(line_item_operation=["a"] * 50), chunks=1)
    bench.aws.proxy.inject(truncate(30), delivery.data_keys[0], times=broken)
    run = bench.run(config=bench.config(max_attempts=3))
    assert bench.data_requests() == [delivery.data_keys[0]] * 3
    assert (run.exit_code == 0) is read
    assert len(clock.slept) == 2


@pytest.mark.parametrize(
    ("fault", "times"),
    [(ACCESS_DENIED, 1), (EXPIRED_TOKEN, 1), (redirect_to("eu-west-1"), 2)],
    ids=["denied", "expired", "wrong region"],
)
def test_trap_20_what_never_heals_is_not_asked_again(
    bench: Bench, clock: FakeClock, fault: Any, times: int
) -> None:
    """botocore follows a bucket to its region once by itself."""
    delivery = bench.publish(PERIOD, line_items(line_item_operation=["a"]), chunks=1)
    bench.aws.proxy.inject(fault, delivery.data_keys[0], times=10)
    assert bench.run().exit_code == 1
    assert bench.data_requests() == [delivery.data_keys[0]] * times
    assert clock.slept == []


def test_trap_21_reports_are_listed_without_a_page_size() -> None:
    """The service takes 5 and nothing else."""

    apis: dict[str, Any] = {}
    keys = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "x"}
    report: dict[str, Any] = {"ReportName": "r", "S3Bucket": "b", "S3Prefix": "", "S3Region": "us-east-1"}
    report |= {"ReportStatus": {"lastDelivery": "20261102T060000Z", "lastStatus": "SUCCESS"}}
    report |= {"TimeUnit": "DAILY", "Format": "textORcsv", "Compression": "GZIP"}
    for service, operation, answer in (
        ("bcm-data-exports", "list_exports", {"Exports": []}),
        (
            "cur",
            "describe_report_definitions",
            {"ReportDefinitions": [report | {"AdditionalSchemaElements": []}]},
        ),
    ):
        apis[service] = boto3.client(service, region_name="us-east-1", **keys)
        stubber = Stubber(apis[service])
        stubber.add_response(operation, answer, {})
        stubber.activate()

    def attempt(service: str, _operation: str, _asked: str, send: Any, **_: Any) -> Any:
        return send(apis[service])

    client: Any = SimpleNamespace(pager=CursorPager(max_pages=3), attempt=attempt)
    client.entries = partial(AwsClient.entries, client)
    (found,) = discover_exports(client, (), logging.getLogger(__name__))
    assert (found.type, found.url) == ("cur", "s3://b//r")


@pytest.mark.parametrize("quote", ["", '"'])
def test_trap_22_account_ids_are_text(shelf: Shelf, quote: str) -> None:
    line = LINE.replace("012345678901", f"{quote}000000000042{quote}")
    delivery = shelf.cur2(PERIOD, line_items(x=["y"]), chunks=1, format="csv")
    shelf.replace(delivery, 0, gzip.compress(f"{HEADER}\n{line}\n".encode()))
    run = shelf.read("cur2", select=(*LINES, *ACTIVITIES))
    assert [record["line_item_usage_account_id"] for record in run.records()] == ["000000000042"]
    assert [record["account_id"] for record in run.records("activities")] == ["000000000042"]


def test_trap_23_every_member_of_a_zip_is_read(shelf: Shelf) -> None:
    delivery = shelf.cur(PERIOD, legacy_table(lines()), format="zip", chunks=1, members=("x", "y/z.dat"))
    with zipfile.ZipFile(shelf.path(delivery.data_keys[0])) as archive:
        assert len(archive.namelist()) == 2
    assert len(shelf.read("cur", select=LINES).records()) == 30


def test_trap_24_a_delivery_without_rows_is_told_and_a_missing_one_is_not(shelf: Shelf) -> None:
    shelf.cur2("2026-07", lines(0), chunks=1)
    delivery = shelf.cur2("2026-09", lines(), chunks=2)
    run = shelf.read("cur2", select=LINES)
    assert {r["billing_period"]: r["rows"] for r in run.records("deliveries")} == {"2026-07": 0, PERIOD: 30}
    shelf.path(delivery.data_keys[0]).unlink()
    again = shelf.run("cur2", select=LINES)
    assert (again.exit_code, told(again)) == (1, told(run)[:1])


def test_trap_25_moto_alone_is_no_stand_in_for_the_sustainability_api(
    aws: LocalAws, sustainability: SustainabilityServer
) -> None:
    window = {"TimePeriod": {"Start": "2026-09-01T00:00:00Z", "End": "2026-10-01T00:00:00Z"}}
    sustainability.set_month(PERIOD, [emitted("0.000001")])

    def ask(url: str) -> Any:
        once = BotoConfig(retries={"total_max_attempts": 1})
        keys = {"region_name": "us-east-1", **aws.credentials}
        client = boto3.client("sustainability", endpoint_url=url, config=once, **keys)
        return client.get_estimated_carbon_emissions(**window)

    with pytest.raises(ClientError):
        ask(aws.endpoint_urls["sts"])
    assert len(ask(sustainability.url)["Results"]) == 1
