"""Rows by key: replaced, never lost, never twice, whatever the batches; without a key, all of them."""

from __future__ import annotations

import gc
import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from singer_sdk.exceptions import MissingKeyPropertiesError

from offgridflow_common.errors import ContractBroken, FatalError
from tests.target_duckdb.loading import (
    DATE,
    INTEGER,
    MOMENT,
    NUMBER,
    TEXT,
    Loader,
    record,
    records_of,
    schema,
    state,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEYED = schema("s", ["k"], k=INTEGER, v=TEXT)


@contextmanager
def loaded_in_parts(rows: int) -> Iterator[None]:
    """Let so many rows be as large as rows that are loaded at once may be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("target_offgridflow_duckdb.sink._CHUNK_ROWS", rows)
        patch.setattr("target_offgridflow_duckdb.sink._HELD_BYTES", 1)
        yield


def test_a_row_replaces_the_one_of_its_key_in_later_batches_and_runs(loader: Loader) -> None:
    loader.load(KEYED, *(record("s", k=key, v="first") for key in range(10)), batch_size_rows=3)
    loader.load(KEYED, record("s", k=3, v="second"), record("s", k=99, v="second"))
    assert loader.ask("SELECT v, count(*), sum(k) FROM s GROUP BY v ORDER BY v") == [
        ("first", 9, 42),
        ("second", 2, 102),
    ]


def test_of_rows_with_one_key_in_a_batch_the_last_stays(loader: Loader) -> None:
    loader.load(KEYED, *(record("s", k=number % 3, v=str(number)) for number in range(100)))
    assert loader.rows("s") == [{"k": 0, "v": "99"}, {"k": 1, "v": "97"}, {"k": 2, "v": "98"}]


def test_a_row_replaces_the_whole_other_one(loader: Loader) -> None:
    wide = schema("s", ["k"], k=INTEGER, v=TEXT, w=TEXT)
    loader.load(wide, record("s", k=1, v="a", w="b"))
    loader.load(wide, record("s", k=1, v="c"))
    assert loader.rows("s") == [{"k": 1, "v": "c", "w": None}]


def test_keys_of_several_columns_and_of_any_type(loader: Loader) -> None:
    keyed = schema("s", ["a", "b", "c", "d"], a=TEXT, b=MOMENT, c=DATE, d=NUMBER, v=INTEGER)
    rows = [
        {"a": a, "b": b, "c": c, "d": d}
        for a, b, c, d in itertools.product(
            ["", "x"],
            ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"],
            ["2026-01-01", "2026-01-02"],
            [0, 1.5],
        )
    ]
    loader.load(keyed, *records_of("s", ({**row, "v": 1} for row in rows)))
    assert loader.ask("SELECT count(*) FROM s") == [(16,)]
    # The same instants, spelled in other ways, and one of them twice in a batch.
    again = [{**row, "b": row["b"].replace("T00:00:00Z", "T02:00:00+02:00")} for row in rows]
    loader.load(keyed, record("s", **rows[0], v=2), *records_of("s", ({**row, "v": 3} for row in again)))
    assert loader.ask("SELECT count(*), min(v), max(v) FROM s") == [(16, 3, 3)]


def test_a_null_in_a_key_is_a_value_like_others(loader: Loader) -> None:
    keyed = schema("s", ["a", "b"], a=TEXT, b=TEXT, v=INTEGER)
    keys: list[dict[str, Any]] = [{"a": a, "b": b} for a in (None, "x") for b in (None, "x", "")]
    for value in (1, 2):
        loader.load(keyed, *records_of("s", ({**key, "v": value} for key in keys)))
    assert loader.ask("SELECT count(*), min(v) FROM s") == [(6, 2)]


def test_a_record_without_its_key_is_refused(loader: Loader) -> None:
    with pytest.raises(MissingKeyPropertiesError, match=r"s: Object missing required field `k`"):
        loader.load(KEYED, record("s", k=1, v="a"), record("s", v="b"))
    assert loader.rows("s") == []


def test_without_a_key_all_rows_stay_also_equal_ones(loader: Loader) -> None:
    loader.load(schema("s", v=TEXT), *(record("s", v="same") for _ in range(1001)), batch_size_rows=100)
    assert loader.ask("SELECT count(*) FROM s") == [(1001,)]


def test_append_only_keeps_rows_of_the_same_key(loader: Loader) -> None:
    for _ in range(2):
        loader.load(KEYED, record("s", k=1, v="a"), record("s", k=1, v="b"), load_method="append-only")
    assert loader.ask("SELECT count(*) FROM s") == [(4,)]


def test_overwrite_keeps_what_the_run_brought_and_nothing_else(loader: Loader) -> None:
    other = schema("other", ["k"], k=INTEGER)
    loader.load(KEYED, record("s", k=1, v="old"), other, record("other", k=1))
    wider = schema("s", ["k"], k=INTEGER, v=TEXT, w=TEXT)
    loader.load(
        KEYED,
        record("s", k=2, v="new"),
        record("s", k=2, v="newer"),
        wider,
        record("s", k=3, v="newest", w="w"),
        load_method="overwrite",
    )
    assert loader.rows("s") == [{"k": 2, "v": "newer", "w": None}, {"k": 3, "v": "newest", "w": "w"}]
    assert loader.rows("other") == [{"k": 1}]


def test_a_batch_that_fails_leaves_the_rows_it_would_have_replaced(loader: Loader) -> None:
    keyed = schema("s", ["k"], k=INTEGER, t=MOMENT)
    loader.load(keyed, record("s", k=1, t="2026-01-01T00:00:00Z"))
    with pytest.raises(FatalError, match="nothing of it was written"):
        loader.load(keyed, record("s", k=1, t="2026-01-02T00:00:00Z"), record("s", k=2, t="never"))
    assert loader.ask("SELECT k, t::DATE::VARCHAR FROM s") == [(1, "2026-01-01")]


def test_a_table_with_a_primary_key_that_another_loader_made_is_loaded_too(loader: Loader) -> None:
    with duckdb.connect(str(loader.path)) as connection:
        connection.execute("CREATE TABLE s (k HUGEINT, v VARCHAR, PRIMARY KEY (k))").fetchall()
        connection.execute("INSERT INTO s VALUES (1, 'theirs'), (2, 'theirs')").fetchall()
    loader.load(KEYED, record("s", k=2, v="ours"), record("s", k=3, v="ours"))
    assert loader.rows("s") == [{"k": 1, "v": "theirs"}, {"k": 2, "v": "ours"}, {"k": 3, "v": "ours"}]


def test_a_key_that_the_schema_does_not_have_is_refused(loader: Loader) -> None:
    with pytest.raises(ContractBroken, match="`missing`"):
        loader.load(schema("s", ["missing"], k=INTEGER), record("s", k=1))


#: What a DECIMAL(38, 0) has room for.
LARGEST = 10**38 - 1


def test_a_number_that_the_column_has_no_room_for_is_refused_and_nothing_is_written(loader: Loader) -> None:
    keyed = schema("s", ["k"], k=INTEGER, v={"type": "number", "multipleOf": 1})
    loader.load(keyed, record("s", k=1, v=LARGEST))
    with pytest.raises(FatalError, match="nothing of it was written"):
        loader.load(keyed, record("s", k=2, v=0), record("s", k=1, v=LARGEST + 1))
    assert [(row["k"], int(row["v"])) for row in loader.rows("s")] == [(1, LARGEST)]


@settings(max_examples=25, deadline=None)
@given(
    runs=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["s", "t"]),
                st.sampled_from(["a", "b", None]),
                st.integers(0, 5),
                st.integers(-LARGEST, LARGEST),
            ),
            max_size=30,
        ),
        min_size=1,
        max_size=4,
    ),
    batch_size_rows=st.integers(1, 7),
    part_rows=st.integers(1, 4),
)
def test_tables_are_what_dictionaries_would_be(
    tmp_path_factory: pytest.TempPathFactory,
    runs: list[list[tuple[str, str | None, int, int]]],
    batch_size_rows: int,
    part_rows: int,
) -> None:
    folder: Path = tmp_path_factory.mktemp("dictionary")
    loader = Loader(folder / "loaded.duckdb", {"batch_size_rows": batch_size_rows})
    whole = {"type": "number", "multipleOf": 1}
    schemas = [schema(stream, ["a", "b"], a=TEXT, b=INTEGER, v=whole) for stream in ("s", "t")]
    expected: dict[str, dict[tuple[str | None, int], int]] = {"s": {}, "t": {}}
    for run in runs:
        with loaded_in_parts(part_rows):
            loader.load(*schemas, *(record(stream, a=a, b=b, v=v) for stream, a, b, v in run))
        for stream, a, b, v in run:
            expected[stream][a, b] = v
    for stream, rows in expected.items():
        landed = [((row["a"], row["b"]), int(row["v"])) for row in loader.rows(stream)]
        assert len(landed) == len(rows)
        assert dict(landed) == rows


def test_a_part_that_fails_takes_back_the_parts_before_it(loader: Loader) -> None:
    timed = schema("s", ["k"], k=INTEGER, t=MOMENT)
    good = [record("s", k=k, t="2026-01-01") for k in range(15)]
    with loaded_in_parts(2), pytest.raises(FatalError, match="never"):
        loader.load(timed, *good, record("s", k=15, t="never"), state({"at": 15}), batch_size_rows=10)
    assert [row["k"] for row in loader.rows("s")] == list(range(10))


def test_what_is_committed_together_is_a_row_group(loader: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB writes whole ones once, and parts of them again and again."""
    monkeypatch.setattr("tests.target_duckdb.loading.PIECE_BYTES", 100_000)
    messages = [KEYED]
    for at in range(1, 250_001):
        messages.append(record("s", k=at))
        if at % 20_480 == 0:
            messages.append(state({"at": at}))
    states = loader.load(*messages, state({"at": 250_000}))
    assert states == [{"at": 122_880}, {"at": 245_760}, {"at": 250_000}]
    groups = loader.ask("SELECT DISTINCT row_group_id FROM pragma_storage_info('s') ORDER BY ALL")
    assert groups == [(0,), (1,), (2,)]


@pytest.mark.parametrize("enabled", [True, False])
def test_the_garbage_collector_stays_as_it_was_even_after_an_error(loader: Loader, *, enabled: bool) -> None:
    cents = schema("s", v={"type": "number", "multipleOf": 0.01})
    (gc.enable if enabled else gc.disable)()
    try:
        loader.load(cents, record("s", v=0.01))
        after_success = gc.isenabled()
        with pytest.raises(ContractBroken, match="at most 2 decimals"):
            loader.load(cents, record("s", v=0.001))
        assert (after_success, gc.isenabled()) == (enabled, enabled)
    finally:
        gc.enable()
