"""NaN and infinity, which JSON has no words for: null in files of other formats too."""

from __future__ import annotations

from typing import Any

import polars as pl


def only_finite(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with null in place of numbers that are not finite, also within objects and lists."""
    return frame.with_columns(
        _only_finite(pl.col(name), dtype) for name, dtype in frame.schema.items() if _holds_floats(dtype)
    )


def _only_finite(values: pl.Expr, dtype: Any) -> pl.Expr:  # noqa: ANN401 - polars' stubs tell too little of members
    if dtype.is_float():
        return pl.when(values.is_finite()).then(values)
    if isinstance(dtype, pl.Struct):
        members = [_only_finite(pl.field(member.name), member.dtype) for member in dtype.fields]
        return values.struct.with_fields(members)
    if isinstance(dtype, pl.List):
        return values.list.eval(_only_finite(pl.element(), dtype.inner))
    if isinstance(dtype, pl.Map):
        entries = pl.List(pl.Struct({"key": dtype.key, "value": dtype.value}))
        return _only_finite(values.map.entries(), entries).cast(dtype)
    return values


def _holds_floats(dtype: Any) -> bool:  # noqa: ANN401 - as above
    if isinstance(dtype, pl.Struct):
        return any(_holds_floats(member.dtype) for member in dtype.fields)
    if isinstance(dtype, pl.List):
        return _holds_floats(dtype.inner)
    return _holds_floats(dtype.value) if isinstance(dtype, pl.Map) else bool(dtype.is_float())
