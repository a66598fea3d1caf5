"""Reading Singer messages: whole blocks of lines at once, records left as the JSON they arrived as."""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter
from typing import IO, TYPE_CHECKING, Any

import msgspec
from singer_sdk.singerlib.encoding import GenericSingerReader
from singer_sdk.singerlib.json import deserialize_json

from offgridflow_common.errors import ContractBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

#: Bytes that are read at once at most; a pipe gives what it has.
_BLOCK_BYTES = 1024**2


#: What messages that are handled together have in common.
_KIND = attrgetter("type", "stream")


class Message(msgspec.Struct, gc=False):
    """A message of any type, with what is needed of a record; the record itself is not parsed yet."""

    type: str
    stream: str = ""
    record: msgspec.Raw = msgspec.Raw()
    time_extracted: str | None = None
    version: int | None = None


class RecordReader(GenericSingerReader[bytes]):
    """Reads messages by the block, and hands records to whoever takes them as they are.

    A signal that arrives while a block is being handled waits until that is done: ``defer`` takes what the
    signal wants to do. Otherwise a handler that drains sinks would land in the middle of a transaction, and
    might report a state whose rows are then rolled back.
    """

    def __init__(self) -> None:
        super().__init__()
        #: Who takes the records of a stream unparsed, several at once; those of other streams go to the SDK.
        self.takers: dict[str, Callable[[Sequence[Message]], None]] = {}
        #: What is done after each block.
        self.after_block: Callable[[], None] = lambda: None
        self._decoder = msgspec.json.Decoder(Message)
        self._handling = False
        self._failed = False
        self._deferred: Callable[[], None] | None = None

    @property
    def default_input(self) -> IO[bytes]:
        """Standard input."""
        return sys.stdin.buffer

    @property
    def handling(self) -> bool:
        """Whether something is under way that a signal must not break into."""
        return self._handling

    @property
    def failed(self) -> bool:
        """Whether something ended with an error: what was read may then be lost, and no state may go out."""
        return self._failed

    def defer(self, action: Callable[[], None]) -> None:
        """Run ``action`` as soon as what is under way is done, unless it fails."""
        self._deferred = action

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Let signals wait until the end of this context."""
        self._handling = True
        try:
            yield
        except BaseException:
            self._failed = True
            raise
        finally:
            self._handling = False
        if (action := self._deferred) is not None:
            self._deferred = None
            action()

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
                self._handle(block, callbacks, counts)
                self.after_block()
        return counts

    def _handle(
        self,
        block: bytes,
        callbacks: Mapping[str, Callable[[dict[str, Any]], None]],
        counts: Counter[str],
    ) -> None:
        before, done = counts.total(), 0
        try:
            messages = self._decoder.decode_lines(block)
        except msgspec.DecodeError:
            self._refuse(_lines(block), before)
            raise
        lines: list[bytes] = []
        for (kind, stream), run in groupby(messages, _KIND):
            alike = list(run)
            if kind == "RECORD" and (take := self.takers.get(stream)):
                take(alike)
            else:
                lines = lines or _lines(block)
                if len(lines) != len(messages):
                    self._refuse(lines, before)
                # States go out as they came in; in the rest the SDK wants exact numbers.
                parse = json.loads if kind == "STATE" else self.deserialize_json
                handle: Callable[[dict[str, Any]], None]
                handle = callbacks.get(kind, self._process_unknown_message)
                for line in lines[done : done + len(alike)]:
                    handle(parse(line))
            counts[kind] += len(alike)
            done += len(alike)

    def _refuse(self, lines: Iterable[bytes], before: int) -> None:
        """Raise an error that names the first line that is not one message."""
        for number, line in enumerate(lines, before + 1):
            try:
                self._decoder.decode(line)
            except msgspec.DecodeError as error:
                raise ContractBroken(
                    asked=f"reading message {number:,} of the tap",
                    got=str(error),
                    do="check the tap: each line of its output must be one Singer message in JSON",
                ) from error


def _blocks(file: IO[Any]) -> Iterator[bytes]:
    """Whole lines, as many as there are to read at once."""
    binary = getattr(file, "buffer", file)
    read: Callable[[int], bytes | str] = getattr(binary, "read1", binary.read)
    pieces: list[bytes] = []
    while piece := read(_BLOCK_BYTES):
        head, newline, tail = (piece.encode() if isinstance(piece, str) else piece).rpartition(b"\n")
        if newline:
            yield b"".join((*pieces, head, newline))
            pieces = []
        pieces.append(tail)
    yield b"".join(pieces)


def _lines(block: bytes) -> list[bytes]:
    return [line for line in block.split(b"\n") if line.strip()]
