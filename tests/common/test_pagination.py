"""Pagers: nothing is lost, nothing loops, nothing ends in silence."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offgridflow_common.errors import BadRequestError, ContractBroken, TransientError
from offgridflow_common.pagination import CursorPager, OffsetPager, Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

contents_of_pages = st.lists(st.lists(st.integers(), max_size=4), min_size=1, max_size=12)
fast = settings(derandomize=True, deadline=None, max_examples=60)


def by_token(
    pages: Mapping[str | None, Page[int]],
) -> tuple[Callable[[str | None], Page[int]], list[str | None]]:
    asked: list[str | None] = []

    def fetch(token: str | None) -> Page[int]:
        asked.append(token)
        return pages[token]

    return fetch, asked


def items_of(pages: Iterable[Page[int]]) -> list[int]:
    return [item for page in pages for item in page.items]


@pytest.mark.parametrize("chain", [["A", "A"], ["A", "B", "A"], ["A", "B", "C", "B"]])
def test_a_token_that_comes_again_breaks_the_contract(chain: list[str]) -> None:
    pages = {before: Page([1], token) for before, token in itertools.pairwise([None, *chain])}
    fetch, asked = by_token(pages)
    with pytest.raises(ContractBroken) as caught:
        list(CursorPager(max_pages=1000).pages(fetch))
    assert len(asked) == len(chain)
    assert f"page {len(chain)}" in str(caught.value)


def test_tokens_stay_out_of_messages() -> None:
    fetch, _ = by_token({None: Page([], "sig-secret"), "sig-secret": Page([], "sig-secret")})
    with pytest.raises(ContractBroken) as caught:
        list(CursorPager(max_pages=9).pages(fetch))
    assert "sig-secret" not in str(caught.value)


def test_more_pages_than_allowed_is_an_error_that_names_the_setting_and_its_value() -> None:
    numbers = itertools.count(1)
    pages = CursorPager(max_pages=3, setting="aws_max_pages").pages(
        lambda _: Page([n := next(numbers)], f"token {n}")
    )
    assert items_of(itertools.islice(pages, 3)) == [1, 2, 3]
    with pytest.raises(BadRequestError, match=r"aws_max_pages, now 3\b"):
        next(pages)
    assert next(numbers) == 4, "no fourth page was fetched"


def test_exactly_as_many_pages_as_allowed_is_no_error() -> None:
    fetch, _ = by_token({None: Page([1], "A"), "A": Page([2], None)})
    assert items_of(CursorPager(max_pages=2).pages(fetch)) == [1, 2]


@pytest.mark.parametrize("last", [None, ""])
def test_no_token_and_an_empty_token_are_the_end(last: str | None) -> None:
    fetch, asked = by_token({None: Page([1], "A"), "A": Page([2], last)})
    assert items_of(CursorPager(max_pages=9).pages(fetch)) == [1, 2]
    assert asked == [None, "A"]


def test_an_empty_page_with_a_token_is_not_the_end() -> None:
    fetch, _ = by_token({None: Page([], "A"), "A": Page([], "B"), "B": Page([3], None)})
    assert items_of(CursorPager(max_pages=9).pages(fetch)) == [3]


def test_an_empty_answer_is_one_empty_page() -> None:
    fetch, _ = by_token({None: Page([])})
    assert [page.items for page in CursorPager(max_pages=1).pages(fetch)] == [[]]


def test_a_page_is_fetched_only_when_it_is_wanted() -> None:
    fetch, asked = by_token({None: Page([1], "A"), "A": Page([2], None)})
    pages = CursorPager(max_pages=9).pages(fetch)
    assert asked == []
    next(pages)
    assert asked == [None]


def test_a_pager_can_be_used_again_and_remembers_nothing() -> None:
    pager = CursorPager(max_pages=9)
    fetch, _ = by_token({None: Page([1], "A"), "A": Page([2], None)})
    assert items_of(pager.pages(fetch)) == items_of(pager.pages(fetch)) == [1, 2]


def test_an_error_of_the_sender_passes_unchanged() -> None:
    error = TransientError(asked="a", got="b", do="c")

    def fail(_: str | None) -> Page[int]:
        raise error

    with pytest.raises(TransientError) as caught:
        list(CursorPager(max_pages=9).pages(fail))
    assert caught.value is error


@fast
@given(contents_of_pages)
def test_a_cursor_pager_loses_and_repeats_nothing(contents: list[list[int]]) -> None:
    tokens = [None, *(f"t{n}" for n in range(1, len(contents))), None]
    pages = {tokens[n]: Page(items, tokens[n + 1]) for n, items in enumerate(contents)}
    fetch, asked = by_token(pages)
    assert items_of(CursorPager(max_pages=len(contents)).pages(fetch)) == list(itertools.chain(*contents))
    assert asked == tokens[:-1]


class Table:
    """Answers offsets over some items, at most `gives` at a time, and tells the total if asked to."""

    def __init__(self, size: int, *, gives: int = 1000, tells: bool = False) -> None:
        self.items = list(range(size))
        self.gives = gives
        self.tells = tells
        self.asked: list[tuple[int, int]] = []

    def fetch(self, offset: int, limit: int) -> Page[int]:
        self.asked.append((offset, limit))
        return Page(
            self.items[offset : offset + min(limit, self.gives)],
            total=len(self.items) if self.tells else None,
        )


def test_a_page_larger_than_asked_for_breaks_the_contract() -> None:
    pages = OffsetPager(page_size=2, max_pages=9).pages(lambda _offset, _limit: Page([1, 2, 3], total=3))
    with pytest.raises(ContractBroken, match="at most 2 items"):
        next(pages)


def test_no_items_before_the_total_is_reached_breaks_the_contract() -> None:
    with pytest.raises(ContractBroken, match="there are 5"):
        list(OffsetPager(page_size=2, max_pages=9).pages(lambda _offset, _limit: Page([], total=5)))


@pytest.mark.parametrize("tells", [True, False])
def test_an_offset_pager_also_names_the_setting_when_there_is_more(*, tells: bool) -> None:
    table = Table(5, tells=tells)
    with pytest.raises(BadRequestError, match=r"azure_max_pages, now 2\b"):
        list(OffsetPager(page_size=2, max_pages=2, setting="azure_max_pages").pages(table.fetch))
    assert table.asked == [(0, 2), (2, 2)]


def test_a_short_page_is_the_end_where_no_total_is_told() -> None:
    table = Table(5)
    assert items_of(OffsetPager(page_size=2, max_pages=3).pages(table.fetch)) == [0, 1, 2, 3, 4]
    assert table.asked == [(0, 2), (2, 2), (4, 2)]


def test_a_known_total_saves_the_last_empty_page() -> None:
    table = Table(4, tells=True)
    assert items_of(OffsetPager(page_size=2, max_pages=2).pages(table.fetch)) == [0, 1, 2, 3]
    assert table.asked == [(0, 2), (2, 2)]


def test_a_server_that_gives_less_than_asked_for_loses_nothing_when_it_tells_the_total() -> None:
    table = Table(7, gives=3, tells=True)
    assert items_of(OffsetPager(page_size=100, max_pages=9).pages(table.fetch)) == list(range(7))


def test_a_total_told_once_is_remembered() -> None:
    pages = iter([Page([1], total=3), Page([2]), Page([3])])
    assert items_of(OffsetPager(page_size=2, max_pages=9).pages(lambda _o, _l: next(pages))) == [1, 2, 3]


def test_a_total_that_shrinks_meanwhile_is_believed() -> None:
    pages = iter([Page([1, 2], total=5), Page([3], total=3)])
    assert items_of(OffsetPager(page_size=2, max_pages=9).pages(lambda _o, _l: next(pages))) == [1, 2, 3]


@fast
@given(size=st.integers(0, 40), page_size=st.integers(1, 9), gives=st.integers(1, 9), tells=st.booleans())
def test_an_offset_pager_loses_and_repeats_nothing(
    *, size: int, page_size: int, gives: int, tells: bool
) -> None:
    table = Table(size, gives=gives if tells else 1000, tells=tells)
    assert items_of(OffsetPager(page_size=page_size, max_pages=50).pages(table.fetch)) == table.items


@pytest.mark.parametrize("max_pages", [0, -1])
def test_a_limit_that_allows_no_page_is_refused_by_its_name(max_pages: int) -> None:
    with pytest.raises(ValueError, match="my_pages must be 1 or more"):
        CursorPager(max_pages=max_pages, setting="my_pages")
    with pytest.raises(ValueError, match="my_pages must be 1 or more"):
        OffsetPager(page_size=1, max_pages=max_pages, setting="my_pages")
    with pytest.raises(ValueError, match="page_size must be 1 or more"):
        OffsetPager(page_size=0, max_pages=1)
