"""What is compared of reading: the taps, a plain tap on the SDK, tap-s3-csv, and engines alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from benchmarks.cases import Case, Suite, Target
from benchmarks.clouds import TAP_S3_CSV
from benchmarks.commands import ENCODINGS
from benchmarks.subjects import FEW, SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.columns import Column
    from benchmarks.commands import Commands
    from benchmarks.subjects import Subject

Family = Literal["tap", "SDK tap", "tap-s3-csv", "polars", "duckdb"]

#: What column sets are called that are not just so many columns.
_NAMES = {"30": "25 columns and 5 maps", "125": "125 columns, no maps"}


def _cases(subject: Subject, commands: Commands) -> list[Case]:
    """All cases of a subject."""
    tap, sdk, s3_csv, engine = commands.tap, commands.sdk_tap, commands.s3_csv, commands.engine
    every = list(subject.sets)
    ends = [FEW, subject.whole]
    encodings = list(ENCODINGS) if subject.thorough else ["parquet"]
    with_s3_csv = ends if subject.thorough else [FEW] if subject.format == "csv" else []

    def reading(family: Family, command: Callable[..., list[str]], columns: str, **how: bool) -> Case:
        what = _called(subject.sets[columns])
        return Case(family, what, columns, partial(command, columns=columns), **how)

    def batch(family: Family, command: Callable[..., list[str]], encoding: str, **how: bool) -> Case:
        what, run = f"BATCH {encoding}, {FEW} columns", partial(command, columns=FEW, batch=encoding)
        return Case(family, what, encoding, run, counted=None, **how)

    def ndjson(family: Family, columns: str) -> Case:
        run = partial(engine, f"{family}-ndjson", columns)
        return Case(family, f"NDJSON, {columns} columns", columns, run, counted=None)

    from_s3 = Case("tap", f"{FEW} columns from S3", FEW, partial(tap, columns=FEW, s3=True), s3=True)
    record_path = partial(tap, columns=FEW, stream_map=True)
    return [
        *(reading("tap", tap, columns) for columns in every),
        *([from_s3] if subject.thorough else []),
        Case("tap", "activities alone", "group", commands.activities, counted=None),
        Case("tap", f"{FEW} columns, record path", FEW, record_path, slow=True),
        *(batch("tap", tap, encoding) for encoding in encodings),
        *(batch("SDK tap", sdk, encoding, slow=True) for encoding in encodings),
        *(reading("SDK tap", sdk, columns, slow=True) for columns in ends),
        *(reading("tap-s3-csv", s3_csv, columns, slow=True, s3=True) for columns in with_s3_csv),
        *(ndjson("polars", columns) for columns in every),
        *(ndjson("duckdb", columns) for columns in (every if subject.thorough else [FEW])),
        Case("polars", "group-by of usage", "group", partial(engine, "polars-group", FEW), counted=None),
    ]


def _called(columns: Sequence[Column]) -> str:
    members = sum(bool(column.map) for column in columns)
    number = str(len(columns))
    return f"{number} columns, {members} into maps" if members else _NAMES.get(number, f"{number} columns")


READING = Suite(
    title="Speed",
    results="RESULTS.md",
    subjects=tuple(SUBJECTS.values()),
    cases=_cases,
    ours="tap",
    peak_mb=500,
    bases=("SDK tap", "tap-s3-csv", "polars"),
    targets=(
        Target(f"tap: {FEW} columns", "SDK tap", 25),
        Target(f"tap: {FEW} columns", "tap-s3-csv", 100),
        Target(f"tap: {FEW} columns", "polars", 0.7),
        Target("tap: activities alone", "polars", round(1 / 1.3, 2)),
        Target(f"tap: BATCH parquet, {FEW} columns", "SDK tap", 20),
    ),
    packages=(TAP_S3_CSV,),
)
