"""Carbon exports keep each month in every version of the model: which manifests are of the newest ones."""

from __future__ import annotations

import operator
from itertools import groupby
from typing import TYPE_CHECKING, Any

from offgridflow_common.singer.periods import version_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from logging import Logger

    from offgridflow_common.exports.delivery import Manifest
    from offgridflow_common.singer.bookmarks import Bookmarks

#: A month and the name of an export.
Key = tuple[str, str]


class NewestVersions:
    """Finds the newest model version of each month of each carbon export, once for each set of listings.

    Where a newer version than those listed was read, it was removed since. It stays in the target, and no
    older one takes its place.

    Args:
        bookmarks: What was read.
        logger: Logs versions that were removed.

    Attributes:
        withdrawn: The months of exports whose newest version was read and is gone.
    """

    def __init__(self, bookmarks: Bookmarks, logger: Logger) -> None:
        self._bookmarks = bookmarks
        self._logger = logger
        self._listings: Sequence[Sequence[Manifest]] = ()
        self._newest: dict[Key, Manifest] = {}
        self._by_period: dict[str, list[Manifest]] = {}
        self.withdrawn: set[Key] = set()
        self._warned: set[Key] = set()

    def of(self, listings: Sequence[Sequence[Manifest]]) -> Mapping[Key, Manifest]:
        """The manifest of each month and export, oldest month first; in a month, newer versions come first.

        Args:
            listings: The manifests of each export; the very lists of before are not gone through again.
        """
        same = len(listings) == len(self._listings) and all(map(operator.is_, listings, self._listings))
        if not same:
            self._listings = listings
            self.withdrawn = set()
            found = sorted(self._found(listings), key=_version, reverse=True)
            ordered = sorted(found, key=lambda manifest: manifest.period)
            self._newest = {(one.period, one.export.name): one for one in ordered}
            self._by_period = {month: list(of) for month, of in groupby(ordered, lambda one: one.period)}
        return self._newest

    def of_period(self, listings: Sequence[Sequence[Manifest]], period: str) -> Sequence[Manifest]:
        """Those of one month."""
        self.of(listings)
        return self._by_period.get(period, ())

    def _found(self, listings: Sequence[Sequence[Manifest]]) -> Iterator[Manifest]:
        newest: dict[Key, Manifest] = {}
        for manifest in (one for listing in listings for one in listing):
            key = (manifest.period, manifest.export.name)
            newest[key] = max(newest.get(key, manifest), manifest, key=_version)
        return (one for key, one in newest.items() if not self._is_withdrawn(key, one))

    def _is_withdrawn(self, key: Key, manifest: Manifest) -> bool:
        """Whether a newer version than a manifest's was read."""
        period, name = key
        read = (
            entry["context"].get("model_version", "")
            for entry in self._bookmarks.of_period(period)
            if entry["context"].get("export") == name and "manifest_etag" in entry
        )
        newest = max(read, key=version_key, default="")
        if version_key(newest) <= _version(manifest):
            return False
        self.withdrawn.add(key)
        if key not in self._warned:
            self._warned.add(key)
            self._logger.warning(
                "%s: version %s, which was read, is gone; an older one is left, and makes no activities. "
                "To go back to it, remove the month from state, and from the table deliveries",
                manifest.label,
                newest,
            )
        return True


def _version(manifest: Manifest) -> tuple[Any, ...]:
    return version_key(manifest.model_version or "")
