"""Compares ways to read one export, or to load it: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.clouds import local_clouds, prepare
from benchmarks.commands import RUN, Commands, clean
from benchmarks.inputs import Input
from benchmarks.loading import LOADING
from benchmarks.measure import RunFailedError, Sample, own_peak_mb, run
from benchmarks.reading import READING
from benchmarks.report import Result, circumstances, table, targets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.cases import Case
    from benchmarks.subjects import Subject

_SUITES = {"reading": READING, "loading": LOADING}

#: What is slow reads at most so many rows.
_SLOW_ROWS = 50_000

#: Start-up is what so many rows take, nearly.
_START_ROWS = 1_000


class Bench:
    """Runs cases in turn, and keeps what each run took."""

    def __init__(self, rows: int, env: Mapping[str, str]) -> None:
        self._rows = rows
        self._env = env
        self._pipelines: dict[tuple[Subject, str, int], list[list[str]]] = {}
        self._samples: dict[tuple[Subject, str, int], list[Sample]] = {}

    def inputs(self, chosen: Sequence[tuple[Subject, Case]]) -> list[Input]:
        """The inputs that the cases need, each once."""
        needed: dict[tuple[Subject, int], bool] = {}
        for subject, case in chosen:
            for rows in (self.rows_of(case), _START_ROWS):
                needed[subject, rows] = needed.get((subject, rows), False) or case.s3
        return [Input(subject, rows, s3) for (subject, rows), s3 in needed.items()]

    def rows_of(self, case: Case) -> int:
        """How many rows a case reads."""
        return min(self._rows, _SLOW_ROWS) if case.slow else self._rows

    def warm_up(self, subject: Subject, case: Case) -> None:
        """Run a case once on few rows, uncounted, and make sure that it gives each of them.

        Raises:
            RunFailedError: It does not.
        """
        for rows in {self.rows_of(case), _START_ROWS}:
            self._pipelines[subject, case.name, rows] = case.pipeline(Input(subject, rows))
        output = RUN / "output"
        self._run(subject, case, _START_ROWS, output)
        if case.counted and (given := case.counted(subject, output)) != _START_ROWS:
            raise RunFailedError(f"{given} of {_START_ROWS} rows")

    def count(self, subject: Subject, case: Case) -> None:
        """Run a case once and keep what it took."""
        for rows in {self.rows_of(case), _START_ROWS} if case.slow else {self.rows_of(case)}:
            sample = self._run(subject, case, rows)
            self._samples.setdefault((subject, case.name, rows), []).append(sample)

    def result(self, subject: Subject, case: Case) -> Result:
        """What was kept of a case."""
        rows = self.rows_of(case)
        samples = self._samples[subject, case.name, rows]
        if not case.slow:
            return Result(case, subject, rows, samples)
        return Result(
            case, subject, rows, samples, self._samples[subject, case.name, _START_ROWS], _START_ROWS
        )

    def _run(self, subject: Subject, case: Case, rows: int, output: Path | None = None) -> Sample:
        log = RUN / f"{re.sub(r'[^a-z0-9]+', '-', f'{subject.name} {case.name}'.lower())}.log"
        clean()
        return run(self._pipelines[subject, case.name, rows], self._env, log, output)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison, print it, and keep it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("suite", choices=_SUITES, nargs="?", default="reading", help="what is compared")
    parser.add_argument("--rows", type=int, default=1_000_000, help="line items of the input")
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each case")
    parser.add_argument("--cases", default="", help="only what matches, such as '^csv tap:'")
    parser.add_argument("--out", type=Path, help="file for the results; default: kept if all run")
    options = parser.parse_args(arguments)
    suite = _SUITES[options.suite]
    out = options.out or (None if options.cases else Path(__file__).parent / suite.results)
    loads = [os.getloadavg()[0]]
    with local_clouds() as clouds:
        commands = Commands(clouds)
        chosen = [
            (subject, case)
            for subject in suite.subjects
            for case in suite.cases(subject, commands)
            if re.search(options.cases, f"{subject.name} {case.name}")
        ]
        bench = Bench(options.rows, clouds.env)
        inputs = bench.inputs(chosen)
        _say(f"making {len(inputs)} inputs that are not there yet")
        prepare(inputs, clouds)
        working = [item for item in chosen if _works(bench, *item)]
        for number, (subject, case) in itertools.product(range(options.runs), working):
            _say(f"run {number + 1} of {options.runs}: {subject.name} {case.name}")
            bench.count(subject, case)
    results = [bench.result(*item) for item in working]
    loads.append(os.getloadavg()[0])
    command = f"python -m benchmarks {shlex.join(sys.argv[1:] if arguments is None else arguments)}".strip()
    report = (
        f"# {suite.title}, {datetime.now(UTC):%Y-%m-%d}\n\n"
        f"{circumstances(suite, inputs, options.runs, command, loads)}\n\n"
        f"{table(suite, results)}\n\n## Targets\n\n{targets(suite, results)}\n"
    )
    print(report)
    _say(f"the runner itself took {own_peak_mb():.0f} MB, the least that any peak can show")
    if out:
        out.write_text(report)


def _works(bench: Bench, subject: Subject, case: Case) -> bool:
    try:
        bench.warm_up(subject, case)
    except (RunFailedError, subprocess.CalledProcessError) as error:
        _say(f"left out: {subject.name} {case.name}: {error}")
        return False
    return True


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
