"""Working ahead: order and errors are those of the generator, and nothing is left running."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from offgridflow_common.exports.ahead import ahead

if TYPE_CHECKING:
    from collections.abc import Generator

SECONDS = 5


class Source:
    """Counts from 0, and tells which numbers were made, in which thread, and whether it was closed."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.made: list[int] = []
        self.threads: set[int] = set()
        self.closed = False
        self.is_made = [threading.Event() for _ in range(count)]
        self._error = error

    def items(self) -> Generator[int]:
        try:
            for number, is_made in enumerate(self.is_made):
                self.made.append(number)
                self.threads.add(threading.get_ident())
                is_made.set()
                yield number
            if self._error:
                raise self._error
        finally:
            self.closed = True


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_all_items_come_in_order_and_are_made_elsewhere(count: int) -> None:
    source = Source(count)
    assert list(ahead(source.items())) == list(range(count))
    assert threading.get_ident() not in source.threads
    assert source.closed
    assert workers() == []


def test_one_item_is_made_ahead_and_no_more() -> None:
    source = Source(10)
    with closing(ahead(source.items())) as items:
        assert source.made == []
        assert next(items) == 0
        assert source.is_made[1].wait(SECONDS)
        assert next(items) == 1
        assert source.is_made[2].wait(SECONDS)
        assert not source.is_made[3].wait(0.02)


def test_an_error_is_raised_after_the_items_before_it() -> None:
    source = Source(3, ValueError("broken"))
    items = ahead(source.items())
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="broken"):
        next(items)
    assert source.closed
    assert workers() == []


@pytest.mark.parametrize("error", [None, ValueError("of the item ahead, which nobody asked for")])
@pytest.mark.parametrize("taken", [1, 2])
def test_whoever_stops_early_leaves_nothing_running(taken: int, error: Exception | None) -> None:
    source = Source(2, error)
    with closing(ahead(source.items())) as items:
        assert [next(items) for _ in range(taken)] == list(range(taken))
    assert source.closed
    assert workers() == []


def test_nothing_is_made_for_whoever_takes_nothing() -> None:
    source = Source(3)
    ahead(source.items()).close()
    assert source.made == []
    assert workers() == []
