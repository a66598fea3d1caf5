"""The message writer of the taps: single messages as the SDK writes them, and whole blocks of lines."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from singer_sdk.singerlib.encoding import SimpleSingerWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from singer_sdk.singerlib.messages import Message


class BlockWriter(SimpleSingerWriter):
    """Writes messages to stdout one by one or as a block, and never tears a line.

    A signal that arrives while a line is being written waits until the line is out: ``defer`` takes
    what the signal wants to do. Otherwise a handler that writes state would land inside a record.
    """

    def __init__(self) -> None:
        self._writing = False
        self._deferred: Callable[[], None] | None = None

    @property
    def writing(self) -> bool:
        """Whether a message is under way to stdout just now."""
        return self._writing

    def defer(self, action: Callable[[], None]) -> None:
        """Run ``action`` as soon as the message under way is complete."""
        self._deferred = action

    def write_message(self, message: Message) -> None:
        """Write one message and flush it."""
        self.write_block(f"{self.format_message(message)}\n".encode())

    def write_block(self, *pieces: bytes) -> None:
        """Write whole lines, such as those of ``render_records``, in one piece or several, and flush them."""
        with self._whole_lines():
            sys.stdout.flush()
            binary = getattr(sys.stdout, "buffer", None)
            if binary is None:
                sys.stdout.write(b"".join(pieces).decode())
            else:
                for piece in pieces:
                    _write_all(binary, piece)
            sys.stdout.flush()

    @contextmanager
    def _whole_lines(self) -> Iterator[None]:
        self._writing = True
        try:
            yield
        finally:
            self._writing = False
            if (action := self._deferred) is not None:
                self._deferred = None
                action()


def _write_all(binary: IO[bytes], block: bytes) -> None:
    """Write all of a block: an unbuffered stdout may take less at once, after a signal for example."""
    rest = memoryview(block)
    while rest:
        rest = rest[binary.write(rest) :]
    binary.flush()
