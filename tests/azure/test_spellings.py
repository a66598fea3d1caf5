"""What is done to values before they are converted: dates with the month first, objects without braces."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offgridflow_common.columns import Kind
from offgridflow_common.exports.convert import prepared
from tap_offgridflow_azure.exports.spellings import month_first, with_braces

REFUSED = (pl.exceptions.PolarsError, TypeError, ValueError)

fast = settings(derandomize=True, deadline=None, max_examples=200)

#: Of this century: years of two digits are taken for such.
days = st.dates(date(2000, 1, 1), date(2099, 12, 31))
objects = st.dictionaries(st.text(), st.text(), max_size=4)


def texts(values: list[str | None]) -> pl.Series:
    return pl.Series("x", values, dtype=pl.String)


def moments(values: list[str | None]) -> list[datetime | None]:
    return prepared(texts(values), month_first, Kind.TIMESTAMP).to_list()


def maps(values: list[str | None]) -> list[dict[str, str] | None]:
    return prepared(texts(values), with_braces, Kind.STRING_MAP).to_list()


def written_days(day: date) -> list[str]:
    """A day in all the ways that are understood."""
    month, number, year = day.month, day.day, day.year
    return [
        f"{month:02}/{number:02}/{year}",
        f"{month}/{number}/{year}",
        f"{month}/{number:02}/{year}",
        f"{month:02}/{number}/{year}",
        f"{month}/{number}/{year % 100:02}",
        f"{month:02}/{number:02}/{year % 100:02}",
        f"{month:02}/{number:02}/{year} 00:00:00",
        f"{month}/{number}/{year % 100:02} 00:00",
        f"{month}/{number}/{year} 12:00:00 AM",
        f"{day}",
        f"{day}T00:00:00Z",
    ]


@fast
@given(st.lists(days, min_size=1, max_size=20))
@example([date(2026, 1, 2), date(2026, 2, 1), date(2026, 12, 31)])
def test_a_day_is_the_same_however_it_is_written(written: list[date]) -> None:
    values = [text for day in written for text in written_days(day)]
    expected = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in written for _ in range(11)]
    assert moments([*values, None, "", "NULL"]) == [*expected, None, None, None]


@pytest.mark.parametrize(
    "text",
    ["13/01/2026", "02/30/2026", "00/10/2026", "1/0/2026", "1//2026", "1/2/202", "1/2", "1-2-2026", "x"],
)
def test_what_is_no_day_is_an_error_and_never_null(text: str) -> None:
    with pytest.raises(REFUSED):
        moments(["01/02/2026", text])


@fast
@given(st.lists(objects, min_size=1, max_size=10), st.booleans(), st.sampled_from([(",", ": "), (", ", ":")]))
@example([{'a"b': 'c,d:{"e"}\n', "ü": "\\", "": " "}], True, (",", ": "))  # noqa: FBT003 - ASCII only
@example([{"}": "{", "{": "}"}], False, (",", ": "))  # noqa: FBT003 - ASCII only
def test_any_object_survives_without_its_braces(
    written: list[dict[str, str]],
    ascii_only: bool,  # noqa: FBT001 - how texts are written
    separators: tuple[str, str],
) -> None:
    whole = [json.dumps(one, ensure_ascii=ascii_only, separators=separators) for one in written]
    bare = [text[1:-1] for text in whole]
    assert maps([*whole, *(f" {text} " for text in whole)]) == [*written, *written]
    # What had no members has nothing left.
    assert maps([*bare, *(f" {text} " for text in bare if text)]) == [
        *(one or None for one in written),
        *(one for one in written if one),
    ]


@fast
@given(st.lists(st.none() | objects, max_size=10))
def test_objects_with_braces_and_without_may_be_mixed_with_nothing(
    written: list[dict[str, str] | None],
) -> None:
    values = [None if one is None else json.dumps(one)[number % 2 : len(json.dumps(one)) - number % 2]
              for number, one in enumerate(written)]  # fmt: skip
    assert maps(values) == [
        None if one is None or (number % 2 and not one) else one for number, one in enumerate(written)
    ]


@pytest.mark.parametrize("text", ['"a"', '"a": "b', '"a": "b",', '{"a": "b"', "a: b", '["a"]'])
def test_what_is_no_object_is_an_error_and_never_null(text: str) -> None:
    with pytest.raises(REFUSED):
        maps(['"a": "b"', text])


@pytest.mark.parametrize("prepare", [month_first, with_braces])
@pytest.mark.parametrize(
    ("kind", "values"),
    [(Kind.TIMESTAMP, [datetime(2026, 1, 1, tzinfo=UTC)]), (Kind.NUMBER, [1.5]), (Kind.NUMBER, [None])],
)
def test_what_is_no_text_needs_no_preparing(prepare: Any, kind: Kind, values: list[Any]) -> None:
    assert prepared(pl.Series("x", values), prepare, kind).to_list() == values


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind is not Kind.OBJECT])
def test_a_block_without_rows_has_the_type_of_the_kind(kind: Kind) -> None:
    assert prepared(texts([]), month_first, kind).dtype == kind.dtype
