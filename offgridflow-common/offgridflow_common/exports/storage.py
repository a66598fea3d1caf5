"""Object stores: what the reading of exports needs of one, and a folder on disk that is one."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

from offgridflow_common.errors import NotFoundError, PermissionDenied, SourceChanged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object as a listing shows it.

    Attributes:
        key: The key below the store's root, exactly as stored.
        size: Bytes.
        etag: Changes whenever the content does.
        modified: When it was last written (aware, UTC).
    """

    key: str
    size: int
    etag: str
    modified: datetime


class ObjectStore(Protocol):
    """A bucket, a container or a folder. Every method raises errors of :mod:`offgridflow_common.errors`."""

    def uri(self, key: str) -> str:
        """The address of a key for people; it never holds a secret."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose key starts with ``prefix``, in the order of their keys."""
        ...

    def read(self, info: ObjectInfo) -> bytes:
        """The content of a small object.

        Raises:
            SourceChanged: The object is no longer the one that was listed.
        """
        ...

    def local_path(self, info: ObjectInfo) -> Path | None:
        """Where the object already lies on local disk, or None."""
        ...

    def download(self, info: ObjectInfo, target: Path) -> None:
        """Write the object to a file.

        Raises:
            SourceChanged: The object is no longer the one that was listed.
        """
        ...


def save(chunks: Iterable[bytes], info: ObjectInfo, target: Path, where: str) -> None:
    """Write the content of an object to a file.

    Args:
        chunks: The content.
        info: The object as it was listed.
        target: The file.
        where: The object's address for messages.

    Raises:
        SourceChanged: The content is longer or shorter than was listed.
    """
    size = 0
    with target.open("wb") as file:
        for chunk in chunks:
            size += file.write(chunk)
    if size != info.size:
        raise SourceChanged(
            asked=f"reading {where}",
            got=f"{size:,} bytes where the listing said {info.size:,}",
            do="the period is read again",
        )


@contextmanager
def gone_is_changed(asked: str) -> Iterator[None]:
    """Report an object that was listed and is gone as one that has changed.

    Args:
        asked: What is being done, for messages.

    Raises:
        SourceChanged: The object does not exist any more.
    """
    try:
        yield
    except NotFoundError as error:
        raise SourceChanged(
            asked=asked,
            got=error.got,
            do="the period is read again",
            code=error.code,
            request_id=error.request_id,
        ) from error


def _files_below(folder: Path) -> Iterator[Path]:
    """All files of a folder; none if it does not exist."""

    def refuse(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise error

    for place, _, names in os.walk(folder, onerror=refuse):
        paths = (Path(place, name) for name in names)
        yield from (path for path in paths if path.is_file())


class FolderStore:
    """A folder on local disk, read where it lies.

    Args:
        root: The folder that keys are relative to.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @classmethod
    def of_url(cls, url: str) -> tuple[FolderStore, str] | None:
        """The store and the prefix of an export at a ``file:///`` URL; None for any other URL."""
        parts = urlsplit(url)
        folder = Path(unquote(parts.path))
        return (cls(folder.parent), folder.name) if parts.scheme == "file" else None

    def uri(self, key: str) -> str:
        """The ``file://`` address of a key."""
        return (self._root / key).absolute().as_uri()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All files below ``prefix``, which is taken as a folder, or the file that it is.

        Raises:
            PermissionDenied: A folder or a manifest in it may not be read.
        """
        folder = self._root / PurePosixPath(prefix)
        try:
            paths = [folder] if folder.is_file() else _files_below(folder)
            infos = [info for path in paths if (info := self._info_if_there(path))]
        except PermissionError as error:
            raise PermissionDenied(
                asked=f"listing {self.uri(prefix)}",
                got=f"{error.strerror}: {error.filename}",
                do="let this user read the export's folder, and all that is in it",
            ) from error
        yield from sorted(infos, key=lambda info: info.key)

    def read(self, info: ObjectInfo) -> bytes:
        """The content of a file."""
        return self.local_path(info).read_bytes()

    def local_path(self, info: ObjectInfo) -> Path:
        """The file itself.

        Raises:
            SourceChanged: The file was written or removed since it was listed.
        """
        path = self._root / info.key
        if not path.is_file() or self._info(path).etag != info.etag:
            raise SourceChanged(
                asked=f"reading {self.uri(info.key)}",
                got="a file that was written or removed since it was listed",
                do="the period is read again",
            )
        return path

    def download(self, info: ObjectInfo, target: Path) -> None:
        """Copy a file; the spool reads it in place."""
        shutil.copyfile(self.local_path(info), target)

    def _info_if_there(self, path: Path) -> ObjectInfo | None:
        """A file, unless it is gone: files that are being copied have other names on the way."""
        try:
            return self._info(path)
        except FileNotFoundError:
            return None

    def _info(self, path: Path) -> ObjectInfo:
        stat = path.stat()
        # A copied folder has new times, so a manifest, which is small, is known by its content.
        etag = (
            hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            if path.suffix == ".json"
            else f"{stat.st_size}-{stat.st_mtime_ns}"
        )
        return ObjectInfo(
            key=path.relative_to(self._root).as_posix(),
            size=stat.st_size,
            etag=etag,
            modified=datetime.fromtimestamp(stat.st_mtime, tz=UTC),
        )
