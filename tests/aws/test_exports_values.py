from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from offgridflow_common.exports import csv_blocks
from tests.aws import truth
from tests.aws.bench import HEADER, LEAST, LINE, PERIOD, line_items

if TYPE_CHECKING:
    from tests.aws.bench import Bench

#: Text that is easily torn, trimmed, quoted wrongly, or taken for something else.
TEXTS = (
    "Zürich, 東京 🌍",
    'the "old" one',
    '"',
    "first\nsecond\r\nthird\rfourth",
    "tab\tbackslash \\ \\n \\u0041",
    " blanks around ",
    "NULL",
    "null",
    "NaN",
    "1e5",
    "007",
    "true",
    "line\u2028paragraph\u2029bom\ufeff",
    "bell\x07 and unit\x1f",
    "{}",
    "x" * 70_000,
)
NUMBERS = (0.1, 1 / 3, 1e-10, 123456789.123456789, 5e-324, 1.7976931348623157e308, -0.0, 1e22, -42.5, 0.0)


@pytest.mark.parametrize("chunk_bytes", [None, 1_000, 97])
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_text_that_is_easily_broken_arrives_as_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, kind: str, chunk_bytes: int | None
) -> None:
    if chunk_bytes:  # so that every record is cut somewhere, between the quotes of a field, too
        monkeypatch.setattr(csv_blocks, "_CHUNK_BYTES", chunk_bytes)
    texts = [*TEXTS, None]
    table = line_items(line_item_line_item_description=texts, line_item_resource_id=texts[::-1])
    bench.publish(PERIOD, table, format=kind, chunks=1)
    records = bench.read().records()
    assert [record["line_item_line_item_description"] for record in records] == texts
    assert [record["line_item_resource_id"] for record in records] == texts[::-1]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_numbers_keep_all_their_digits(bench: Bench, kind: str) -> None:
    bench.publish(PERIOD, line_items(line_item_unblended_cost=[*NUMBERS, None]), format=kind, chunks=1)
    costs = [record["line_item_unblended_cost"] for record in bench.read().records()]
    assert costs == [*NUMBERS, None]


def test_numbers_of_more_digits_than_a_float_has_are_rounded_to_the_nearest(bench: Bench) -> None:
    texts = ("0.12345678901234567890", "98765432109876543210.5", "1E-7", "+5", "0.30000000000000004", "-.5")
    rows = "\n".join(f"Usage,AmazonEC2,{text},1,1,2026-09-01T00:00:00Z,x" for text in texts)
    bench.publish_csv(f"{HEADER}\n{rows}\n")
    costs = [record["line_item_unblended_cost"] for record in bench.read().records()]
    assert costs == [float(Decimal(text)) for text in texts]


def test_columns_that_the_tap_does_not_know_are_kept_in_extra_and_missing_ones_are_null(bench: Bench) -> None:
    new = {
        "line_item_brand_new": pa.array(["a", None]),
        "new_number": pa.array([0.1, None]),
        "new_count": pa.array([2**53 + 1, None]),
        "new_flag": pa.array([True, None]),
        "new_time": pa.array([datetime(2026, 9, 1, 12), None], pa.timestamp("ns")),  # noqa: DTZ001
        "new_day": pa.array([datetime(2026, 9, 1, tzinfo=UTC).date(), None]),
        "new_decimal": pa.array([Decimal("1.25"), None]),
        "new_list": pa.array([["x", "y"], None]),
        "new_map": pa.array([[("k", "v")], None], pa.map_(pa.string(), pa.string())),
        "new_struct": pa.array([{"a": 1, "b": "x"}, None]),
        # Names that mean something to the tap, but not in a file.
        "extra": pa.array(["their own", None]),
        "row_number": pa.array([17, None]),
        "delivery_id": pa.array(["not ours", None]),
    }
    bench.publish(PERIOD, line_items(**new), chunks=1)
    first, second = bench.read().records()
    assert first["extra"] == {
        "line_item_brand_new": "a",
        "new_number": 0.1,
        "new_count": 2**53 + 1,
        "new_flag": True,
        "new_time": "2026-09-01T12:00:00.000000+00:00",
        "new_day": "2026-09-01",
        "new_decimal": 1.25,
        "new_list": ["x", "y"],
        "new_map": {"k": "v"},
        "new_struct": {"a": 1, "b": "x"},
        "extra": "their own",
        "row_number": 17,
        "delivery_id": "not ours",
    }
    assert set(second["extra"]) == set(new)
    assert first["row_number"] == 1
    assert first["delivery_id"] != "not ours"
    missing = set(truth.column_types()) - set(LEAST)
    assert {first[name] for name in missing} == {None}


def test_unknown_columns_of_csv_are_kept_as_text_even_where_a_name_comes_twice(bench: Bench) -> None:
    bench.publish_csv(f"{HEADER},new,new,\n{LINE},01,,z\n")
    (record,) = bench.read().records()
    assert list(record["extra"].values()) == ["01", None, "z"]


