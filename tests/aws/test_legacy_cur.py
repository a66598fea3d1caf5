"""Legacy CUR in all its layouts and spellings: the same rows as the CUR 2.0 of the same line items."""

from __future__ import annotations

import csv
import gzip
import re
import zipfile
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from tests.aws import truth
from tests.aws.driving import LINE_ITEMS
from tests.aws.shelf import PERIOD, Shelf, plain
from tests.export_files import file_rows
from tests.local_clouds.cur2 import cur2_table
from tests.local_clouds.cur2_vocabulary import DATA
from tests.local_clouds.legacy_cur import TAGS, cur_name, legacy_table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run

    Row = dict[str, Any]

LAYOUTS = [
    ("create-new", "gzip"),
    ("create-new", "zip"),
    ("overwrite", "gzip"),
    ("overwrite", "zip"),
    ("create-new", "parquet"),
    ("athena", "parquet"),
]
ROWS = 300
SELECT = (LINE_ITEMS, "deliveries")
START = "lineItem/UsageStartDate"


@pytest.fixture
def shelf(tmp_path: Path, tap_config: Config, run_tap: RunTap) -> Shelf:
    return Shelf(tmp_path / "bucket", tap_config, run_tap)


@cache
def lines(rows: int = ROWS, period: str = PERIOD, seed: int = 1) -> pa.Table:
    return cur2_table(rows, seed, period)


def small(**columns: list[Any]) -> pa.Table:
    """A month with the least columns that a report can have, and these."""
    count = len(next(iter(columns.values()))) if columns else 1
    least = {
        "bill/PayerAccountId": "111122223333",
        "lineItem/UsageAccountId": "012345678901",
        "lineItem/LineItemType": "Usage",
        "lineItem/ProductCode": "AmazonEC2",
        "lineItem/UsageType": "BoxUsage:m5.large",
        START: datetime(2026, 9, 1),  # noqa: DTZ001 - as in the provider's files
        "lineItem/UsageAmount": 1.0,
        "lineItem/UnblendedCost": 0.25,
    }
    return pa.table({name: pa.array([value] * count) for name, value in least.items()} | columns)


def expected_rows(table: pa.Table) -> Iterator[Row]:
    """What legacy CUR tells of the rows of a CUR 2.0 table, in CUR 2.0's columns."""
    for row in table.to_pylist(maps_as_pydicts="strict"):
        product = {key: value for key, value in row["product"].items() if f"product_{key}" not in row}
        yield {
            **{name: plain(value) for name, value in row.items()},
            "product": given(product),
            "resource_tags": given({key: row["resource_tags"].get(key) for key in TAGS}),
            "cost_category": given(row["cost_category"]),
            "discount": given(row["discount"]),
            "tags": None,
            "bill_payer_account_name": None,
            "line_item_usage_account_name": None,
        }


def given(members: dict[str, Any]) -> dict[str, Any]:
    return {key: plain(value) for key, value in members.items() if value not in (None, "")}


def places(run: Run) -> list[tuple[int, int]]:
    return [(record["file_ordinal"], record["row_number"]) for record in run.records()]


def test_the_made_up_names_follow_the_published_vectors() -> None:
    with (DATA / "legacy_name_rule_vectors.csv").open(newline="", encoding="utf-8") as file:
        vectors = list(csv.DictReader(file))
    assert [cur_name(row["csv_header"]) for row in vectors] == [row["parquet_name"] for row in vectors]


