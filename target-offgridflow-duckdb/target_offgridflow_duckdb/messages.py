"""Reading Singer messages: whole blocks of lines at once, those of records read by whoever takes them."""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import groupby
from operator import attrgetter
from typing import IO, TYPE_CHECKING, Any, Final, Protocol

import msgspec
from singer_sdk.singerlib.encoding import GenericSingerReader
from singer_sdk.singerlib.json import deserialize_json

from offgridflow_common.errors import ContractBroken
from offgridflow_common.singer.deferral import Deferral

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

#: Bytes that are read at once at most; a pipe gives what it has.
_BLOCK_BYTES: Final = 1024**2
#: What messages that are handled together have in common.
_KIND: Final = attrgetter("type", "stream")

#: What msgspec raises where lines are not what they should be.
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError)


class _Message(msgspec.Struct, gc=False):
    """A message of any type, with what tells who handles it."""

    type: str
    stream: str = ""


class Taker(Protocol):
    """Takes the records of a stream as they came, several at once."""

    def take(self, lines: bytes) -> int:
        """Take lines, which all shall be RECORD messages of the stream; gives how many there were.

        Raises:
            DecodeError: A line is something else. Nothing was taken.
            UnicodeDecodeError: The same.
        """

    def refusal(self, lines: bytes) -> Exception:
        """What is wrong with lines of records that :meth:`take` did not take."""


class RecordReader(GenericSingerReader[bytes]):
    """Reads messages by the block, and hands records to whoever takes them as they are.

    A signal that arrives while a block is being handled waits until that is done, by ``deferral``. Otherwise
    a handler that drains sinks would land in the middle of a transaction, and might report a state whose rows
    are then rolled back.
    """

    def __init__(self) -> None:
        super().__init__()
        #: Who takes the records of a stream; those of other streams go to the SDK.
        self.takers: dict[str, Taker] = {}
        #: What is done after each block.
        self.after_block: Callable[[], None] = lambda: None
        self._decoder = msgspec.json.Decoder(_Message)
        #: The stream that the last message was of.
        self._latest = ""
        self.deferral = Deferral()
        self._failed = False

    @property
    def default_input(self) -> IO[bytes]:
        """Standard input."""
        return sys.stdin.buffer

    @property
    def failed(self) -> bool:
        """Whether something ended with an error: what was read may then be lost, and no state may go out."""
        return self._failed

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Let signals wait until the end of this context, and note if it fails."""
        with self.deferral.undisturbed():
            try:
                yield
            except BaseException:
                self._failed = True
                raise

    def deserialize_json(self, line: bytes) -> dict[str, Any]:
        """The message of a line, with all that is in it."""
        return deserialize_json(line)

    def process_lines(
        self, file_input: IO[Any] | None, callbacks: Mapping[str, Callable[[dict[str, Any]], None]]
    ) -> Counter[str]:
        """Read all messages.

        Args:
            file_input: Lines of bytes or text; standard input if there is none.
            callbacks: What to do with messages that no taker takes, by their type.

        Returns:
            How many messages of each type there were.

        Raises:
            ContractBroken: A line is not a Singer message.
        """
        counts: Counter[str] = Counter()
        for block in _blocks(file_input or self.default_input):
            with self.undisturbed():
                if not self._take_as_before(block, counts):
                    self._handle(block, callbacks, counts)
                self.after_block()
        return counts

    def _take_as_before(self, block: bytes, counts: Counter[str]) -> bool:
        """Whether a block is nothing but more records of the stream that came last; then they are taken."""
        if taker := self.takers.get(self._latest):
            with suppress(*UNREADABLE):
                counts["RECORD"] += taker.take(block)
                return True
        return False

    def _handle(
        self,
        block: bytes,
        callbacks: Mapping[str, Callable[[dict[str, Any]], None]],
        counts: Counter[str],
    ) -> None:
        """Handle a block of any messages."""
        before, done = counts.total(), 0
        lines = _lines(block)
        try:
            messages = self._decoder.decode_lines(block)
        except UNREADABLE:
            self._refuse(lines, before)
            raise
        if len(lines) != len(messages):
            self._refuse(lines, before)
        for (kind, stream), run in groupby(messages, _KIND):
            count = sum(1 for _ in run)
            alike = lines[done : done + count]
            if kind == "RECORD" and (taker := self.takers.get(stream)):
                _give(b"\n".join(alike), taker)
            else:
                # States go out as they came in; in the rest the SDK wants exact numbers.
                parse = json.loads if kind == "STATE" else self.deserialize_json
                handle: Callable[[dict[str, Any]], None]
                handle = callbacks.get(kind, self._process_unknown_message)
                for line in alike:
                    handle(parse(line))
            counts[kind] += count
            done += count
            self._latest = stream

    def _refuse(self, lines: Iterable[bytes], before: int) -> None:
        """Raise an error that names the first line that is not one message."""
        for number, line in enumerate(lines, before + 1):
            try:
                self._decoder.decode(line)
            except UNREADABLE as error:
                raise ContractBroken(
                    asked=f"reading message {number:,} of the tap",
                    got=str(error),
                    do="check the tap: each line of its output must be one Singer message in JSON",
                ) from error


def _give(lines: bytes, taker: Taker) -> None:
    try:
        taker.take(lines)
    except UNREADABLE as error:
        raise taker.refusal(lines) from error


def _blocks(file: IO[Any]) -> Iterator[bytes]:
    """Whole lines, as many as there are to read at once."""
    binary = getattr(file, "buffer", file)
    _widen(binary)
    read: Callable[[int], bytes | str] = getattr(binary, "read1", binary.read)
    pieces: list[bytes] = []
    while piece := read(_BLOCK_BYTES):
        content = piece.encode() if isinstance(piece, str) else piece
        end = content.rfind(b"\n") + 1
        if end:
            yield b"".join((*pieces, memoryview(content)[:end]))
            pieces = []
        pieces.append(content[end:])
    yield b"".join(pieces)


def _widen(file: IO[bytes]) -> None:
    """Let a pipe, where that can be said of it, hold a whole block: small blocks take longer to read."""
    with suppress(ImportError, AttributeError, OSError, ValueError):  # Windows, macOS, a file
        fcntl = import_module("fcntl")
        fcntl.fcntl(file.fileno(), fcntl.F_SETPIPE_SZ, _BLOCK_BYTES)


def _lines(block: bytes) -> list[bytes]:
    return [line for line in block.split(b"\n") if line.strip()]
