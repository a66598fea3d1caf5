"""Pagers: they know how pages follow each other, and never send.

Whoever sends gives a pager a function that fetches one page; the pager decides what to ask for next,
and when something is wrong: a loop, a page that breaks what was asked, or more pages than allowed. It
never ends early without saying so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from offgridflow_common.errors import BadRequestError, ContractBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of an answer.

    Attributes:
        items: What is on it; may be empty in the middle of an answer.
        next_token: What asks for the next page; None or empty on the last one.
        total: How many items the whole answer has, where the provider says so.
    """

    items: Sequence[T]
    next_token: str | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CursorPager:
    """Follows tokens.

    Attributes:
        max_pages: How many pages an answer may have.
        setting: The name of the setting that `max_pages` comes from, for the message.

    Raises:
        ValueError: If `max_pages` is less than 1.
    """

    max_pages: int
    setting: str = "max_pages"

    def __post_init__(self) -> None:
        _at_least_one(self.setting, self.max_pages)

    def pages(self, fetch: Callable[[str | None], Page[T]]) -> Iterator[Page[T]]:
        """Yield every page of an answer, each before the next one is fetched.

        Args:
            fetch: Fetches the page of a token; None asks for the first page.

        Raises:
            ContractBroken: If a token comes a second time, which would never end.
            BadRequestError: If there is more after `max_pages` pages.
        """
        token: str | None = None
        seen: set[str] = set()
        for number in range(1, self.max_pages + 1):
            page = fetch(token)
            yield page
            token = page.next_token
            if not token:
                return
            if token in seen:
                raise ContractBroken(
                    asked="read an answer page by page",
                    got=f"page {number} asks for a page that was read before",
                    do="Try again later; if it stays so, report it to the provider.",
                )
            seen.add(token)
        raise _too_many_pages(self.setting, self.max_pages)


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetPager:
    """Counts items.

    Attributes:
        page_size: How many items to ask for at a time.
        max_pages: How many pages an answer may have.
        setting: The name of the setting that `max_pages` comes from, for the message.

    Raises:
        ValueError: If `page_size` or `max_pages` is less than 1.
    """

    page_size: int
    max_pages: int
    setting: str = "max_pages"

    def __post_init__(self) -> None:
        _at_least_one("page_size", self.page_size)
        _at_least_one(self.setting, self.max_pages)

    def pages(self, fetch: Callable[[int, int], Page[T]]) -> Iterator[Page[T]]:
        """Yield every page of an answer, each before the next one is fetched.

        Where the provider tells the total, that is the end, so that a server that gives less at a time
        than it is asked for loses nothing; the latest total counts. Elsewhere a short page is the end.

        Args:
            fetch: Fetches a page, from the offset of its first item and the number of items wanted.

        Raises:
            ContractBroken: If a page has more items than asked for, or none before the total is reached.
            BadRequestError: If there is, or may be, more after `max_pages` pages.
        """
        offset = 0
        total: int | None = None
        for _ in range(self.max_pages):
            page = fetch(offset, self.page_size)
            count = len(page.items)
            if count > self.page_size:
                raise _broken(f"at most {self.page_size} items from {offset}", f"{count} items")
            yield page
            offset += count
            total = total if page.total is None else page.total
            if (count < self.page_size) if total is None else (offset >= total):
                return
            if count == 0:
                raise _broken(f"items from {offset}", f"none, though there are {total}")
        raise _too_many_pages(self.setting, self.max_pages)


def _at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be 1 or more, not {value}")


def _broken(asked: str, got: str) -> ContractBroken:
    return ContractBroken(
        asked=f"read {asked}", got=got, do="Try again later; if it stays so, report it to the provider."
    )


def _too_many_pages(setting: str, max_pages: int) -> BadRequestError:
    return BadRequestError(
        asked=f"read an answer of at most {max_pages} pages",
        got="it has more",
        do=f"Raise the setting {setting}, now {max_pages}, or ask for a shorter period.",
    )
