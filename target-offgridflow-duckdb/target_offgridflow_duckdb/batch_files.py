"""BATCH files: brought to this machine from wherever they are, and JSON lines read from them."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import fsspec
from obstore.exceptions import BaseError
from obstore.store import from_url

from offgridflow_common.errors import BadRequestError, FatalError, NotFoundError, OffGridFlowError
from offgridflow_common.exports.gzipped import DAMAGED, open_gzip
from offgridflow_common.origins import is_loopback

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from singer_sdk.helpers._batch import BaseBatchFileEncoding

#: Files are loaded together until they have so many bytes: each commit costs what many rows cost.
_TOGETHER_BYTES: Final = 16 * 1024**2
_COPY_BYTES: Final = 8 * 1024**2
#: Protocols of object stores, which obstore speaks without pinning the clouds' own libraries.
_OBJECT_STORES: Final = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"}
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_DAMAGED: Final[tuple[type[Exception], ...]] = (OSError, *DAMAGED)


@dataclass(frozen=True, slots=True)
class BatchFile:
    """A file that a BATCH message names: its encoding, and what :func:`local_file` takes."""

    encoding: BaseBatchFileEncoding
    url: str
    options: Mapping[str, Any]


class WaitingFiles:
    """BATCH files that wait to be loaded together.

    They are brought to this machine as they come, until there are enough to be loaded. If a message names
    more, the rest is brought file by file while it is loaded, so that few copies are here at once.
    """

    def __init__(self) -> None:
        self._copies = ExitStack()
        self._here: list[tuple[BaseBatchFileEncoding, Path]] = []
        self._elsewhere: list[BatchFile] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._here) + len(self._elsewhere)

    @property
    def are_enough(self) -> bool:
        """Whether they should wait no longer."""
        return self._bytes >= _TOGETHER_BYTES

    def add(self, file: BatchFile) -> None:
        """Let a file wait; the errors are those of :func:`local_file`."""
        if self.are_enough:
            self._elsewhere.append(file)
            return
        path = self._copies.enter_context(local_file(file.url, file.options))
        self._here.append((file.encoding, path))
        self._bytes += path.stat().st_size

    def released(self) -> Generator[tuple[BaseBatchFileEncoding, list[Path]]]:
        """All of them in the order they came, together where they can be; none waits any more.

        Copies are there until the next is asked for. The errors are those of :func:`local_file`.
        """
        here, elsewhere = self._here, self._elsewhere
        self._here, self._elsewhere, self._bytes = [], [], 0
        with self._copies.pop_all():
            for encoding, alike in groupby(here, itemgetter(0)):
                yield encoding, [path for _, path in alike]
        for file in elsewhere:
            with local_file(file.url, file.options) as path:
                yield file.encoding, [path]


@contextmanager
def local_file(url: str, options: Mapping[str, Any]) -> Iterator[Path]:
    """The file of a URL on this machine: itself, or a copy that is removed at the end.

    Args:
        url: A path, a ``file://`` URL, or that of an object: ``s3://``, ``gs://``, ``abfs://``, or of any
            other file system that fsspec has a library for.
        options: What the storage is told: credentials, region, endpoint. What is missing comes from the
            environment.

    Raises:
        NotFoundError: It is not there.
        BadRequestError: It cannot be read.
    """
    protocol = urlsplit(url).scheme
    if protocol in ("", "file"):
        path = Path(url2pathname(urlsplit(url).path) if protocol else url)
        if not path.is_file():
            raise _unreadable(url, FileNotFoundError("no such file"))
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="target-offgridflow-duckdb-") as folder:
        path = Path(folder) / url.rpartition("/")[2]
        pieces = _object if protocol in _OBJECT_STORES else _file
        try:
            with path.open("wb") as copy:
                copy.writelines(pieces(url, options))
        except (BaseError, OSError, ValueError, ImportError) as error:
            raise _unreadable(url, error) from error
        yield path


def json_lines(path: Path, *, gzipped: bool, size: int) -> Iterator[bytes]:
    """Whole lines of a file, as many at once as have about ``size`` bytes.

    Raises:
        FatalError: The file is damaged.
    """
    try:
        if gzipped and path.stat().st_size == 0:
            raise EOFError("no bytes, where even gzip of nothing has some")
        with open_gzip(path) if gzipped else path.open("rb") as file:
            while block := file.read(size):
                yield block + file.readline()
    except _DAMAGED as error:
        raise FatalError(
            asked=f"reading BATCH file {path}",
            got=f"{type(error).__name__}: {error}",
            do="the file is damaged, or not compressed as its message says: run the tap again",
        ) from error


def _object(url: str, options: Mapping[str, Any]) -> Iterable[bytes]:
    """The content of an object, piece by piece."""
    protocol, _, place = url.partition("://")
    container, _, key = place.partition("/")
    endpoint = next(filter(None, (options.get("endpoint"), *map(os.environ.get, _ENDPOINTS))), "")
    # Plain http is for this machine only.
    allowed = {"allow_http": is_loopback(urlsplit(endpoint).hostname or "")}
    store: Any = from_url(f"{protocol}://{container}", **{"client_options": allowed, **options})
    return map(bytes, store.get(key).stream(_COPY_BYTES))


def _file(url: str, options: Mapping[str, Any]) -> Iterator[bytes]:
    """The content of a file of any file system, piece by piece."""
    with fsspec.open(url, "rb", **options) as file:
        yield from iter(partial(file.read, _COPY_BYTES), b"")


def _unreadable(url: str, error: Exception) -> OffGridFlowError:
    asked, got = f"reading BATCH file {url.partition('?')[0]}", str(error).strip().split("\n", 1)[0]
    if isinstance(error, FileNotFoundError):
        return NotFoundError(
            asked=asked, got=got, do="check that nothing removes files before they are loaded"
        )
    return BadRequestError(
        asked=asked,
        got=f"{type(error).__name__}: {got}",
        do="check the credentials and the endpoint: those of the environment, or those of "
        "`batch_config.storage.params`",
    )
