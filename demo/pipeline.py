"""Runs the tap into the loader, by `meltano run`, with the demo's settings and state and nobody else's."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from demo.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PLUGINS = ("tap-offgridflow-aws", "target-offgridflow-duckdb")

#: Variables that would make these runs depend on how somebody else's are set up.
_NOT_OURS = ("AWS_", "AZURE_", "MELTANO_", "TAP_OFFGRIDFLOW_", "TARGET_OFFGRIDFLOW_")

_TICK_SECONDS = 1.0
_PATIENCE_SECONDS = 10.0
_TAIL_LINES = 25
_LINE_WIDTH = 400


@dataclass(frozen=True, slots=True)
class Run:
    """A run that went well: when it began (aware, UTC), and how many seconds it took."""

    started_at: datetime
    seconds: float


class Pipeline:
    """The tap and the loader of the project's `meltano.yml`.

    Args:
        project: The folder of `meltano.yml`.
        output: Folder for Meltano's database, which holds the state, and for the log.
        settings: Of the plugins, as environment variables.
        waiting: Called every second of a run with the seconds so far, and with 0 at its end.
        home: Folder in which Meltano keeps the plugins; by default the project's `.meltano`.
        plugins: The tap and the loader.
    """

    def __init__(  # noqa: PLR0913 - all that sets one run apart from another, by keyword where it may be left out
        self,
        project: Path,
        output: Path,
        settings: Mapping[str, str],
        *,
        waiting: Callable[[float], None],
        home: Path | None = None,
        plugins: Sequence[str] = PLUGINS,
    ) -> None:
        self._plugins = plugins
        self._project = project
        self._log = output / "meltano.log"
        self._waiting = waiting
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(_NOT_OURS)},
            "NO_PROXY": ",".join(filter(None, (os.environ.get("NO_PROXY"), "127.0.0.1"))),
            "MELTANO_PROJECT_ROOT": str(project),
            "MELTANO_DATABASE_URI": f"sqlite:///{output / 'meltano.db'}",
            **({"MELTANO_SYS_DIR_ROOT": str(home)} if home else {}),
            **settings,
        }

    def run(self, *options: str) -> Run:
        """Do `meltano run` once; it installs the plugins if they are not there.

        Args:
            *options: Further options of `meltano run`.

        Raises:
            DemoError: It failed; the end of the log is in the message.
        """
        started_at, begin = datetime.now(UTC), time.monotonic()
        self.command("run", *options, *self._plugins)
        return Run(started_at, time.monotonic() - begin)

    def command(self, *words: str) -> None:
        """Do any command of Meltano, and wait for it.

        Args:
            *words: The command and its options.

        Raises:
            DemoError: It failed; the end of the log is in the message.
        """
        with self._log.open("a") as log:
            process = self.start(*words, output=log.fileno())
            try:
                self._wait(process, time.monotonic())
            finally:
                stop(process)
                self._waiting(0)
        if process.returncode:
            raise DemoError(
                f"meltano {words[0]} ended with code {process.returncode}. "
                f"The end of {self._log}:\n\n{self._tail()}"
            )

    def start(self, *words: str, output: int) -> subprocess.Popen[str]:
        """Start a command of Meltano; it and all that it starts are one process group.

        Args:
            *words: The command and its options.
            output: File descriptor, or a constant of ``subprocess``, for its output.
        """
        # The project's .env is for real clouds; the demo must not see it.
        meltano = (str(Path(sys.executable).with_name("meltano")), "--env-file", os.devnull)
        return subprocess.Popen(  # noqa: S603 - Meltano of this very environment
            (*meltano, *words),
            cwd=self._project,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def _wait(self, process: subprocess.Popen[str], begin: float) -> None:
        while True:
            try:
                process.wait(_TICK_SECONDS)
            except subprocess.TimeoutExpired:
                self._waiting(time.monotonic() - begin)
            else:
                return

    def _tail(self) -> str:
        lines = self._log.read_text().splitlines()[-_TAIL_LINES:]
        return "\n".join(line if len(line) <= _LINE_WIDTH else f"{line[:_LINE_WIDTH]} ..." for line in lines)


def stop(process: subprocess.Popen[str]) -> None:
    """End a run with all that it started, first by asking, then by force."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
