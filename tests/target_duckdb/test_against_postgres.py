"""Whatever a tap sends, DuckDB holds what PostgreSQL holds when meltanolabs-target-postgres loads it.

Hypothesis makes up the streams; one run of each loader takes them all, since to start one takes seconds.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.installed import Once, installed
from tests.sql.postgres import running_postgres
from tests.target_duckdb.loading import Loader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hypothesis.strategies import DrawFn, SearchStrategy

    from tests.target_duckdb.loading import Message

POSTGRES_LOADER = ("meltanolabs-target-postgres==0.8.1", "singer-sdk==0.54.9", "sqlalchemy==2.1.9")
STREAMS = 150
SECONDS = 120

#: PostgreSQL has no NUL, and its loader takes a percent sign in a name for a parameter.
LETTERS = st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))
TEXTS = st.text(LETTERS | st.sampled_from("\n\t\\\"',;{}"), max_size=12)
NAMES = st.sampled_from(["select", "Order", "a b", "ünï", "a.b", "user", "x-y", "1st", "t", "u", "v", "w"])
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=OFFSETS)  # noqa: DTZ001 - the zone is drawn
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(-1e6, 1e6).map(lambda v: round(v, 3) + 0.0)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


@dataclass(frozen=True)
class Kind:
    """A kind of property, and what its values may be as they stand in JSON."""

    schema: Mapping[str, Any]
    values: SearchStrategy[Any]


KEY_KINDS = (
    Kind({"type": "string"}, TEXTS),
    Kind({"type": "integer"}, st.integers(-2, 3) | INTEGERS),
    Kind({"type": "string", "format": "date-time"}, MOMENTS.map(datetime.isoformat)),
    Kind({"type": "string", "format": "date"}, st.dates().map(date.isoformat)),
    Kind({"type": "boolean"}, st.booleans()),
)
KINDS = (
    *(
        Kind({**kind.schema, "type": [kind.schema["type"], "null"]}, kind.values | st.none())
        for kind in KEY_KINDS
    ),
    Kind({"type": ["null", "number"]}, FLOATS | st.integers(-(2**53), 2**53) | st.none()),
    Kind(
        {"type": ["number", "null"], "multipleOf": 0.001},
        st.integers(-(10**9), 10**9).map(lambda v: v / 1000) | st.none(),
    ),
    Kind({"type": ["string", "null"], "format": "time"}, st.times().map(time.isoformat) | st.none()),
    Kind({"type": ["object", "null"]}, st.dictionaries(TEXTS, JSON, max_size=3) | st.none()),
    Kind({"type": ["array", "null"]}, st.lists(JSON, max_size=3) | st.none()),
    Kind({"type": ["array", "null"], "items": {"type": "string"}}, st.lists(TEXTS, max_size=3) | st.none()),
    Kind(
        {"type": ["array", "null"], "items": {"type": "integer"}}, st.lists(INTEGERS, max_size=3) | st.none()
    ),
    Kind(
        {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
        MOMENTS.map(datetime.isoformat),
    ),
)


@dataclass(frozen=True)
class Stream:
    """What a tap sends of a stream.

    Attributes:
        keys: Its key properties.
        parts: Schemas, each with the records that follow it.
    """

    keys: tuple[str, ...]
    parts: list[tuple[dict[str, Any], list[dict[str, Any]]]] = field(default_factory=list)

    def messages(self, name: str) -> Iterator[Message]:
        for properties, records in self.parts:
            yield {
                "type": "SCHEMA",
                "stream": name,
                "schema": {"type": "object", "properties": properties},
                "key_properties": list(self.keys),
            }
            for record in records:
                yield {"type": "RECORD", "stream": name, "record": record}


@st.composite
def streams(draw: DrawFn) -> Stream:
    """A stream whose schema gains and loses columns, with rows of few different keys."""
    names = draw(st.lists(NAMES, min_size=1, max_size=6, unique_by=str.lower))
    keys = tuple(names[: draw(st.integers(0, min(2, len(names))))])
    kinds = {name: draw(st.sampled_from(KEY_KINDS if name in keys else KINDS)) for name in names}
    pool = [{key: draw(kinds[key].values) for key in keys} for _ in range(draw(st.integers(1, 4)))]
    stream = Stream(keys)
    for _ in range(draw(st.integers(1, 3))):
        there = [name for name in names if name in keys or draw(st.booleans())] or names
        records = []
        for _ in range(draw(st.integers(0, 6))):
            record = dict(draw(st.sampled_from(pool)))
            for name in there:
                if name not in keys and draw(st.integers(0, 4)):
                    record[name] = draw(kinds[name].values)
            records.append(record)
        stream.parts.append(({name: dict(kinds[name].schema) for name in there}, records))
    return stream


@pytest.fixture(scope="module")
def made_up() -> dict[str, Stream]:
    """Streams, by name."""
    collected: list[Stream] = []

    @settings(
        max_examples=STREAMS,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(streams())
    def collect(stream: Stream) -> None:
        collected.append(stream)

    collect()
    return {f"s{number}": stream for number, stream in enumerate(collected)}


@pytest.fixture(scope="module")
def in_postgres(
    made_up: dict[str, Stream], once: Once, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A connection to where PostgreSQL's loader has put the streams."""
    program = installed(once, "target-postgres", *POSTGRES_LOADER)
    config = tmp_path_factory.mktemp("postgres") / "config.json"
    lines = (json.dumps(message) for name, stream in made_up.items() for message in stream.messages(name))
    with running_postgres() as address:
        socket = dict(part.split("=", 1) for part in address.split())["host"]
        url = f"postgresql+psycopg://postgres@/postgres?host={socket}&options=-c%20TimeZone%3DUTC"
        config.write_text(
            json.dumps(
                {
                    "sqlalchemy_url": url,
                    "default_target_schema": "public",
                    "add_record_metadata": False,
                    "activate_version": False,
                }
            )
        )
        done = subprocess.run(
            [program, "--config", config],
            input="\n".join(lines).encode(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        with psycopg.connect(address, autocommit=True) as connection:
            yield connection


@pytest.fixture(scope="module", params=[{}, {"batch_size_rows": 2}, {"validate_records": True}], ids=str)
def in_duckdb(
    request: pytest.FixtureRequest, made_up: dict[str, Stream], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to where this loader has put the streams, by several ways."""
    loader = Loader(tmp_path_factory.mktemp("duckdb") / "loaded.duckdb", request.param)
    loader.load(*(message for name, stream in made_up.items() for message in stream.messages(name)))
    with duckdb.connect(str(loader.path)) as connection:
        connection.execute("SET TimeZone = 'UTC'").fetchall()
        yield connection


def test_both_hold_the_same_rows(made_up: dict[str, Stream], in_postgres: Any, in_duckdb: Any) -> None:
    rows = 0
    for name, stream in made_up.items():
        theirs, ours = rows_of(in_postgres, name), rows_of(in_duckdb, name)
        assert ours == theirs, list(stream.messages(name))
        rows += len(ours)
    assert len(made_up) > STREAMS / 2
    assert rows > STREAMS


def rows_of(connection: Any, table: str) -> list[list[tuple[str, Any]]]:
    """The rows of a table in an order that both databases have, their values made comparable."""
    cursor = connection.execute(f"SELECT * FROM {table}")
    columns = [(name, kind) for name, kind, *_ in cursor.description]
    rows = [
        sorted((name, comparable(value, kind)) for (name, kind), value in zip(columns, row, strict=True))
        for row in cursor.fetchall()
    ]
    return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True, default=str))


def comparable(value: Any, kind: object) -> Any:
    """A value as both databases would give it.

    PostgreSQL's loader has instants without zone, in UTC, and DuckDB's JSON and times of day come as text.
    What is a double in DuckDB is exact in PostgreSQL.
    """
    if isinstance(value, time):
        return value.isoformat()
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    if isinstance(value, (Decimal, float)):
        # PostgreSQL's exact numbers have no negative zero.
        return float(value) + 0.0
    return json.loads(value) if kind == "JSON" and value is not None else value
