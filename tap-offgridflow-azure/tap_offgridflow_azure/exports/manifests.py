"""Where Azure puts the manifests of exports, and which runs count.

Folders differ with the kind and the age of an export, and what stands in their names may change: a manifest
is found by its own name at any depth, and says all else. Old runs stay behind. Of each month only the run
that was submitted last counts.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING

from offgridflow_common.errors import ConfigError, NotFoundError, OffGridFlowError, SourceChanged
from offgridflow_common.exports.delivery import Delivery, Manifest
from tap_offgridflow_azure.exports.current_runs import current_runs
from tap_offgridflow_azure.exports.data_files import data_files, inside
from tap_offgridflow_azure.exports.runs import Run, read_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from offgridflow_common.exports.delivery import Export
    from offgridflow_common.exports.storage import ObjectInfo, ObjectStore

_LOGGER = logging.getLogger("tap-offgridflow-azure")

_MANIFEST = "manifest.json"

#: Folders that differ between the runs of an export over one period: those of a run's time and of its id.
_TIME = re.compile(r"\d{12}(?:\d{2})?")
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PERIOD = re.compile(r"\d{8}-\d{8}")

#: Runs that seem older than the newest one by no more than this are looked at, too: a manifest may be written
#: after that of a run that was submitted later, and a run may be of another export of the same name.
_OVERTAKING = timedelta(days=2)

#: An export is listed so often at most until nothing changes between the listing and the reading.
_LISTINGS = 3


class AzureLayout:
    """Finds and reads the manifests of all types of exports.

    Of the manifests that it lists it reads those that can count, once each: of a period's folder the newest
    and those of the two days before it, by the times in the paths, where all paths have one, else by when
    they were written; all of undated folders; and all that lie on local disk, where reading costs nothing.
    Where none of these is of the export's type, but other periods have it, older ones are read until one is.
    Folders of periods that end before the window are passed over: what lies there may be archived.

    Args:
        start: First month wanted, ``YYYY-MM``, or None for all.
    """

    def __init__(self, start: str | None = None) -> None:
        self._start = (start or "").replace("-", "")
        #: What was read of manifests, by address and ETag.
        self._runs: dict[tuple[str, str], Run] = {}
        #: The manifests of an export, read or not, by key and ETag.
        self._listed: dict[str, set[tuple[str, str]]] = {}
        #: The last manifest of an export before the window.
        self._past: dict[str, ObjectInfo | None] = {}
        self._mentioned: set[str] = set()

    def manifests(self, export: Export) -> Iterator[Manifest]:
        """The manifest of the run of each month that was submitted last, oldest month first.

        The time of submission stands for that of the delivery: it orders the runs of a month also where they
        were copied, and what is delivered later always has a later one.

        Raises:
            NotFoundError: There is no run of this type.
            ConfigError: There are several exports of this type, or runs of other days than whole months.
        """
        runs = self._list_runs(export)
        fitting = [run for run in runs if run.fits(export.type)]
        others = sorted({run.type for run in runs} - {run.type for run in fitting})
        if not runs and self._listed[export.name]:
            return  # there are manifests, but all of them are of the time before the window
        if not fitting:
            raise _none(export, others)
        self._mention(export, others)
        _refuse_several(export, fitting)
        for run in current_runs(export, fitting):
            yield Manifest(export, run.month, replace(run.info, modified=run.submitted_at))

    def open(self, manifest: Manifest) -> Delivery:
        """Find the data files of the run that a manifest is of."""
        run = self._run(manifest.export, manifest.info)
        return Delivery(
            manifest=manifest,
            delivery_id=run.delivery_id,
            columns=None,
            files=data_files(manifest, run),
            row_counts=tuple(part.rows for part in run.parts),
        )

    def is_known_newest(self, manifest: Manifest) -> bool:
        """Whether the folder of the period holds no manifest that was not listed with this one."""
        folders = manifest.info.key.split("/")[:-1]
        dated = next((place for place, part in enumerate(folders) if _PERIOD.fullmatch(part)), None)
        if dated is None:
            return False
        found = _versions(_manifests_in(manifest.export.store, "/".join(folders[: dated + 1])))
        is_there = (manifest.info.key, manifest.info.etag) in found
        return is_there and found <= self._listed[manifest.export.name]

    def scopes(self, export: Export) -> set[str]:
        """The scopes of cost that the runs of an export cover, in lower case, as far as they tell."""
        runs = [self._run(export, manifest.info) for manifest in self.manifests(export)]
        return {run.scope for run in runs or self._last_before(export) if run.scope}

    def _last_before(self, export: Export) -> list[Run]:
        """The last run of an export before the window; none if it is not to be had: it may be archived."""
        past = self._past[export.name]
        with suppress(OffGridFlowError):
            return [run for run in self._runs_of(export, [past] if past else []) if run.fits(export.type)]
        return []

    def _list_runs(self, export: Export) -> list[Run]:
        """The runs that can be current; listed again where one is replaced in between."""
        for _ in range(_LISTINGS - 1):
            with suppress(NotFoundError, SourceChanged):
                return self._read_runs(export)
        return self._read_runs(export)

    def _read_runs(self, export: Export) -> list[Run]:
        listed = list(_manifests_in(export.store, export.prefix))
        self._listed[export.name] = _versions(listed)
        past = filter(self._is_past, listed)
        self._past[export.name] = max(past, key=lambda info: info.modified, default=None)
        wanted = [info for info in listed if not self._is_past(info)]
        batches = {folder: _newest_first(export.store, infos) for folder, infos in _by_period(wanted).items()}
        runs = {folder: self._runs_of(export, next(newest)) for folder, newest in batches.items()}
        fitting = {_without_period(folder) for folder, found in runs.items() if _fit(export, found)}
        for folder, found in runs.items():
            # A type that a folder has in other periods is, perhaps, older in this one.
            while not _fit(export, found) and _without_period(folder) in fitting:
                if (older := next(batches[folder], None)) is None:
                    break
                found.extend(self._runs_of(export, older))
        return list(chain.from_iterable(runs.values()))

    def _is_past(self, info: ObjectInfo) -> bool:
        """Whether the folder of a manifest's period says that it ends before the window."""
        ends = [part[-8:-2] for part in info.key.split("/")[:-1] if _PERIOD.fullmatch(part)]
        return bool(ends) and max(ends) < self._start

    def _runs_of(self, export: Export, infos: Iterable[ObjectInfo]) -> list[Run]:
        return [self._run(export, info) for info in infos]

    def _run(self, export: Export, info: ObjectInfo) -> Run:
        where = export.store.uri(info.key)
        key = (where, info.etag)
        if key not in self._runs:
            self._runs[key] = read_run(info, export.store.read(info), where)
        return self._runs[key]

    def _mention(self, export: Export, others: Sequence[str]) -> None:
        if others and export.name not in self._mentioned:
            self._mentioned.add(export.name)
            _LOGGER.info(
                "%s: exports of type %s lie there, too, and are left out", export.name, ", ".join(others)
            )


