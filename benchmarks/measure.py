"""Runs commands as whole processes and says what they took."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run took.

    Attributes:
        wall: Seconds from start to end.
        cpu: Seconds of processor time, user and system, all threads and processes.
        peak_mb: Largest resident memory in MiB; of several processes, the sum of what each took at most.
    """

    wall: float
    cpu: float
    peak_mb: float


class RunFailedError(Exception):
    """A measured command ended with an error."""


def run(
    pipeline: Sequence[Sequence[str]], env: Mapping[str, str], log: Path, output: Path | None = None
) -> Sample:
    """Run commands, each piped into the next, to their end.

    Args:
        pipeline: What to run.
        env: Added to the environment.
        log: Gets the standard error.
        output: Gets the standard output of the last; default the null device.

    Raises:
        RunFailedError: It ended with an error; the message has the end of its log.
    """
    ended = []
    with (output or Path(os.devnull)).open("wb") as out, log.open("wb") as err:
        started = time.monotonic()
        for process in _started(pipeline, {**os.environ, **env}, out, err):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            ended.append((process.returncode, usage))
        wall = time.monotonic() - started
    if any(code for code, _ in ended):
        tail = log.read_text(errors="replace")[-500:]
        raise RunFailedError(f"exit codes {[code for code, _ in ended]}: {tail}")
    return Sample(
        wall,
        sum(usage.ru_utime + usage.ru_stime for _, usage in ended),
        sum(usage.ru_maxrss for _, usage in ended) / 1024,
    )


def _started(
    pipeline: Sequence[Sequence[str]], env: Mapping[str, str], out: IO[bytes], err: IO[bytes]
) -> list[subprocess.Popen[bytes]]:
    processes: list[subprocess.Popen[bytes]] = []
    before = None
    for number, command in enumerate(pipeline, 1):
        to = out if number == len(pipeline) else subprocess.PIPE
        processes.append(subprocess.Popen(command, env=env, stdin=before, stdout=to, stderr=err))
        if before is not None:
            # Only the reader holds the pipe, so that a writer whose reader is gone ends.
            before.close()
        before = processes[-1].stdout
    return processes


def own_peak_mb() -> float:
    """The runner's own peak memory: Linux counts it as the floor of every process that it starts."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
