"""Which export an account's facts of a month come from, where several exports have them.

The first export that has an account's month supplies it. With each delivery, the stream's state remembers the
share that was taken from it, now and by earlier deliveries, and what exports before it had taken. A name in a
share is an account, ``payer/account``, or a payer with all its accounts: one name in place of thousands, as
long as there is one export only. Exports are added, removed and restated: a delivery is read again as soon as
its share differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from offgridflow_common.months import iso_text
from offgridflow_common.singer.bookmarks import UNDER_WAY

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
        by_account: Whether shares are to be ``payer/account``: what is remembered by payer is read again.
    """

    bookmarks: Bookmarks
    state_key: str
    by_account: bool = False

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
        names = {name for name in share if name}
        return {
            self.state_key: sorted(names),
            _TAKEN_BEFORE: {
                name: at for name, at in self._takings(self.bookmarks.of(manifest)) if name not in names
            },
            _TAKEN_BY_OTHERS: sorted(_in_common(taken, {name for name in found if name})),
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
        share, by_others = set(entry[self.state_key]), set(entry.get(_TAKEN_BY_OTHERS, ()))
        return (
            (self.by_account and any("/" not in name for name in share))
            or _in_common(self.taken(before), share | by_others) != by_others
            or bool(_in_common(self._taken_since(entry, manifest.period), share))
        )

    def _taken_since(self, entry: Mapping[str, Any], period: str) -> set[str]:
        """What was taken after a share, also from exports that count later or no longer are configured."""
        return {
            name
            for other in self.bookmarks.of_period(period)
            for name, taken_at in self._takings(other)
            if taken_at > entry.get(READ_AT, "")
        }

    def _takings(self, entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Whose facts were ever taken from an export, and when last; by runs that were killed, too."""
        for notes in (entry, entry.get(UNDER_WAY, {})):
            if self.state_key in notes:
                yield from notes.get(_TAKEN_BEFORE, {}).items()
                yield from ((name, notes.get(READ_AT, "")) for name in notes[self.state_key])


def _payer(name: str) -> str:
    return name.partition("/")[0]


def _in_common(names: AbstractSet[str], others: AbstractSet[str]) -> set[str]:
    """Those of some names whose accounts others have, too."""
    payers = {_payer(name) for name in others}
    return {name for name in names if name in others or name in payers or _payer(name) in others}
