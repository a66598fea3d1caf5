"""What export files say, read without the tap: pyarrow for Parquet, csv and decimal for CSV."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import Counter
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from tests.export_files import EMPTY, iso, same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.local_clouds.exports import PublishedDelivery

    Row = dict[str, Any]
    Place = tuple[str, str, int, int]

_TYPES = Path(__file__).parents[1] / "local_clouds" / "data" / "cur2_columns.csv"


@cache
def column_types() -> dict[str, str]:
    """The type of each CUR 2.0 column, in the order of the real export."""
    with _TYPES.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row["arrow_type"] for row in csv.DictReader(file)}


def rows_of(key: str, content: bytes) -> list[Row]:
    """The rows of a file, as JSON would have them but with decimals for numbers."""
    if not content:
        return []
    if key.endswith(".parquet"):
        table = pq.read_table(io.BytesIO(content))
        return [
            {name: _plain(value) for name, value in row.items()}
            for row in table.to_pylist(maps_as_pydicts="strict")
        ]
    text = gzip.decompress(content).decode() if key.endswith(".gz") else content.decode()
    return [
        {name: _parsed(name, value) for name, value in row.items()}
        for row in csv.DictReader(io.StringIO(text, newline=""))
    ]


def placed_rows(read: Callable[[str], bytes], period: str, delivery: PublishedDelivery) -> dict[Place, Row]:
    """All rows of a delivery by their key: period, delivery, file and row."""
    return {
        (period, delivery.execution_id, ordinal, number): row
        for ordinal, key in enumerate(delivery.data_keys, start=1)
        for number, row in enumerate(rows_of(key, read(key)), start=1)
    }


def place_of(record: Row) -> Place:
    """The key of a record of `cost_and_usage`."""
    return (
        record["billing_period"],
        record["delivery_id"],
        record["file_ordinal"],
        record["row_number"],
    )


def by_place(records: Iterable[Row]) -> dict[Place, Row]:
    """Records by key; one that comes twice fails the test."""
    listed = list(records)
    twice = [place for place, times in Counter(map(place_of, listed)).items() if times > 1]
    assert not twice, twice[:3]
    return {place_of(record): record for record in listed}


def current(records: Iterable[Row], deliveries: Iterable[Row]) -> list[Row]:
    """The rows that the newest known delivery of each export and period has: what a consumer selects."""
    newest: dict[tuple[str, str], tuple[str, str]] = {}
    for row in deliveries:
        place = row["export_name"], row["billing_period"]
        newest[place] = max(newest.get(place, ("", "")), (row["delivered_at"], row["delivery_id"]))
    return [
        record
        for record in records
        if newest.get((record["export_name"], record["billing_period"]), ("", ""))[1] == record["delivery_id"]
    ]


def differences(records: dict[Place, Row], truth: dict[Place, Row]) -> list[Any]:
    """Where records differ from the files; empty if nowhere."""
    found: list[Any] = [*(set(records) ^ set(truth))]
    for place in set(records) & set(truth):
        found += [
            (place, name, records[place].get(name), value)
            for name, value in truth[place].items()
            if not same(records[place].get(name), value)
        ]
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, float):
        return Decimal(repr(value))
    return iso(value) if isinstance(value, datetime) else value


def _parsed(name: str, text: str) -> Any:
    kind = column_types().get(name, "string")
    if not text:
        return EMPTY if kind == "string" else None
    if kind == "double":
        return Decimal(text)
    if kind.startswith("timestamp"):
        return iso(datetime.fromisoformat(text))
    return json.loads(text, parse_float=Decimal, parse_int=Decimal) if kind.startswith("map") else text
