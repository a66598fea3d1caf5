"""Exports that cannot be read: which error each gives, and that nothing is lost by it."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from tests.aws.bench import EXPORT, HEADER, LINE, PERIOD, line_items
from tests.aws.repair import BROKEN, GOOD, LATER, fails, repaired, three_months

if TYPE_CHECKING:
    from tests.aws.bench import Bench
    from tests.local_clouds.exports import PublishedDelivery


def cut(delivery: PublishedDelivery, bench: Bench, share: float) -> None:
    """Replace a file by its beginning, as a copy that was broken off leaves it."""
    content = bench.get(delivery.data_keys[1])
    bench.store.put(delivery.data_keys[1], content[: int(len(content) * share)])
    bench.set_time(delivery.delivered_at, delivery.data_keys[1])


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_file_that_is_cut_short_is_named_and_its_period_counts_as_unread(
    bench: Bench, kind: str, share: float
) -> None:
    delivery = three_months(bench, format=kind)
    cut(delivery, bench, share)
    run = bench.run()
    fails(run, delivery.data_keys[1], "have the period delivered again", "class=fatal")
    repaired(bench, run)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_file_of_something_else_is_named(bench: Bench, kind: str) -> None:
    delivery = three_months(bench, format=kind)
    bench.store.put(delivery.data_keys[1], b"<html>not what it was</html>" * 50)
    bench.set_time(delivery.delivered_at, delivery.data_keys[1])
    run = bench.run()
    fails(run, delivery.data_keys[1], "class=fatal")
    repaired(bench, run)


def test_a_file_that_the_manifest_names_but_nobody_delivered_is_named_before_any_row(bench: Bench) -> None:
    delivery = three_months(bench)
    bench.store.delete(delivery.data_keys[2])
    run = bench.run()
    fails(run, delivery.data_keys[2], "copy the data files, too", "class=not_found")
    assert {record["billing_period"] for record in run.records()} == {GOOD}
    repaired(bench, run)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no JSON"),
        (b"<html>", "no JSON"),
        (b'{"executionId": "x", "dataFiles": [', "no JSON"),
        (b"\xff\xfe\x00", "no JSON"),
        (b"[]", "no JSON object"),
        ({"executionId": None}, "no executionId"),
        ({"executionId": ""}, "no executionId"),
        ({"dataFiles": None}, "no list dataFiles"),
        ({"dataFiles": "s3://bucket/key"}, "no list dataFiles"),
        ({"dataFiles": [1]}, "no list dataFiles"),
        ({"dataFiles": [f"s3://b/exports/{EXPORT}/elsewhere/x.parquet"]}, f"not below {EXPORT}/data/"),
        ({"columns": ["line_item_usage_type"]}, "columns"),
        ({"columns": [{"type": "string"}]}, "columns"),
    ],
)
def test_a_manifest_that_cannot_be_understood_is_named(
    bench: Bench, content: bytes | dict[str, Any], said: str
) -> None:
    delivery = three_months(bench)
    if isinstance(content, dict):
        bench.put_manifest(delivery, **content)
    else:
        bench.store.put(delivery.manifest_key, content)
    run = bench.run()
    fails(run, delivery.manifest_key, said, "have the period delivered again", "class=fatal")
    assert {record["billing_period"] for record in run.records()} == {GOOD}
    repaired(bench, run)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
@pytest.mark.parametrize("in_manifest", [True, False], ids=["manifest says so", "file only"])
def test_a_required_column_that_is_absent_is_named_before_any_row(
    bench: Bench,
    kind: str,
    in_manifest: bool,  # noqa: FBT001 - which of the two cases
) -> None:
    missing = ["line_item_unblended_cost", "line_item_usage_account_id"]
    table = line_items(line_item_operation=["a", "b", "c"]).drop_columns(missing)
    bench.publish(GOOD, 5)
    delivery = bench.publish(BROKEN, table, format=kind)
    if not in_manifest:
        bench.put_manifest(delivery)
    bench.publish(LATER, 6)
    run = bench.run()
    fails(run, f"no column {', '.join(missing)}", "let the export have them, by its query", "class=fatal")
    assert {record["billing_period"] for record in run.records()} == {GOOD}
    repaired(bench, run)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.25", "about a dollar"),
        ("0.25", "1,5"),
        ("0.25", "nan"),
        ("0.25", "Infinity"),
        ("0.25", "0x10"),
        ("2026-09-01T00:00:00Z", "01.09.2026"),
        ("2026-09-01T00:00:00Z", "2026-13-01T00:00:00Z"),
        (LINE, LINE + ",too many"),
        (LINE, LINE.rpartition(",")[0]),
    ],
)
def test_a_value_of_csv_that_is_not_of_its_columns_kind_is_an_error_and_never_a_null(
    bench: Bench, old: str, new: str
) -> None:
    value = f'"{new}"' if "," in new and old != LINE else new
    delivery = bench.publish_csv(
        f"{HEADER}\n{LINE}\n", f"{HEADER}\n{LINE}\n{LINE.replace(old, value)}\n{LINE}\n"
    )
    run = bench.run()
    fails(run, delivery.data_keys[1], "a file that cannot be read", "class=fatal")
    assert run.records("deliveries") == []


def test_a_value_of_parquet_that_is_not_of_its_columns_kind_is_an_error(bench: Bench) -> None:
    table = line_items(line_item_operation=["a"]).drop_columns("line_item_unblended_cost")
    table = table.append_column("line_item_unblended_cost", pa.array(["a lot"]))
    delivery = bench.publish(PERIOD, table, chunks=1)
    fails(bench.run(), delivery.data_keys[0], "a file that cannot be read", "class=fatal")


@pytest.mark.parametrize("text", ['"[1, 2]"', '"{""a"": "', '"just text"'])
def test_a_map_of_csv_that_is_none_is_an_error(bench: Bench, text: str) -> None:
    delivery = bench.publish_csv(f"{HEADER},resource_tags\n{LINE},{text}\n")
    fails(bench.run(), delivery.data_keys[0], "a file that cannot be read", "class=fatal")


def test_text_that_is_not_utf8_is_an_error(bench: Bench) -> None:
    text = f"{HEADER},line_item_operation\n{LINE},Zürich\n"
    delivery = bench.publish_csv(gzip.compress(text.encode("latin-1")))
    fails(bench.run(), delivery.data_keys[0], "a file that cannot be read", "class=fatal")
