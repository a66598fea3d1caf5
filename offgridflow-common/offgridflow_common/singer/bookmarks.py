"""Bookmarks: what a stream's state says was read, per partition, in the SDK's own layout."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from offgridflow_common.months import iso_text

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from offgridflow_common.exports.delivery import Delivery, Manifest

#: What a delivery's entry keeps while its rows go out: a target may have them though the run is killed then.
UNDER_WAY = "under_way"


class Bookmarks:
    """Reads and writes the partitions of a stream's state.

    They are found by an index: there may be one for each subscription or export and month.

    Args:
        stream_state: The stream's entry in the tap's state; written to in place.

    Attributes:
        are_urgent: Whether state is to be written before the next rows, however large it is.
    """

    def __init__(self, stream_state: MutableMapping[str, Any]) -> None:
        self._state = stream_state
        self.are_urgent = False
        #: What is indexed, and how much of it: others that change the state replace the list, or add to it.
        self._indexed: list[dict[str, Any]] = []
        self._count = 0
        self._place_of: dict[str, int] = {}
        self._places_of_period: dict[str | None, list[int]] = {}

    def is_of(self, stream_state: MutableMapping[str, Any]) -> bool:
        """Whether it is this very state that they are of."""
        return self._state is stream_state

    def get(self, context: Mapping[str, str]) -> Mapping[str, Any]:
        """What is remembered for a partition; empty if nothing is."""
        return self._find(context) or {}

    def set(self, context: Mapping[str, str], values: Mapping[str, Any]) -> None:
        """Remember values for a partition, beside those that are there."""
        self.replace(context, {**self.get(context), **values})

    def replace(self, context: Mapping[str, str], values: Mapping[str, Any]) -> None:
        """Remember values in place of what is there: at once, since a signal may write state at any time."""
        entry = {**values, "context": dict(context)}
        entries: list[dict[str, Any]] = self._state.setdefault("partitions", [])
        self._update_index(entries)
        place = self._place_of.get(_key(context))
        if place is None:
            entries.append(entry)
        else:
            entries[place] = entry

    def _find(self, context: Mapping[str, str]) -> dict[str, Any] | None:
        entries: list[dict[str, Any]] = self._state.get("partitions", [])
        self._update_index(entries)
        place = self._place_of.get(_key(context))
        return None if place is None else entries[place]

    def of_period(self, period: str) -> list[Mapping[str, Any]]:
        """What is remembered of a period of all exports, also of those that are no longer configured."""
        entries: list[dict[str, Any]] = self._state.get("partitions", [])
        self._update_index(entries)
        return [entries[place] for place in self._places_of_period.get(period, ())]

    def _update_index(self, entries: list[dict[str, Any]]) -> None:
        """Index what was added since the last time; all, where the list is another one or shorter."""
        if entries is not self._indexed or len(entries) < self._count:
            self._indexed, self._count = entries, 0
            self._place_of, self._places_of_period = {}, {}
        for place, entry in enumerate(entries[self._count :], self._count):
            context = entry.get("context") or {}
            self._place_of.setdefault(_key(context), place)
            self._places_of_period.setdefault(context.get("billing_period"), []).append(place)
        self._count = len(entries)

    def of_export(self, name: str, period: str) -> Mapping[str, Any]:
        """What is remembered of a period of an export that has no model versions; empty if nothing is."""
        return self.get({"export": name, "billing_period": period})

    def of(self, manifest: Manifest) -> Mapping[str, Any]:
        """What is remembered of a period of an export, whichever delivery it was; empty if nothing is."""
        return self.get(_context(manifest))

    def reading_of(self, manifest: Manifest) -> Mapping[str, Any] | None:
        """What is remembered of this very delivery; None if it was not read to its end."""
        entry = self.of(manifest)
        return entry if entry.get("manifest_etag") == manifest.info.etag else None

    def partial_reading_of(self, manifest: Manifest) -> tuple[int, int]:
        """How many rows and files of this very delivery were out when a run was ended."""
        partial = self.of(manifest).get("partial") or {}
        if partial.get("manifest_etag") != manifest.info.etag:
            return 0, 0
        return partial["rows"], partial["files"]

    def mark_partly_read(self, manifest: Manifest, rows: int, files: int) -> None:
        """Remember that the first files of a delivery are out."""
        partial = {"manifest_etag": manifest.info.etag, "files": files, "rows": rows}
        self.set(_context(manifest), {"partial": partial})

    def mark_under_way(self, manifest: Manifest, notes: Mapping[str, Any]) -> None:
        """Remember what is to be remembered of a delivery whose rows go out now, should the run be killed.

        If another one has the same period, its rows may be overwritten, and state has to say so before.
        """
        if notes:
            self.set(_context(manifest), {UNDER_WAY: dict(notes)})
            self.are_urgent |= len(self.of_period(manifest.period)) > 1

    def mark_read(
        self, delivery: Delivery, rows: int | None, notes: Mapping[str, Any] = MappingProxyType({})
    ) -> None:
        """Remember that all rows of a delivery are out, and how large it was."""
        self.mark_done(delivery.manifest, {**size_of(delivery), "rows": rows, **notes})

    def mark_done(self, manifest: Manifest, values: Mapping[str, Any]) -> None:
        """Remember that a delivery is done with, and these values, in place of what was remembered before."""
        self.replace(
            _context(manifest),
            {
                "replication_key": "delivered_at",
                "replication_key_value": iso_text(manifest.info.modified),
                "manifest_etag": manifest.info.etag,
                "export_type": manifest.export.type,
                **values,
            },
        )


def size_of(delivery: Delivery) -> dict[str, Any]:
    """Which delivery it is, and how large."""
    return {"delivery_id": delivery.delivery_id, "files": len(delivery.files), "bytes": delivery.bytes}


def _key(context: Mapping[str, str]) -> str:
    return json.dumps(context, sort_keys=True)


def _context(manifest: Manifest) -> dict[str, str]:
    context = {"export": manifest.export.name, "billing_period": manifest.period}
    if manifest.model_version:
        context["model_version"] = manifest.model_version
    return context
