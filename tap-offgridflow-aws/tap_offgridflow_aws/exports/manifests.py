"""The manifests of exports: which there are, and which data files they name."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from offgridflow_common.clock import SYSTEM_CLOCK
from offgridflow_common.errors import DeliveryUnderWay, NotFoundError
from offgridflow_common.exports.delivery import Delivery, Export, Manifest, is_as_listed
from offgridflow_common.exports.manifest_json import parse_manifest, text_of, texts_of
from offgridflow_common.months import month_start
from tap_offgridflow_aws.exports.key_layouts import DATA_EXPORT, key_layout_of
from tap_offgridflow_aws.exports.without_manifest import (
    files_of_inferred,
    inferred_manifests,
    is_as_inferred,
    is_inferred,
    months_after_without_manifest,
    months_before_without_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from offgridflow_common.clock import Clock
    from offgridflow_common.exports.storage import ObjectInfo

_LOGGER = logging.getLogger("tap-offgridflow-aws")

#: Data files that are newer than their manifest, and written within this time, are a delivery under way:
#: where exports are overwritten, files change before the manifest does.
_UNDER_WAY = timedelta(hours=6)


class AwsLayout:
    """Finds and reads the manifests of all types of exports.

    Args:
        since: The first period that matters, ``YYYY-MM``; None if all do.
        until: Periods that begin at or after this do not matter.
        clock: Tells whether a delivery may still be under way.
    """

    def __init__(self, *, since: str | None, until: datetime, clock: Clock = SYSTEM_CLOCK) -> None:
        self._since = since
        self._until = until
        self._clock = clock
        #: The exports of which these were named once.
        self._told_no_manifests: set[str] = set()
        self._told_months_left_out: set[str] = set()

    def manifests(self, export: Export) -> Iterator[Manifest]:
        """The newest manifest of each period and model version, oldest first."""
        layout = key_layout_of(export)
        newest: dict[tuple[str, str], Manifest] = {}
        with_data: dict[str, datetime] = {}
        found_any = False
        for info in export.store.list(f"{export.prefix}/{layout.manifest_folder}"):
            found_any |= bool(info.size)  # a folder made in the console is an object of no bytes
            manifest = layout.manifest(export, info)
            if manifest is None:
                if month := layout.data_month(export, info):
                    with_data[month] = min(with_data.get(month, info.modified), info.modified)
                continue
            key = (manifest.period, manifest.model_version or "")
            if key not in newest or newest[key].info.modified < info.modified:
                newest[key] = manifest
        if newest:
            manifests = [newest[key] for key in sorted(newest)]
            self._warn_of_months_left_out(export, manifests, with_data)
            yield from manifests
        elif found_any:
            raise NotFoundError(
                asked=f"looking for the manifests of export '{export.name}' at {export.uri}",
                got="other files, but no manifest of a period",
                do="check the name and the type of the export, and copy its manifests, too",
            )
        else:
            inferred = list(inferred_manifests(export))
            self._warn_of_no_manifests(export)
            yield from inferred

    def _warn_of_no_manifests(self, export: Export) -> None:
        """Say once how periods are read without manifests, however often the export is listed."""
        if export.name not in self._told_no_manifests:
            self._told_no_manifests.add(export.name)
            _LOGGER.warning(
                "export '%s' has no manifests at %s: the newest files of each period are taken for complete",
                export.name,
                export.uri,
            )

    def open(self, manifest: Manifest) -> Delivery:
        """Read a manifest and find its data files in the bucket that was configured."""
        if is_inferred(manifest):
            return Delivery(manifest, manifest.info.etag, None, files_of_inferred(manifest))
        where = manifest.export.store.uri(manifest.info.key)
        content = parse_manifest(manifest.export.store.read(manifest.info), where)
        layout = key_layout_of(manifest.export)
        keys = [
            layout.data_key(manifest, name, where) for name in texts_of(content, layout.files_member, where)
        ]
        files = tuple(_find(manifest.export, keys, where))
        if not all(text_of(content, layout.id_member, where) in key for key in keys):
            self._refuse_under_way(manifest, files)
        return Delivery(
            manifest=manifest,
            delivery_id=layout.delivery_id(manifest, content, where),
            columns=layout.columns(content, where),
            files=files,
        )

    def is_known_newest(self, manifest: Manifest) -> bool:
        """Whether the manifest, which each delivery overwrites, is as it was listed."""
        return is_as_inferred(manifest) if is_inferred(manifest) else is_as_listed(manifest)

    def _warn_of_months_left_out(
        self, export: Export, manifests: list[Manifest], with_data: Mapping[str, datetime]
    ) -> None:
        """Name the months whose manifest is missing, once in a run.

        Args:
            export: The export.
            manifests: Its manifests, of which the newest is the last.
            with_data: When the first data file of a month was written, if the manifests' listing shows any.
        """
        if export.name in self._told_months_left_out:
            return
        self._told_months_left_out.add(export.name)
        listed = {manifest.period for manifest in manifests}
        now = self._clock.now()
        months = {
            month
            for month, begun_at in with_data.items()
            if month not in listed and month >= (self._since or "") and month_start(month) < self._until
            # The first delivery of a new month may be under way.
            if month < manifests[-1].period or now - begun_at >= _UNDER_WAY
        }
        if key_layout_of(export) is DATA_EXPORT:
            months |= months_before_without_manifest(manifests[-1], listed, self._since)
            months |= months_after_without_manifest(manifests[-1], self._until, now - _UNDER_WAY)
        if months:
            _LOGGER.warning(
                "export '%s' at %s has data files, but no manifest, of %s: these months are left out until "
                "their manifests are copied, too",
                export.name,
                export.uri,
                ", ".join(sorted(months)),
            )

    def _refuse_under_way(self, manifest: Manifest, files: tuple[ObjectInfo, ...]) -> None:
        """Refuse files that overwrite others, one after the other, before their manifest."""
        if files and manifest.export.store.local_path(files[0]) is not None:
            return  # a copy, whose times say when it was copied
        newest = max((file.modified for file in files), default=manifest.info.modified)
        if newest > manifest.info.modified and self._clock.now() - newest < _UNDER_WAY:
            raise DeliveryUnderWay(
                asked=f"reading {manifest.label}",
                got="data files that are newer than their manifest",
                do="a delivery is under way: run again when it is complete",
            )


def _find(export: Export, keys: list[str], where: str) -> Iterator[ObjectInfo]:
    listed = {
        info.key: info
        for folder in sorted({key.rpartition("/")[0] for key in keys})
        for info in export.store.list(f"{folder}/")
    }
    for key in keys:
        if key not in listed:
            raise NotFoundError(
                asked=f"looking for the data files that {where} names",
                got=f"no {export.store.uri(key)}",
                do="copy the data files, too, or have the period delivered again",
            )
        yield listed[key]