@pytest.mark.parametrize(("mode", "form"), LAYOUTS)
def test_rows_are_those_of_the_cur2_of_the_same_line_items(shelf: Shelf, mode: str, form: str) -> None:
    delivery = shelf.cur(PERIOD, legacy_table(lines()), mode=mode, format=form, chunks=3)
    run = shelf.read("cur", select=SELECT)
    records = run.records()
    assert places(run) == [(file, row) for file in (1, 2, 3) for row in range(1, 101)]
    assert {(r["billing_period"], r["delivery_id"]) for r in records} == {(PERIOD, delivery.execution_id)}
    assert {record["extra"] for record in records} == {None}
    wrong = [
        (place, name, record[name], value)
        for place, (record, row) in enumerate(zip(records, expected_rows(lines()), strict=True))
        for name, value in row.items()
        if not truth.same(record[name], value)
    ]
    assert wrong == []
    (told,) = run.records("deliveries")
    assert (told["export_type"], told["files"], told["rows"]) == ("cur", 3, ROWS)
    assert told["bytes"] == delivery.bytes


@pytest.mark.parametrize("spelling", ["SavingsPlanARN", "SavingsPlanArn"])
@pytest.mark.parametrize("mode", ["create-new", "athena"])
def test_both_spellings_of_the_savings_plans_arn_are_one_column(
    shelf: Shelf, mode: str, spelling: str
) -> None:
    shelf.cur(PERIOD, legacy_table(lines(), savings_plan_arn=spelling), mode=mode)
    records = shelf.read("cur", select=SELECT).records()
    arns = lines()["savings_plan_savings_plan_a_r_n"].to_pylist()
    assert [record["savings_plan_savings_plan_a_r_n"] or None for record in records] == arns
    assert any(arns)


@pytest.mark.parametrize("mode", ["create-new", "athena"])
def test_every_name_of_the_vectors_finds_its_column_or_its_map(shelf: Shelf, mode: str) -> None:
    with (DATA / "legacy_name_rule_vectors.csv").open(newline="", encoding="utf-8") as file:
        headers = [row["csv_header"] for row in csv.DictReader(file)]
    known = set(truth.column_types())
    names = {"savings_plan_savings_plan_arn": "savings_plan_savings_plan_a_r_n"}
    for header in [name for name in headers if name not in small().column_names]:
        time, number = "Date" in header, header.endswith("Cost")
        value: Any = datetime(2026, 9, 3) if time else 2.5 if number else "x"  # noqa: DTZ001 - as above
        shelf.cur(PERIOD, small(**{header: [value]}), mode=mode, chunks=1)
        (record,) = shelf.read("cur", select=SELECT).records()
        shown = "2026-09-03T00:00:00.000000+00:00" if time else value
        name = names.get(cur_name(header), cur_name(header))
        fold = re.match("product|resource_tags|cost_category", name)
        if name in known:
            assert record[name] == shown, header
        elif fold:
            assert record[fold[0]] == {name.removeprefix(f"{fold[0]}_"): shown}, header
        else:
            assert list(record["extra"].values()) == [shown], header


def test_columns_differ_from_month_to_month_and_each_month_has_its_own(shelf: Shelf) -> None:
    for period, tags in {
        "2026-07": {},
        "2026-08": {"user_name": ("user:Name",)},
        "2026-09": {"user_cost_center": ("user:CostCenter",), "aws_created_by": ("aws:createdBy",)},
    }.items():
        shelf.cur(period, legacy_table(lines(300, period), tags=tags))
    records = shelf.read("cur", select=SELECT).records()
    keys = {
        period: {
            key
            for record in records
            if record["billing_period"] == period
            for key in record["resource_tags"] or ()
        }
        for period in ("2026-07", "2026-08", "2026-09")
    }
    assert keys == {
        "2026-07": set(),
        "2026-08": {"user_name"},
        "2026-09": {"user_cost_center", "aws_created_by"},
    }


@pytest.mark.parametrize("mode", ["create-new", "athena"])
def test_tags_whose_names_collide_are_merged(shelf: Shelf, mode: str) -> None:
    tags: dict[str, list[Any]] = {
        "resourceTags/user:cost-center": ["a", None, "", None],
        "resourceTags/user:Cost Center": [None, "b", "c", None],
        "resourceTags/user:CostCenter": ["d", "e", None, None],
    }
    # The provider merges in Parquet, and whatever it does with text of no length is done.
    data = {name: [value or None for value in values] for name, values in tags.items()}
    shelf.cur(PERIOD, small(**(data if mode == "athena" else tags)), mode=mode, chunks=1)
    records = shelf.read("cur", select=SELECT).records()
    assert [record["resource_tags"].get("user_cost_center") for record in records] == ["a", "b", "c", None]
    assert {record["extra"] for record in records} == {None}


