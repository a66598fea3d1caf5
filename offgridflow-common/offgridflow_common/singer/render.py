"""Rows as lines of JSON, column by column.

Rendering values is what takes the time, so as few as possible are rendered. In a block of line items most
columns hold one value (the bill, the payer) or none at all: each is rendered once. A run of columns between
them becomes one column of JSON text. polars' CSV writer then puts the texts of a row beside each other, with
commas between them as JSON has them, so that nothing is copied more than needed::

    {"type":"RECORD","stream":"items","record":{"payer":"1234"  ,  "cost":1.5,"unit":"Hrs"  ,  "tax":null}
                           rendered once                            a text for each row        rendered once
"""

from __future__ import annotations

import json
from itertools import groupby
from typing import IO, TYPE_CHECKING, cast

import polars as pl

from offgridflow_common.columns import TIMESTAMP_FORMAT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

#: Columns of a run at most. polars renders runs in parallel, and each costs a little.
_RENDERED_COLUMNS = 8


class _Pieces(list[bytes]):
    """A file to write to that keeps what is written in pieces: joined, they would be copied once more."""

    def write(self, piece: bytes) -> int:
        self.append(piece)
        return len(piece)


def as_json_values(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with each value as it stands in JSON: timestamps as text; the rest needs no change."""
    texts = [_timestamp_texts(values) for values in frame if isinstance(values.dtype, pl.Datetime)]
    return frame.with_columns(texts) if texts else frame


def render_records(stream: str, frame: pl.DataFrame, time_extracted: datetime) -> list[bytes]:
    """RECORD messages for all rows of a frame, one line each.

    Args:
        stream: The stream's name in the messages.
        frame: The rows; columns are written in their order.
        time_extracted: When the rows were read (aware, UTC): one moment for the block.

    Returns:
        Pieces of lines, in order, the last of which ends with a newline; none for a frame without rows.
    """
    moment = time_extracted.isoformat(timespec="microseconds")
    return render_lines(
        frame,
        before=f'{{"type":"RECORD","stream":{json.dumps(stream)},"record":',
        after=f'"time_extracted":"{moment}"}}',
    )


def render_lines(frame: pl.DataFrame, *, before: str = "", after: str = "") -> list[bytes]:
    """A line with a JSON object for each row of a frame.

    Args:
        frame: The rows; columns are written in their order.
        before: What stands before each object.
        after: What stands after each object and a comma.

    Returns:
        Pieces of lines, as :func:`render_records` returns them.
    """
    pieces = _Pieces()
    if not frame.is_empty():
        values = as_json_values(frame)
        texts = list(_object_texts(values))
        if before:
            texts[0] = pl.concat_str(pl.lit(before), texts[0])
        if after:
            texts.append(pl.lit(after))
        numbered = {str(number): text for number, text in enumerate(texts)}
        lines = values.with_columns(**numbered).select(*numbered)
        lines.write_csv(cast("IO[bytes]", pieces), include_header=False, quote_style="never")
    return pieces


def _object_texts(values: pl.DataFrame) -> Iterator[pl.Expr]:
    """Texts that are the rows' objects when commas join them."""
    runs = list(_runs(values))
    for number, (constant, names) in enumerate(runs):
        if constant:
            text = pl.lit(values.select(names).head(1).to_struct().struct.json_encode().item())
        else:
            text = pl.struct(names).struct.json_encode()
        if number > 0:
            text = text.str.slice(1)
        if number < len(runs) - 1:
            text = text.str.head(-1)
        yield text


def _runs(values: pl.DataFrame) -> Iterator[tuple[bool, list[str]]]:
    """Columns that stand beside each other and are alike: whether they are constant, and their names."""
    for constant, run in groupby(values, key=_is_constant):
        names = [column.name for column in run]
        size = len(names) if constant else _RENDERED_COLUMNS
        yield from ((constant, names[start : start + size]) for start in range(0, len(names), size))


def _is_constant(values: pl.Series) -> bool:
    """Whether all values are rendered alike; if in doubt, they are not."""
    if values.null_count() or values.dtype.is_nested():
        return values.null_count() == len(values)
    # To polars, 0.0 is -0.0, which is another text.
    return values[0] != 0.0 and bool((values == values[0]).all())


def _timestamp_texts(values: pl.Series) -> pl.Series:
    """Timestamps as text; each distinct one is rendered once, because few of them stand in many rows."""
    distinct = values.unique()
    return values.replace_strict(distinct, distinct.dt.strftime(TIMESTAMP_FORMAT), return_dtype=pl.String)