#: Forms of times in CSV, and the moment in UTC.
TIMES = {
    "2026-09-01T05:00:00Z": "2026-09-01T05:00:00.000000+00:00",
    "2026-09-01T05:00:00.123Z": "2026-09-01T05:00:00.123000+00:00",
    "2026-09-01 05:00:00": "2026-09-01T05:00:00.000000+00:00",
    "2026-09-01T05:00:00.123456": "2026-09-01T05:00:00.123456+00:00",
    "2026-09-01 05:00:00+00:00": "2026-09-01T05:00:00.000000+00:00",
    "2026-09-01T05:00:00+0530": "2026-08-31T23:30:00.000000+00:00",
    "2026-09-01 05:00:00-07:00": "2026-09-01T12:00:00.000000+00:00",
    "2026-09-01": "2026-09-01T00:00:00.000000+00:00",
    "": None,
}


def test_times_of_csv_are_utc_with_and_without_an_offset(bench: Bench) -> None:
    lines = "\n".join(f"{LINE},{text}" for text in TIMES)
    bench.publish_csv(f"{HEADER},line_item_usage_end_date\n{lines}\n")
    records = bench.read().records()
    assert [record["line_item_usage_end_date"] for record in records] == list(TIMES.values())
    assert {record["line_item_usage_start_date"] for record in records} == {
        "2026-09-01T00:00:00.000000+00:00"
    }


def test_times_of_parquet_are_utc_in_every_unit_and_zone(bench: Bench) -> None:
    """Each file of the delivery has its own type of time."""
    moment = datetime(2026, 9, 1, 5, 30, tzinfo=UTC)
    naive = moment.replace(tzinfo=None)
    arrays = [
        pa.array([naive], pa.timestamp("ns")),
        pa.array([naive], pa.timestamp("us")),
        pa.array([naive], pa.timestamp("ms")),
        pa.array([moment], pa.timestamp("us", "UTC")),
        pa.array([moment], pa.timestamp("us", "Europe/Berlin")),
    ]
    bench.publish(data=iter([line_items(line_item_usage_start_date=array) for array in arrays]))
    records = bench.read().records()
    assert [record["file_ordinal"] for record in records] == [1, 2, 3, 4, 5]
    assert {record["line_item_usage_start_date"] for record in records} == {
        "2026-09-01T05:30:00.000000+00:00"
    }


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_maps_arrive_as_objects_and_no_map_is_no_object(bench: Bench, kind: str) -> None:
    texts = pa.map_(pa.string(), pa.string())
    tags = [{"user_owner": TEXTS[0], 'Key of, "Many"': "", "none": None, "n": "01"}, {}, None]
    discounts = [{"edp": -0.1, "none": None, "whole": 2.0}, {}, None]
    table = line_items(
        resource_tags=pa.array(tags, texts),
        product=pa.array(tags[::-1], texts),
        discount=pa.array(discounts, pa.map_(pa.string(), pa.float64())),
    )
    bench.publish(PERIOD, table, format=kind, chunks=1)
    records = bench.read().records()
    assert [record["resource_tags"] for record in records] == tags
    assert [record["product"] for record in records] == tags[::-1]
    assert [record["discount"] for record in records] == discounts


def test_maps_of_csv_may_be_written_in_other_ways(bench: Bench) -> None:
    maps = {"[]": {}, "{}": {}, "": None, '{"a": 1}': {"a": "1"}, '{"a":"ü\\n"}': {"a": "ü\n"}}
    quoted = ['"' + text.replace('"', '""') + '"' for text in maps]
    lines = "\n".join(f"{LINE},{text}" for text in quoted)
    bench.publish_csv(f"{HEADER},resource_tags\n{lines}\n")
    records = bench.read().records()
    assert [record["resource_tags"] for record in records] == list(maps.values())


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_csv_may_begin_with_a_byte_order_mark_and_end_its_lines_in_either_way(
    bench: Bench, newline: str, start: str
) -> None:
    whole = newline.join([f"{HEADER},line_item_operation", f"{LINE},RunInstances", f"{LINE},"])
    bench.publish_csv(start + whole, start + whole + newline)
    records = bench.read().records()
    assert [record["line_item_operation"] for record in records] == ["RunInstances", None] * 2
    assert {record["line_item_line_item_type"] for record in records} == {"Usage"}
    assert {record["extra"] for record in records} == {None}


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_account_ids_keep_their_leading_zeros(bench: Bench, kind: str) -> None:
    ids = ["012345678901", "000000000001", "111122223333"]
    table = line_items(line_item_usage_account_id=ids, bill_payer_account_id=ids[::-1])
    bench.publish(PERIOD, table, format=kind, chunks=3)
    records = bench.read().records()
    assert [record["line_item_usage_account_id"] for record in records] == ids
    assert [record["bill_payer_account_id"] for record in records] == ids[::-1]
