"""Reading export files: the same rows from every format, in the table's columns; a bad file is one error."""

from __future__ import annotations

import csv
import gc
import gzip
import io
import tempfile
import zipfile
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offgridflow_common.columns import Column, Kind
from offgridflow_common.errors import ContractBroken, FatalError, PermissionDenied, SourceChanged
from offgridflow_common.exports import csv_blocks, scan
from offgridflow_common.exports.scan import block_rows_of, read_blocks
from offgridflow_common.exports.table import EXTRA, ROW_NUMBER, Fold, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WHERE = "store://bucket/data/part-1"

TABLE = Table(
    columns=(
        Column("name"),
        Column("cost", Kind.NUMBER),
        Column("used_at", Kind.TIMESTAMP),
        Column("tags", Kind.STRING_MAP),
        Column("absent", Kind.INTEGER),
    ),
    required=frozenset({"name", "cost"}),
    rename=lambda name: name.strip().lower().replace("/", "_"),
    folds=(Fold("tags", "tag_"),),
)
ALL = [column.name for column in TABLE.columns]

MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
HEADER = ["Name", "Cost", "Used/At", "tag/a", "new column"]
RECORDS = [
    ["a,1", "1.10", "2026-03-01T12:00:00Z", "x", "n1"],
    ['b "2"\nc', "-0.000001", "", "", ""],
    ["größe 大", "123456789012345.678", "2026-03-01 12:00:00", "y", "n3"],
]
ROWS: list[dict[str, Any]] = [
    {"name": "a,1", "cost": 1.1, "used_at": MOMENT, "tags": {"a": "x"}, EXTRA: {"new column": "n1"}},
    {"name": 'b "2"\nc', "cost": -1e-06, "used_at": None, "tags": {}, EXTRA: {"new column": None}},
    {
        "name": "größe 大",
        "cost": 123456789012345.678,
        "used_at": MOMENT,
        "tags": {"a": "y"},
        EXTRA: {"new column": "n3"},
    },
]
for number, row in enumerate(ROWS):
    row |= {"absent": None, ROW_NUMBER: number}


@pytest.fixture
def no_file_is_left_open() -> Iterator[None]:
    yield
    gc.collect()  # a file left open is reported here, and fails the test


def as_csv(records: Sequence[Sequence[str]] = RECORDS, header: Sequence[str] = HEADER) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([header, *records])
    return text.getvalue().encode()


