"""Runs of exports: what the manifest of each says, in both generations of manifests."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from offgridflow_common.exports.manifest_json import broken_manifest, parse_manifest, text_of
from offgridflow_common.months import utc_moment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offgridflow_common.exports.storage import ObjectInfo

#: What exports of each type of the setting ``exports`` call themselves, in lower case.
_TYPES = {
    "focus": frozenset({"focuscost"}),
    "actual": frozenset({"actualcost", "usage"}),
    "amortized": frozenset({"amortizedcost"}),
}


@dataclass(frozen=True, slots=True)
class Part:
    """A data file as a manifest names it.

    Attributes:
        name: The blob, from the container on.
        size: Bytes, where the manifest tells, and does not mean those before compression.
        rows: Rows, where the manifest tells.
    """

    name: str
    size: int | None
    rows: int | None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of an export over one period.

    Attributes:
        info: The manifest.
        name: The export's name, in lower case: Azure does not tell cases apart.
        resource_id: The export's resource id, in lower case; empty where the manifest lacks it.
        type: The kind of data, in Azure's words.
        run_id: The run, as far as the manifest tells.
        first: The first day that it covers.
        last: The last one.
        submitted_at: When it was submitted (aware, UTC).
        parts: The data files.
    """

    info: ObjectInfo
    name: str
    resource_id: str
    type: str
    run_id: str
    first: date
    last: date
    submitted_at: datetime
    parts: tuple[Part, ...]

    def fits(self, export_type: str) -> bool:
        """Whether its data are those of a type of the setting ``exports``."""
        return self.type.lower() in _TYPES[export_type]

    @property
    def month(self) -> str:
        """The month of its first day, ``YYYY-MM``."""
        return f"{self.first:%Y-%m}"

    @property
    def delivery_id(self) -> str:
        """The run and its time: where files are overwritten, a run's id may come again with other data."""
        return f"{self.run_id}-{self.submitted_at:%Y%m%dT%H%M%S.%fZ}"

    @property
    def scope(self) -> str | None:
        """The scope of cost that it covers, in lower case and without slashes at its ends, if it tells."""
        scope, found, _ = self.resource_id.partition("/providers/microsoft.costmanagement/exports/")
        return scope if found else None


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
    resource_id = str(config.get("resourceId") or "").lower().strip("/")
    name = resource_id.rpartition("/")[2] or text_of(config, "exportName", where).lower()
    kind = text_of(config, "type", where)
    start = _moment(run, "startDate", where)
    return Run(
        info=info,
        name=name,
        resource_id=resource_id,
        type=kind,
        run_id=str(run.get("runId") or f"{name}-{kind}"),
        first=start.date(),
        last=_last_day(start, _moment(run, "endDate", where) if run.get("endDate") else None),
        submitted_at=_moment(run, "submittedTime", where),
        parts=_parts(manifest, where),
    )


def _parts(manifest: Mapping[str, Any], where: str) -> tuple[Part, ...]:
    count = _count(manifest, "blobCount")
    blobs = manifest.get("blobs")
    if blobs is None and count == 0:
        return ()
    if not isinstance(blobs, list) or not all(isinstance(blob, dict) for blob in blobs):
        raise broken_manifest(where, "no list blobs")
    if count not in {None, len(blobs)}:
        raise broken_manifest(where, f"{len(blobs)} blobs where blobCount says {count}")
    size = "byteCount" if _is_plain(manifest) else ""
    return tuple(
        Part(text_of(blob, "blobName", where), _count(blob, size), _count(blob, "dataRowCount"))
        for blob in blobs
    )


def _is_plain(manifest: Mapping[str, Any]) -> bool:
    """Whether files are not compressed, as far as the manifest tells: if they are, sizes may be others."""
    delivery = manifest.get("deliveryConfig")
    mode = delivery.get("compressionMode") if isinstance(delivery, dict) else None
    return str(mode or "none").lower() == "none"


def _last_day(start: datetime, end: datetime | None) -> date:
    """The last day of a run: some end at the first moment of the month that follows."""
    if end is None:
        return start.date().replace(day=monthrange(start.year, start.month)[1])
    is_midnight = end > start and end == datetime(end.year, end.month, 1, tzinfo=UTC)
    return max(start, end - timedelta(days=int(is_midnight))).date()


def _object(manifest: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    value = manifest.get(name)
    if not isinstance(value, dict):
        raise broken_manifest(where, f"no object {name}")
    return value


def _count(values: Mapping[str, Any], name: str) -> int | None:
    value = values.get(name)
    return value if isinstance(value, int) else None


def _moment(values: Mapping[str, Any], name: str, where: str) -> datetime:
    """A time that must be there; one without a zone, as older manifests have, is in UTC."""
    text = text_of(values, name, where)
    try:
        return utc_moment(text)
    except (ValueError, OverflowError) as error:
        raise broken_manifest(where, f"'{text}' in place of a time in {name}") from error
