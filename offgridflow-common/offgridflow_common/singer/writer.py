"""The message writer of the taps: single messages as the SDK writes them, and whole blocks of records."""

from __future__ import annotations

import io
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

import polars as pl
from singer_sdk.singerlib.encoding import SimpleSingerWriter

from offgridflow_common.columns import TIMESTAMP_FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

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

    def write_block(self, block: bytes) -> None:
        """Write whole lines, such as those of :func:`render_records`, and flush them."""
        with self._whole_lines():
            sys.stdout.flush()
            binary = getattr(sys.stdout, "buffer", None)
            if binary is None:
                sys.stdout.write(block.decode())
            else:
                _write_all(binary, block)
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


def as_json_values(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with each value as it stands in JSON: timestamps as text; the rest needs no change."""
    timestamps = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    return frame.with_columns(pl.col(timestamps).dt.strftime(TIMESTAMP_FORMAT)) if timestamps else frame


def render_records(stream: str, frame: pl.DataFrame, time_extracted: datetime) -> bytes:
    """RECORD messages for all rows of a frame, one line each.

    Args:
        stream: The stream's name in the messages.
        frame: The rows; columns are written in their order.
        time_extracted: When the rows were read (aware, UTC): one moment for the block.

    Returns:
        NDJSON lines, each ended by a newline; empty for a frame without rows.
    """
    lines = io.BytesIO()
    if not frame.is_empty():
        as_json_values(frame).select(
            type=pl.lit("RECORD"),
            stream=pl.lit(stream),
            record=pl.struct(pl.all()),
            time_extracted=pl.lit(time_extracted.isoformat(timespec="microseconds")),
        ).write_ndjson(lines)
    return lines.getvalue()