def as_zip(*members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, content in enumerate(members):
            archive.writestr(f"part-{number}.csv", content)
    return buffer.getvalue()


def as_parquet(records: Sequence[Sequence[str]] = RECORDS, **options: Any) -> bytes:
    columns: list[list[str]] = [list(values) for values in zip(*records, strict=True)] or [[] for _ in HEADER]
    moments = [MOMENT.replace(tzinfo=None) if text else None for text in columns[2]]
    table = pa.table({
        HEADER[0]: pa.array(columns[0], pa.string()),
        HEADER[1]: pa.array([Decimal(text) for text in columns[1]], pa.decimal128(38, 9)),
        HEADER[2]: pa.array(moments, pa.timestamp("ns")),
        HEADER[3]: pa.array([text or None for text in columns[3]], pa.string()),
        HEADER[4]: pa.array([text or None for text in columns[4]], pa.string()),
    })  # fmt: skip
    buffer = io.BytesIO()
    pq.write_table(table, buffer, use_deprecated_int96_timestamps=True, **options)
    return buffer.getvalue()


FORMATS: dict[str, Callable[[], bytes]] = {
    "part.csv": as_csv,
    "part.csv.gz": lambda: gzip.compress(as_csv()),
    "two-members.csv.gz": lambda: (
        gzip.compress(as_csv(RECORDS[:1])) + gzip.compress(as_csv(RECORDS[1:], [])[1:])
    ),
    "part.csv.zip": lambda: as_zip(as_csv(RECORDS[:1]), b"", as_csv([]), as_csv(RECORDS[1:])),
    "part.snappy.parquet": as_parquet,
    "small-groups.parquet": lambda: as_parquet(row_group_size=1),
    "plain.parquet": lambda: as_parquet(use_dictionary=False, compression="zstd"),
    "gzip-without-suffix": lambda: gzip.compress(as_csv()),
    "zip-without-suffix": lambda: as_zip(as_csv()),
    "parquet-without-suffix": as_parquet,
}


def read(
    folder: Path, name: str, content: bytes, wanted: Sequence[str], *, block_rows: int = 2
) -> list[dict[str, Any]]:
    path = folder / name
    path.write_bytes(content)
    frames = list(read_blocks(path, TABLE, wanted, where=WHERE, block_rows=block_rows))
    assert all(frame.columns == list(wanted) and 0 < frame.height <= block_rows for frame in frames)
    return [row for frame in frames for row in frame.iter_rows(named=True)]


def values(row: dict[str, Any]) -> dict[str, Any]:
    """A row without the difference between an empty map and none."""
    return {name: value or {} if name == "tags" else value for name, value in row.items()}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("block_rows", [1, 2, 1000])
def test_every_format_gives_the_same_rows_in_the_same_order(
    tmp_path: Path, name: str, block_rows: int
) -> None:
    rows = read(tmp_path, name, FORMATS[name](), [*ALL, EXTRA, ROW_NUMBER], block_rows=block_rows)
    assert [values(row) for row in rows] == ROWS


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "wanted",
    [["cost"], ["tags", "name"], ["absent"], [ROW_NUMBER], [EXTRA], [ROW_NUMBER, "absent", "used_at"]],
    ids=str,
)
def test_columns_come_as_wanted_whatever_else_the_file_holds(
    tmp_path: Path, name: str, wanted: list[str]
) -> None:
    rows = read(tmp_path, name, FORMATS[name](), wanted)
    assert [values(row) for row in rows] == [{name: row[name] for name in wanted} for row in ROWS]


def test_types_are_the_tables_even_where_the_file_lacks_a_column(tmp_path: Path) -> None:
    for name, content in (("a.csv", b"name,cost\nx,1\n"), ("a.parquet", as_parquet())):
        (tmp_path / name).write_bytes(content)
        [frame] = read_blocks(tmp_path / name, TABLE, [*ALL, ROW_NUMBER], where=WHERE, block_rows=10)
        assert dict(frame.schema) == {
            **{column.name: column.kind.dtype for column in TABLE.columns},
            ROW_NUMBER: pl.Int64,
        }


WITHOUT_ROWS = {
    "empty.csv": b"",
    "empty.csv.gz": b"",
    "empty.parquet": b"",
    "empty.zip": b"",
    "header-only.csv": b"name,cost",
    "header-only.csv.gz": gzip.compress(b"\xef\xbb\xbfname,cost\r\n", mtime=0),
    "header-only.zip": as_zip(b"name,cost\n"),
    "no-members.zip": as_zip(),
    "no-rows.parquet": as_parquet([]),
}


@pytest.mark.parametrize("name", WITHOUT_ROWS)
def test_a_file_without_rows_gives_none(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, name, WITHOUT_ROWS[name], [*ALL, EXTRA, ROW_NUMBER]) == []


@pytest.mark.usefixtures("no_file_is_left_open")
@pytest.mark.parametrize("make", [as_csv, lambda header: as_zip(as_csv(header=header))], ids=["csv", "zip"])
def test_missing_columns_are_named_before_the_first_row(tmp_path: Path, make: Callable[..., bytes]) -> None:
    with pytest.raises(ContractBroken) as caught:
        read(
            tmp_path,
            "a.zip" if make is not as_csv else "a.csv",
            make(header=["a", "b", "c", "d", "e"]),
            ["used_at"],
        )
    assert f"reading {WHERE}: no column cost, name." in str(caught.value)


