"""Lines of CSV with one more field each: a mark, by which it is seen whether records fit the header."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_MARK = b"\x1e"
_LINE_END = re.compile(rb"\r?\n")


@dataclass(frozen=True, slots=True)
class MarkedLines:
    """Lines, each with a mark as its last field.

    Attributes:
        text: The lines with their marks.
        mark: What each line got; the lines do not hold it.
        count: How many lines got one.
    """

    text: bytes
    mark: bytes
    count: int

    @classmethod
    def of(cls, lines: bytes) -> MarkedLines:
        """Mark lines; what stands after the last newline gets no mark."""
        mark = _MARK
        while mark in lines:
            mark += _MARK
        field = b"," + mark
        if b"\r" in lines:
            text = _LINE_END.sub(field + rb"\g<0>", lines)
        else:
            text = lines.replace(b"\n", field + b"\n")
        return cls(text, mark, (len(text) - len(lines)) // len(field))

    @classmethod
    def joined(cls, parts: Sequence[MarkedLines]) -> MarkedLines:
        """The lines of parts, which may end inside of lines, but not inside of CRLF."""
        if all(part.mark == _MARK for part in parts):
            return cls(b"".join(part.text for part in parts), _MARK, sum(part.count for part in parts))
        # A longer mark might be what the end of one part and the begin of the next make together.
        return cls.of(b"".join(part.lines for part in parts))

    @property
    def field(self) -> bytes:
        """What stands after each line."""
        return b"," + self.mark

    @property
    def lines(self) -> bytes:
        """The lines without their marks."""
        return self.text.replace(self.field, b"")
