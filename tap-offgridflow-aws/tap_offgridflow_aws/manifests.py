"""Where AWS puts the manifests of exports, what they say, and which data files they name.

Two layouts exist. Data exports (CUR 2.0, FOCUS, carbon) keep ``metadata/<partition>/<name>-Manifest.json``
beside ``data/<partition>/``; legacy reports keep ``<name>-Manifest.json`` in a folder of the month, above or
among the data files.
"""

from __future__ import annotations

import logging
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from offgridflow_common.clock import SYSTEM_CLOCK
from offgridflow_common.errors import DeliveryUnderWay, NotFoundError
from offgridflow_common.exports.delivery import Delivery, Export, Manifest
from offgridflow_common.exports.manifest_json import (
    broken_manifest,
    parse_manifest,
    text_of,
    texts_of,
)
from tap_offgridflow_aws.partitions import model_version_of, period_of
from tap_offgridflow_aws.without_manifest import (
    files_of_made_up,
    is_made_up,
    made_up_manifests,
    months_without_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
        clock: Tells whether a delivery may still be under way.
    """

    def __init__(self, *, since: str | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self._since = since
        self._clock = clock
        self._searched: set[str] = set()

    def manifests(self, export: Export) -> Iterator[Manifest]:
        """The newest manifest of each period and model version, oldest first."""
        form = _form(export)
        newest: dict[tuple[str, str], Manifest] = {}
        with_data: set[str] = set()
        found_any = False
        for info in export.store.list(f"{export.prefix}/{form.manifest_folder}"):
            found_any = True
            manifest = form.manifest(export, info)
            if manifest is None:
                with_data |= form.data_month(export, info)
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
            yield from made_up_manifests(export)

    def open(self, manifest: Manifest) -> Delivery:
        """Read a manifest and find its data files in the bucket that was configured."""
        if is_made_up(manifest):
            return Delivery(manifest, manifest.info.etag, None, files_of_made_up(manifest))
        where = manifest.export.store.uri(manifest.info.key)
        content = parse_manifest(manifest.export.store.read(manifest.info), where)
        form = _form(manifest.export)
        keys = [form.data_key(manifest, name, where) for name in texts_of(content, form.files, where)]
        files = tuple(_find(manifest.export, keys, where))
        self._refuse_under_way(manifest, files)
        return Delivery(
            manifest=manifest,
            delivery_id=form.delivery_id(manifest, content, where),
            columns=form.columns(content, where),
            files=files,
        )

    def _warn_of_months_left_out(
        self, export: Export, manifests: list[Manifest], with_data: set[str]
    ) -> None:
        """Name the months whose manifest is missing, once in a run."""
        if export.name in self._searched:
            return
        self._searched.add(export.name)
        listed = {manifest.period for manifest in manifests}
        months = {month for month in with_data - listed if month >= (self._since or "")}
        if _form(export) is _DATA_EXPORT:
            months |= months_without_manifest(export, manifests[-1], listed, self._since)
        if months:
            _LOGGER.warning(
                "export '%s' at %s has data files, but no manifest, of %s: these months are left out until "
                "their manifests are copied, too",
                export.name,
                export.uri,
                ", ".join(sorted(months)),
            )

    def _refuse_under_way(self, manifest: Manifest, files: tuple[ObjectInfo, ...]) -> None:
        if files and manifest.export.store.local_path(files[0]) is not None:
            return  # a copy, whose times say when it was copied
        newest = max((file.modified for file in files), default=manifest.info.modified)
        if newest > manifest.info.modified and self._clock.now() - newest < _UNDER_WAY:
            raise DeliveryUnderWay(
                asked=f"reading {manifest.label}",
                got="data files that are newer than their manifest",
                do="a delivery is under way: run again when it is complete",
            )


class _Form(Protocol):
    """One of the two layouts."""

    manifest_folder: str
    files: str

    def manifest(self, export: Export, info: ObjectInfo) -> Manifest | None:
        """The manifest that an object is; None if it is none, or not the newest of its period."""

    def data_month(self, export: Export, info: ObjectInfo) -> set[str]:
        """The month that an object has data of; none if it is no data."""

    def data_key(self, manifest: Manifest, name: str, where: str) -> str:
        """The key of a data file within the configured export: replicas have another bucket or prefix."""

    def delivery_id(self, manifest: Manifest, content: dict[str, Any], where: str) -> str:
        """The id of the delivery."""

    def columns(self, content: dict[str, Any], where: str) -> tuple[str, ...] | None:
        """The names of the data's columns, if the manifest has them."""


class _DataExport:
    """CUR 2.0, FOCUS and carbon."""

    manifest_folder = "metadata/"
    files = "dataFiles"

    #: Not the manifests of single executions, which lie a folder deeper.
    _key = re.compile(r"(?P<partition>(?:[^/=]+=[^/]+/)+)(?P<file>[^/]+)", re.DOTALL)

    def manifest(self, export: Export, info: ObjectInfo) -> Manifest | None:
        match = self._key.fullmatch(info.key.removeprefix(f"{export.prefix}/{self.manifest_folder}"))
        period = period_of(match["partition"]) if match else None
        # Not `<name>-Manifest-FOCUS.json`, which sorts before the real one.
        if (
            not match
            or not period
            or match["file"] not in {f"{export.folder}-Manifest.json", "Manifest.json"}
        ):
            return None
        return Manifest(export, period, info, model_version_of(match["partition"]))

    def data_month(self, export: Export, info: ObjectInfo) -> set[str]:
        del export, info
        return set()  # they lie in another folder than the manifests

    def data_key(self, manifest: Manifest, name: str, where: str) -> str:
        export = manifest.export
        _, found, tail = name.rpartition(f"/{export.folder}/data/")
        if not found:
            raise broken_manifest(where, f"a data file that is not below {export.folder}/data/: {name}")
        return f"{export.prefix}/data/{tail}"

    def delivery_id(self, manifest: Manifest, content: dict[str, Any], where: str) -> str:
        execution = text_of(content, "executionId", where)
        # One execution may deliver a month in several versions of the model.
        return f"{execution}-{manifest.model_version}" if manifest.model_version else execution

    def columns(self, content: dict[str, Any], where: str) -> tuple[str, ...] | None:
        return _column_names(content, lambda column: str(column["name"]), where)


class _LegacyReport:
    """Legacy CUR: CSV by month and, in create-new mode, by assembly; Parquet by year and month."""

    manifest_folder = ""
    files = "reportKeys"

    #: Real folders end at the first of the next month, examples at the last of the same: only the start
    #: counts.
    _csv = re.compile(
        r"(?P<folder>(?P<year>\d{4})(?P<month>\d{2})\d{2}-\d{8})/(?P<assembly>[^/]+/)?(?P<file>[^/]+)"
    )
    _parquet = re.compile(
        r"(?P<folder>[^/]+/year=(?P<year>\d{4})/month=(?P<month>\d{1,2}))/(?P<assembly>)(?P<file>[^/]+)",
        re.IGNORECASE,
    )
    _data = (".csv.gz", ".zip", ".parquet")
    _uuid = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

    def manifest(self, export: Export, info: ObjectInfo) -> Manifest | None:
        match = self._match(export, info)
        # Not those of single assemblies, and not `<name>-RedshiftManifest.json`, which ends alike.
        if not match or match["assembly"] or match["file"] != f"{export.folder}-Manifest.json":
            return None
        return Manifest(export, _month(match), info)

    def data_month(self, export: Export, info: ObjectInfo) -> set[str]:
        match = self._match(export, info)
        return {_month(match)} if match and info.size and match["file"].endswith(self._data) else set()

    def data_key(self, manifest: Manifest, name: str, where: str) -> str:
        match = self._match(manifest.export, manifest.info)
        folder = match["folder"] if match else ""
        _, found, tail = name.rpartition(f"{folder}/")
        if not found:
            raise broken_manifest(where, f"a data file that is not below {folder}/: {name}")
        return f"{manifest.export.prefix}/{folder}/{tail}"

    def delivery_id(self, manifest: Manifest, content: dict[str, Any], where: str) -> str:
        assembly = text_of(content, "assemblyId", where)
        # Some are times, which two reports may share.
        return assembly if self._uuid.fullmatch(assembly) else f"{manifest.export.name}-{assembly}"

    def columns(self, content: dict[str, Any], where: str) -> tuple[str, ...] | None:
        return _column_names(content, lambda column: f"{column['category']}/{column['name']}", where)

    def _match(self, export: Export, info: ObjectInfo) -> re.Match[str] | None:
        key = info.key.removeprefix(f"{export.prefix}/")
        return self._csv.fullmatch(key) or self._parquet.fullmatch(key)


_LEGACY = _LegacyReport()
_DATA_EXPORT = _DataExport()


def _form(export: Export) -> _Form:
    return _LEGACY if export.type == "cur" else _DATA_EXPORT


def _month(match: re.Match[str]) -> str:
    return f"{match['year']}-{int(match['month']):02}"


def _column_names(
    manifest: dict[str, Any], name_of: Callable[[dict[str, Any]], str], where: str
) -> tuple[str, ...] | None:
    try:
        return tuple(name_of(column) for column in manifest.get("columns") or []) or None
    except (KeyError, TypeError) as error:
        raise broken_manifest(where, "columns without names") from error


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