def test_parquet_without_required_columns_is_refused_in_the_same_words(tmp_path: Path) -> None:
    pl.DataFrame({"Name": ["x"], "price": [1]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(ContractBroken, match="no column cost"):
        next(read_blocks(tmp_path / "a.parquet", TABLE, ["name"], where=WHERE, block_rows=10))


def test_of_two_columns_of_one_name_the_first_is_taken_and_the_other_kept(tmp_path: Path) -> None:
    content = b"name,NAME,cost,name,tag/a,TAG/A\nn1,n2,1,n3,,t2\n"
    [row] = read(tmp_path, "a.csv", content, ["name", "tags", EXTRA])
    assert (row["name"], row["tags"], row[EXTRA]) == ("n1", {"a": "t2"}, {"NAME": "n2", "name_2": "n3"})


def test_a_column_called_like_one_of_ours_lands_in_extra(tmp_path: Path) -> None:
    [row] = read(tmp_path, "a.csv", b"name,cost,extra,row_number\nn,1,e,9\n", ["name", EXTRA, ROW_NUMBER])
    assert row == {"name": "n", EXTRA: {"extra": "e", "row_number": "9"}, ROW_NUMBER: 0}


GOOD_GZIP, GOOD_PARQUET, GOOD_ZIP = gzip.compress(as_csv()), as_parquet(), as_zip(as_csv(RECORDS * 50))


DAMAGED = {
    "cut.csv.gz": GOOD_GZIP[:-9],
    "cut-early.csv.gz": GOOD_GZIP[:15],
    "flipped.csv.gz": GOOD_GZIP[:-6] + b"\0" + GOOD_GZIP[-5:],
    "not.csv.gz": as_csv(),
    "tail.csv.gz": GOOD_GZIP + b"garbage",
    "cut.parquet": GOOD_PARQUET[:-20],
    "cut-early.parquet": GOOD_PARQUET[:5],
    "no-footer.parquet": GOOD_PARQUET[:-4] + b"XXXX",
    "not.parquet": as_csv(),
    "cut.zip": GOOD_ZIP[:-30],
    "flipped.zip": GOOD_ZIP[:200] + b"\xff" + GOOD_ZIP[201:],
    "not.zip": as_csv(),
    "not-utf-8.csv": as_csv() + b"\xff,1,,,\n",
    "header-not-utf-8.csv": b"name,cost,\xff\n",
    "header-with-an-open-quote.csv": b'name,"cost\nx,1\n',
    "ragged.csv": as_csv() + b"short,1\n",
    "long.csv": as_csv() + b"long,1,,,,\n",
    "no-number.csv": as_csv() + b'x,"1,5",,,\n',
    "no-time.csv": as_csv() + b"x,1,yesterday,,\n",
}


@pytest.mark.usefixtures("no_file_is_left_open")
@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_one_error_that_names_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(FatalError) as caught:
        read(tmp_path, name, DAMAGED[name], ["name", "cost", "used_at"])
    message = str(caught.value)
    assert message.startswith(f"reading {WHERE}: a ")
    assert "nothing of it counts as read" in message
    assert "\n" not in message
    assert caught.value.__cause__ is not None


def test_even_a_panic_of_the_engine_is_such_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(_: object, **_options: object) -> object:
        raise pl.exceptions.PanicException("assertion failed")

    monkeypatch.setattr(scan.pl, "scan_parquet", panic)
    with pytest.raises(FatalError, match="assertion failed"):
        read(tmp_path, "a.parquet", as_parquet(), ["name"])


def test_a_file_that_is_gone_has_changed(tmp_path: Path) -> None:
    with pytest.raises(SourceChanged, match="removed since it was listed"):
        next(read_blocks(tmp_path / "a.csv", TABLE, ["name"], where=WHERE, block_rows=10))


def test_a_file_that_may_not_be_read_is_no_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_form", mock.Mock(side_effect=PermissionError(13, "Permission denied")))
    with pytest.raises(PermissionDenied, match="let this user read the file"):
        read(tmp_path, "a.csv", b"name\nx\n", ["name"])


def test_an_encrypted_archive_is_such_an_error(tmp_path: Path) -> None:
    encrypted = bytearray(GOOD_ZIP)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.index(signature) + offset] |= 1
    with pytest.raises(FatalError, match="reading"):
        read(tmp_path, "a.zip", bytes(encrypted), ["name"])


def test_rows_before_the_damage_are_numbered_and_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_blocks, "_CHUNK_BYTES", 64)
    path = tmp_path / "a.csv"
    path.write_bytes(b"name,cost\n" + b"x,1\n" * 100 + b"x\n")
    frames: list[pl.DataFrame] = []
    with pytest.raises(FatalError):
        frames.extend(read_blocks(path, TABLE, [ROW_NUMBER], where=WHERE, block_rows=10))
    given_numbers = pl.concat(frames)[ROW_NUMBER].to_list()
    assert given_numbers == list(range(len(given_numbers)))
    assert 0 < len(given_numbers) <= 100


