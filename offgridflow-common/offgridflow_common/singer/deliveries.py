"""The stream that says which deliveries are complete in the target."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from offgridflow_common.columns import Column, Kind, polars_schema
from offgridflow_common.errors import DeliveryUnderWay, SourceChanged
from offgridflow_common.singer.bookmarks import size_of
from offgridflow_common.singer.export_tap import ExportTap
from offgridflow_common.singer.partition import Partition
from offgridflow_common.singer.reading import readers_of, refuse_another_type
from offgridflow_common.singer.streams import OffGridFlowStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from offgridflow_common.exports.delivery import Export, Manifest


class DeliveriesStream(OffGridFlowStream[ExportTap]):
    """A row for each delivery that all selected streams have read to its end."""

    name = "deliveries"
    primary_keys = ("export_name", "billing_period", "delivery_id")
    replication_key = "delivered_at"
    columns = (
        Column("export_name", Kind.STRING, "The export, as named in the settings.", required=True),
        Column("export_type", Kind.STRING, "The type of the export, as in the settings.", required=True),
        Column("billing_period", Kind.STRING, "Billing or usage period, `YYYY-MM`.", required=True),
        Column("delivery_id", Kind.STRING, "The provider's id of the delivery.", required=True),
        Column("delivered_at", Kind.TIMESTAMP, "When the delivery was complete.", required=True),
        Column("model_version", Kind.STRING, "Version of the model, for exports that are kept per version."),
        Column("files", Kind.INTEGER, "Data files.", required=True),
        Column("bytes", Kind.INTEGER, "Size of all data files.", required=True),
        Column("rows", Kind.INTEGER, "Rows in all data files; null if no selected stream reads them."),
    )

    def feeds(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """Each export by itself: one that cannot be listed keeps no other from being reported."""
        exports = self.tap.deliveries.exports
        if not exports:
            self.log("skipped: no export is configured")
        return [partial(self._pending_of, export) for export in exports]

    def _pending_of(self, export: Export) -> Iterator[Partition]:
        """The deliveries of an export, in the order of their delivery."""
        ready = [
            (manifest, readings)
            for listed in self.tap.deliveries.manifests(export)
            for manifest in (*self._read_before(listed), listed)
            if (readings := self._readings(manifest)) is not None
            and not self._is_reported(manifest, readings)
        ]
        for manifest, readings in sorted(ready, key=lambda item: item[0].info.modified):
            refuse_another_type(manifest, self.bookmarks)
            if summary := self._summary(manifest, readings):
                yield self._partition(manifest, summary)

    def _read_before(self, listed: Manifest) -> Iterator[Manifest]:
        """The delivery that all selected streams have read, where a newer one came before it was reported.

        Its rows have replaced those before it, so it must become current although it is old already.
        """
        readers = readers_of(listed, self.tap.streams.values())
        entries = [reader.bookmarks.of(listed) for reader in readers]
        etags = {entry.get("manifest_etag") for entry in entries}
        if len(etags) != 1 or not (etags - {None, listed.info.etag}):
            return
        read = entries[0]
        delivered_at = datetime.fromisoformat(read["replication_key_value"])
        reported = self.bookmarks.of(listed).get("replication_key_value")
        if not reported or datetime.fromisoformat(reported) < delivered_at:
            info = replace(listed.info, etag=read["manifest_etag"], modified=delivered_at)
            yield replace(listed, info=info)

    def _is_reported(self, manifest: Manifest, readings: Sequence[Mapping[str, Any]]) -> bool:
        """Whether a delivery was reported, and with its rows if a stream has read them since."""
        reported = self.bookmarks.reading_of(manifest)
        return reported is not None and not (readings and reported.get("rows") is None)

    def _readings(self, manifest: Manifest) -> list[Mapping[str, Any]] | None:
        """What the selected streams have read of a delivery; None if one of them is not done."""
        readers = readers_of(manifest, self.tap.streams.values())
        readings = [reader.bookmarks.reading_of(manifest) for reader in readers]
        if any(reading is None for reading in readings):
            return None
        return [reading for reading in readings if reading is not None]

    def _summary(self, manifest: Manifest, readings: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """The id, files, bytes and rows of a delivery; None while it is being replaced.

        The size is that of the time of reading. The delivery is opened only if no stream remembers its size.
        """
        size = next((reading for reading in readings if "files" in reading), None)
        if size is None:
            try:
                size = size_of(self.tap.deliveries.open(manifest))
            except (SourceChanged, DeliveryUnderWay) as error:
                self.log("%s is left to the next run: %s", manifest.label, error.got)
                return None
        rows = max((reading["rows"] for reading in readings), default=None)
        return {name: size[name] for name in ("delivery_id", "files", "bytes")} | {"rows": rows}

    def _partition(self, manifest: Manifest, summary: Mapping[str, Any]) -> Partition:
        return Partition(
            label=manifest.label,
            blocks=lambda: iter([self._row(manifest, summary)]),
            acknowledge=lambda _: self.bookmarks.mark_done(manifest, summary),
        )

    def _row(self, manifest: Manifest, summary: Mapping[str, Any]) -> pl.DataFrame:
        values = {
            "export_name": manifest.export.name,
            "export_type": manifest.export.type,
            "billing_period": manifest.period,
            "delivered_at": manifest.info.modified,
            "model_version": manifest.model_version,
            **summary,
        }
        return pl.DataFrame([values], schema=polars_schema(self.columns)).select(self.wanted)
