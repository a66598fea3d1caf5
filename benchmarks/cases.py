"""What a suite of comparisons is made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from benchmarks.commands import Commands
    from benchmarks.inputs import Input
    from benchmarks.subjects import Subject


def record_messages(_subject: Subject, output: Path) -> int:
    """How many RECORD messages the output of a run holds."""
    with output.open("rb") as lines:
        return sum(re.match(rb'\{"type": ?"RECORD"', line) is not None for line in lines)


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the result, of one subject.

    Attributes:
        family: What is run.
        what: What it is asked to do.
        work: Cases with the same word here do the same work, so their speeds are compared.
        command: How it is run on an input.
        loader: What its output is piped into, if anything.
        slow: It reads fewer rows, and its start-up is taken off.
        counted: Counts the rows that a run has given, from the subject and the run's output, to be checked.
        s3: It reads from S3.
    """

    family: str
    what: str
    work: str
    command: Callable[[Input], list[str]]
    loader: Callable[[], list[str]] | None = None
    slow: bool = False
    counted: Callable[[Subject, Path], int] | None = record_messages
    s3: bool = False

    @property
    def name(self) -> str:
        """Names the case among those of one subject."""
        return f"{self.family}: {self.what}"

    def pipeline(self, given: Input) -> list[list[str]]:
        """The commands that are run on an input, each piped into the next."""
        return [self.command(given), *([self.loader()] if self.loader else [])]


@dataclass(frozen=True, slots=True)
class Target:
    """A speed to reach: so many times that of what another family takes for the same work."""

    case: str
    base: str
    least: float


@dataclass(frozen=True, slots=True)
class Suite:
    """What is compared in one table.

    Attributes:
        title: Of the results.
        results: The file that keeps them.
        subjects: What is read.
        cases: What is run on a subject.
        ours: The family whose memory is told.
        peak_mb: What it may take at most, in MiB; none if nothing is asked of it.
        bases: The families that others are compared to.
        targets: Speeds to reach.
        packages: Those of other environments that take part, as requirements.
    """

    title: str
    results: str
    subjects: Sequence[Subject]
    cases: Callable[[Subject, Commands], Sequence[Case]]
    ours: str
    peak_mb: int | None
    bases: tuple[str, ...]
    targets: tuple[Target, ...]
    packages: tuple[str, ...]
