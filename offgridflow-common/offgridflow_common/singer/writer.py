"""The message writer of the taps: single messages as the SDK writes them, and whole blocks of lines."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from singer_sdk.singerlib.encoding import SimpleSingerWriter
from singer_sdk.singerlib.messages import StateMessage

from offgridflow_common.clock import SYSTEM_CLOCK
from offgridflow_common.errors import OutputLost
from offgridflow_common.singer.deferral import Deferral

if TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.singerlib.messages import Message

    from offgridflow_common.clock import Clock
    from offgridflow_common.singer.render import Lines

#: What makes a state large, and how long the next one of its kind waits, unless it is the last one.
_LARGE_STATE_BYTES = 64 * 1024
_SECONDS_BETWEEN_LARGE_STATES = 10.0


class BlockWriter(SimpleSingerWriter):
    """Writes messages to stdout one by one or as a block, and never tears a line.

    A signal that arrives while a line is being written waits until the line is out, by ``deferral``.
    Otherwise a handler that writes state would land inside a record. Once a line could not be written whole,
    nothing is written after it: each method raises ``OutputLost``.
    """

    clock: Clock = SYSTEM_CLOCK

    def __init__(self) -> None:
        self._state_bytes = 0
        self._state_written_at = self.clock.monotonic()
        self.deferral = Deferral()
        self._lost: OutputLost | None = None

    @property
    def state_is_due(self) -> bool:
        """Whether a state may be written that is not the last one: small ones always, large ones seldom.

        Each state is the whole state. One of thousands of periods, written after each file, would be more
        than all records.
        """
        waited = self.clock.monotonic() - self._state_written_at
        return self._state_bytes <= _LARGE_STATE_BYTES or waited >= _SECONDS_BETWEEN_LARGE_STATES

    def write_message(self, message: Message) -> None:
        """Write one message and flush it."""
        line = f"{self.format_message(message)}\n".encode()
        if isinstance(message, StateMessage):
            self._state_bytes, self._state_written_at = len(line), self.clock.monotonic()
        with self._whole_lines():
            _write_all(line)

    def write_lines(self, lines: Lines) -> None:
        """Write whole lines, such as those of ``render_records``, and flush them."""
        with self._whole_lines():
            if (file := _file_with_descriptor()) is not None:
                lines.write_to(file)
            else:
                _write_all(bytes(lines))

    @contextmanager
    def _whole_lines(self) -> Iterator[None]:
        if self._lost:
            raise self._lost
        with self.deferral.undisturbed():
            try:
                sys.stdout.flush()
                yield
                sys.stdout.flush()
            except Exception as error:
                self._lost = _output_lost(error)
                raise self._lost from error


def _output_lost(error: Exception) -> OutputLost:
    return OutputLost(
        asked="writing to standard output",
        got=f"{type(error).__name__}: {error}",
        do="see why the target ended, or whether the disk is full; the next run begins at the last state "
        "that was taken",
    )


def _write_all(lines: bytes) -> None:
    """Write all: an unbuffered stdout may take less at once, after a signal for example."""
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(lines.decode())
        return
    rest = memoryview(lines)
    while rest:
        rest = rest[binary.write(rest) :]


def _file_with_descriptor() -> IO[bytes] | None:
    """Standard output, unless something in memory stands in for it."""
    binary: IO[bytes] | None = getattr(sys.stdout, "buffer", None)
    try:
        return binary if binary is not None and binary.fileno() >= 0 else None
    except OSError:
        return None
