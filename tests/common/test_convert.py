"""From a file's values to a stream's types: equal in value, or an error; never null in silence."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offgridflow_common.columns import Kind
from offgridflow_common.exports.convert import convert, gather_map
from offgridflow_common.exports.extra import gather_extra
from offgridflow_common.singer.render import as_json_values

KINDS = [kind for kind in Kind if kind is not Kind.OBJECT]
MAPS = [Kind.STRING_MAP, Kind.NUMBER_MAP]
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
BERLIN = pl.Datetime("us", "Europe/Berlin")

#: What `read_blocks` turns into one message that names the file.
REFUSED = (pl.exceptions.PolarsError, TypeError, ValueError)

fast = settings(derandomize=True, deadline=None, max_examples=100)


def converted(values: list[Any], kind: Kind, dtype: Any = None) -> list[Any]:
    result = convert(pl.Series("x", values, dtype=dtype), kind)
    assert result.dtype == kind.dtype
    return result.to_list()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_of_the_kind_stays_and_nothing_stays_nothing(kind: Kind) -> None:
    values = pl.Series([None, None], dtype=kind.dtype)
    assert convert(values, kind) is values
    assert converted([None, None], kind, pl.Null) == [None, None]
    assert converted([None], kind, pl.String) == [None]


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_without_rows_has_the_kinds_type(kind: Kind) -> None:
    assert converted([], kind, pl.String) == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not Kind.STRING])
def test_empty_text_is_null_for_every_kind_but_text(kind: Kind) -> None:
    assert converted(["", None], kind) == [None, None]
    assert converted(["", None], Kind.STRING) == ["", None]


@pytest.mark.parametrize(
    ("values", "dtype", "texts"),
    [
        ([111122223333, None], pl.Int64, ["111122223333", None]),
        ([111122223333.0, None], pl.Float64, ["111122223333", None]),
        ([Decimal(111122223333)], pl.Decimal(38, 0), ["111122223333"]),
        ([2**64 - 1], pl.UInt64, ["18446744073709551615"]),
        ([0.1, -1.5], pl.Float64, ["0.1", "-1.5"]),
        ([111122223333.0, 0.5, 1e22], pl.Float64, ["111122223333", "0.5", "1e+22"]),
        ([True, False], pl.Boolean, ["true", "false"]),
        ([date(2026, 3, 1)], pl.Date, ["2026-03-01"]),
        (["a", "b"], pl.Categorical, ["a", "b"]),
        ([b"a\xc3\xa9"], pl.Binary, ["a\u00e9"]),
        ([datetime(2026, 3, 1)], pl.Datetime("ns"), ["2026-03-01T00:00:00.000000+00:00"]),  # noqa: DTZ001 - as files have it
        ([MARCH], pl.Datetime("ms", "UTC"), ["2026-03-01T00:00:00.000000+00:00"]),
        ([MARCH], BERLIN, ["2026-03-01T00:00:00.000000+00:00"]),
    ],
    ids=str,
)
def test_text_is_what_people_would_write(values: list[Any], dtype: Any, texts: list[str]) -> None:
    assert converted(values, Kind.STRING, dtype) == texts


@pytest.mark.parametrize(
    ("values", "dtype", "numbers"),
    [
        (["1.50", "-0.000001", "1E-5", "+2", ".5", "007"], pl.String, [1.5, -1e-06, 1e-05, 2.0, 0.5, 7.0]),
        (["123456789012345.678", "1e308", "5e-324"], pl.String, [123456789012345.678, 1e308, 5e-324]),
        (["1e308", "1e308", "-1e308", "NULL", ""], pl.String, [1e308, 1e308, -1e308, None, None]),
        ([1, 2**53], pl.Int64, [1.0, 2.0**53]),
        ([Decimal("0.1234567890123456789")], pl.Decimal(38, 19), [0.12345678901234568]),
        ([Decimal("-12345678901234567.89")], pl.Decimal(38, 2), [-12345678901234567.89]),
        ([1.5], pl.Float32, [1.5]),
        ([math.inf, -math.inf], pl.Float64, [math.inf, -math.inf]),
    ],
    ids=str,
)
def test_numbers_keep_their_value(values: list[Any], dtype: Any, numbers: list[float]) -> None:
    assert converted(values, Kind.NUMBER, dtype) == numbers


@fast
@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**300), max_value=10**300)))
def test_any_decimal_written_as_text_is_the_nearest_number(decimals: list[Decimal]) -> None:
    assert converted([str(value) for value in decimals], Kind.NUMBER, pl.String) == [
        float(v) for v in decimals
    ]


@pytest.mark.parametrize(
    ("values", "dtype", "integers"),
    [
        (["1", "-5", "+7", str(2**63 - 1)], pl.String, [1, -5, 7, 2**63 - 1]),
        ([1.0, -3.0, None], pl.Float64, [1, -3, None]),
        ([Decimal("4.00")], pl.Decimal(10, 2), [4]),
        ([5], pl.UInt8, [5]),
    ],
    ids=str,
)
def test_integers_keep_their_value(values: list[Any], dtype: Any, integers: list[int]) -> None:
    assert converted(values, Kind.INTEGER, dtype) == integers


MOMENT = datetime(2026, 3, 29, 1, 30, 15, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-29", datetime(2026, 3, 29, tzinfo=UTC)),
        *((form, MOMENT.replace(second=0, microsecond=0)) for form in (
            *("2026-03-29T01:30Z", "2026-03-29 01:30", "2026-03-29T03:30+02:00"),
        )),
        *((form, MOMENT.replace(microsecond=0)) for form in (
            *("2026-03-29T01:30:15Z", "2026-03-29 01:30:15Z", "2026-03-29T01:30:15", "2026-03-29 01:30:15"),
            *("2026-03-29T01:30:15+00:00", "2026-03-29 01:30:15+0000", "2026-03-29T03:30:15+02:00"),
            *("2026-03-28T20:00:15-05:30", "2026-03-29T07:15:15+0545"),
        )),
        *((form, MOMENT) for form in (
            *("2026-03-29T01:30:15.25Z", "2026-03-29 01:30:15.250", "2026-03-29T01:30:15.250000999Z"),
            *("2026-03-29T03:30:15.250+02:00", "2026-03-29 01:30:15.250000-0000"),
        )),
    ],
)  # fmt: skip
def test_times_are_read_in_every_form_that_exports_use(text: str, moment: datetime) -> None:
    assert converted([text, None, "", text], Kind.TIMESTAMP) == [moment, None, None, moment]


@st.composite
def written_times(draw: st.DrawFn) -> tuple[str, datetime]:
    moment = draw(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)))  # noqa: DTZ001 - the zone is drawn below
    digits = draw(st.sampled_from([0, 3, 6]))
    moment = moment.replace(microsecond=moment.microsecond // 10 ** (6 - digits) * 10 ** (6 - digits))
    minutes = draw(st.none() | st.integers(-14 * 60, 14 * 60))
    zone = UTC if minutes is None else timezone(timedelta(minutes=minutes))
    aware = moment.replace(tzinfo=zone)
    text = aware.isoformat(
        draw(st.sampled_from("T ")), {0: "seconds", 3: "milliseconds", 6: "microseconds"}[digits]
    )
    if minutes is None:
        text = text.removesuffix("+00:00") + draw(st.sampled_from(["", "Z"]))
    return text, aware.astimezone(UTC)


@fast
@given(st.lists(written_times(), min_size=1, max_size=20))
def test_any_time_is_read_as_python_reads_it(times: list[tuple[str, datetime]]) -> None:
    assert converted([text for text, _ in times], Kind.TIMESTAMP, pl.String) == [
        moment for _, moment in times
    ]


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([date(2026, 3, 1)], pl.Date),
        *(([datetime(2026, 3, 1)], pl.Datetime(unit)) for unit in ("ms", "us", "ns")),  # noqa: DTZ001 - as files have it
        ([MARCH], pl.Datetime("ns", "UTC")),
        ([MARCH], BERLIN),
    ],
    ids=str,
)
def test_times_of_any_precision_and_zone_become_utc(values: list[Any], dtype: Any) -> None:
    assert converted([*values, None], Kind.TIMESTAMP, dtype) == [MARCH, None]


ENTRIES = pl.List(pl.Struct({"key": pl.String, "value": pl.String}))


@pytest.mark.parametrize(
    ("values", "dtype", "strings", "numbers"),
    [
        (["{}", "[]", " {} "], pl.String, [{}, {}, {}], [{}, {}, {}]),
        (["null", "", None], pl.String, [None] * 3, [None] * 3),
        (['{"a":"1","b":"2.5"}'], pl.String, [{"a": "1", "b": "2.5"}], [{"a": 1.0, "b": 2.5}]),
        (['{"a":1,"b":0.25}'], pl.String, [{"a": "1", "b": "0.25"}], [{"a": 1.0, "b": 0.25}]),
        (['{"a":null}'], pl.String, [{"a": None}], [{"a": None}]),
        (['{"a":"1","a":"2"}'], pl.String, [{"a": "2"}], [{"a": 2.0}]),
        ([{"a": "1.5", "b": None}, {}, None], Kind.STRING_MAP.dtype, [{"a": "1.5", "b": None}, {}, None],
         [{"a": 1.5, "b": None}, {}, None]),
        ([{"a": 1.5}], Kind.NUMBER_MAP.dtype, [{"a": "1.5"}], [{"a": 1.5}]),
        ([[{"key": "a", "value": "1"}], [], None], ENTRIES, [{"a": "1"}, {}, None], [{"a": 1.0}, {}, None]),
    ],
)  # fmt: skip
def test_maps_are_read_from_json_and_from_parquet(
    values: list[Any], dtype: Any, strings: list[Any], numbers: list[Any]
) -> None:
    assert converted(values, Kind.STRING_MAP, dtype) == strings
    assert converted(values, Kind.NUMBER_MAP, dtype) == numbers


@pytest.mark.parametrize("value", [True, {"b": [1, None, "x"]}, [], [1, {"c": "d"}]], ids=str)
def test_what_is_nested_in_a_map_of_text_is_json(value: object) -> None:
    [found] = converted([json.dumps({"a": value})], Kind.STRING_MAP)
    assert json.loads(found["a"]) == value


words = st.text(max_size=3)


@fast
@given(st.lists(st.none() | st.dictionaries(words, st.none() | words, max_size=3), min_size=1))
def test_any_map_of_text_survives_as_json_text(maps: list[dict[str, str | None] | None]) -> None:
    texts = [None if members is None else json.dumps(members) for members in maps]
    assert converted(texts, Kind.STRING_MAP, pl.String) == maps


@pytest.mark.parametrize(
    ("kind", "values", "dtype"),
    [
        *((Kind.NUMBER, [text], pl.String) for text in ("1,5", "x", " 1", "0x10", "1_000", "true", "1e400")),
        (Kind.NUMBER, [date(2026, 3, 1)], pl.Date),
        (Kind.NUMBER, [MARCH], pl.Datetime("us", "UTC")),
        (Kind.NUMBER, [b"1"], pl.Binary),
        *((Kind.INTEGER, [text], pl.String) for text in ("1.5", "1e3", "x", " 1", str(2**63))),
        *((Kind.INTEGER, [value], pl.Float64) for value in (1.5, 1e300, math.nan, math.inf)),
        (Kind.INTEGER, [Decimal("1.50")], pl.Decimal(10, 2)),
        (Kind.INTEGER, [2**63], pl.UInt64),
        (Kind.INTEGER, [date(2026, 3, 1)], pl.Date),
        *((Kind.TIMESTAMP, [text], pl.String) for text in (
            *("x", "2026-02-30", "2026-13-01", "01/03/2026", "2026-03", "20260301", "2026-3-1", "1772323200"),
            *("2026-03-01T24:00:00Z", "2026-03-01T00:00:00+25:00", "2026-03-01 00:00:00 UTC", " 2026-03-01"),
        )),
        (Kind.TIMESTAMP, [1772323200], pl.Int64),
        (Kind.TIMESTAMP, [1772323200.5], pl.Float64),
        (Kind.TIMESTAMP, [True], pl.Boolean),
        (Kind.TIMESTAMP, [time(1, 2)], pl.Time),
        *((kind, [text], pl.String) for kind in MAPS for text in ("{", "5", '"x"', "[1]", "x", "{}{}")),
        *((kind, [5], pl.Int64) for kind in MAPS),
        *((Kind.NUMBER_MAP, [text], pl.String) for text in ('{"a":"x"}', '{"a":{}}', '{"a":[1]}')),
        (Kind.NUMBER_MAP, [{"a": "x"}], Kind.STRING_MAP.dtype),
        (Kind.STRING, [["a"]], pl.List(pl.String)),
        (Kind.STRING, [b"\xff"], pl.Binary),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_of_the_kind_is_an_error(kind: Kind, values: list[Any], dtype: Any) -> None:
    with pytest.raises(REFUSED):
        converted([*values, None], kind, dtype)


def test_unknown_columns_become_members_of_one_object_in_the_words_of_json() -> None:
    unknown = pl.DataFrame({
        "text": ["a", None],
        "number": [1.5, None],
        "cost": pl.Series([Decimal("1.10"), None]),
        "day": [date(2026, 3, 1), None],
        "moment": pl.Series([datetime(2026, 3, 1), None]),  # noqa: DTZ001 - as files have it
        "local": pl.Series([MARCH, None], dtype=BERLIN),
        "flag": [True, None],
        "list": [["a"], None],
        "map": pl.Series([{"k": "v"}, None], dtype=Kind.STRING_MAP.dtype),
        "numbered": pl.Series([{7: b"x"}, None], dtype=pl.Map(pl.Int32(), pl.Binary())),
        "object": [{"a": 1, "b": [True]}, None],
        "moments": [[datetime(2026, 3, 1)], None],  # noqa: DTZ001 - as files have it
        "flagged": pl.Series([{True: "a"}, None], dtype=pl.Map(pl.Boolean(), pl.String())),
        "costs": [[Decimal("1.10")], None],
        "bytes": ["ä".encode(), None],
        "no text": [b"\xff", b"text"],
        "by day": pl.Series([{date(2026, 3, 1): math.nan}, None], dtype=pl.Map(pl.Date(), pl.Float64())),
        "single": pl.Series([0.1, None], dtype=pl.Float32),
        "nothing": [None, None],
    })  # fmt: skip
    extra = as_json_values(pl.DataFrame([gather_extra(unknown, "extra")]))
    moment = "2026-03-01T00:00:00.000000+00:00"
    expected = {
        "text": "a", "number": 1.5, "cost": 1.1, "day": "2026-03-01", "moment": moment, "local": moment,
        "flag": True, "list": ["a"], "map": {"k": "v"}, "nothing": None, "numbered": '{"7": "x"}',
        "object": {"a": 1, "b": [True]}, "moments": '["2026-03-01 00:00:00"]', "costs": '["1.10"]',
        "bytes": "ä", "no text": "/w==", "by day": '{"2026-03-01": null}',
        "flagged": '{"true": "a"}',
    }  # fmt: skip
    as_block = [json.loads(line)["extra"] for line in extra.write_ndjson().splitlines()]
    as_rows = [row["extra"] for row in extra.iter_rows(named=True)]
    assert as_block == as_rows
    assert as_block[1] == dict.fromkeys(unknown.columns) | {"no text": "text"}
    assert {name: value for name, value in as_block[0].items() if name != "single"} == expected
    assert math.isclose(as_block[0]["single"], 0.1, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("kind", "columns", "expected"),
    [
        (Kind.STRING_MAP, {"a": ["1", "", None], "b": ["x", "", None]}, [{"a": "1", "b": "x"}, {}, {}]),
        (Kind.NUMBER_MAP, {"a": ["1.5", "", None], "b": ["0", "", None]}, [{"a": 1.5, "b": 0}, {}, {}]),
        (Kind.NUMBER_MAP, {"a": [1, 2, None]}, [{"a": 1}, {"a": 2}, {}]),
    ],
)  # fmt: skip
def test_columns_fold_into_one_map_without_what_is_empty(
    kind: Kind, columns: dict[str, Any], expected: list[Any]
) -> None:
    maps = gather_map(pl.DataFrame(columns), {name: [name] for name in columns}, kind)
    assert maps.dtype == kind.dtype
    assert [members or {} for members in maps.to_list()] == expected


def test_of_several_columns_of_one_key_the_first_with_a_value_counts() -> None:
    block = pl.DataFrame({"One": ["a", "", None], "one": ["b", "c", None]})
    maps = gather_map(block, {"one": ["One", "one"]}, Kind.STRING_MAP)
    assert [members or {} for members in maps.to_list()] == [{"one": "a"}, {"one": "c"}, {}]
