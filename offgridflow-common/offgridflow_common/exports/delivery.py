"""Deliveries: an export's data for one period, as delivered once. A later one replaces an earlier one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from offgridflow_common.clock import SYSTEM_CLOCK
from offgridflow_common.errors import NotFoundError
from offgridflow_common.months import month_start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from offgridflow_common.clock import Clock
    from offgridflow_common.exports.storage import ObjectInfo, ObjectStore

#: How long a listing of an export counts: a first run may take hours, in which there are new deliveries.
_LISTING_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Export:
    """A configured export.

    Attributes:
        name: What rows and messages call it.
        type: The kind of export, in the words of the tap's ``exports`` setting.
        store: Where it is delivered to.
        prefix: The key prefix of the export within the store, without a slash at its end.
    """

    name: str
    type: str
    store: ObjectStore
    prefix: str

    @property
    def folder(self) -> str:
        """The last part of the prefix: the provider's own name of the export."""
        return self.prefix.rsplit("/", 1)[-1]

    @property
    def uri(self) -> str:
        """The address of the export for people."""
        return self.store.uri(self.prefix)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The newest manifest of one period of an export, as a listing shows it: not read yet.

    Attributes:
        export: The export it belongs to.
        period: The billing or usage period, ``YYYY-MM``.
        info: The manifest object; its ETag changes with each delivery.
        model_version: The version of the model behind the data, for exports that are kept per version.
    """

    export: Export
    period: str
    info: ObjectInfo
    model_version: str | None = None

    @property
    def label(self) -> str:
        """Names the period of the export in messages."""
        version = f" {self.model_version}" if self.model_version else ""
        return f"{self.export.name} {self.period}{version}"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivered version of one period: what its manifest says.

    Attributes:
        manifest: The manifest it was read from.
        delivery_id: The provider's id of this delivery.
        columns: The source's column names, where the manifest names them.
        files: The data files in the manifest's order.
        row_counts: The rows of each file, None of those that the manifest does not count; empty if it counts
            none.
    """

    manifest: Manifest
    delivery_id: str
    columns: tuple[str, ...] | None
    files: tuple[ObjectInfo, ...]
    row_counts: tuple[int | None, ...] = ()

    @property
    def export(self) -> Export:
        """The export it belongs to."""
        return self.manifest.export

    @property
    def period(self) -> str:
        """The billing or usage period, ``YYYY-MM``."""
        return self.manifest.period

    @property
    def delivered_at(self) -> datetime:
        """When the manifest, which comes last, was delivered (aware, UTC)."""
        return self.manifest.info.modified

    @property
    def bytes(self) -> int:
        """The size of all data files."""
        return sum(file.size for file in self.files)


class Layout(Protocol):
    """How one provider lays out an export in a store."""

    def manifests(self, export: Export) -> Iterator[Manifest]:
        """The newest manifest of each period, oldest first, found by listing and reading manifests only."""
        ...

    def open(self, manifest: Manifest) -> Delivery:
        """Read a manifest and find its data files.

        Raises:
            SourceChanged: The manifest is no longer the one that was listed.
            DeliveryUnderWay: Data files are not the manifest's yet.
            NotFoundError: A data file that the manifest names does not exist.
            ContractBroken: The manifest cannot be understood.
        """
        ...

    def is_known_newest(self, manifest: Manifest) -> bool:
        """Whether a cheap look shows that a manifest is still the newest of its period.

        False is "not known": the whole export is then listed again.
        """
        ...


def is_as_listed(manifest: Manifest) -> bool:
    """Whether a manifest's object is unchanged since it was listed."""
    info = manifest.info
    found = manifest.export.store.list(info.key)
    return any(other.key == info.key and other.etag == info.etag for other in found)


class Deliveries:
    """The deliveries of all configured exports; an export is listed again after some minutes.

    Args:
        exports: The configured exports.
        layout: How they are laid out.
        start: First period wanted, ``YYYY-MM``, or None for all.
        end: Periods that begin at or after this moment are not wanted.
        clock: Tells how old a listing is.

    Attributes:
        exports: The configured exports.
    """

    def __init__(
        self,
        exports: tuple[Export, ...],
        layout: Layout,
        *,
        start: str | None,
        end: datetime,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.exports = exports
        self._layout = layout
        self._start = start
        self._end = end
        self._clock = clock
        #: By export, when it was listed, and what was found.
        self._listings: dict[str, tuple[float, list[Manifest]]] = {}

    def of_types(self, types: frozenset[str]) -> tuple[Export, ...]:
        """The configured exports of these types."""
        return tuple(export for export in self.exports if export.type in types)

    def manifests(self, export: Export) -> list[Manifest]:
        """The newest manifest of each wanted period of an export, oldest period first."""
        now = self._clock.monotonic()
        listed_at, manifests = self._listings.get(export.name, (now - _LISTING_SECONDS, []))
        if now - listed_at >= _LISTING_SECONDS:
            manifests = [
                manifest
                for manifest in self._layout.manifests(export)
                if (not self._start or manifest.period >= self._start)
                and month_start(manifest.period) < self._end
            ]
            self._listings[export.name] = (now, manifests)
        return manifests

    def open(self, manifest: Manifest) -> Delivery:
        """Read a manifest."""
        return self._layout.open(manifest)

    def refresh(self, manifest: Manifest) -> Manifest:
        """The manifest that the period has now; the one given, if nothing was delivered since.

        Raises:
            NotFoundError: The period has no manifest any more.
        """
        if self._layout.is_known_newest(manifest):
            return manifest
        self._listings.pop(manifest.export.name, None)
        for current in self.manifests(manifest.export):
            same_period = current.period == manifest.period
            if same_period and current.model_version == manifest.model_version:
                return current
        raise NotFoundError(
            asked=f"looking for the manifest of {manifest.label} at {manifest.export.uri}",
            got="no manifest any more",
            do="check who removed it; nothing of the period counts as read",
        )
