"""Signals that wait: a handler must not break into what has to be done whole."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Deferral:
    """Lets what a signal asks for wait until what is under way is done."""

    def __init__(self) -> None:
        self._under_way = False
        self._deferred: Callable[[], None] | None = None

    @property
    def under_way(self) -> bool:
        """Whether something is under way that a signal must not break into."""
        return self._under_way

    def run(self, action: Callable[[], None]) -> None:
        """Run ``action``: now, or as soon as what is under way is done, unless that fails."""
        if self._under_way:
            self._deferred = action
        else:
            action()

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Let signals wait until the end of this context."""
        self._under_way = True
        try:
            yield
        finally:
            self._under_way = False
        if (action := self._deferred) is not None:
            self._deferred = None
            action()
