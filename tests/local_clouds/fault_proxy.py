"""A reverse proxy on loopback in front of a storage emulator, which lets a test break single answers.

Signatures pass through as they are, and bodies in both directions are streamed.
"""

from __future__ import annotations

import fnmatch
import http.client
import threading
import time
import urllib.parse
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from tests.local_clouds.loopback import LoopbackServer, QuietHandler

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

COPY_BYTES = 1 << 16
UPSTREAM_SECONDS = 60
# Headers that belong to one connection and not to the message.
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "expect", "te", "trailer", "upgrade"}


@dataclass(frozen=True, slots=True)
class StorageRequest:
    """One request: the key is None for requests about a bucket, `bytes` counts the body sent back.

    What Azure calls a container and a blob are a bucket and a key here.
    """

    method: str
    bucket: str
    key: str | None
    query: Mapping[str, str]
    range: str | None
    status: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to a request: first the delay and the call, then an error, or the answer cut short.

    `drip` is how long each block of the answer takes. `body` stands in for that of the service's errors.
    """

    delay: float = 0.0
    call: Callable[[], None] | None = None
    status: int | None = None
    code: str = ""
    message: str = ""
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    keep_bytes: int | None = None
    reset: bool = False
    drip: float = 0.0


RESET = Fault(reset=True)


def truncate(keep_bytes: int) -> Fault:
    """The answer ends after so many bytes of its body."""
    return Fault(keep_bytes=keep_bytes)


def delay(seconds: float) -> Fault:
    """The answer comes late."""
    return Fault(delay=seconds)


def call_first(action: Callable[[], None]) -> Fault:
    """Run something (such as overwriting the object) after the request came in and before it is answered."""
    return Fault(call=action)


@dataclass(slots=True)
class _Armed:
    fault: Fault
    key: str
    times: int
    method: str | None
    skip: int

    def hits(self, method: str, key: str | None) -> bool:
        matches = fnmatch.fnmatchcase(key or "", self.key)
        return self.times > 0 and self.method in (None, method) and matches


class FaultProxy(LoopbackServer):
    """The proxy, as a context manager; subclasses know the storage service.

    Args:
        upstream_url: Base URL of the emulator.
        tls: Certificate and key to serve https with; None for plain http.
        upstream_tls: Whom to trust as the emulator, if its URL is an https one.
    """

    def __init__(
        self,
        upstream_url: str,
        tls: ssl.SSLContext | None = None,
        upstream_tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(tls)
        self.upstream = urllib.parse.urlsplit(upstream_url)
        self._upstream_tls = upstream_tls
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []
        self._requests: list[StorageRequest] = []

    def locate(self, path: str) -> tuple[str, str]:
        """Bucket and key of a decoded path; requests about a bucket have the key ''."""
        raise NotImplementedError

    def error_headers(self, code: str, request_id: str) -> dict[str, str]:
        """Headers that the service gives an error."""
        raise NotImplementedError

    def connect(self) -> http.client.HTTPConnection:
        """A connection to the emulator."""
        host, port = str(self.upstream.hostname), self.upstream.port
        if self._upstream_tls is None:
            return http.client.HTTPConnection(host, port, timeout=UPSTREAM_SECONDS)
        return http.client.HTTPSConnection(host, port, timeout=UPSTREAM_SECONDS, context=self._upstream_tls)

    def inject(
        self, fault: Fault, key: str = "*", *, times: int = 1, method: str | None = "GET", skip: int = 0
    ) -> None:
        """Let the next requests go wrong.

        Args:
            fault: How.
            key: Glob over the object's key; requests about a bucket, such as listings, have the key ''.
            times: How often.
            method: Of these requests only; None for any.
            skip: How many matching requests pass first.
        """
        with self._lock:
            self._armed.append(_Armed(fault, key, times, method, skip))

    def clear_faults(self) -> None:
        """Behave again."""
        with self._lock:
            self._armed.clear()

    @property
    def requests(self) -> list[StorageRequest]:
        """The requests so far, oldest first."""
        with self._lock:
            return list(self._requests)

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self._requests.clear()

    def _take_fault(self, method: str, key: str | None) -> Fault:
        with self._lock:
            for armed in self._armed:
                if not armed.hits(method, key):
                    continue
                if armed.skip:
                    armed.skip -= 1
                    continue
                armed.times -= 1
                return armed.fault
        return Fault()

    def _record(self, request: StorageRequest) -> None:
        with self._lock:
            self._requests.append(request)

    def handler(self) -> type[QuietHandler]:
        """The request handler of this proxy."""
        return type("Handler", (_Handler,), {"proxy": self})


class _Handler(QuietHandler):
    proxy: FaultProxy

    def do_GET(self) -> None:  # noqa: N802 - the name is http.server's
        url = urllib.parse.urlsplit(self.path)
        bucket, key = self.proxy.locate(urllib.parse.unquote(url.path))
        fault = self.proxy._take_fault(self.command, key or None)
        if fault.delay:
            time.sleep(fault.delay)
        if fault.call:
            fault.call()
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        seen = {"method": self.command, "bucket": bucket, "key": key or None, "query": query}
        seen["range"] = self.headers.get("Range")
        if fault.reset:
            self.proxy._record(StorageRequest(**seen, status=0, bytes=0))
            self.reset_connection()
        elif fault.status:
            self._drain()
            self.proxy._record(StorageRequest(**seen, status=fault.status, bytes=0))
            self._send_error(fault, url.path)
        else:
            self._forward(fault, seen)

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815 - http.server's names

    def _send_error(self, fault: Fault, resource: str) -> None:
        request_id = uuid.uuid4().hex[:16].upper()
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{fault.code}</Code>'
            f"<Message>{escape(fault.message)}</Message><Resource>{escape(resource)}</Resource>"
            f"<RequestId>{request_id}</RequestId></Error>"
        ).encode()
        headers = {"Content-Type": "application/xml", **self.proxy.error_headers(fault.code, request_id)}
        # Answers to HEAD have no body, so that clients see the status only.
        headers |= fault.headers
        body = body if fault.body is None else fault.body
        self.send_whole(fault.status or 500, headers, b"" if self.command == "HEAD" else body)

    def _forward(self, fault: Fault, seen: dict[str, Any]) -> None:
        upstream = self.proxy.connect()
        try:
            self._send_upstream(upstream)
            answer = upstream.getresponse()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            length = answer.getheader("Content-Length")
            if length is None and self.command != "HEAD":
                # The end of the body is then the end of the connection.
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            sent = self._copy_body(answer, fault, seen, answer.status)
            if fault.keep_bytes is not None and sent < int(length or 0):
                self.close_connection = True
        finally:
            upstream.close()

    def _copy_body(
        self, answer: http.client.HTTPResponse, fault: Fault, seen: dict[str, Any], status: int
    ) -> int:
        """Pass the body on; record the request before the last bytes tell the client that it is complete."""
        sent = 0
        block = answer.read(COPY_BYTES)
        while block:
            if fault.keep_bytes is not None:
                block = block[: fault.keep_bytes - sent]
            following = answer.read(COPY_BYTES) if block else b""
            sent += len(block)
            if not following:
                break
            self.wfile.write(block)
            time.sleep(fault.drip)
            block = following
        self.proxy._record(StorageRequest(**seen, status=status, bytes=sent))
        self.wfile.write(block)
        return sent

    def _send_upstream(self, upstream: http.client.HTTPConnection) -> None:
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        for name, value in self.headers.items():
            if name.lower() not in _HOP_BY_HOP:
                upstream.putheader(name, value)
        if chunked:
            upstream.putheader("Transfer-Encoding", "chunked")
        upstream.endheaders()
        for block in self._request_body():
            upstream.send(b"%x\r\n%s\r\n" % (len(block), block) if chunked else block)
        if chunked:
            upstream.send(b"0\r\n\r\n")

    def _request_body(self) -> Iterator[bytes]:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while size := int(self.rfile.readline().split(b";")[0], 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return
        left = int(self.headers.get("Content-Length") or 0)
        while left and (block := self.rfile.read(min(left, COPY_BYTES))):
            yield block
            left -= len(block)

    def _drain(self) -> None:
        for _ in self._request_body():
            pass
