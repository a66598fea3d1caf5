"""CSV in blocks: what the slow and obvious reader reads, wherever a chunk ends; what is broken is refused."""

from __future__ import annotations

import csv
import io
import time
from typing import TYPE_CHECKING
from unittest import mock

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from offgridflow_common.exports import csv_blocks
from offgridflow_common.exports.csv_blocks import CsvReader

if TYPE_CHECKING:
    from collections.abc import Sequence

Rows = list[tuple[str | None, ...]]

#: What a damaged or ragged file raises, before anyone explains it.
REFUSED = (pl.exceptions.PolarsError, ValueError)


def read(
    data: bytes, wanted: Sequence[str] | None = None, *, block_rows: int = 1000, chunk: int = 1024**2
) -> tuple[list[str], Rows]:
    """The header and the rows, projected in the order asked for; empty text counts as null."""
    with mock.patch.object(csv_blocks, "_CHUNK_BYTES", chunk):
        reader = CsvReader(io.BytesIO(data), block_rows)
        names = reader.names if wanted is None else wanted
        frames = list(reader.blocks(names))
    assert all(0 < frame.height <= block_rows for frame in frames)
    return reader.names, [
        tuple(value or None for value in row) for frame in frames for row in frame.select(names).iter_rows()
    ]


def read_slowly(data: bytes) -> tuple[list[str], Rows]:
    """The same by the csv module; an empty line is a record with one empty field."""
    lines = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
    header, *rows = [row or [""] for row in lines]
    return header, [tuple(value or None for value in row) for row in rows]


def field(text: str, quoted: bool) -> str:  # noqa: FBT001 - drawn by Hypothesis
    doubled = text.replace('"', '""')
    return f'"{doubled}"' if quoted or any(char in text for char in '",\r\n') else text


fields = st.builds(
    field, st.text(st.sampled_from(list('ab ",\n\r#é大😀\u2028\t')), max_size=6), st.booleans()
)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A well-formed file: quotes, newlines in fields, LF or CRLF, with and without BOM and last newline."""
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(fields, min_size=width, max_size=width), max_size=12))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    lines = [",".join(["one", "two", "three", "four"][:width]), *(",".join(row) for row in rows)]
    text = newline.join(lines) + draw(st.sampled_from(["", newline]))
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode()


@settings(derandomize=True, deadline=None, max_examples=150)
@given(files(), st.integers(1, 40), st.integers(1, 5), st.sets(st.integers(0, 3), min_size=1))
@example(b'one,two\n"a\n",b\n"\n\n""",\n', 1, 1, {0})
def test_the_rows_are_those_that_the_csv_module_reads(
    data: bytes, chunk: int, block_rows: int, columns: set[int]
) -> None:
    header, rows = read_slowly(data)
    assert read(data, chunk=chunk, block_rows=block_rows) == (header, rows)
    positions = sorted({column % len(header) for column in columns})
    _, projected = read(data, [header[position] for position in positions], chunk=chunk)
    assert projected == [tuple(row[position] for position in positions) for row in rows]


RAGGED = {
    "short, the only row": b"1,2\n",
    "short, first": b"1,2\n1,2,3\n",
    "short, later": b"1,2,3\n1,2\n1,2,3\n",
    "short, last, without a newline": b"1,2,3\n1",
    "short, quoted": b'1,2,3\n"1,2","3"\n',
    "short, with a newline": b'1,2,3\n"1\n,\n",2\n',
    "short, among nulls": b"1,2,\n1,2,\n1,2\n1,,\n",
    "an empty line": b"1,2,3\n\n1,2,3\n",
    "an empty line at the end": b"1,2,3\r\n\r\n",
    "long, the only row": b"1,2,3,4\n",
    "long, first": b"1,2,3,4\n1,2,3\n",
    "long, later": b"1,2,3\n1,2,3,4\n1,2,3\n",
    "long, last, without a newline": b"1,2,3\n1,2,3,4",
    "long, with nothing in its last field": b"1,2,3\n1,2,3,\n",
    "long, a comma that should have been quoted": b"1,2,\n1,000,2,\n",
    "long, then short": b"1,2,3\n1,2,3,4\n1,2\n",
    "short, then long": b"1,2,3\n1,2,\n1,2\n1,2,3,4\n",
    "a lone carriage return": b"1,2,3\r1,2,3\n",
    "a quote that is never closed": b'1,2,"3\n1,2,3\n',
    "a quote that is never closed, at the end": b'1,2,3\n1,2,"3',
}