@pytest.mark.parametrize("mode", ["create-new", "athena"])
@pytest.mark.parametrize("value", ["Dev", '{"a": "b"}', ""])
def test_a_name_without_latin_letters_is_a_member_of_its_map(shelf: Shelf, mode: str, value: str) -> None:
    """Of it the naming rule leaves the category alone, which is what CUR 2.0 calls the map."""
    shelf.cur(PERIOD, small(**{"costCategory/部門": [value], "product/_": ["x"]}), chunks=1, mode=mode)
    (record,) = shelf.read("cur", select=SELECT).records()
    keys = ("部門", "_") if mode == "create-new" else ("cost_category", "product")
    assert record["cost_category"] == given({keys[0]: value})
    assert record["product"] == {keys[1]: "x"}


def test_tags_without_latin_letters_stay_apart(shelf: Shelf) -> None:
    """Of all of them the rule would leave `user`."""
    tags = {
        "resourceTags/user:部署": ["sales"],
        "resourceTags/user:環境": ["prod"],
        "resourceTags/aws:環境": ["all"],
        "resourceTags/user:Größe": ["L"],
    }
    shelf.cur(PERIOD, small(**tags), chunks=1)
    (record,) = shelf.read("cur", select=SELECT).records()
    assert record["resource_tags"] == {
        "user:部署": "sales",
        "user:環境": "prod",
        "aws:環境": "all",
        "user_gr_e": "L",
    }


@pytest.mark.parametrize("longest", [65, 60, 40, 30])
def test_names_that_lost_underscores_are_found(shelf: Shelf, longest: int) -> None:
    header = "reservation/UnusedAmortizedUpfrontFeeForBillingPeriod"
    tag = "resourceTags/user:The Very Long Name Of A Tag Nobody Can Remember"
    columns: dict[str, list[Any]] = {header: [1.5], tag: ["x"]}
    shelf.cur(PERIOD, small(**columns), mode="athena", longest_name=longest, chunks=1)
    (record,) = shelf.read("cur", select=SELECT).records()
    assert record["reservation_unused_amortized_upfront_fee_for_billing_period"] == 1.5
    assert record["extra"] is None
    assert list(record["resource_tags"].values()) == ["x"]


@pytest.mark.parametrize(
    "names",
    [
        ("report.csv",),
        ("ofg-cur-1.csv", "ofg-cur-2.csv", "ofg-cur-3.csv"),
        ("a/b/c", "no suffix at all"),
        ("Bericht für September.txt", "empty.csv"),
    ],
)
def test_all_members_of_a_zip_are_read_whatever_their_names(shelf: Shelf, names: tuple[str, ...]) -> None:
    data = small(**{"lineItem/Operation": [f"op {number}" for number in range(7)]})
    delivery = shelf.cur(PERIOD, data, format="zip", chunks=1, members=names)
    path = shelf.path(delivery.data_keys[0])
    with zipfile.ZipFile(path, "a") as archive:
        archive.mkdir("a folder")
        archive.writestr("of no bytes", b"")
        archive.writestr("header only", ",".join(data.column_names) + "\r\n")
    shelf.set_time(delivery.delivered_at, delivery.data_keys[0])
    run = shelf.read("cur", select=SELECT)
    assert [record["line_item_operation"] for record in run.records()] == [f"op {n}" for n in range(7)]
    assert places(run) == [(1, number) for number in range(1, 8)]


