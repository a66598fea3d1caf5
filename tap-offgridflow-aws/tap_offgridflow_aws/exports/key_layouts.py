"""The two layouts of exports: where their manifests lie, and what these say.

Data exports (CUR 2.0, FOCUS, carbon) keep ``metadata/<partition>/<name>-Manifest.json`` beside
``data/<partition>/``; legacy reports keep ``<name>-Manifest.json`` in a folder of the month, above or among
the data files.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from offgridflow_common.exports.delivery import Export, Manifest
from offgridflow_common.exports.manifest_json import broken_manifest, text_of
from tap_offgridflow_aws.exports.partitions import model_version_of, period_of
from tap_offgridflow_aws.exports.tables import cur_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from offgridflow_common.exports.storage import ObjectInfo


class KeyLayout(Protocol):
    """One of the two layouts.

    Attributes:
        manifest_folder: Where manifests lie, below the export's prefix.
        files_member: The member of a manifest that lists the data files.
        id_member: The member that is its id, and the name of its folder or a part of that, if it has one.
    """

    manifest_folder: str
    files_member: str
    id_member: str

    def manifest(self, export: Export, info: ObjectInfo) -> Manifest | None:
        """The manifest that an object is; None if it is none, or not the newest of its period."""

    def data_month(self, export: Export, info: ObjectInfo) -> str | None:
        """The month that an object has data of; None if it has none."""

    def data_key(self, manifest: Manifest, name: str, where: str) -> str:
        """The key of a data file within the configured export: replicas have another bucket or prefix."""

    def delivery_id(self, manifest: Manifest, content: dict[str, Any], where: str) -> str:
        """The id of the delivery."""

    def columns(self, content: dict[str, Any], where: str) -> tuple[str, ...] | None:
        """The names of the data's columns, if the manifest has them."""


class _DataExport:
    """CUR 2.0, FOCUS and carbon."""

    manifest_folder = "metadata/"
    files_member = "dataFiles"
    id_member = "executionId"

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

    def data_month(self, export: Export, info: ObjectInfo) -> None:
        """None: data lie in another folder than manifests."""

    def data_key(self, manifest: Manifest, name: str, where: str) -> str:
        export = manifest.export
        _, found, tail = name.rpartition(f"/{export.folder}/data/")
        if not found:
            raise broken_manifest(where, f"a data file that is not below {export.folder}/data/: {name}")
        return f"{export.prefix}/data/{tail}"

    def delivery_id(self, manifest: Manifest, content: dict[str, Any], where: str) -> str:
        execution = text_of(content, self.id_member, where)
        # One execution may deliver a month in several versions of the model.
        return f"{execution}-{manifest.model_version}" if manifest.model_version else execution

    def columns(self, content: dict[str, Any], where: str) -> tuple[str, ...] | None:
        return _column_names(content, lambda column: str(column["name"]), where)


class _LegacyReport:
    """Legacy CUR: CSV by month and, in create-new mode, by assembly; Parquet by year and month."""

    manifest_folder = ""
    files_member = "reportKeys"
    id_member = "assemblyId"

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

    def data_month(self, export: Export, info: ObjectInfo) -> str | None:
        match = self._match(export, info)
        return _month(match) if match and info.size and match["file"].endswith(self._data) else None

    def data_key(self, manifest: Manifest, name: str, where: str) -> str:
        match = self._match(manifest.export, manifest.info)
        folder = match["folder"] if match else ""
        _, found, tail = name.rpartition(f"{folder}/")
        if found:
            return f"{manifest.export.prefix}/{folder}/{tail}"
        # AWS contradicts itself on where the manifest of Parquet lies: it may be the folder of CSV.
        if parquet := self._parquet.search(name):
            return f"{manifest.export.prefix}/{parquet[0]}"
        raise broken_manifest(where, f"a data file that is not below {folder}/: {name}")

    def delivery_id(self, manifest: Manifest, content: dict[str, Any], where: str) -> str:
        assembly = text_of(content, self.id_member, where)
        # Some are times, which two reports may share.
        return assembly if self._uuid.fullmatch(assembly) else f"{manifest.export.name}-{assembly}"

    def columns(self, content: dict[str, Any], where: str) -> tuple[str, ...] | None:
        return _column_names(content, _legacy_header, where)

    def _match(self, export: Export, info: ObjectInfo) -> re.Match[str] | None:
        key = info.key.removeprefix(f"{export.prefix}/")
        return self._csv.fullmatch(key) or self._parquet.fullmatch(key)


LEGACY_REPORT = _LegacyReport()
DATA_EXPORT = _DataExport()


def key_layout_of(export: Export) -> KeyLayout:
    """The layout of an export, by its type."""
    return LEGACY_REPORT if export.type == "cur" else DATA_EXPORT


def _month(match: re.Match[str]) -> str:
    return f"{match['year']}-{int(match['month']):02}"


def _legacy_header(column: dict[str, Any]) -> str:
    """``lineItem/UsageType`` of CSV; of Parquet, the name may be ``line_item_usage_type`` by itself."""
    category, name = str(column["category"]), str(column["name"])
    return name if name.startswith(f"{cur_name(category)}_") else f"{category}/{name}"


def _column_names(
    manifest: dict[str, Any], name_of: Callable[[dict[str, Any]], str], where: str
) -> tuple[str, ...] | None:
    try:
        return tuple(name_of(column) for column in manifest.get("columns") or []) or None
    except (KeyError, TypeError) as error:
        raise broken_manifest(where, "columns without names") from error
