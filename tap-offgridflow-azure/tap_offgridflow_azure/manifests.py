"""Where Azure puts the manifests of exports, which runs count, and which data files belong to them.

Folders differ with the kind and the age of an export, and what stands in their names may change: a manifest
is found by its own name at any depth, and says all else. Old runs stay behind. Of each month only the run
that was submitted last counts.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from offgridflow_common.errors import ConfigError, NotFoundError, SourceChanged
from offgridflow_common.exports.delivery import Delivery, Manifest
from tap_offgridflow_azure.runs import Run, read_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from offgridflow_common.exports.delivery import Export
    from offgridflow_common.exports.storage import ObjectInfo
    from tap_offgridflow_azure.runs import Part

_LOGGER = logging.getLogger("tap-offgridflow-azure")

_MANIFEST = re.compile(r"_?manifest\.json", re.IGNORECASE)

#: Parts of a path that differ between runs of one export over one period: the run's id and time.
_OF_A_RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{12,14}", re.IGNORECASE)
_PERIOD = re.compile(r"\d{8}-\d{8}")

#: Runs whose manifests were written within this time before the newest one may have been submitted after it.
_OVERTAKING = timedelta(days=2)

#: Files whose size in the manifest is that of the blob: what is compressed may be counted otherwise.
_PLAIN = ".csv"


class AzureLayout:
    """Finds and reads the manifests of all types of exports.

    A run of the tap lists each export once. It reads the newest manifests of each period, which are all that
    can count, and of a folder on disk all of them; one that has not changed is read once.
    """

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], Run] = {}

    def manifests(self, export: Export) -> Iterator[Manifest]:
        """The manifest of the newest run of each month, oldest month first.

        Raises:
            NotFoundError: There is no run of this type.
            ConfigError: There are several exports of this type.
        """
        listed = list(export.store.list(f"{export.prefix}/"))
        runs = [self._run(export, info) for info in _candidates(listed)]
        fitting = [run for run in runs if run.fits(export.type)]
        _complain_of_none(export, runs, fitting)
        _complain_of_several(export, fitting)
        newest: dict[str, Run] = {}
        for run in fitting:
            known = newest.get(run.month)
            if known is None or _order(known) < _order(run):
                newest[run.month] = run
        for month in sorted(newest):
            run = newest[month]
            # When it was submitted orders the runs of a month, also of one that was copied since.
            yield Manifest(export, month, replace(run.info, modified=run.submitted_at))

    def open(self, manifest: Manifest) -> Delivery:
        """Find the data files of the run that a manifest is of."""
        run = self._run(manifest.export, manifest.info)
        files = tuple(_find(manifest, run.parts))
        for part, file in zip(run.parts, files, strict=True):
            if part.size not in {None, file.size} and part.name.endswith(_PLAIN):
                raise SourceChanged(
                    asked=f"reading {manifest.export.store.uri(file.key)}",
                    got=f"{file.size:,} bytes where the manifest said {part.size:,}",
                    do="a delivery is under way: run again when it is complete",
                )
        return Delivery(manifest=manifest, delivery_id=run.run_id, columns=None, files=files)

    def scopes(self, export: Export) -> set[str]:
        """The scopes of cost that the runs of an export cover, in lower case, as far as they tell."""
        runs = (self._run(export, manifest.info) for manifest in self.manifests(export))
        return {run.scope for run in runs if run.scope}

    def _run(self, export: Export, info: ObjectInfo) -> Run:
        where = export.store.uri(info.key)
        key = (where, info.etag)
        if key not in self._runs:
            self._runs[key] = read_run(info, export.store.read(info), where)
        return self._runs[key]


def _candidates(listed: Iterable[ObjectInfo]) -> Iterator[ObjectInfo]:
    """The manifests that can be the newest of their period: by the time that they were written, nearly."""
    groups: defaultdict[tuple[str, ...], list[ObjectInfo]] = defaultdict(list)
    for info in listed:
        *folders, name = info.key.split("/")
        if _MANIFEST.fullmatch(name):
            lasting = tuple(folder for folder in folders if not _OF_A_RUN.fullmatch(folder))
            dated = any(_PERIOD.fullmatch(folder) for folder in lasting)
            groups[lasting if dated else (info.key,)].append(info)
    for infos in groups.values():
        newest = max(info.modified for info in infos)
        yield from (info for info in infos if newest - info.modified <= _OVERTAKING)


def _order(run: Run) -> tuple[object, ...]:
    return run.submitted_at, run.info.modified, run.run_id


def _complain_of_none(export: Export, runs: list[Run], fitting: list[Run]) -> None:
    others = sorted({run.type for run in runs} - {run.type for run in fitting})
    if not fitting:
        raise NotFoundError(
            asked=f"looking for the manifests of export '{export.name}' at {export.uri}",
            got=f"only exports of type {', '.join(others)}" if others else "none",
            do=f"check the url, that the type is {export.type}, and that the export has run once",
        )
    if others:
        _LOGGER.info(
            "%s: exports of type %s lie there, too, and are left out", export.name, ", ".join(others)
        )


def _complain_of_several(export: Export, fitting: list[Run]) -> None:
    names = sorted({run.export for run in fitting})
    if len(names) > 1:
        raise ConfigError(
            asked=f"looking for the manifests of export '{export.name}' at {export.uri}",
            got=f"runs of several exports: {', '.join(names)}",
            do="let the url name the folder of one export, and list the others by themselves",
        )


def _find(manifest: Manifest, parts: tuple[Part, ...]) -> Iterator[ObjectInfo]:
    """The data files in the manifest's order: where it says, or, in a copy, where they lie the same way."""
    if not parts:
        return
    export = manifest.export
    listed = list(export.store.list(f"{manifest.info.key.rpartition('/')[0]}/"))
    if any(_lying_as(part.name, listed) is None for part in parts):
        listed = list(export.store.list(f"{export.prefix}/"))
    for part in parts:
        found = _lying_as(part.name, listed)
        if found is None:
            raise NotFoundError(
                asked=f"looking for the data files that {export.store.uri(manifest.info.key)} names",
                got=f"no {part.name}",
                do="copy the data files, too, or run the export again",
            )
        yield found


def _lying_as(name: str, listed: list[ObjectInfo]) -> ObjectInfo | None:
    """The listed file whose path ends most like a name; its last part must be the same."""
    wanted = name.split("/")[::-1]
    best, length = None, 0
    for info in listed:
        alike = _common(wanted, info.key.split("/")[::-1])
        if alike > length:
            best, length = info, alike
    return best


def _common(one: list[str], other: list[str]) -> int:
    return next(
        (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
