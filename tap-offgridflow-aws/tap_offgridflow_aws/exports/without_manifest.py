"""Data without manifests: aggregation buckets into which only the data folders are replicated.

If an export has none at all, what they would say is inferred from a listing: of each period the files of the
newest execution, or, where deliveries overwrite each other, all files that are not empty. That is a fallback:
a listing cannot tell whether a delivery is complete. If some periods have manifests, the others are left out.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING

from offgridflow_common.errors import NotFoundError
from offgridflow_common.exports.delivery import Export, Manifest
from offgridflow_common.exports.storage import ObjectInfo
from offgridflow_common.months import add_months, month_of, month_start
from tap_offgridflow_aws.exports.partitions import in_both_cases, model_version_of, period_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet


#: Data files of a period, by their folder.
_Folders = dict[str, list[ObjectInfo]]

_PARTITION = re.compile(r"(?:[^/=]+=[^/]+/)+", re.DOTALL)
_DATA_FILE = re.compile(
    rf"(?P<partition>{_PARTITION.pattern})(?:[^/=]+/)?[^/]+\.(?:csv\.gz|csv|parquet)", re.DOTALL
)
_FILE = re.compile(r"[^/]+\.(?:csv\.gz|csv|parquet)")
_EXECUTION = re.compile(r"\d{4}-\d{2}-\d{2}T[\d:.]+Z")


def is_inferred(manifest: Manifest) -> bool:
    """Whether a manifest was inferred from a listing; its key is then the folder of the files."""
    return manifest.info.key.endswith("/")


def inferred_manifests(export: Export) -> Iterator[Manifest]:
    """An inferred manifest for each period of an export that has data files but no manifest.

    Raises:
        NotFoundError: There are no data files either.
    """
    groups = {} if export.type == "cur" else _by_period(export, export.store.list(f"{export.prefix}/data/"))
    if not groups:
        raise NotFoundError(
            asked=f"looking for the manifests of export '{export.name}' at {export.uri}",
            got="neither manifests nor data files",
            do="check the bucket, the prefix, the name and the type of the export, and that it was delivered "
            "once",
        )
    for (month, model_version), folders in sorted(groups.items()):
        yield Manifest(export, month, _newest(folders), model_version or None)


def is_as_inferred(manifest: Manifest) -> bool:
    """Whether the data files of a period are still those that its manifest was inferred from."""
    export, top = manifest.export, f"{manifest.export.prefix}/data/"
    partition = _PARTITION.match(manifest.info.key.removeprefix(top))
    spellings = in_both_cases(f"{top}{partition[0] if partition else ''}")
    listed = chain.from_iterable(export.store.list(spelling) for spelling in spellings)
    folders = _by_period(export, listed).get((manifest.period, manifest.model_version or ""))
    return folders is not None and _newest(folders) == manifest.info


def _by_period(export: Export, listed: Iterable[ObjectInfo]) -> dict[tuple[str, str], _Folders]:
    """Data files by month and model version, and by their folder."""
    groups: dict[tuple[str, str], _Folders] = defaultdict(lambda: defaultdict(list))
    for info in listed:
        match = _DATA_FILE.fullmatch(info.key.removeprefix(f"{export.prefix}/data/"))
        period = period_of(match["partition"]) if match else None
        if match and period:
            version = model_version_of(match["partition"])
            groups[period, version or ""][info.key.rpartition("/")[0] + "/"].append(info)
    return groups


def months_before_without_manifest(newest: Manifest, listed: AbstractSet[str], since: str | None) -> set[str]:
    """Months of a data export that have data files, but no manifest as others have: gaps, and those before.

    Only months without a manifest are looked for, so that an export which has them all costs two listings.

    Args:
        newest: The export's newest manifest: data files of other months lie in folders that are named alike.
        listed: The months that have a manifest.
        since: The first month that matters, ``YYYY-MM``; None if all do.
    """
    found = set()
    month = newest.period
    while (month := _month_before(month)) >= (since or ""):
        if month in listed:
            continue
        if any(_data_like(newest, month)):
            found.add(month)
        elif month < min(listed):
            break
    return found


def months_after_without_manifest(newest: Manifest, until: datetime, settled: datetime) -> set[str]:
    """Months after the newest manifest with data files but no manifest, up to the first one without data.

    Args:
        newest: The export's newest manifest.
        until: Months that begin at or after this do not matter.
        settled: Data that were written later may be those of a delivery whose manifest is still to come.
    """
    found = set()
    month = newest.period
    while month_start(month := _month_after(month)) < until:
        begun_at = min((info.modified for info in _data_like(newest, month)), default=None)
        if begun_at is None or begun_at > settled:
            break
        found.add(month)
    return found


def _data_like(manifest: Manifest, month: str) -> Iterator[ObjectInfo]:
    """The data files of a month, in the folders that are named like those of another one."""
    export = manifest.export
    partition = manifest.info.key.removeprefix(f"{export.prefix}/metadata/").rpartition("/")[0]
    folder = f"{export.prefix}/data/{partition.replace(manifest.period, month)}/"
    for spelt in in_both_cases(folder):
        yield from (info for info in export.store.list(spelt) if info.size)


def files_of_inferred(manifest: Manifest) -> tuple[ObjectInfo, ...]:
    """The data files that an inferred manifest stands for."""
    folder = manifest.info.key
    listed = manifest.export.store.list(folder)
    return tuple(info for info in listed if info.size and _FILE.fullmatch(info.key.removeprefix(folder)))


def _month_before(month: str) -> str:
    return month_of(add_months(month_start(month), -1))


def _month_after(month: str) -> str:
    return month_of(add_months(month_start(month), 1))


def _delivered_at(folder: str, infos: list[ObjectInfo]) -> datetime:
    """The time in the name of an execution's folder, which copying does not change; else the files'."""
    match = _EXECUTION.match(folder.rstrip("/").rpartition("/")[2])
    return datetime.fromisoformat(match[0]) if match else max(info.modified for info in infos)


def _newest(folders: _Folders) -> ObjectInfo:
    folder = max(folders, key=lambda name: _delivered_at(name, folders[name]))
    infos = folders[folder]
    content = "\n".join(f"{info.key} {info.etag}" for info in infos)
    return ObjectInfo(
        key=folder,
        size=sum(info.size for info in infos),
        etag=hashlib.sha256(content.encode()).hexdigest()[:32],
        modified=max(info.modified for info in infos),
    )