@pytest.mark.parametrize("wanted", [["a", "b", "c"], ["a", "c"], ["b"], []], ids=str)
@pytest.mark.parametrize("rows", RAGGED.values(), ids=RAGGED)
@pytest.mark.parametrize("chunk", [1024, 4])
def test_a_record_that_does_not_fit_the_header_is_never_padded_or_cut(
    rows: bytes, wanted: list[str], chunk: int
) -> None:
    with pytest.raises(REFUSED):
        read(b"a,b,c\n" + rows, wanted, chunk=chunk)


@pytest.mark.parametrize("damaged", [b"\xff", b"\xc3", b'"2"x', b'"2'], ids=str)
@pytest.mark.parametrize("wanted", [["a", "b", "c"], ["b"]], ids=str)
def test_a_damaged_value_is_refused(damaged: bytes, wanted: list[str]) -> None:
    with pytest.raises(REFUSED):
        read(b"a,b,c\n1,2,3\n1," + damaged + b",3\n", wanted)


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (b"", []),
        (b"\n", []),
        (b"\xef\xbb\xbf", []),
        (b"a,b", ["a", "b"]),
        (b"a,b\r\n", ["a", "b"]),
        (b"\xef\xbb\xbfa,b\n", ["a", "b"]),
        (b'"a,1","b\n2","c""3"\n', ["a,1", "b\n2", 'c"3']),
        (b"a,,b\n", ["a", "", "b"]),
        ("größe,大\n".encode(), ["größe", "大"]),
    ],
)
@pytest.mark.parametrize("chunk", [1, 1024])
def test_a_file_with_a_header_or_less_has_no_rows(data: bytes, names: list[str], chunk: int) -> None:
    assert read(data, chunk=chunk) == (names, [])


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("a,b,a", ["a", "b", "a_2"]),
        ("a,a,a", ["a", "a_2", "a_3"]),
        ("a,A", ["a", "A"]),
        (",", ["", "_2"]),
    ],
)
def test_columns_of_the_same_name_are_told_apart(header: str, names: list[str]) -> None:
    values = tuple(str(number) for number in range(len(names)))
    assert read(f"{header}\n{','.join(values)}\n".encode()) == (names, [values])


@pytest.mark.parametrize("header", ["a,a,a_2", "a_2,a,a", "a,a_2,a,a_2"])
def test_a_name_made_for_a_repeated_column_never_takes_the_place_of_a_real_one(header: str) -> None:
    given_names = header.split(",")
    names, rows = read(f"{header}\n{','.join(str(number) for number in range(len(given_names)))}\n".encode())
    assert len(set(names)) == len(given_names)
    assert rows == [tuple(str(number) for number in range(len(given_names)))]
    assert all(names[given_names.index(name)] == name for name in set(given_names))


def test_a_byte_order_mark_counts_only_at_the_beginning() -> None:
    rows = [("\ufeff1", "\ufeff"), ("\ufeff2", "x")]
    text = "\ufeffa,b\n" + "".join(f"{one},{other}\n" for one, other in rows)
    for chunk in (1, 7, 9, 1024):
        assert read(text.encode(), chunk=chunk) == (["a", "b"], rows)


@pytest.mark.parametrize("chunk", [1, 7, 20, 1024])
@pytest.mark.parametrize("odd", ["\x1e", "\x1e\x1e", "\x1e\x1e\x1e"], ids=len)
def test_what_marks_lines_may_stand_in_values(odd: str, chunk: int) -> None:
    rows = [("1", odd, "3"), (odd, "2", odd), (f'{odd}\n"', f"x,{odd}", f"{odd}y")]
    text = "a,b,c\n" + "".join(",".join(field(value, quoted=False) for value in row) + "\n" for row in rows)
    assert read(text.encode(), chunk=chunk) == (["a", "b", "c"], rows)
    with pytest.raises(REFUSED):
        read(f"a,b,c\n1,2,3\n1,{odd}\n".encode(), ["a", "b"], chunk=chunk)


