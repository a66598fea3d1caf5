"""Working ahead: the next items are made in threads while the caller is busy with the one before."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

A = TypeVar("A")
T = TypeVar("T")


def ahead(items: Generator[T]) -> Generator[T]:
    """The same items in the same order, of which one is made ahead.

    What the items' generator raises is raised where its item would stand. When the caller stops early and
    closes this generator, the other one is closed too, as soon as the item under way is made.
    """
    end = object()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as worker:
        following = worker.submit(next, items, end)
        try:
            while (item := following.result()) is not end:
                following = worker.submit(next, items, end)
                yield cast("T", item)
        finally:
            with suppress(Exception):  # whoever stopped reading does not need it
                following.result()
            items.close()


def each_ahead(make: Callable[[A], T], arguments: Iterable[A], *, at_once: int) -> Generator[T]:
    """What is made of each argument, in their order, of which several are made at once.

    What is raised is raised where the item would stand. When the caller stops early and closes this
    generator, no more is begun.
    """
    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="ahead") as workers:
        left = iter(arguments)
        made = deque(workers.submit(make, argument) for argument in islice(left, at_once))
        while made:
            item = made.popleft().result()
            made.extend(workers.submit(make, argument) for argument in islice(left, 1))
            yield item
