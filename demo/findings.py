"""What the demo finds, beside what the source holds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from demo.screen import Screen

#: Sums of the same numbers in another order differ after this many digits.
_SAME = 1e-12


class Findings:
    """Shows whether each thing that is looked at is as it should be.

    Args:
        screen: Where it is shown.

    Attributes:
        agree: Whether all were so far.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self.agree = True

    def expect(self, what: str, *, holds: bool) -> None:
        """Show a thing, and whether it holds."""
        self.agree &= holds
        self._screen.line(f"{'ok' if holds else 'WRONG: this does not hold'}: {what}")

    def expect_same(self, what: str, held: float, landed: float) -> None:
        """Show a sum, and whether it is the same at the source and in the database."""
        self.expect(what, holds=math.isclose(held, landed, rel_tol=_SAME))