def test_values_stay_text_as_they_are() -> None:
    row = ("007", " 1.10 ", "NA", "null", "true", "2024-01-01", "1e5", "-", "#x", "'q'")
    header = ",".join(f"c{number}" for number in range(len(row)))
    assert read(f"{header}\n{','.join(row)}\n".encode())[1] == [row]


def test_rows_can_be_counted_without_any_column() -> None:
    frames = CsvReader(io.BytesIO(b"a,b\n" + b'1,"\n"\n' * 10), 4).blocks([])
    assert [frame.height for frame in frames] == [4, 4, 2]


@pytest.mark.parametrize("rest", ["read", "left"])
def test_the_stream_is_read_as_blocks_are_asked_for_and_closed_however_it_ends(rest: str) -> None:
    stream = io.BytesIO(b"a,b\n" + b"1,2\n" * 1000)
    with mock.patch.object(csv_blocks, "_CHUNK_BYTES", 64):
        blocks = CsvReader(stream, 10).blocks(["a"])
        first = next(blocks)
        assert stream.tell() < 400
        if rest == "read":
            assert first.height + sum(block.height for block in blocks) == 1000
        del blocks
    assert stream.closed


def test_records_before_one_whose_end_is_still_to_be_read_do_not_wait_for_it() -> None:
    stream = io.BytesIO(b"a,b\n" + (b'1,"' + b"line\n" * 50 + b'"\n') * 100)
    with mock.patch.object(csv_blocks, "_CHUNK_BYTES", 600):
        blocks = CsvReader(stream, 1).blocks(["a"])
        assert next(blocks)["a"].to_list() == ["1"]
        assert stream.tell() < 3000


def test_the_stream_is_closed_when_a_record_is_refused() -> None:
    stream = io.BytesIO(b"a,b\n1,2\n1\n")
    with pytest.raises(REFUSED):
        list(CsvReader(stream, 5).blocks(["b"]))
    assert stream.closed


@pytest.mark.parametrize("begin", [b'a,b\n1,"2\n', b'a,"b\n'], ids=["in a row", "in the header"])
def test_a_quote_that_is_never_closed_is_found_out_soon(begin: bytes) -> None:
    data = begin + b"some text in a row,more of it\n" * 30_000
    started = time.process_time()
    with pytest.raises((*REFUSED, csv.Error)):
        read(data, ["a"], chunk=256 * 1024)
    assert time.process_time() - started < 1


def test_a_record_that_never_ends_is_given_up_before_it_fills_the_memory() -> None:
    stream = io.BytesIO(b'a,b\n1,"2\n' + b"x,y\n" * 100_000)
    with (
        mock.patch.object(csv_blocks, "_CHUNK_BYTES", 256),
        mock.patch.object(csv_blocks, "_LONGEST_RECORD", 1024),
    ):
        blocks = CsvReader(stream, 10).blocks(["a"])
        with pytest.raises(REFUSED, match="a quote that is never closed"):
            list(blocks)
    assert stream.closed


def test_a_line_counts_as_too_long_by_itself_not_with_those_before_it() -> None:
    def lines(last: int) -> bytes:
        return b"a,b\n" + b"1,2\n" * 60 + b"3," + b"x" * last + b"\n"

    with mock.patch.object(csv_blocks, "_LONGEST_RECORD", 1024):
        assert read(lines(1000), ["a"], chunk=256)[1] == [("1",)] * 60 + [("3",)]
        with pytest.raises(REFUSED, match="a line that does not end"):
            read(lines(1100), ["a"], chunk=256)


def test_small_chunks_are_put_together_to_blocks() -> None:
    with mock.patch.object(csv_blocks, "_CHUNK_BYTES", 16):
        blocks = list(CsvReader(io.BytesIO(b"a,b\n" + b"1,2\n" * 100), 50).blocks(["a"]))
    assert sum(block.height for block in blocks) == 100
    assert max(block.height for block in blocks) > 40
