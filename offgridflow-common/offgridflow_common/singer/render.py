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
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

#: Values that are rendered at once: as text they take several times the memory they take as columns.
_RENDERED_VALUES = 150_000

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


def render_records(stream: str, frame: pl.DataFrame, time_extracted: datetime) -> Iterator[list[bytes]]:
    """RECORD messages for all rows of a frame, one line each.

    Args:
        stream: The stream's name in the messages.
        frame: The rows; columns are written in their order.
        time_extracted: When the rows were read (aware, UTC): one moment for the block.

    Returns:
        Whole lines of some rows at a time, in pieces; nothing for a frame without rows.
    """
    moment = time_extracted.isoformat(timespec="microseconds")
    return render_lines(
        frame,
        before=f'{{"type":"RECORD","stream":{json.dumps(stream)},"record":',
        after=f'"time_extracted":"{moment}"}}',
    )


def render_lines(frame: pl.DataFrame, *, before: str = "", after: str = "") -> Iterator[list[bytes]]:
    """A line with a JSON object for each row of a frame.

    Args:
        frame: The rows; columns are written in their order.
        before: What stands before each object.
        after: What stands after each object and a comma.

    Returns:
        Lines as :func:`render_records` returns them.
    """
    if frame.is_empty():
        return
    constants = _constants(frame)
    values = as_json_values(frame.drop(constants))
    texts = list(_object_texts(frame.columns, constants))
    if before:
        texts[0] = pl.concat_str(pl.lit(before), texts[0])
    if after:
        texts.append(pl.lit(after))
    numbered = {str(number): text for number, text in enumerate(texts)}
    for part in values.iter_slices(max(1, _RENDERED_VALUES // frame.width)):
        pieces = _Pieces()
        lines = part.with_columns(**numbered).select(*numbered)
        lines.write_csv(cast("IO[bytes]", pieces), include_header=False, quote_style="never")
        yield pieces


def _constants(frame: pl.DataFrame) -> dict[str, str]:
    """An object of one member for each column that is rendered alike in all rows."""
    names = [column.name for column in frame if _is_constant(column)]
    first = as_json_values(frame.select(names).head(1))
    texts = first.select(pl.struct(name).struct.json_encode().alias(name) for name in names)
    return texts.row(0, named=True) if names else {}


def _object_texts(names: Sequence[str], constants: Mapping[str, str]) -> Iterator[pl.Expr]:
    """Texts that are the rows' objects when commas join them."""
    runs = list(_runs(names, constants))
    for number, run in enumerate(runs):
        if run[0] in constants:
            members = ",".join(constants[name][1:-1] for name in run)
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
    # To polars, 0.0 is -0.0, which is another text.
    return values[0] != 0.0 and bool((values == values[0]).all())


def _timestamp_texts(values: pl.Series) -> pl.Series:
    """Timestamps as text; each distinct one is rendered once, because few of them stand in many rows."""
    distinct = values.unique()
    return values.replace_strict(distinct, distinct.dt.strftime(TIMESTAMP_FORMAT), return_dtype=pl.String)