def test_a_zip_of_members_with_different_columns_puts_each_value_in_its_own(shelf: Shelf) -> None:
    delivery = shelf.cur(PERIOD, small(), format="zip", chunks=1)
    with zipfile.ZipFile(shelf.path(delivery.data_keys[0]), "w") as archive:
        for name in ("Name", "Owner"):
            table = small(**{f"resourceTags/user:{name}": ["x"]})
            header = list(reversed(table.column_names))
            values = [str(table[column][0].as_py()) for column in header]
            archive.writestr(name, f"{','.join(header)}\n{','.join(values)}\n")
    shelf.set_time(delivery.delivered_at, delivery.data_keys[0])
    records = shelf.read("cur", select=SELECT).records()
    assert [record["resource_tags"] for record in records] == [{"user_name": "x"}, {"user_owner": "x"}]
    assert {record["line_item_unblended_cost"] for record in records} == {0.25}


@pytest.mark.parametrize("damage", ["cut", "garbage", "flipped"])
def test_a_damaged_zip_is_named_and_no_delivery_is_told(shelf: Shelf, damage: str) -> None:
    delivery = shelf.cur(PERIOD, legacy_table(lines()), format="zip", chunks=2)
    whole = shelf.path(delivery.data_keys[1]).read_bytes()
    middle = len(whole) // 2
    content = {
        "cut": whole[:middle],
        "garbage": b"this is no zip",
        "flipped": whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :],
    }[damage]
    shelf.replace(delivery, 1, content)
    run = shelf.run("cur", select=SELECT)
    assert run.exit_code == 1
    assert delivery.data_keys[1] in run.stderr
    assert "class=fatal" in run.stderr
    assert run.records("deliveries") == []


@pytest.mark.parametrize("folder", ["year=2026/month=9", "year=2026/month=09", "YEAR=2026/MONTH=9"])
def test_months_of_the_athena_layout_are_numbers(shelf: Shelf, folder: str) -> None:
    shelf.cur(PERIOD, small(), mode="athena", month_folder=folder)
    assert {record["billing_period"] for record in shelf.read("cur", select=SELECT).records()} == {PERIOD}


@pytest.mark.parametrize("parted", [True, False], ids=["as in CSV", "as in the data"])
def test_the_manifest_of_parquet_may_name_columns_in_either_form(shelf: Shelf, *, parted: bool) -> None:
    columns = [header.partition("/") for header in small().column_names]
    said = [
        {"category": category, "name": name if parted else cur_name(f"{category}/{name}")}
        for category, _, name in columns
    ]
    shelf.cur(PERIOD, small(), mode="athena", manifest={"columns": said})
    assert len(shelf.read("cur", select=SELECT).records()) == 1


def test_the_manifest_of_parquet_may_lie_where_that_of_csv_does(shelf: Shelf) -> None:
    delivery = shelf.cur(PERIOD, small(), mode="athena")
    manifest = shelf.path(delivery.manifest_key)
    other = shelf.path(f"billing/ofg-cur/20260901-20261001/{manifest.name}")
    other.parent.mkdir()
    manifest.rename(other)
    run = shelf.read("cur", select=SELECT)
    assert [record["billing_period"] for record in run.records()] == [PERIOD]
    assert [record["rows"] for record in run.records("deliveries")] == [1]


@pytest.mark.parametrize("folder", ["20260901-20261001", "20260901-20260930"])
def test_the_end_of_a_months_folder_says_nothing(shelf: Shelf, folder: str) -> None:
    shelf.cur(PERIOD, small(), month_folder=folder)
    assert {record["billing_period"] for record in shelf.read("cur", select=SELECT).records()} == {PERIOD}


