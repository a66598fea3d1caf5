"""Where AWS puts the manifests of data exports, and what they say."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from offgridflow_common.clock import SYSTEM_CLOCK
from offgridflow_common.errors import ContractBroken, NotFoundError, SourceChanged
from offgridflow_common.exports.delivery import Delivery, Export, Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offgridflow_common.clock import Clock
    from offgridflow_common.exports.storage import ObjectInfo

#: The partition folders and the manifest below ``metadata/``: not the manifests of single executions,
#: which lie a folder deeper, and not ``<name>-Manifest-FOCUS.json``, which sorts before the real one.
_MANIFEST = re.compile(r"(?P<partition>(?:[^/=]+=[^/]+/)+)(?P<file>[^/]+)", re.DOTALL)

#: AWS has written the name of the partition in both cases, even within one export.
_PERIOD = re.compile(r"(?:billing_period|usage_period)=(\d{4}-\d{2})", re.IGNORECASE)


#: Data files that are newer than their manifest, and written within this time, are a delivery under way:
#: where exports are overwritten, files change before the manifest does.
_UNDER_WAY = timedelta(hours=6)


class DataExportLayout:
    """Data exports: ``<export>/metadata/<partition>/<name>-Manifest.json``, ``<export>/data/<partition>/``.

    Args:
        clock: Tells whether a delivery may still be under way.
    """

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock

    def manifests(self, export: Export) -> Iterator[Manifest]:
        """The newest manifest of each period, oldest period first."""
        newest: dict[str, Manifest] = {}
        for info in export.store.list(f"{export.prefix}/metadata/"):
            manifest = _manifest(export, info)
            if manifest is None:
                continue
            rival = newest.get(manifest.period)
            if rival is None or rival.info.modified < info.modified:
                newest[manifest.period] = manifest
        if not newest:
            raise _no_manifest(export)
        yield from (newest[period] for period in sorted(newest))

    def open(self, manifest: Manifest) -> Delivery:
        """Read a manifest and find its data files in the bucket that was configured."""
        export = manifest.export
        where = export.store.uri(manifest.info.key)
        content = _parse(export.store.read(manifest.info), where)
        keys = [_rebased(export, uri, where) for uri in _texts(content, "dataFiles", where)]
        columns = [column.get("name") for column in content.get("columns") or []]
        files = tuple(_find(export, keys, where))
        self._refuse_under_way(manifest, files)
        return Delivery(
            manifest=manifest,
            delivery_id=_text(content, "executionId", where),
            columns=tuple(columns) or None,
            files=files,
        )

    def _refuse_under_way(self, manifest: Manifest, files: tuple[ObjectInfo, ...]) -> None:
        newest = max((file.modified for file in files), default=manifest.info.modified)
        if newest > manifest.info.modified and self._clock.now() - newest < _UNDER_WAY:
            raise SourceChanged(
                asked=f"reading {manifest.label}",
                got="data files that are newer than their manifest",
                do="a delivery is under way: run again when it is complete",
            )


def _manifest(export: Export, info: ObjectInfo) -> Manifest | None:
    match = _MANIFEST.fullmatch(info.key.removeprefix(f"{export.prefix}/metadata/"))
    period = _PERIOD.search(match["partition"]) if match else None
    if not match or not period or match["file"] not in _manifest_names(export):
        return None
    return Manifest(export=export, period=period[1], info=info)


def _manifest_names(export: Export) -> set[str]:
    return {f"{export.prefix.rsplit('/', 1)[-1]}-Manifest.json", "Manifest.json"}


def _no_manifest(export: Export) -> NotFoundError:
    has_data = next(iter(export.store.list(f"{export.prefix}/data/")), None) is not None
    return NotFoundError(
        asked=f"looking for the manifests of export '{export.name}' below {export.uri}/metadata/",
        got="data files, but no manifest" if has_data else "nothing there",
        do="copy the export's metadata folder, too; without it nobody knows which files are current"
        if has_data
        else "check the bucket, the prefix and the export's name in its url, and that it was delivered once",
    )


def _parse(content: bytes, where: str) -> dict[str, Any]:
    try:
        manifest = json.loads(content)
    except ValueError as error:
        raise _broken(where, f"no JSON ({error})") from error
    if not isinstance(manifest, dict):
        raise _broken(where, "no JSON object")
    return manifest


def _text(manifest: dict[str, Any], name: str, where: str) -> str:
    value = manifest.get(name)
    if not isinstance(value, str) or not value:
        raise _broken(where, f"no {name}")
    return value


def _texts(manifest: dict[str, Any], name: str, where: str) -> list[str]:
    values = manifest.get(name)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _broken(where, f"no list {name}")
    return values


def _rebased(export: Export, uri: str, where: str) -> str:
    """The key below the configured export: a manifest names the bucket of the original delivery."""
    name = export.prefix.rsplit("/", 1)[-1]
    _, found, tail = uri.rpartition(f"/{name}/data/")
    if not found:
        raise _broken(where, f"a data file that is not below {name}/data/: {uri}")
    return f"{export.prefix}/data/{tail}"


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


def _broken(where: str, got: str) -> ContractBroken:
    return ContractBroken(
        asked=f"reading the manifest {where}", got=got, do="have the period delivered again"
    )
