"""Runs of exports: what the manifest of each says, in both generations of manifests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from offgridflow_common.exports.manifest_json import broken_manifest, parse_manifest, text_of
from offgridflow_common.settings import month_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offgridflow_common.exports.storage import ObjectInfo

#: What exports of each type of the setting ``exports`` call themselves.
_TYPES = {
    "focus": frozenset({"FocusCost"}),
    "actual": frozenset({"ActualCost", "Usage"}),
    "amortized": frozenset({"AmortizedCost"}),
}

#: Times have up to seven digits of a fraction, and may lack their zone, which is UTC.
_FRACTION = re.compile(r"(\.\d{6})\d+")


@dataclass(frozen=True, slots=True)
class Part:
    """A data file as a manifest names it.

    Attributes:
        name: The blob, from the container on.
        size: Bytes, where the manifest tells.
    """

    name: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an export over one period.

    Attributes:
        info: The manifest.
        export: The export's resource id or name, in lower case.
        type: The kind of data, in Azure's words.
        run_id: The run; the manifest's ETag where that is missing.
        month: The month of its first day, ``YYYY-MM``.
        submitted_at: When it was submitted (aware, UTC).
        parts: The data files.
        rows: In all data files, where the manifest tells.
    """

    info: ObjectInfo
    export: str
    type: str
    run_id: str
    month: str
    submitted_at: datetime
    parts: tuple[Part, ...]
    rows: int | None

    def fits(self, export_type: str) -> bool:
        """Whether its data are those of a type of the setting ``exports``."""
        return self.type in _TYPES[export_type]

    @property
    def scope(self) -> str | None:
        """The scope of cost that it covers, in lower case and without slashes at its ends, if it tells."""
        scope, found, _ = self.export.partition("/providers/microsoft.costmanagement/exports/")
        return scope.strip("/") if found else None


def read_run(info: ObjectInfo, content: bytes, where: str) -> Run:
    """Read a manifest.

    Args:
        info: The manifest as listed.
        content: What it says.
        where: Its address for messages.

    Raises:
        ContractBroken: It cannot be understood.
    """
    manifest = parse_manifest(content, where)
    config, run = (_object(manifest, name, where) for name in ("exportConfig", "runInfo"))
    blobs = manifest.get("blobs")
    if not isinstance(blobs, list) or not all(isinstance(blob, dict) for blob in blobs):
        raise broken_manifest(where, "no list blobs")
    return Run(
        info=info,
        export=str(config.get("resourceId") or text_of(config, "exportName", where)).lower(),
        type=text_of(config, "type", where),
        run_id=str(run.get("runId") or info.etag),
        month=month_of(_moment(run, "startDate", where)),
        submitted_at=_moment(run, "submittedTime", where),
        parts=tuple(Part(text_of(blob, "blobName", where), _count(blob, "byteCount")) for blob in blobs),
        rows=_count(manifest, "dataRowCount"),
    )


def _object(manifest: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    value = manifest.get(name)
    if not isinstance(value, dict):
        raise broken_manifest(where, f"no object {name}")
    return value


def _count(values: Mapping[str, Any], name: str) -> int | None:
    value = values.get(name)
    return value if isinstance(value, int) else None


def _moment(values: Mapping[str, Any], name: str, where: str) -> datetime:
    text = text_of(values, name, where)
    try:
        moment = datetime.fromisoformat(_FRACTION.sub(r"\1", text))
    except ValueError as error:
        raise broken_manifest(where, f"'{text}' in place of a time in {name}") from error
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
