"""Reports that two streams of a run are made of: they are asked for once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from typing import Final

import polars as pl

Ask = Callable[[], Iterable[pl.DataFrame]]
"""Asks for a report."""

Share = Callable[[str, Ask], Iterator[pl.DataFrame]]
"""How a stream comes by the report of a name: one of the methods of :class:`SharedReports`."""

#: Of rows that are hardly alike, a million.
_MAX_BYTES: Final = 64 * 1024**2


class SharedReports:
    """Keeps what one stream was told, compressed, for the stream that comes after and asks the same.

    What finds no room is asked for again.

    Args:
        max_bytes: What all reports may take together; with 0, none is kept.
    """

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: dict[str, list[bytes]] = {}

    def keep(self, name: str, ask: Ask) -> Iterator[pl.DataFrame]:
        """The frames of a report; once all of them have been read, they are kept under its name."""
        self._kept.pop(name, None)
        room = self._max_bytes - sum(len(file) for kept in self._kept.values() for file in kept)
        files: list[bytes] = []
        for frame in ask():
            if room > 0:
                files.append(_packed(frame))
                room -= len(files[-1])
            yield frame
        if room > 0:
            self._kept[name] = files

    def take(self, name: str, ask: Ask) -> Iterator[pl.DataFrame]:
        """The frames of a report: those that are kept, which then are no longer, or else what is answered."""
        files = self._kept.pop(name, None)
        return iter(ask()) if files is None else map(pl.read_parquet, files)


def _packed(frame: pl.DataFrame) -> bytes:
    file = BytesIO()
    frame.write_parquet(file)
    return file.getvalue()
