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

from benchmarks.subjects import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from singer_sdk.helpers.types import Context

_TYPES: dict[str, th.JSONTypeHelper[Any]] = {
    "string": th.StringType(),
    "double": th.NumberType(),
    "boolean": th.BooleanType(),
    "timestamp": th.DateTimeType(),
    "timestamp[ns]": th.DateTimeType(),
    "day": th.DateTimeType(),
    "map<string,string>": th.ObjectType(additional_properties=th.StringType),
    "map<string,double>": th.ObjectType(additional_properties=th.NumberType),
    "json": th.ObjectType(additional_properties=th.StringType),
}


def _day(text: str) -> str:
    month, day, year = text.split("/")
    return f"{year}-{month}-{day}T00:00:00+00:00"


def _object(text: str) -> Any:  # noqa: ANN401 - what JSON holds
    return json.loads(text if text.startswith("{") else f"{{{text}}}")


#: What reads the values of kinds that are not what they are yet: in CSV, and in Parquet too.
_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "double": float,
    "day": _day,
    "map<string,string>": json.loads,
    "map<string,double>": json.loads,
    "json": _object,
}
_FROM_PARQUET = {"json": _object}


class LineItems(Stream):
    """The line items of one file."""

    def __init__(self, tap: Tap) -> None:
        """Create the stream with the columns of the configuration."""
        subject = SUBJECTS[tap.config["subject"]]
        self._columns = subject.sets[tap.config["columns"]]
        self._format = subject.format
        properties = [th.Property(column.name, _TYPES[column.kind]) for column in self._columns]
        super().__init__(tap, name=subject.stream, schema=th.PropertiesList(*properties).to_dict())
        self.primary_keys = subject.keys

    def get_records(self, context: Context | None) -> Iterator[dict[str, Any]]:
        """All rows of the file."""
        del context
        path = Path(self.config["path"])
        return self._parquet(path) if self._format == "parquet" else self._csv(path)

    def _parquet(self, path: Path) -> Iterator[dict[str, Any]]:
        names = [column.name for column in self._columns]
        readers = {c.name: _FROM_PARQUET[c.kind] for c in self._columns if c.kind in _FROM_PARQUET}
        for batch in pq.ParquetFile(path).iter_batches(columns=[column.header for column in self._columns]):
            for row in batch.rename_columns(names).to_pylist(maps_as_pydicts="strict"):
                for name, read in readers.items():
                    row[name] = read(row[name]) if row[name] else None
                yield row

    def _csv(self, path: Path) -> Iterator[dict[str, Any]]:
        readers = [(column.name, column.header, _FROM_TEXT.get(column.kind, str)) for column in self._columns]
        csv.field_size_limit(sys.maxsize)
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                yield {name: read(row[header]) if row[header] else None for name, header, read in readers}


class SdkTap(Tap):
    """A tap of one file."""

    name = "tap-sdk-reference"
    config_jsonschema = th.PropertiesList(
        th.Property("path", th.StringType, required=True, description="A .parquet or .csv.gz file."),
        th.Property(
            "subject", th.StringType, required=True, description="What the file is: see subjects.py."
        ),
        th.Property("columns", th.StringType, required=True, description="A column set of the subject."),
    ).to_dict()

    def discover_streams(self) -> Sequence[Stream]:
        """The one stream."""
        return [LineItems(self)]


if __name__ == "__main__":
    SdkTap.cli()
