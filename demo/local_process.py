"""Stand-ins as a process of their own that ends with this one."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any, Self

from demo.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PATIENCE_SECONDS = 10


class LocalProcess:
    """A process that says in a line of JSON that it is ready, answers lines with lines, and serves meanwhile.

    Args:
        project: The checkout.
        log: File for what the process has to say.
        command: What to start.
    """

    def __init__(self, project: Path, log: Path, command: Sequence[str]) -> None:
        self._project = project
        self._log = log
        self._command = command
        #: What it said when it was ready.
        self.ready: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Start, and wait until all of them answer.

        Raises:
            DemoError: They do not start.
        """
        with self._log.open("w") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                self._command,
                cwd=self._project,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # A Ctrl-C at the terminal is for the demo, which then ends this process in its own time.
                start_new_session=True,
            )
        try:
            self.ready = self._answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; closing its input is enough, unless something is wrong with it."""
        for end in (self._input.close, self._process.terminate, self._process.kill):
            end()
            try:
                self._process.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            break
        self._output.close()

    def requests(self) -> dict[str, int]:
        """How many requests were served so far, by service."""
        self._input.write("{}\n")
        self._input.flush()
        served: dict[str, int] = self._answer()["requests"]
        return served

    def _answer(self) -> dict[str, Any]:
        line = self._output.readline()
        if not line:
            raise DemoError(f"The local clouds ended unexpectedly; {self._log} says why.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @property
    def _input(self) -> Any:  # noqa: ANN401 - a text pipe, which subprocess types as perhaps absent
        return self._process.stdin

    @property
    def _output(self) -> Any:  # noqa: ANN401 - as above
        return self._process.stdout
