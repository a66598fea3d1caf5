"""Working ahead: the next item is made in a thread while the caller is busy with the one before."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Generator

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
