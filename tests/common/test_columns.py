"""Columns: one declaration, from which the JSON schema and the polars types follow."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from typing import Any

import jsonschema
import polars as pl
import pytest
from singer_sdk.helpers._typing import is_datetime_type

from offgridflow_common.columns import (
    TIMESTAMP_FORMAT,
    Column,
    Kind,
    json_schema,
    polars_schema,
    read_columns,
    squashed,
)

MOMENT = datetime(2026, 3, 1, 12, 30, 0, 250, tzinfo=UTC)

#: A value of each kind as polars holds it, as JSON has it, and a JSON value that the kind refuses.
VALUES: dict[Kind, tuple[Any, Any, Any]] = {
    Kind.STRING: ("text", "text", 1),
    Kind.NUMBER: (1.5, 1.5, "1.5"),
    Kind.INTEGER: (2**53 + 1, 2**53 + 1, 1.5),
    Kind.TIMESTAMP: (MOMENT, "2026-03-01T12:30:00.000250+00:00", 1772368200),
    Kind.STRING_MAP: ({"a": "1", "b": None}, {"a": "1", "b": None}, {"a": 1}),
    Kind.NUMBER_MAP: ({"a": 1.5, "b": None}, {"a": 1.5, "b": None}, {"a": "1.5"}),
}


def test_no_kind_is_an_alias_of_another_and_every_kind_is_shown_here() -> None:
    assert (
        {kind.name for kind in Kind} == set(Kind.__members__) == {kind.name for kind in VALUES} | {"OBJECT"}
    )


@pytest.mark.parametrize("kind", VALUES)
def test_what_polars_holds_is_what_the_schema_says(kind: Kind) -> None:
    held, in_json, refused = VALUES[kind]
    series = pl.Series([held, None], dtype=kind.dtype)
    frame = pl.DataFrame({"x": series})
    if kind is Kind.TIMESTAMP:
        frame = frame.with_columns(pl.col("x").dt.strftime(TIMESTAMP_FORMAT))
    written = [json.loads(line)["x"] for line in frame.write_ndjson().splitlines()]
    assert written == [in_json, None]
    for value in written:
        jsonschema.validate(value, kind.json_type)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(refused, kind.json_type)


@pytest.mark.parametrize("value", [{}, {"new": 1, "deep": {"er": [True]}}, None])
def test_an_object_takes_whatever_a_provider_added(value: object) -> None:
    jsonschema.validate(value, Kind.OBJECT.json_type)


@pytest.mark.parametrize("kind", Kind)
def test_a_required_column_is_never_null_and_any_other_may_be(kind: Kind) -> None:
    jsonschema.validate(None, Column("x", kind).json_schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(None, Column("x", kind, required=True).json_schema)


def test_a_required_column_leaves_its_kind_as_it_was() -> None:
    _ = Column("x", Kind.STRING, "Words.", required=True).json_schema
    assert Kind.STRING.json_type == {"type": ["string", "null"]}


def test_the_description_stands_in_the_schema_if_there_is_one() -> None:
    assert Column("x", description="In kg.").json_schema["description"] == "In kg."
    assert "description" not in Column("x").json_schema


def test_the_sdk_takes_a_timestamp_for_one() -> None:
    assert [kind for kind in Kind if is_datetime_type(kind.json_type)] == [Kind.TIMESTAMP]


def test_columns_stand_in_the_order_of_their_declaration() -> None:
    columns = (Column("b", Kind.NUMBER), Column("a", Kind.OBJECT), Column("c"))
    assert list(json_schema(columns)["properties"]) == list(polars_schema(columns)) == ["b", "a", "c"]
    assert polars_schema(columns) == {"b": pl.Float64(), "a": pl.Null(), "c": pl.String()}
    assert json_schema(columns)["type"] == "object"


def test_a_column_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Column("x").name = "y"  # type: ignore[misc]  # the assignment is what is refused


def test_columns_can_be_declared_in_a_file_of_a_package() -> None:
    columns = read_columns("offgridflow_common", "data/focus_columns.csv")
    assert len({column.name for column in columns}) == len(columns) > 50
    kinds = {column.name: column.kind for column in columns}
    assert (kinds["billed_cost"], kinds["tags"]) == (Kind.NUMBER, Kind.STRING_MAP)
    assert kinds["billing_period_start"] is Kind.TIMESTAMP


@pytest.mark.parametrize("name", ["BilledCost", "billed_cost", "billedcost", "BILLED_COST"])
def test_spellings_of_a_name_are_squashed_into_one(name: str) -> None:
    assert squashed(name) == "billedcost"