texts = st.none() | st.text(st.characters(codec="utf-8"), max_size=5)
numbers = st.none() | st.floats(allow_nan=False)
maps = st.none() | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), texts, max_size=3)
moments = st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 - as files have it


@settings(derandomize=True, deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(texts, numbers, moments, maps), max_size=8),
    st.integers(1, 9),
    st.integers(1, 9),
    st.permutations(["text", "number", "moment", "map", EXTRA, ROW_NUMBER]),
    st.integers(1, 6),
)
def test_parquet_gives_what_pyarrow_reads(
    rows: list[tuple[Any, ...]], group: int, block: int, order: list[str], width: int
) -> None:
    types = (pa.string(), pa.float64(), pa.timestamp("us"), pa.map_(pa.string(), pa.string()))
    names = ("text", "number", "moment", "map")
    columns = [[row[index] for row in rows] for index in range(4)]
    columns[3] = [None if members is None else list(members.items()) for members in columns[3]]
    arrays = [pa.array(column, kind) for column, kind in zip(columns, types, strict=True)]
    kinds = (Kind.STRING, Kind.NUMBER, Kind.TIMESTAMP, Kind.STRING_MAP)
    table = Table(columns=tuple(Column(name, kind) for name, kind in zip(names, kinds, strict=True)))
    wanted = order[:width]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.parquet")
        pq.write_table(pa.table([*arrays, arrays[0]], [*names, "more"]), path, row_group_size=group)
        frames = read_blocks(path, table, wanted, where=WHERE, block_rows=block)
        found = [row for frame in frames for row in frame.iter_rows(named=True)]
        slowly = pq.read_table(path).to_pylist()
    expected = [
        {
            **row,
            "moment": row["moment"] and row["moment"].replace(tzinfo=UTC),
            "map": None if row["map"] is None else dict(row["map"]),
            EXTRA: {"more": row["more"]},
            ROW_NUMBER: number,
        }
        for number, row in enumerate(slowly)
    ]
    assert found == [{name: row[name] for name in wanted} for row in expected]


def test_blocks_that_are_read_at_once_come_in_order_and_an_error_stands_where_it_belongs(
    tmp_path: Path,
) -> None:
    pl.DataFrame({"name": [str(n) for n in range(97)], "cost": ["1"] * 90 + ["x"] * 7}).write_parquet(
        tmp_path / "a.parquet"
    )
    frames = read_blocks(
        tmp_path / "a.parquet", TABLE, ["name", "cost"], where=WHERE, block_rows=10, at_once=3
    )
    names = [name for frame in (next(frames) for _ in range(9)) for name in frame["name"]]
    assert names == [str(n) for n in range(90)]
    with pytest.raises(FatalError):
        next(frames)


def test_the_more_columns_there_are_and_the_more_maps_the_fewer_rows_make_a_block() -> None:
    plain, maps = [Column("a")] * 125, [Column("m", Kind.STRING_MAP)] * 5
    rows = [block_rows_of(columns) for columns in ([], plain[:1], plain, plain + maps)]
    assert rows == [40_000, 40_000, 18_000, 9_000]
