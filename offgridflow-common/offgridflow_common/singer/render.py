"""Rows as lines of JSON, column by column.

Rendering values is what takes the time, so as few as possible are rendered. In a block of line items most
columns hold one value (the bill, the payer) or none at all: each is rendered once. A run of columns between
them becomes one column of JSON text. polars' CSV writer then puts the texts of a row beside each other, with
commas between them as JSON has them, straight into the file, so that nothing is copied more than needed::

    {"type":"RECORD","stream":"items","record":{"payer":"1234"  ,  "cost":1.5,"unit":"Hrs"  ,  "tax":null}
                           rendered once                            a text for each row        rendered once
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import IO, TYPE_CHECKING

import polars as pl

from offgridflow_common.columns import TIMESTAMP_FORMAT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

_ERROR_NUMBER = re.compile(r"\(os error (\d+)\)")

#: Columns of a run at most. polars renders runs in parallel, and each costs a little.
_RENDERED_COLUMNS = 8


@dataclass(frozen=True, slots=True)
class Lines:
    """Whole lines of text, not joined yet.

    Attributes:
        texts: A row for each line, whose texts commas shall join.
    """

    texts: pl.DataFrame

    def write_to(self, file: IO[bytes]) -> None:
        """Write all lines; straight to the file's descriptor, where it has one, which must be flushed then.

        Raises:
            OSError: The file cannot be written to; as the error it is, such as ``BrokenPipeError``.
        """
        try:
            self.texts.write_csv(file, include_header=False, quote_style="never")
        except OSError as error:
            # polars tells the error's number in its text alone.
            if error.errno is None and (number := _ERROR_NUMBER.search(str(error))):
                raise OSError(int(number[1]), str(error)) from error
            raise

    def __bytes__(self) -> bytes:
        """The lines in memory."""
        file = io.BytesIO()
        self.write_to(file)
        return file.getvalue()


def as_json_values(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with each value as it stands in JSON: timestamps as text; the rest needs no change."""
    texts = [_timestamp_texts(values) for values in frame if isinstance(values.dtype, pl.Datetime)]
    return frame.with_columns(texts) if texts else frame


def render_records(stream: str, frame: pl.DataFrame, time_extracted: datetime) -> Lines:
    """RECORD messages for all rows of a frame, one line each.

    Args:
        stream: The stream's name in the messages.
        frame: The rows; columns are written in their order.
        time_extracted: When the rows were read (aware, UTC): one moment for the block.

    Returns:
        The lines; none for a frame without rows.
    """
    moment = time_extracted.isoformat(timespec="microseconds")
    return render_lines(
        frame,
        before=f'{{"type":"RECORD","stream":{json.dumps(stream)},"record":',
        after=f'"time_extracted":"{moment}"}}',
    )


def render_lines(frame: pl.DataFrame, *, before: str = "", after: str = "") -> Lines:
    """A line with a JSON object for each row of a frame.

    Args:
        frame: The rows; columns are written in their order.
        before: What stands before each object.
        after: What stands after each object and a comma.

    Returns:
        Lines as :func:`render_records` returns them.
    """
    if frame.is_empty():
        return Lines(pl.DataFrame())
    constants = _constants(frame)
    texts = list(_object_texts(frame.columns, constants))
    if before:
        texts[0] = pl.concat_str(pl.lit(before), texts[0])
    if after:
        texts.append(pl.lit(after))
    numbered = {str(number): text for number, text in enumerate(texts)}
    values = as_json_values(frame.drop(constants)) if len(constants) < frame.width else frame
    return Lines(values.with_columns(**numbered).select(*numbered))


def _constants(frame: pl.DataFrame) -> dict[str, str]:
    """The member of each column that is rendered alike in all rows, by name."""
    return {
        values.name: _member(values.name, values.dtype, values[0]) for values in frame if _is_constant(values)
    }


@lru_cache(1024)
def _member(name: str, dtype: pl.DataType, value: object) -> str:
    """A member of an object, as polars renders it; block after block has the same ones."""
    values = as_json_values(pl.Series(name, [value], dtype=dtype).to_frame())
    text: str = values.select(pl.struct(name).struct.json_encode()).item()
    return text[1:-1]


def _object_texts(names: Sequence[str], constants: Mapping[str, str]) -> Iterator[pl.Expr]:
    """Texts that are the rows' objects when commas join them."""
    runs = list(_runs(names, constants))
    for number, run in enumerate(runs):
        if run[0] in constants:
            members = ",".join(constants[name] for name in run)
            text = pl.lit(f"{{{members}}}")
        else:
            text = pl.struct(run).struct.json_encode()
        if number > 0:
            text = text.str.slice(1)
        if number < len(runs) - 1:
            text = text.str.head(-1)
        yield text


def _runs(names: Sequence[str], constants: Collection[str]) -> Iterator[list[str]]:
    """Columns that stand beside each other, and are constant or are not."""
    for constant, group in groupby(names, key=constants.__contains__):
        run = list(group)
        size = len(run) if constant else _RENDERED_COLUMNS
        yield from (run[start : start + size] for start in range(0, len(run), size))


def _is_constant(values: pl.Series) -> bool:
    """Whether all values are rendered alike; if in doubt, they are not."""
    if values.null_count() or values.dtype.is_nested():
        return values.null_count() == len(values)
    # To polars, 0.0 is -0.0, which is another text. Where ends differ, the rest needs no look.
    return values[0] != 0.0 and values[0] == values[-1] and bool((values == values[0]).all())


def _timestamp_texts(values: pl.Series) -> pl.Expr:
    """Timestamps as text; each distinct one is rendered once, because few of them stand in many rows.

    By polars alone: a call of Python for each column, as in ``each_distinct``, takes half as long again.
    """
    distinct = values.unique()
    texts = pl.lit(distinct).dt.strftime(TIMESTAMP_FORMAT)
    return pl.col(values.name).replace_strict(distinct, texts, return_dtype=pl.String)
