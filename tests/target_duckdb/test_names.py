"""Names: whatever a stream and its properties are called, they go to a table and columns of that name."""

from __future__ import annotations

import pytest

from offgridflow_common.errors import BadRequestError
from tests.target_duckdb.loading import INTEGER, TEXT, Loader, record, schema

ODD = [
    "select",
    "Order By",
    "UPPER",
    'quo"ted',
    "it's",
    "a.b",
    "a:b",
    "semi;colon -- comment",
    "back\\slash",
    "tab\tand\nnewline",
    "ümlaut€😀",
    "1st",
    " ",
    "_sdc_own",
    "f0",
    "_arriving",
]


def test_columns_keep_their_names(loader: Loader) -> None:
    properties = dict.fromkeys(ODD, TEXT)
    values = {name: f"value of {name}" for name in ODD}
    loader.load(schema("s", ODD[:2], **properties), record("s", **values), record("s", **values))
    assert loader.rows("s") == [values]


def test_columns_keep_their_names_when_they_are_plain(loader: Loader) -> None:
    names = [name for name in ODD if not set(name) & set('"\\\t\n')]
    values = {name: number for number, name in enumerate(names)}
    loader.load(schema("s", names[:2], **dict.fromkeys(names, INTEGER)), record("s", **values))
    assert loader.rows("s") == [values]


def test_a_column_with_an_odd_name_is_added_and_widened(loader: Loader) -> None:
    for name in ODD:
        loader.load(schema("s", v=TEXT), record("s", v="x"))
        loader.load(schema("s", **{name: INTEGER}), record("s", **{name: 1}))
        loader.load(schema("s", **{name: TEXT}), record("s", **{name: "x"}))
    assert loader.types("s") == {"v": "VARCHAR", **dict.fromkeys(ODD, "VARCHAR")}
    assert loader.ask("SELECT count(*), count(v) FROM s") == [(3 * len(ODD), len(ODD))]


@pytest.mark.parametrize("name", [name for name in ODD if "-" not in name])
def test_tables_keep_the_names_of_streams(loader: Loader, name: str) -> None:
    loader.load(schema(name, ["v"], v=INTEGER), record(name, v=1), record(name, v=1))
    assert loader.ask("SELECT schema_name, table_name, estimated_size FROM duckdb_tables()") == [
        ("main", name, 1)
    ]


def test_streams_named_schema_and_table_go_there(loader: Loader) -> None:
    for stream in ("hr-people", "crm-sales-people", "a-b-c-d"):
        loader.load(schema(stream, v=INTEGER), record(stream, v=1))
    assert loader.ask("SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL") == [
        ("hr", "people"),
        ("main", "a-b-c-d"),
        ("sales", "people"),
    ]


def test_streams_of_the_same_name_from_two_taps_go_to_their_own_schemas(loader: Loader) -> None:
    for place in ("aws", 'Azure\'s "own"'):
        loader.load(
            schema("activities", ["id"], id=INTEGER, place=TEXT),
            record("activities", id=1, place=place),
            default_target_schema=place,
        )
    assert loader.rows("aws.activities") == [{"id": 1, "place": "aws"}]
    assert loader.rows('"Azure\'s ""own""".activities') == [{"id": 1, "place": 'Azure\'s "own"'}]


def test_two_streams_never_share_a_table(loader: Loader) -> None:
    with pytest.raises(BadRequestError, match=r"stream hr-people already goes to the table all\.people"):
        loader.load(
            schema("hr-people", v=INTEGER), schema("crm-people", v=INTEGER), default_target_schema="all"
        )
    with pytest.raises(BadRequestError, match="already goes to the table"):
        loader.load(schema("People", v=INTEGER), schema("people", v=INTEGER))


def test_properties_that_differ_in_case_only_are_refused_by_name(loader: Loader) -> None:
    with pytest.raises(BadRequestError, match="`Id` and `ID`"):
        loader.load(schema("s", Id=INTEGER, ID=INTEGER), record("s", Id=1, ID=2))
    loader.load(schema("s", é=INTEGER, É=INTEGER), record("s", é=1, É=2))
    assert loader.rows("s") == [{"é": 1, "É": 2}]


def test_a_name_with_a_nul_is_refused(loader: Loader) -> None:
    with pytest.raises(BadRequestError, match="no name of a column holds a NUL"):
        loader.load(schema("s", ["k"], **{"k": INTEGER, "v\0w": TEXT}), record("s", k=1))


def test_a_column_is_found_however_its_case(loader: Loader) -> None:
    loader.load(schema("s", ["ID"], ID=INTEGER, v=TEXT), record("s", ID=1, v="a"))
    loader.load(schema("S", ["id"], id=INTEGER, V=TEXT), record("S", id=1, V="b"))
    assert loader.rows("s") == [{"ID": 1, "v": "b"}]
