"""The spool: export files on local disk, verified and within a bound, one file ahead of the reader."""

from __future__ import annotations

import errno
import itertools
import shutil
import tempfile
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from offgridflow_common.errors import ConfigError, FatalError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from offgridflow_common.exports.storage import ObjectInfo, ObjectStore

try:
    import fcntl
except ImportError:  # pragma: no cover - not a POSIX system: folders of killed runs stay
    fcntl = None  # type: ignore[assignment]

_FOLDER_PREFIX = "offgridflow-spool-"
_LOCK = "lock"


@dataclass(slots=True)
class _Kept:
    """A file on disk or on its way there."""

    size: int
    readers: int = 1
    arrival: Future[Path] = field(default_factory=Future)


class Spool:
    """Downloads export files and keeps them while there is room, so that two streams fetch a file once.

    Args:
        parent: The folder in which the spool makes a folder of its own.
        max_bytes: What all its files may take together.
    """

    def __init__(self, parent: Path, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._guard = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        #: Bytes of all of them.
        self._used = 0
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spool")
        _remove_abandoned(parent)
        try:
            self._folder = Path(tempfile.mkdtemp(prefix=_FOLDER_PREFIX, dir=parent))
        except OSError as error:
            raise ConfigError(
                asked=f"making a folder for the spool in {parent}",
                got=str(error.strerror),
                do="point spool_dir to a folder that may be written to",
            ) from error
        self._lock = _lock_folder(self._folder)
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop fetching and remove all files."""
        self._worker.shutdown(wait=True, cancel_futures=True)
        self._lock.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def files(self, store: ObjectStore, infos: Sequence[ObjectInfo]) -> Iterator[Path]:
        """Local copies of objects, in order; while one is read the next is fetched.

        A path is good until the next one is asked for.

        Raises:
            SourceChanged: An object is no longer the one that was listed.
            FatalError: A file is larger than the spool may be, or the disk is full.
        """
        ahead: Future[Path] | None = None
        taken = 0
        try:
            for index, info in enumerate(infos):
                path = ahead.result() if ahead else self._take(store, info)
                taken, ahead = index + 1, None
                if index + 1 < len(infos) and self._fits_beside(info, infos[index + 1]):
                    ahead = self._worker.submit(copy_context().run, self._take, store, infos[index + 1])
                try:
                    yield path
                finally:
                    self._give_back(store, info)
        finally:
            if ahead:
                with suppress(Exception):  # whoever stopped reading does not need it
                    ahead.result()
                    self._give_back(store, infos[taken])

    def _fits_beside(self, current: ObjectInfo, following: ObjectInfo) -> bool:
        return current.size + following.size <= self._max_bytes

    def _take(self, store: ObjectStore, info: ObjectInfo) -> Path:
        """The local copy of an object, for one more reader; the first one fetches it, the others wait."""
        if (local := store.local_path(info)) is not None:
            return local
        key = _identity(store, info)
        with self._guard:
            kept = self._kept.get(key)
            if kept is not None:
                kept.readers += 1
                self._kept.move_to_end(key)
            else:
                self._make_room(store, info)
                fetched = self._kept[key] = _Kept(info.size)
                self._used += info.size
        if kept is not None:
            return kept.arrival.result()
        path = self._folder / f"{next(self._numbers)}{_suffixes(info.key)}"
        try:
            store.download(info, path)
        except BaseException as error:
            with self._guard:
                self._forget(key)
            path.unlink(missing_ok=True)
            fetched.arrival.set_exception(error)
            _explain_full_disk(self._folder, error)
            raise
        fetched.arrival.set_result(path)
        return path

    def _give_back(self, store: ObjectStore, info: ObjectInfo) -> None:
        with self._guard:
            if kept := self._kept.get(_identity(store, info)):
                kept.readers -= 1

    def _make_room(self, store: ObjectStore, info: ObjectInfo) -> None:
        if info.size > self._max_bytes:
            raise FatalError(
                asked=f"fetching {store.uri(info.key)}",
                got=f"a file of {info.size:,} bytes where the spool may take {self._max_bytes:,}",
                do="raise spool_max_bytes, or point spool_dir to a larger disk",
            )
        while self._used + info.size > self._max_bytes:
            oldest = next((key for key, kept in self._kept.items() if not kept.readers), None)
            if oldest is None:
                break
            self._forget(oldest).arrival.result().unlink(missing_ok=True)

    def _forget(self, key: tuple[str, str]) -> _Kept:
        kept = self._kept.pop(key)
        self._used -= kept.size
        return kept


def _explain_full_disk(folder: Path, error: BaseException) -> None:
    """Raise an error that names the setting, if a full disk is behind ``error``."""
    for cause in (error, error.__cause__):
        if isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise FatalError(
                asked=f"writing to the spool in {folder.parent}",
                got=str(cause.strerror),
                do="free space there, or point spool_dir to a larger disk",
            ) from cause


def _identity(store: ObjectStore, info: ObjectInfo) -> tuple[str, str]:
    return store.uri(info.key), info.etag


def _suffixes(key: str) -> str:
    name = key.rsplit("/", 1)[-1]
    return name[name.index(".") :] if "." in name else ""


def _lock_folder(folder: Path) -> IO[str]:
    # Locked before it gets the name that others look for, so that nobody takes it for abandoned.
    nameless = folder / f"{_LOCK}.new"
    handle = nameless.open("w")
    if fcntl is not None:
        fcntl.flock(handle, fcntl.LOCK_EX)
    nameless.rename(folder / _LOCK)
    return handle


def _remove_abandoned(parent: Path) -> None:
    """Remove the folders of runs that were killed: nobody holds their locks any more."""
    if fcntl is None:
        return
    for lock in parent.glob(f"{_FOLDER_PREFIX}*/{_LOCK}"):
        with suppress(OSError), lock.open() as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
