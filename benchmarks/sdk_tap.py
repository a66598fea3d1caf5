"""A plain tap as the Meltano SDK invites one to write it: one record after the other, SDK defaults all over.

It reads a local file with pyarrow or the csv module, only the columns that it shall.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
from singer_sdk import Stream, Tap
from singer_sdk import typing as th

from benchmarks.columns import kinds, names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from singer_sdk.helpers.types import Context

_TYPES: dict[str, th.JSONTypeHelper[Any]] = {
    "string": th.StringType(),
    "double": th.NumberType(),
    "timestamp[ns]": th.DateTimeType(),
    "map<string,string>": th.ObjectType(additional_properties=th.StringType),
    "map<string,double>": th.ObjectType(additional_properties=th.NumberType),
}
_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "double": float,
    "map<string,string>": json.loads,
    "map<string,double>": json.loads,
}


class LineItems(Stream):
    """The line items of one file."""

    name = "cost_and_usage"
    primary_keys = ("identity_line_item_id", "identity_time_interval")

    def __init__(self, tap: Tap) -> None:
        """Create the stream with the columns of the configuration."""
        all_kinds = kinds()
        self._kinds = {name: all_kinds[name] for name in names(tap.config["columns"])}
        properties = [th.Property(name, _TYPES[kind]) for name, kind in self._kinds.items()]
        super().__init__(tap, schema=th.PropertiesList(*properties).to_dict())

    def get_records(self, context: Context | None) -> Iterator[dict[str, Any]]:
        """All rows of the file."""
        del context
        path = Path(self.config["path"])
        return self._parquet(path) if path.name.endswith(".parquet") else self._csv(path)

    def _parquet(self, path: Path) -> Iterator[dict[str, Any]]:
        for batch in pq.ParquetFile(path).iter_batches(columns=list(self._kinds)):
            yield from batch.to_pylist(maps_as_pydicts="strict")

    def _csv(self, path: Path) -> Iterator[dict[str, Any]]:
        readers = {name: _FROM_TEXT.get(kind, str) for name, kind in self._kinds.items()}
        csv.field_size_limit(sys.maxsize)
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield {name: read(row[name]) if row[name] else None for name, read in readers.items()}


class SdkTap(Tap):
    """A tap of one file."""

    name = "tap-sdk-reference"
    config_jsonschema = th.PropertiesList(
        th.Property("path", th.StringType, required=True, description="A .parquet or .csv.gz file."),
        th.Property("columns", th.StringType, required=True, description="A column set of columns.py."),
    ).to_dict()

    def discover_streams(self) -> Sequence[Stream]:
        """The one stream."""
        return [LineItems(self)]


if __name__ == "__main__":
    SdkTap.cli()
