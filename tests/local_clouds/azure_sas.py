"""A stand-in for the storage account that cost details reports are fetched from: links with a signature."""

from __future__ import annotations

import hashlib
import re
import secrets
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.local_clouds.azure_http import HttpService
from tests.local_clouds.azure_messages import Reply, Request

if TYPE_CHECKING:
    import ssl

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True, slots=True)
class _Blob:
    content: bytes
    signature: str


class SasStore(HttpService):
    """Blobs behind links that carry their own authorization, as a context manager.

    Who sends an `Authorization` header as well is refused. Operation: `download`.

    Args:
        tls: Certificate and key to serve with.
    """

    def __init__(self, tls: ssl.SSLContext) -> None:
        super().__init__(tls)
        self._blobs: dict[str, _Blob] = {}

    def put(self, content: bytes) -> str:
        """Keep a blob and return the link to it."""
        path = f"/armreports/{len(self._blobs):05}/{uuid.uuid4()}"
        blob = _Blob(content, secrets.token_hex(16))
        self._blobs[path] = blob
        return f"{self.url}{path}?sv=2020-05-31&sr=b&se=2099-01-01T00%3A00%3A00Z&sp=r&sig={blob.signature}"

    def expire_all(self) -> None:
        """Let every link given out so far be too old."""
        self._blobs = {path: _Blob(blob.content, "") for path, blob in self._blobs.items()}

    def operation_of(self, request: Request) -> str:
        return "download" if request.path.startswith("/armreports/") else request.path

    def answer(self, request: Request) -> Reply:
        blob = self._blobs.get(request.path)
        if request.headers["Authorization"] or not blob or request.query.get("sig") != blob.signature:
            return _error(403, "AuthenticationFailed", "Server failed to authenticate the request.")
        headers = {
            "Content-Type": "text/csv",
            "Accept-Ranges": "bytes",
            "ETag": f'"0x{hashlib.sha256(blob.content).hexdigest()[:15].upper()}"',
            "x-ms-request-id": str(uuid.uuid4()),
        }
        size = len(blob.content)
        asked = _RANGE.fullmatch(request.headers["x-ms-range"] or request.headers["Range"] or "")
        if asked is None:
            return Reply(200, blob.content, headers)
        start, end = int(asked[1]), min(int(asked[2] or size), size - 1)
        if start >= size:
            return _error(416, "InvalidRange", "The range specified is invalid.")
        headers["Content-Range"] = f"bytes {start}-{end}/{size}"
        return Reply(206, blob.content[start : end + 1], headers)


def _error(status: int, code: str, message: str) -> Reply:
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    body = f'<?xml version="1.0" encoding="utf-8"?>{error}'
    return Reply(status, body, {"Content-Type": "application/xml", "x-ms-error-code": code})
