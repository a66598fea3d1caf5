"""What is compared of loading: taps with loaders, from S3 to a table, and DuckDB alone, from a local file."""

from __future__ import annotations

import subprocess
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.cases import Case, Suite, Target
from benchmarks.clouds import ITS_DUCKDB, TAP_S3_CSV, TARGET_DUCKDB
from benchmarks.subjects import FEW, SUBJECTS

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.commands import Commands
    from benchmarks.subjects import Subject

_OURS = "tap and loader"
_OTHERS = "tap-s3-csv and target-duckdb"
_ALONE = "duckdb"


def _cases(subject: Subject, commands: Commands) -> list[Case]:
    def loaded(of: Subject, _output: Path) -> int:
        counting = commands.counting(of)
        return int(subprocess.run(counting, check=True, stdout=subprocess.PIPE, text=True).stdout)

    def ours(columns: str, batch: str | None) -> Case:
        what = f"BATCH {batch}, {columns} columns" if batch else f"records, {columns} columns"
        reading = partial(commands.tap, columns=columns, s3=True, batch=batch)
        return Case(_OURS, what, columns, reading, commands.loader, counted=loaded, s3=True)

    def others(columns: str) -> Case:
        reading = partial(commands.s3_csv, columns=columns, loaded=True)
        what, loader = f"records, {columns} columns", commands.other_loader
        return Case(_OTHERS, what, columns, reading, loader, slow=True, counted=loaded, s3=True)

    def alone(columns: str) -> Case:
        reading = partial(commands.engine, "duckdb-load", columns)
        return Case(_ALONE, f"the file as it is, {columns} columns", columns, reading, counted=loaded)

    sets = (FEW, subject.whole)
    return [
        *(ours(columns, batch) for columns in sets for batch in (None, "parquet", "jsonl.gz")),
        *map(others, sets),
        *map(alone, sets),
    ]


LOADING = Suite(
    title="Speed of loading",
    results="LOADING.md",
    subjects=(SUBJECTS["parquet"], SUBJECTS["csv"]),
    cases=_cases,
    ours=_OURS,
    peak_mb=None,
    bases=(_OTHERS, _ALONE),
    targets=tuple(
        Target(f"{_OURS}: {how}, {FEW} columns", base, least)
        for how in ("records", "BATCH parquet")
        for base, least in ((_OTHERS, 50), (_ALONE, round(1 / 3, 2)))
    ),
    packages=(TAP_S3_CSV, f"{TARGET_DUCKDB} on {ITS_DUCKDB}"),
)
