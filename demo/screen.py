"""What a person watches: titles, lines and tables, and a count of seconds while something runs."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

_INDENT = "   "
_ERASE_LINE = "\r\x1b[K"


class Screen:
    """Writes the demo's output.

    Args:
        out: Where to; seconds are counted only if it is a terminal.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def title(self, text: str) -> None:
        """Begin a step."""
        self._write(f"\n{text}\n")

    def line(self, text: str = "") -> None:
        """One line of a step."""
        self._write(f"{_INDENT}{text}".rstrip() + "\n")

    def table(self, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Rows under a header: text to the left; numbers to the right, with a comma between thousands.

        What is None is shown as ``-``.
        """
        numeric = [
            all(isinstance(row[column], int | float | None) for row in rows) for column in range(len(header))
        ]
        texts = [[_text(value) for value in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(header, *texts, strict=True)]
        self.line()
        for row in chain([header], texts):
            cells = zip(row, widths, numeric, strict=True)
            self.line(
                "  ".join(text.rjust(width) if right else text.ljust(width) for text, width, right in cells)
            )
        self.line()

    def waiting(self, seconds: float) -> None:
        """Show how long something has been running; 0 clears the line."""
        if self._out.isatty():
            self._write(f"{_ERASE_LINE}{_INDENT}... {seconds:.0f} s" if seconds else _ERASE_LINE)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
