"""BATCH files: brought to this machine from wherever they are, and opened as what they hold."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

import fsspec
from obstore.exceptions import BaseError
from obstore.fsspec import FsspecStore
from zlib_ng import gzip_ng

from offgridflow_common.errors import BadRequestError, NotFoundError, OffGridFlowError
from offgridflow_common.origins import is_loopback

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_COPY_BYTES: Final = 8 * 1024**2
_BUFFER_BYTES: Final = 1024**2
#: Protocols of object stores that obstore speaks, without pinning the clouds' own SDKs.
_OBJECT_STORES: Final = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss"}
_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


@contextmanager
def local_file(url: str, options: Mapping[str, Any]) -> Iterator[Path]:
    """The file of a URL on this machine: itself, or a copy that is removed at the end.

    Args:
        url: A path, a ``file://`` URL, or that of an object: ``s3://``, ``gs://``, ``abfs://``, or of any
            other file system that fsspec has a library for.
        options: What the file system is told: credentials, region, endpoint. What is missing comes from
            the environment.

    Raises:
        NotFoundError: It is not there.
        BadRequestError: It cannot be read.
    """
    parts = urlsplit(url)
    if parts.scheme in ("", "file"):
        yield Path(url2pathname(parts.path) if parts.scheme else url)
        return
    with tempfile.TemporaryDirectory(prefix="target-offgridflow-duckdb-") as folder:
        path = Path(folder) / "file"
        try:
            with _filesystem(parts.scheme, options).open(url, "rb") as source, path.open("wb") as copy:
                shutil.copyfileobj(source, copy, _COPY_BYTES)
        except (BaseError, OSError, ValueError, ImportError) as error:
            raise _unreadable(url, error) from error
        yield path


def json_lines(path: Path, *, gzipped: bool, size: int) -> Iterator[list[bytes]]:
    """The lines of a file, as many at once as have about ``size`` bytes; empty ones are left out."""
    with _opened(path, gzipped=gzipped) as file:
        while lines := file.readlines(size):
            yield [line for line in lines if not line.isspace()]


def _opened(path: Path, *, gzipped: bool) -> IO[bytes]:
    if not gzipped:
        return path.open("rb")
    unpacked: Any = gzip_ng.open(path, "rb")  # type: ignore[no-untyped-call]
    return io.BufferedReader(unpacked, _BUFFER_BYTES)


def _filesystem(protocol: str, options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - fsspec has no types
    if protocol not in _OBJECT_STORES:
        return fsspec.filesystem(protocol, **options)
    endpoint = next(filter(None, (options.get("endpoint"), *map(os.environ.get, _ENDPOINTS))), "")
    # Plain http is for this machine only.
    allowed = {"allow_http": is_loopback(urlsplit(endpoint).hostname or "")}
    store: Any = FsspecStore
    return store(protocol, **{"client_options": allowed, **options})


def _unreadable(url: str, error: Exception) -> OffGridFlowError:
    shown = url.partition("?")[0]
    first = str(error).strip().split("\n", 1)[0]
    if isinstance(error, FileNotFoundError):
        return NotFoundError(
            asked=f"reading BATCH file {shown}",
            got=first,
            do="check that nothing removes files before they are loaded",
        )
    return BadRequestError(
        asked=f"reading BATCH file {shown}",
        got=f"{type(error).__name__}: {first}",
        do="check the credentials and the endpoint: those of the environment, or those of "
        "`batch_config.storage.params`",
    )
