"""Which export an account's facts of a month come from, where several exports have them.

The first export that has a payer's month supplies it. With each delivery, the stream's state remembers the
share that was taken from it, now and by earlier deliveries, and what exports before it had taken. A name in a
share is a payer, or ``payer/account`` where an export holds one member of an organisation only. Exports are
added, removed and restated: a delivery is read again as soon as its share differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offgridflow_common.months import iso_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from collections.abc import Set as AbstractSet
    from datetime import datetime

    from offgridflow_common.exports.delivery import Manifest
    from offgridflow_common.singer.bookmarks import Bookmarks

_TAKEN_BY_OTHERS = "taken_by_others"
_TAKEN_BEFORE = "taken_before"
#: When the run began that read a delivery.
READ_AT = "read_at"


@dataclass(frozen=True, slots=True)
class Shares:
    """The shares of exports in the months of one kind of fact.

    Args:
        bookmarks: Where they are remembered.
        state_key: What the names of a share are called in state.
    """

    bookmarks: Bookmarks
    state_key: str

    def taken(self, before: Iterable[Mapping[str, Any]]) -> set[str]:
        """All names in what is remembered of some exports."""
        return {name for entry in before for name in entry.get(self.state_key, ())}

    def to_remember(
        self,
        manifest: Manifest,
        share: Iterable[str | None],
        found: Iterable[str | None],
        taken: AbstractSet[str],
        read_at: datetime,
    ) -> dict[str, Any]:
        """What is to be remembered of a delivery.

        Args:
            manifest: The delivery's.
            share: Whose facts are taken from it.
            found: Whose facts it has.
            taken: What is taken from other exports.
            read_at: When the run that reads it began.
        """
        payers = {_payer(name) for name in found if name}
        names = {name for name in share if name}
        return {
            self.state_key: sorted(names),
            _TAKEN_BEFORE: {
                name: at for name, at in self._takings(self.bookmarks.of(manifest)) if name not in names
            },
            _TAKEN_BY_OTHERS: sorted(name for name in taken if _payer(name) in payers),
            READ_AT: iso_text(read_at),
        }

    def has_changed(self, manifest: Manifest, before: Iterable[Mapping[str, Any]]) -> bool:
        """Whether the share of a delivery that was read is another one than it was then.

        Args:
            manifest: The delivery's.
            before: What is remembered of the exports that count before its own.
        """
        entry = self.bookmarks.reading_of(manifest)
        if entry is None:
            return False
        if self.state_key not in entry:
            return True
        payers = {_payer(name) for name in (*entry[self.state_key], *entry.get(_TAKEN_BY_OTHERS, ()))}
        taken = {name for name in self.taken(before) if _payer(name) in payers}
        return taken != set(entry.get(_TAKEN_BY_OTHERS, ())) or self._was_taken_since(entry, manifest.period)

    def _was_taken_since(self, entry: Mapping[str, Any], period: str) -> bool:
        """Whether an export that counts later, or no longer is configured, has taken some of a share."""
        return any(
            _overlaps(mine, theirs, entry, other)
            for other in self.bookmarks.of_period(period)
            for theirs, taken_at in self._takings(other)
            if taken_at > entry.get(READ_AT, "")
            for mine in entry[self.state_key]
        )

    def _takings(self, entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Whose facts were ever taken from an export, and when for the last time."""
        if self.state_key in entry:
            yield from entry.get(_TAKEN_BEFORE, {}).items()
            yield from ((name, entry.get(READ_AT, "")) for name in entry[self.state_key])


def _payer(name: str) -> str:
    return name.partition("/")[0]


def _overlaps(mine: str, theirs: str, my_entry: Mapping[str, Any], their_entry: Mapping[str, Any]) -> bool:
    """Whether two shares have an account in common. A payer's share excludes what was left to others."""
    if mine == theirs:
        return True
    if mine == _payer(theirs):
        return theirs not in my_entry.get(_TAKEN_BY_OTHERS, ())
    return theirs == _payer(mine) and mine not in their_entry.get(_TAKEN_BY_OTHERS, ())