def _versions(listed: Iterable[ObjectInfo]) -> set[tuple[str, str]]:
    return {(info.key, info.etag) for info in listed}


def _manifests_in(store: ObjectStore, folder: str) -> Iterator[ObjectInfo]:
    return (info for info in store.list(inside(folder)) if info.key.lower().endswith(_MANIFEST))


def _by_period(listed: Iterable[ObjectInfo]) -> Mapping[tuple[str, ...], list[ObjectInfo]]:
    """The manifests by the folder of their period, alike for all runs; those of undated folders alone."""
    periods: defaultdict[tuple[str, ...], list[ObjectInfo]] = defaultdict(list)
    for info in listed:
        folders = info.key.split("/")[:-1]
        lasting = tuple(part for part in folders if not (_TIME.fullmatch(part) or _RUN_ID.fullmatch(part)))
        is_dated = any(_PERIOD.fullmatch(part) for part in lasting)
        periods[lasting if is_dated else (info.key,)].append(info)
    return periods


def _without_period(folder: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(part for part in folder if not _PERIOD.fullmatch(part))


def _newest_first(store: ObjectStore, manifests: list[ObjectInfo]) -> Iterator[list[ObjectInfo]]:
    """Of the manifests of one period those that may have been submitted last; then the same of the others."""
    if store.local_path(manifests[0]) is not None:
        yield manifests  # a copy, whose times say when it was copied
        return
    in_paths = [time for time in map(_time_in_path, manifests) if time]
    # Where some paths have no time, those of the others say nothing about them.
    times = in_paths if len(in_paths) == len(manifests) else [info.modified for info in manifests]
    left = list(zip(times, manifests, strict=True))
    while left:
        last = max(time for time, _ in left)
        yield [info for time, info in left if last - time <= _OVERTAKING]
        left = [(time, info) for time, info in left if last - time > _OVERTAKING]


def _fit(export: Export, runs: Iterable[Run]) -> bool:
    return any(run.fits(export.type) for run in runs)


def _time_in_path(info: ObjectInfo) -> datetime | None:
    """The minute that a run was submitted in, as its folder has it; None where no folder has one."""
    for part in info.key.split("/"):
        if _TIME.fullmatch(part):
            with suppress(ValueError):
                return datetime.strptime(part[:12], "%Y%m%d%H%M").replace(tzinfo=UTC)
    return None


def _none(export: Export, others: Sequence[str]) -> NotFoundError:
    return NotFoundError(
        asked=f"looking for the manifests of export '{export.name}' at {export.uri}",
        got=f"only exports of type {', '.join(others)}" if others else "none",
        do=f"check the url, that the type is {export.type}, and that the export has run once",
    )


def _refuse_several(export: Export, runs: Iterable[Run]) -> None:
    """Tell of several exports: by their resource ids, which some manifests lack, or by their names."""
    ids = {run.resource_id for run in runs if run.resource_id}
    names = {run.name for run in runs}
    several = ids if len(ids) > 1 else names
    if len(several) > 1:
        raise ConfigError(
            asked=f"looking for the manifests of export '{export.name}' at {export.uri}",
            got=f"runs of several exports: {', '.join(sorted(several))}",
            do="let the url name the folder of one export, and list the others by themselves",
        )
