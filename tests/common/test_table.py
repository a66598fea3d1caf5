"""Tables: which of a file's columns become which of the stream's, and what is made of all others."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

from offgridflow_common.columns import Column, Kind
from offgridflow_common.exports.table import EXTRA, Fold, Plan, Table

ALIASES = {"Amount": "cost", "Net Amount": "cost", "MyDay": "day"}
TABLE = Table(
    columns=(
        *(Column("metric", required=True), Column("cost", Kind.NUMBER), Column("day", Kind.TIMESTAMP)),
        Column("tags", Kind.STRING_MAP),
    ),
    required=frozenset({"cost"}),
    rename=lambda name: ALIASES.get(name, name.lower()),
    folds=(Fold("tags", "tag "),),
    constants={"metric": "billed"},
    prepare={"day": lambda days: days.str.replace("_", "-", literal=True, n=2)},
)


def applied(wanted: list[str], **columns: list[Any]) -> list[dict[str, object]]:
    """The wanted columns of a file with these ones; ``_`` in a name stands for a blank."""
    file = pl.DataFrame({name.replace("_", " "): values for name, values in columns.items()})
    plan = Plan(TABLE, file.columns, wanted)
    return plan.apply(file.select(plan.sources), first_row=0).to_dicts()


@pytest.mark.parametrize("names", [("Amount", "COST", "Net_Amount"), ("COST", "Net_Amount", "Amount")])
def test_a_column_of_the_very_name_counts_before_those_that_mean_the_same(names: tuple[str, ...]) -> None:
    values = {"Amount": ["1"], "COST": ["2"], "Net_Amount": ["3"]}
    (row,) = applied(["cost", EXTRA], **{name: values[name] for name in names})
    assert row == {"cost": 2.0, EXTRA: {"Amount": "1", "Net Amount": "3"}}


def test_of_several_that_mean_the_same_the_first_counts() -> None:
    (row,) = applied(["cost", EXTRA], Net_Amount=["3"], Amount=["1"])
    assert row == {"cost": 3.0, EXTRA: {"Amount": "1"}}


def test_a_constant_is_in_every_row_and_no_column_of_a_file_replaces_it() -> None:
    rows = applied(["metric", "cost", EXTRA], cost=["1", "2"], METRIC=["x", "y"])
    assert [row["metric"] for row in rows] == ["billed", "billed"]
    assert [row[EXTRA] for row in rows] == [{"METRIC": "x"}, {"METRIC": "y"}]


def test_a_constant_needs_nothing_of_the_file() -> None:
    assert Plan(TABLE, ["cost", "METRIC"], ["metric"]).sources == []


def test_values_are_prepared_before_they_are_converted() -> None:
    (row,) = applied(["day"], MyDay=["2026_09_04"])
    assert str(row["day"]) == "2026-09-04 00:00:00+00:00"


TAGS = [{"a": "x"}, {"a": "", "b": "y"}, {"b": "z"}, {}, None, {"a": "x"}]
UNDER_A = ["x", "", None, None, None, "x"]


@pytest.mark.parametrize("as_text", [True, False])
def test_a_member_of_a_map_can_be_had_without_the_map(as_text: bool) -> None:  # noqa: FBT001 - a parameter
    maps = pl.Series(TAGS, dtype=Kind.STRING_MAP.dtype)
    texts = [None if row is None else json.dumps(row) for row in TAGS]
    rows = applied(["tags.a", "tags"], tags=texts if as_text else maps)
    assert [row["tags.a"] for row in rows] == UNDER_A
    assert [row["tags"] for row in rows] == TAGS


def test_a_member_may_be_a_column_of_its_own_and_is_the_only_one_that_is_read() -> None:
    assert Plan(TABLE, ["tag a", "tag b", "cost"], ["tags.a", "cost"]).sources == ["tag a", "cost"]
    assert applied(["tags.a"], tag_a=["x", "", None], tag_b=["1", "2", "3"]) == [
        {"tags.a": "x"},
        {"tags.a": None},
        {"tags.a": None},
    ]


def test_a_member_that_a_file_does_not_have_is_null() -> None:
    assert applied(["cost", "tags.a"], cost=["1"], tag_b=["2"]) == [{"cost": 1.0, "tags.a": None}]
    assert applied(["cost", "tags.a"], cost=["1"]) == [{"cost": 1.0, "tags.a": None}]


@pytest.mark.parametrize("text", ["[1]", "{", "x"])
def test_what_is_no_map_has_no_members(text: str) -> None:
    with pytest.raises((TypeError, ValueError)):
        applied(["tags.a"], tags=[text])
