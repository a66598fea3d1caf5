"""Warehouses that are loaded as a target loads them, and that must all give the same answers."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import duckdb
import sqlglot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import psycopg

    Message = Mapping[str, Any]

SQL = Path(__file__).parents[2] / "sql"
#: The files in the order of their installation; nearly all are named after the table that they need.
FILES = (
    "deliveries",
    "cost_and_usage",
    "focus_costs",
    "carbon_export",
    "carbon_emissions",
    "water_allocation",
    "cost_details",
    "carbon_emissions_azure",
    "cost_query",
    "emissions_impact",
    "activities",
    "reports",
)
_NEEDS = {"reports": "activities", "carbon_emissions_azure": "carbon_emissions"}
#: Of these, only one fits the tables that are there.
_OF_A_CLOUD = {"aws": "carbon_emissions", "azure": "carbon_emissions_azure"}


def text_of(dialect: str, file: str) -> str:
    """A file as a user runs it; in BigQuery's the dataset is taken away, as others put in theirs."""
    return (SQL / dialect / f"{file}.sql").read_text("utf-8").replace("offgridflow.", "")


@cache
def _for_duckdb(dialect: str, file: str) -> str:
    text = text_of(dialect, file)
    if dialect == "duckdb":
        return text
    return ";".join(sqlglot.transpile(text, read=dialect, write="duckdb"))


class Warehouse(Protocol):
    """A database with a schema to load into.

    Attributes:
        types: The column types by the kind of JSON value; `date-time` is one, too.
        mark: Stands for a parameter.
    """

    types: Mapping[str, str]
    mark: str

    def run(self, statement: str, parameters: Iterable[Sequence[Any]] = ()) -> None:
        """Run a statement, once for each of the parameters if there are any."""

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        """The rows of an answer."""

    def install(self, file: str) -> None:
        """Run a file of the project."""


class DuckDb:
    """DuckDB in memory, with its own views or with another dialect's in translation."""

    mark = "?"

    def __init__(self, dialect: str, timestamp: str) -> None:
        self.types: Mapping[str, str] = {
            "string": "VARCHAR",
            "number": "DOUBLE",
            "integer": "BIGINT",
            "object": "JSON",
            "date-time": timestamp,
        }
        self._dialect = dialect
        self._database = duckdb.connect(config={"threads": 1})
        if timestamp == "TIMESTAMPTZ":
            self._database.execute("SET TimeZone = 'America/New_York'")

    def run(self, statement: str, parameters: Iterable[Sequence[Any]] = ()) -> None:
        if rows := list(parameters):
            self._database.executemany(statement, rows)
        else:
            self._database.execute(statement)

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        return self._database.execute(question).fetchall()

    def install(self, file: str) -> None:
        self._database.execute(_for_duckdb(self._dialect, file))


class Postgres:
    """A schema in a PostgreSQL server."""

    mark = "%s"

    def __init__(self, connection: psycopg.Connection, schema: str, timestamp: str) -> None:
        self.types: Mapping[str, str] = {
            "string": "text",
            "number": "double precision",
            "integer": "bigint",
            "object": "json" if timestamp == "timestamp" else "jsonb",
            "date-time": timestamp,
        }
        self._connection = connection
        self.run(f"CREATE SCHEMA {schema}")
        self.run(f"SET search_path TO {schema}")
        self.run("SET TimeZone TO 'America/New_York'")

    def run(self, statement: str, parameters: Iterable[Sequence[Any]] = ()) -> None:
        with self._connection.cursor() as cursor:
            if rows := list(parameters):
                cursor.executemany(statement.encode(), rows)
            else:
                cursor.execute(statement.encode())

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(question.encode()).fetchall()

    def install(self, file: str) -> None:
        self.run(text_of("postgres", file))


class Warehouses:
    """Several warehouses as one: all are loaded with the same, and asked the same."""

    def __init__(self, warehouses: Mapping[str, Warehouse]) -> None:
        self._warehouses = warehouses
        self._keys: dict[str, list[str]] = {}

    def load(self, messages: Iterable[Message]) -> None:
        """Load messages as a target does: a table for each stream, rows inserted or updated by their key."""
        rows: dict[str, list[Message]] = {}
        for message in messages:
            if message["type"] == "SCHEMA":
                self._create(message["stream"], message["schema"]["properties"], message["key_properties"])
            elif message["type"] == "RECORD":
                rows.setdefault(message["stream"], []).append(message["record"])
        for stream, records in rows.items():
            self._upsert(stream, records)

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        """The rows of an answer, sorted: times in UTC without a zone, numbers to 12 significant digits."""
        answers = {
            name: sorted(([_plain(value) for value in row] for row in warehouse.ask(question)), key=repr)
            for name, warehouse in self._warehouses.items()
        }
        first = next(iter(answers.values()))
        assert {name: answer for name, answer in answers.items() if answer != first} == {}, first
        return [tuple(row) for row in first]

    def install(self, cloud: str = "aws") -> None:
        """Install the views of the tables that there are, once more if they are there already."""
        others = set(_OF_A_CLOUD.values()) - {_OF_A_CLOUD[cloud]}
        for file in FILES:
            if file not in others and _NEEDS.get(file, file) in self._keys:
                for warehouse in self._warehouses.values():
                    warehouse.install(file)

    def _create(self, stream: str, properties: Mapping[str, Any], keys: list[str]) -> None:
        if stream in self._keys:
            return
        self._keys[stream] = keys
        for warehouse in self._warehouses.values():
            columns = [f'"{name}" {warehouse.types[_kind(schema)]}' for name, schema in properties.items()]
            key = ", ".join(keys)
            warehouse.run(f"CREATE TABLE {stream} ({', '.join(columns)}, PRIMARY KEY ({key}))")

    def _upsert(self, stream: str, records: list[Message]) -> None:
        names = list(records[0])
        keys = self._keys[stream]
        columns = ", ".join(f'"{name}"' for name in names)
        changes = ", ".join(f'"{name}" = excluded."{name}"' for name in names if name not in keys)
        for warehouse in self._warehouses.values():
            marks = ", ".join([warehouse.mark] * len(names))
            warehouse.run(
                f"INSERT INTO {stream} ({columns}) VALUES ({marks}) "
                f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}",
                ([_stored(record[name]) for name in names] for record in records),
            )


def _kind(schema: Mapping[str, Any]) -> str:
    (kind,) = {name for name in schema["type"] if name != "null"}
    return str(schema.get("format", kind))


def _stored(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _plain(value: Any) -> Any:
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC).replace(tzinfo=None)
    if isinstance(value, date) and not isinstance(value, datetime):
        # BigQuery truncates a date to a date, its translation to a time.
        return datetime.combine(value, time())
    if isinstance(value, (float, Decimal)):
        return float(f"{value:.12g}")
    return value
