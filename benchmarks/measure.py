"""Runs a command as a whole process and says what it took."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run took.

    Attributes:
        wall: Seconds from start to end.
        cpu: Seconds of processor time, user and system, all threads.
        peak_mb: Largest resident memory, in MiB.
    """

    wall: float
    cpu: float
    peak_mb: float


class RunFailedError(Exception):
    """A measured command ended with an error."""


def run(command: Sequence[str], env: Mapping[str, str], log: Path, output: Path | None = None) -> Sample:
    """Run a command to its end.

    Args:
        command: What to run.
        env: Added to the environment.
        log: Gets the standard error.
        output: Gets the standard output; default the null device.

    Raises:
        RunFailedError: It ended with an error; the message has the end of its log.
    """
    with (output or Path(os.devnull)).open("wb") as out, log.open("wb") as err:
        started = time.monotonic()
        process = subprocess.Popen(command, env={**os.environ, **env}, stdout=out, stderr=err)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = log.read_text(errors="replace")[-500:]
        raise RunFailedError(f"exit code {process.returncode}: {tail}")
    return Sample(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def own_peak_mb() -> float:
    """The runner's own peak memory: Linux counts it as the floor of every process that it starts."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
