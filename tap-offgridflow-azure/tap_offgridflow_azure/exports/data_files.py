"""Which data files a manifest is of, wherever they were copied to, and whether they are those of its run."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from offgridflow_common.errors import DeliveryUnderWay, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Sequence

    from offgridflow_common.exports.delivery import Manifest
    from offgridflow_common.exports.storage import ObjectInfo
    from tap_offgridflow_azure.exports.runs import Part, Run

#: By this much the clocks of Cost Management and of a storage account may differ.
_CLOCKS_DIFFER = timedelta(minutes=5)

#: Files whose size in the manifest is that of the blob: what is compressed may be counted otherwise.
_PLAIN = ".csv"


def data_files(manifest: Manifest, run: Run) -> tuple[ObjectInfo, ...]:
    """The data files of a run, in the order of its manifest.

    Raises:
        NotFoundError: One is not there.
        SourceChanged: The run was replaced by another one.
        DeliveryUnderWay: One is of another run.
    """
    store = manifest.export.store
    files = tuple(_find(manifest, run.parts))
    for part, file in zip(run.parts, files, strict=True):
        if other := _of_another_run(run, part, file, is_copy=store.local_path(file) is not None):
            store.read(manifest.info)  # raises where a new run has replaced this one
            raise DeliveryUnderWay(
                asked=f"reading {store.uri(file.key)}",
                got=other,
                do="a delivery is under way: run again when it is complete",
            )
    return files


def inside(folder: str) -> str:
    """What the keys in a folder begin with; those of a whole container with anything."""
    return f"{folder}/" if folder else ""


def _of_another_run(run: Run, part: Part, file: ObjectInfo, *, is_copy: bool) -> str | None:
    """What shows that a file is not a run's own, if anything does: files may be overwritten one by one."""
    if part.size not in {None, file.size} and part.name.endswith(_PLAIN):
        return f"{file.size:,} bytes where the manifest said {part.size:,}"
    if file.modified < run.submitted_at - _CLOCKS_DIFFER and not is_copy:
        return f"a file of {file.modified:%Y-%m-%d %H:%M} in a run of {run.submitted_at:%Y-%m-%d %H:%M}"
    return None


def _find(manifest: Manifest, parts: Sequence[Part]) -> Iterator[ObjectInfo]:
    """The data files in the manifest's order, wherever the folder that they lie in was copied to."""
    if not parts:
        return
    export = manifest.export
    folder = manifest.info.key.rpartition("/")[0]
    listed = {info.key: info for info in export.store.list(inside(folder))}
    if any(_place(part.name, folder, export.prefix, listed) is None for part in parts):
        listed = {info.key: info for info in export.store.list(inside(export.prefix))}
    for part in parts:
        key = _place(part.name, folder, export.prefix, listed)
        if key is None:
            export.store.read(manifest.info)  # raises another error where a new run is replacing this one
            raise NotFoundError(
                asked=f"looking for the data files that {export.store.uri(manifest.info.key)} names",
                got=f"no {part.name}",
                do="run again if the export is just running; else copy the data files, too, or run it again",
            )
        yield listed.pop(key)


def _place(name: str, folder: str, top: str, keys: Container[str]) -> str | None:
    """Where a data file lies: as much of its name as possible below a folder that the manifest lies in.

    Args:
        name: As the manifest has it, from the container on.
        folder: The manifest's folder.
        top: The export's folder; nothing outside of it counts.
        keys: What is there.
    """
    above = [folder]
    while len(above[-1]) > len(top):
        above.append(above[-1].rpartition("/")[0])
    parts = name.split("/")
    tails = ("/".join(parts[start:]) for start in range(len(parts)))
    places = (f"{inside(start)}{tail}" for tail in tails for start in above)
    return next((place for place in places if place in keys), None)
