"""The table, the targets, and the file that keeps them."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.inputs import SEED

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.cases import Case, Suite
    from benchmarks.inputs import Input
    from benchmarks.measure import Sample
    from benchmarks.subjects import Subject

_PACKAGES = (
    *("tap-offgridflow-aws", "tap-offgridflow-azure", "target-offgridflow-duckdb"),
    *("singer-sdk", "polars", "pyarrow", "duckdb", "moto"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """What a case took on an input.

    Attributes:
        case: What was run.
        subject: What it read.
        rows: Rows it read.
        samples: Of the counted runs.
        starts: Of the same on so few rows that it is start-up, for slow cases: it is taken off.
        start_rows: Rows of those.
    """

    case: Case
    subject: Subject
    rows: int
    samples: Sequence[Sample]
    starts: Sequence[Sample] = ()
    start_rows: int = 0

    @property
    def walls(self) -> list[float]:
        """Wall seconds of all runs."""
        return [sample.wall for sample in self.samples]

    @property
    def rate(self) -> float:
        """Rows a second."""
        start = median(sample.wall for sample in self.starts) if self.starts else 0.0
        return (self.rows - self.start_rows) / (median(self.walls) - start)

    @property
    def cpu(self) -> float:
        """Seconds of processor time for a million rows."""
        start = median(sample.cpu for sample in self.starts) if self.starts else 0.0
        taken = median(sample.cpu for sample in self.samples) - start
        return taken / (self.rows - self.start_rows) * 1e6

    @property
    def peak_mb(self) -> float:
        """Largest resident memory of all runs, in MiB."""
        return max(sample.peak_mb for sample in self.samples)


def table(suite: Suite, results: Sequence[Result]) -> str:
    """All results as one Markdown table."""
    bases = [f"x {base}" for base in suite.bases]
    head = ("case", "rows", "records/s", *bases, "CPU s per M", "peak MB", "seconds")
    lines = [head, *(_line(suite, result, results) for result in results)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    padded = [
        [line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]  # names left, numbers right
        for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in (padded[0], rule, *padded[1:]))


def _line(suite: Suite, result: Result, results: Iterable[Result]) -> tuple[str, ...]:
    ratios = []
    for base in suite.bases:
        other = _peer(result, base, results)
        ratios.append(f"{result.rate / other.rate:.2f}" if other and other is not result else "")
    low, high = min(result.walls), max(result.walls)
    return (
        f"{result.subject.name} {result.case.name}",
        f"{result.rows:,}",
        f"{result.rate:,.0f}",
        *ratios,
        f"{result.cpu:.2f}",
        f"{result.peak_mb:.0f}",
        f"{median(result.walls):.2f} ({low:.2f}-{high:.2f})",
    )


def _peer(result: Result, family: str, results: Iterable[Result]) -> Result | None:
    """What another family took for the same work on the same subject."""
    for other in results:
        if (other.subject, other.case.work, other.case.family) == (result.subject, result.case.work, family):
            return other
    return None


def targets(suite: Suite, results: Sequence[Result]) -> str:
    """The targets and what is reached, by wall time and by processor time, which suffers less from noise."""
    lines = []
    for subject in dict.fromkeys(result.subject for result in results):
        for target in suite.targets:
            ours = next((r for r in results if (r.subject, r.case.name) == (subject, target.case)), None)
            theirs = _peer(ours, target.base, results) if ours else None
            if ours and theirs:
                lines.append(
                    f"- {subject.name}, {target.case}, speed against {target.base}: at least {target.least}, "
                    f"reached {ours.rate / theirs.rate:.2f} (by processor time {theirs.cpu / ours.cpu:.2f})"
                )
    peaks = [result for result in results if result.case.family == suite.ours]
    if peaks:
        worst = max(peaks, key=lambda result: result.peak_mb)
        at_most = f"at most {suite.peak_mb} MB, " if suite.peak_mb else ""
        lines.append(
            f"- peak memory of {suite.ours}: {at_most}"
            f"reached {worst.peak_mb:.0f} MB ({worst.subject.name} {worst.case.name}, {worst.rows:,} rows)"
        )
    return "\n".join(lines)


def circumstances(
    suite: Suite, inputs: Iterable[Input], runs: int, command: str, loads: Sequence[float]
) -> str:
    """Where, with what and on what it was measured; no names of the machine and no paths."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    installed = [f"{name} {version(name)}" for name in _PACKAGES]
    packages = ", ".join([*installed, *(package.replace("==", " ") for package in suite.packages)])
    files = ", ".join(
        f"{item.rows:,} rows {item.subject.name} of {item.file.stat().st_size / 1e6:.1f} MB"
        for item in inputs
    )
    return "\n".join(
        (
            f"- machine: {os.cpu_count()} cores of {_cpu_model()}, {memory:.0f} GiB, {platform.system()}",
            f"- load average before and after: {', '.join(f'{load:.1f}' for load in loads)}",
            f"- versions: Python {platform.python_version()}, {packages}; commit {_commit()}",
            f"- inputs, seed {SEED}: {files}",
            f"- counted runs of each case: {runs}, all cases in turn",
            f"- command: `{command}`",
        )
    )


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return done.stdout.strip() or "unknown"
