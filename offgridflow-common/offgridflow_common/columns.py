"""Columns: the one declaration from which a stream's JSON schema and its polars types both come."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from enum import Enum
from importlib import resources
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable

#: How a timestamp is written: UTC with microseconds, the way the Meltano SDK writes one.
TIMESTAMP_FORMAT = "%Y-%m-%dT%H:%M:%S%.6f+00:00"


class Kind(Enum):
    """The kinds of values a column can hold, each with its JSON schema and its polars type."""

    STRING = ({"type": ["string", "null"]}, pl.String())
    NUMBER = ({"type": ["number", "null"]}, pl.Float64())
    INTEGER = ({"type": ["integer", "null"]}, pl.Int64())
    TIMESTAMP = ({"type": ["string", "null"], "format": "date-time"}, pl.Datetime("us", "UTC"))
    STRING_MAP = (
        {"type": ["object", "null"], "additionalProperties": {"type": ["string", "null"]}},
        pl.Map(pl.String(), pl.String()),
    )
    NUMBER_MAP = (
        {"type": ["object", "null"], "additionalProperties": {"type": ["number", "null"]}},
        pl.Map(pl.String(), pl.Float64()),
    )
    #: An object whose members are known only from the file: what a provider added since.
    OBJECT = ({"type": ["object", "null"], "additionalProperties": True}, pl.Null())

    @property
    def json_type(self) -> dict[str, Any]:
        """The JSON schema of a nullable value of this kind."""
        schema: dict[str, Any] = self.value[0]
        return schema

    @property
    def is_map(self) -> bool:
        """Whether a value is an object with members."""
        return self in {Kind.STRING_MAP, Kind.NUMBER_MAP, Kind.OBJECT}

    @property
    def dtype(self) -> pl.DataType:
        """The polars type; ``Null`` for :attr:`OBJECT`, whose struct differs from file to file."""
        dtype: pl.DataType = self.value[1]
        return dtype


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a stream.

    Attributes:
        name: The name in records and in the catalog.
        kind: What the values are.
        description: What the values mean, with their unit; it goes into the catalog.
        required: A value is always there, as in key columns.
    """

    name: str
    kind: Kind = Kind.STRING
    description: str = ""
    required: bool = False

    @property
    def json_schema(self) -> dict[str, Any]:
        """The JSON schema of the column, with its description."""
        schema = dict(self.kind.json_type)
        if self.required:
            schema["type"] = [kind for kind in schema["type"] if kind != "null"]
        if self.description:
            schema["description"] = self.description
        return schema


_KINDS_IN_FILES = {
    "string": Kind.STRING,
    "double": Kind.NUMBER,
    "timestamp": Kind.TIMESTAMP,
    "map<string,string>": Kind.STRING_MAP,
    "map<string,double>": Kind.NUMBER_MAP,
}


def read_columns(package: str, path: str) -> tuple[Column, ...]:
    """Columns that a CSV file of a package declares.

    Args:
        package: The package that holds the file.
        path: The file, with the columns ``name``, ``type`` (as Glue spells types) and ``description``.
    """
    text = resources.files(package).joinpath(path).read_text("utf-8")
    return tuple(
        Column(row["name"], _KINDS_IN_FILES[row["type"]], row["description"])
        for row in csv.DictReader(text.splitlines())
    )


def squashed(name: str) -> str:
    """A name without what its spellings differ in: case and underscores."""
    return name.replace("_", "").lower()


def json_schema(columns: Iterable[Column]) -> dict[str, Any]:
    """The JSON schema of a stream with these columns."""
    return {"type": "object", "properties": {column.name: column.json_schema for column in columns}}


def polars_schema(columns: Iterable[Column]) -> dict[str, pl.DataType]:
    """The polars types of these columns, by name."""
    return {column.name: column.kind.dtype for column in columns}
