"""The target as a process of its own, which is sent messages one after the other."""

from __future__ import annotations

import array
import fcntl
import json
import subprocess
import sys
import termios
import threading
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, Self

import psutil

if TYPE_CHECKING:
    from pathlib import Path

    from tests.target_duckdb.loading import Message

SECONDS = 60


class Process:
    """Runs while its context lasts, and never longer than :data:`SECONDS`.

    Args:
        path: The database; the settings and the log are written beside it.
        module: What is run.
        **config: Settings beside the path.
    """

    def __init__(self, path: Path, module: str = "target_offgridflow_duckdb", **config: Any) -> None:
        settings = path.with_suffix(".json")
        settings.write_text(json.dumps({"path": str(path), **config}))
        self._log = path.with_suffix(".log")
        command = (sys.executable, "-m", module, "--config", str(settings))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
            )
        self._timer = threading.Timer(SECONDS, self._process.kill)

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self.kill()
        with suppress(BrokenPipeError):
            self._input.close()
        self._output.close()

    def send(self, *messages: Message) -> None:
        """Write messages to its standard input."""
        self.write(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def write(self, content: bytes) -> None:
        """Write bytes to its standard input."""
        self._input.write(content)
        self._input.flush()

    def state(self) -> Any:
        """The next state that it lets out."""
        return json.loads(self._output.readline())

    def end(self) -> int:
        """End its input and wait for its exit code."""
        self._input.close()
        return self._process.wait(SECONDS)

    def wait(self) -> int:
        """Wait for its exit code while its input stays open."""
        return self._process.wait(SECONDS)

    def rest(self) -> list[Any]:
        """The states that it has let out and nobody has read."""
        return [json.loads(line) for line in self._output]

    def kill(self) -> None:
        """Kill it as `kill -9` does."""
        self._process.kill()
        self._process.wait(SECONDS)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait_until_idle(self) -> None:
        """Wait until it has read all that was sent, and waits for more."""
        process = psutil.Process(self._process.pid)
        idle = 0
        while idle < 3:
            unread = array.array("i", [0])
            fcntl.ioctl(self._input, termios.FIONREAD, unread)
            idle = idle + 1 if unread[0] == 0 and process.status() == psutil.STATUS_SLEEPING else 0
            time.sleep(0.05)

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text("utf-8")

    @property
    def _input(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _output(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout
