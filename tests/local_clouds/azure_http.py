"""What the stand-ins of Azure's HTTP services share: they record requests, and fail on request."""

from __future__ import annotations

import json
import re
import threading
import time
import traceback
from dataclasses import dataclass, replace
from decimal import Decimal
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tests.local_clouds.azure_messages import Refused, Reply, Request
from tests.local_clouds.azure_tokens import token_name
from tests.local_clouds.loopback import LoopbackServer, QuietHandler

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

# Headers and parameters whose values must not get into the output of a failed test.
_SECRET_HEADERS = {"authorization", "ocp-apim-subscription-key", "x-identity-header"}
_SECRET_PARAMETERS = {"sig", "subscription-key"}
HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as the server saw it.

    Attributes:
        operation: What was asked, by the name that faults know it by.
        target: Path and query as sent, without secrets.
        headers: By lower-case name; the values of secrets are hidden.
        body: What was in it, if it was JSON or a form; secrets are hidden.
        token: Name of the access token, as `TokenLedger` gives it; None without one.
        status: None where the connection was reset.
        code: Of the error.
    """

    operation: str
    method: str
    path: str
    target: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any
    token: str | None
    status: int | None
    code: str | None


@dataclass(slots=True)
class Fault:
    """What happens to the next `times` requests of `operation` after `skip` more of them went well."""

    operation: str | None
    times: int
    skip: int
    reply: Reply | None = None
    reset: bool = False
    truncate: bool = False
    seconds: float = 0.0


class InFlight:
    """How many requests are being answered at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self.highest = 0

    def __enter__(self) -> None:
        with self._lock:
            self._now += 1
            self.highest = max(self.highest, self._now)

    def __exit__(self, *exc_info: object) -> None:
        with self._lock:
            self._now -= 1


class HttpService(LoopbackServer):
    """A service on 127.0.0.1; subclasses name operations and answer them.

    `operation` limits a fault to one operation, `skip` lets requests pass first.

    Args:
        tls: Certificate and key to serve https with; None for plain http.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self._lock = threading.RLock()
        self._faults: list[Fault] = []
        self._changes: dict[str, Callable[[Any], Any]] = {}
        self._requests: list[Recorded] = []

    def operation_of(self, request: Request) -> str:
        """The name of what is asked."""
        raise NotImplementedError

    def answer(self, request: Request) -> Reply:
        """The answer to a request without a fault; may raise `Refused`."""
        raise NotImplementedError

    def common_headers(self) -> dict[str, str]:
        """Headers of every answer."""
        return {}

    def shown(self, request: Request) -> Any:
        """What a record shows of a request's body."""
        return request.json

    # What goes wrong on request.

    def fail_next(self, reply: Reply, times: int = 1, *, operation: str | None = None, skip: int = 0) -> None:
        """Give this answer to the next requests."""
        self._add(Fault(operation, times, skip, reply=reply))

    def reset_next(self, times: int = 1, *, operation: str | None = None, skip: int = 0) -> None:
        """Reset the connection instead of answering."""
        self._add(Fault(operation, times, skip, reset=True))

    def truncate_next(self, times: int = 1, *, operation: str | None = None, skip: int = 0) -> None:
        """Send half of the body only, under the header of the whole."""
        self._add(Fault(operation, times, skip, truncate=True))

    def delay_next(
        self, seconds: float, times: int = 1, *, operation: str | None = None, skip: int = 0
    ) -> None:
        """Answer late."""
        self._add(Fault(operation, times, skip, seconds=seconds))

    def alter(self, operation: str, change: Callable[[Any], Any]) -> None:
        """Let a function change, or replace by what it returns, the JSON of every good answer."""
        with self._lock:
            self._changes[operation] = change

    def clear_faults(self) -> None:
        """Behave again."""
        with self._lock:
            self._faults.clear()
            self._changes.clear()

    # What was asked.

    @property
    def requests(self) -> list[Recorded]:
        """The requests so far, oldest first."""
        with self._lock:
            return list(self._requests)

    def asked(self, operation: str) -> list[Recorded]:
        """The requests of one operation so far, oldest first."""
        return [request for request in self.requests if request.operation == operation]

    def clear_requests(self) -> None:
        """Forget the requests so far."""
        with self._lock:
            self._requests.clear()

    def _add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def _next_fault(self, operation: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.operation not in (None, operation) or not fault.times:
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    def respond(self, request: Request, fault: Fault | None) -> Reply:
        """The answer to a request, with or without a fault; subclasses may look on."""
        if fault and fault.seconds:
            time.sleep(fault.seconds)
        if fault and fault.reply:
            return fault.reply
        try:
            return self._altered(request, self.answer(request))
        except Refused as refused:
            return refused.reply
        except Exception:  # noqa: BLE001 - a mistake of the stand-in must reach who runs the test
            return Reply(500, f"the stand-in failed:\n{traceback.format_exc()}")

    def _altered(self, request: Request, reply: Reply) -> Reply:
        with self._lock:
            change = self._changes.get(self.operation_of(request))
        if change is None or reply.status != HTTPStatus.OK:
            return reply
        body = json.loads(reply.encoded(), parse_float=Decimal)
        changed = change(body)
        return replace(reply, body=body if changed is None else changed)

    def _record(self, operation: str, request: Request, reply: Reply | None) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        entry = Recorded(
            operation=operation,
            method=request.method,
            path=request.path,
            target=re.sub(f"([?&](?:{'|'.join(_SECRET_PARAMETERS)})=)[^&]*", rf"\1{HIDDEN}", request.target),
            query=request.query | dict.fromkeys(_SECRET_PARAMETERS & request.query.keys(), HIDDEN),
            headers=headers | dict.fromkeys(_SECRET_HEADERS & headers.keys(), HIDDEN),
            body=self.shown(request),
            token=token_name(headers.get("authorization")),
            status=reply.status if reply else None,
            code=reply.code if reply else None,
        )
        with self._lock:
            self._requests.append(entry)

    def handler(self) -> type[QuietHandler]:
        """The request handler of this service."""
        return type("Handler", (_Handler,), {"service": self})


class _Handler(QuietHandler):
    service: HttpService

    def do_GET(self) -> None:  # noqa: N802 - the name is http.server's
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.service.url, self.command, self.path, self.headers, body)
        operation = self.service.operation_of(request)
        fault = self.service._next_fault(operation)
        if fault and fault.reset:
            self.service._record(operation, request, None)
            self.reset_connection()
            return
        reply = self.service.respond(request, fault)
        self.service._record(operation, request, reply)
        self._send(reply, truncate=bool(fault and fault.truncate))

    do_POST = do_HEAD = do_GET  # noqa: N815 - http.server's names

    def _send(self, reply: Reply, *, truncate: bool) -> None:
        body = reply.encoded()
        headers = self.service.common_headers() | dict(reply.headers)
        if isinstance(reply.body, dict | list):
            headers.setdefault("Content-Type", "application/json; charset=utf-8")
        keep = 0 if self.command == "HEAD" else len(body) // 2 if truncate else None
        self.send_whole(reply.status, headers, body, keep=keep)