@pytest.mark.parametrize(
    "text",
    [
        "%Y-%m-%dT%H:%M:%SZ",
        "%Y-%m-%dT%H:%M:%S.000Z",
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%d %H:%M:%S.000",
        "%Y-%m-%d %H:%M:%S+00:00",
        "%Y-%m-%d %H:%M:%SZ",
    ],
)
def test_times_are_understood_in_every_spelling_that_was_seen(shelf: Shelf, text: str) -> None:
    shelf.cur(PERIOD, legacy_table(lines()), time_format=text)
    records = shelf.read("cur", select=SELECT).records()
    starts = [truth.iso(value) for value in lines()["line_item_usage_start_date"].to_pylist()]
    assert [record["line_item_usage_start_date"] for record in records] == starts


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_month_restated_with_fewer_rows_has_the_rows_of_the_newest_delivery(
    shelf: Shelf, layout: tuple[str, str]
) -> None:
    mode, form = layout
    shelf.cur(PERIOD, legacy_table(lines(90)), mode=mode, format=form, chunks=3)
    first = shelf.read("cur", select=SELECT)
    less = shelf.cur(PERIOD, legacy_table(lines(20, seed=2)), mode=mode, format=form, chunks=1)
    second = shelf.read("cur", select=SELECT, state=first.state)
    assert [row["delivery_id"] for row in second.records("deliveries")] == [less.execution_id]
    assert {record["delivery_id"] for record in second.records()} == {less.execution_id}
    assert len(second.records()) == 20 == len(file_rows(shelf.path(less.data_keys[0])))
    assert shelf.read("cur", select=SELECT, state=second.state).records() == []


def test_two_reports_that_were_assembled_at_the_same_time_stay_apart(shelf: Shelf) -> None:
    at = "20260929T123456Z"
    shelf.cur(PERIOD, small(), assembly_id=at)
    shelf.cur(PERIOD, small(), assembly_id=at, report="another")
    exports = [{"type": "cur", "url": shelf.url("billing", name)} for name in ("ofg-cur", "another")]
    run = shelf.read(select=SELECT, exports=exports)
    assert len({truth.place_of(record) for record in run.records()}) == 2


@pytest.mark.parametrize(
    "content",
    [None, b"", gzip.compress(b"", mtime=0), gzip.compress(b"\n", mtime=0)],
    ids=["no file", "no bytes", "no bytes in gzip", "a newline in gzip"],
)
def test_a_month_that_has_just_begun_is_a_delivery_without_rows(shelf: Shelf, content: bytes | None) -> None:
    delivery = shelf.cur(PERIOD, small().slice(0, 0), chunks=0 if content is None else 1)
    if content is not None:
        shelf.replace(delivery, 0, content)
    run = shelf.read("cur", select=(*SELECT, "activities"))
    assert run.records() == run.records("activities") == []
    assert [row["rows"] for row in run.records("deliveries")] == [0]


@pytest.mark.parametrize("form", ["gzip", "zip"])
def test_missing_columns_are_named_before_the_first_row(shelf: Shelf, form: str) -> None:
    data = small().drop_columns(["lineItem/UnblendedCost", "lineItem/ProductCode"])
    shelf.cur(PERIOD, data, format=form)
    run = shelf.run("cur", select=SELECT)
    assert run.exit_code == 1
    assert run.records() == run.records("deliveries") == []
    assert "line_item_product_code, line_item_unblended_cost" in run.stderr


def test_columns_that_nobody_knows_are_kept(shelf: Shelf) -> None:
    names = ["splitLineItem/NewThing", "pricing/OfferingClasspricing/PurchaseOption", "Id"]
    shelf.cur(PERIOD, small(**{name: [f"of {name}"] for name in names}), chunks=1)
    (record,) = shelf.read("cur", select=SELECT).records()
    assert record["extra"] == {name: f"of {name}" for name in names}


def test_a_manifest_without_columns_or_their_types_is_enough(shelf: Shelf) -> None:
    """Old manifests have no types; those of generators name some of the columns only."""
    names = [name.split("/") for name in small().column_names]
    for period, members in {
        "2026-07": {"columns": [], "additionalArtifactKeys": None},
        "2026-08": {"columns": [{"category": category, "name": name} for category, name in names]},
    }.items():
        shelf.cur(period, small(), chunks=1, manifest=members)
    assert len(shelf.read("cur", select=SELECT).records()) == 2
