"""A bucket in memory, to deliver to and to read from."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from offgridflow_common.errors import SourceChanged
from offgridflow_common.exports.storage import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Bucket:
    """A bucket in memory: what the tap reads of, and what deliveries are put into.

    Data files are a minute older than manifests, which come last.
    """

    now: datetime
    bucket: str = "example-billing-bucket"
    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)

    def put(self, key: str, data: bytes | Path) -> None:
        """Write an object."""
        at = self.now if key.endswith(".json") else self.now - timedelta(minutes=1)
        self.objects[key] = (data if isinstance(data, bytes) else data.read_bytes(), at)

    def keys(self, prefix: str) -> list[str]:
        """The keys below a prefix."""
        return sorted(key for key in self.objects if key.startswith(prefix))

    def uri(self, key: str) -> str:
        """Its address."""
        return f"s3://{self.bucket}/{key}"

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """What a listing shows."""
        return iter([self._info(key) for key in self.keys(prefix)])

    def _info(self, key: str) -> ObjectInfo:
        content, at = self.objects[key]
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return ObjectInfo(key, len(content), etag, at)

    def read(self, info: ObjectInfo) -> bytes:
        """The content of an object as it was listed."""
        if info.key not in self.objects or self._info(info.key).etag != info.etag:
            raise SourceChanged(asked=f"reading {info.key}", got="another object", do="read it again")
        return self.objects[info.key][0]

    def local_path(self, info: ObjectInfo) -> None:
        """Nowhere on disk."""

    def download(self, info: ObjectInfo, target: Path) -> None:
        """Write an object to a file."""
        target.write_bytes(self.read(info))

    @contextmanager
    def damaged(self) -> Iterator[None]:
        """Whatever is done to objects in this context is undone at its end."""
        kept = dict(self.objects)
        yield
        self.objects = kept
