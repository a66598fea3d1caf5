"""Deliveries: an export's data for one period, as delivered once. A later one replaces an earlier one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from offgridflow_common.errors import NotFoundError
from offgridflow_common.months import month_start

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from offgridflow_common.exports.storage import ObjectInfo, ObjectStore


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
    """

    manifest: Manifest
    delivery_id: str
    columns: tuple[str, ...] | None
    files: tuple[ObjectInfo, ...]

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


class Deliveries:
    """The deliveries of all configured exports; each export is listed once in a run.

    Args:
        exports: The configured exports.
        layout: How they are laid out.
        start: First period wanted, ``YYYY-MM``, or None for all.
        end: Periods that begin at or after this moment are not wanted.

    Attributes:
        exports: The configured exports.
    """

    def __init__(
        self, exports: tuple[Export, ...], layout: Layout, *, start: str | None, end: datetime
    ) -> None:
        self.exports = exports
        self._layout = layout
        self._start = start
        self._end = end
        self._manifests: dict[str, list[Manifest]] = {}

    def of_types(self, types: frozenset[str]) -> tuple[Export, ...]:
        """The configured exports of these types."""
        return tuple(export for export in self.exports if export.type in types)

    def manifests(self, export: Export) -> list[Manifest]:
        """The newest manifest of each wanted period of an export, oldest period first."""
        if export.name not in self._manifests:
            self._manifests[export.name] = [
                manifest
                for manifest in self._layout.manifests(export)
                if (not self._start or manifest.period >= self._start)
                and month_start(manifest.period) < self._end
            ]
        return self._manifests[export.name]

    def open(self, manifest: Manifest) -> Delivery:
        """Read a manifest."""
        return self._layout.open(manifest)

    def refresh(self, manifest: Manifest) -> Manifest:
        """The manifest that the period has now; the one given, if nothing was delivered since.

        Raises:
            NotFoundError: The period has no manifest any more.
        """
        self._manifests.pop(manifest.export.name, None)
        for current in self.manifests(manifest.export):
            same_period = current.period == manifest.period
            if same_period and current.model_version == manifest.model_version:
                return current
        raise NotFoundError(
            asked=f"looking for the manifest of {manifest.label} at {manifest.export.uri}",
            got="no manifest any more",
            do="check who removed it; nothing of the period counts as read",
        )
