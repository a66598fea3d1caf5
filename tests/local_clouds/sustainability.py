"""A stand-in for the AWS Sustainability service: the wire format, the rules and the failures of the real one.

Real boto3 parses every answer. Data are set with `set_month` and `set_year`; a month or year that was not set
is not published and so absent. Faults are asked for request by request.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.local_clouds.loopback import LoopbackServer, QuietHandler
from tests.local_clouds.sustainability_data import (
    CARBON,
    EMISSIONS_TYPES,
    WATER,
    WATER_TYPES,
    SourceRow,
    demo_emissions,
    demo_water,
    dimension_values,
    month_start,
    query,
)
from tests.local_clouds.sustainability_rules import (
    ServiceError,
    authorize,
    check_request,
    invalid,
    operations,
    parse_body,
    parse_time,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = [
    "EMISSIONS_TYPES",
    "WATER_TYPES",
    "Recorded",
    "SourceRow",
    "SustainabilityServer",
    "demo_emissions",
    "demo_water",
]

DEFAULT_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as the server saw it; `status` is None where the connection was reset."""

    operation: str
    body: Any
    time: datetime
    status: int | None
    code: str | None
    access_key: str | None
    headers: Mapping[str, str]


@dataclass(slots=True)
class _Fault:
    """What happens to the next `times` requests of `operation` after `skip` more of them went well."""

    kind: str
    times: int
    operation: str | None
    skip: int
    error: ServiceError = field(default_factory=lambda: ServiceError(500, "InternalServerException", ""))
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


class _Bucket:
    """The server's own throttle, apart from the tap's limiter so that the two cannot share a mistake."""

    def __init__(self, rate: float, capacity: float, now: Callable[[], float]) -> None:
        self._rate, self._capacity, self._now = rate, capacity, now
        self._level, self._at = capacity, now()

    def take(self) -> bool:
        now = self._now()
        self._level = min(self._capacity, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


class SustainabilityServer(LoopbackServer):
    """The service on 127.0.0.1, as a context manager.

    Args:
        rate: Requests a second that the server admits; None never throttles.
        capacity: Burst it admits; defaults to the rate.
        accepted_keys: Access key ids it knows; None knows every key.
        now: Monotonic seconds, for the throttle.
    """

    def __init__(
        self,
        *,
        rate: float | None = None,
        capacity: float | None = None,
        accepted_keys: Iterable[str] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.accepted_keys = None if accepted_keys is None else set(accepted_keys)
        self._lock = threading.RLock()
        self._bucket = None if rate is None else _Bucket(rate, capacity or rate, now)
        self._months: dict[datetime, list[SourceRow]] = {}
        self._years: dict[datetime, list[SourceRow]] = {}
        self._faults: list[_Fault] = []
        self._tokens: dict[str, tuple[str, list[Any]]] = {}
        self._requests: list[Recorded] = []

    # What it knows.

    def set_month(self, month: str, rows: Sequence[SourceRow]) -> None:
        """Publish or restate the emissions of `YYYY-MM`."""
        with self._lock:
            self._months[month_start(month)] = list(rows)

    def set_year(self, year: int, rows: Sequence[SourceRow]) -> None:
        """Publish or restate the water allocation of a year."""
        with self._lock:
            self._years[datetime(year, 1, 1, tzinfo=UTC)] = list(rows)

    def remove_month(self, month: str) -> None:
        """Make a month unpublished again."""
        with self._lock:
            self._months.pop(month_start(month), None)

    def set_months(self, months: Mapping[str, Sequence[SourceRow]]) -> None:
        """Publish several months, as `demo_emissions` makes them."""
        for month, rows in months.items():
            self.set_month(month, rows)

    def set_years(self, years: Mapping[int, Sequence[SourceRow]]) -> None:
        """Publish several years, as `demo_water` makes them."""
        for year, rows in years.items():
            self.set_year(year, rows)

    # What goes wrong on request: `operation` limits a fault to one operation, `skip` lets requests pass.

    def fail_next(
        self,
        n: int,
        status: int,
        code: str,
        message: str = "",
        headers: Mapping[str, str] | None = None,
        *,
        operation: str | None = None,
        skip: int = 0,
    ) -> None:
        """Answer the next n requests with an error."""
        error = ServiceError(status, code, message)
        self._add(_Fault("error", n, operation, skip, error=error, headers=headers or {}))

    def reset_next(self, n: int = 1, *, operation: str | None = None, skip: int = 0) -> None:
        """Reset the connection instead of answering."""
        self._add(_Fault("reset", n, operation, skip))

    def truncate_next(self, n: int = 1, *, operation: str | None = None, skip: int = 0) -> None:
        """Send half of the body only, under the header of the whole."""
        self._add(_Fault("truncate", n, operation, skip))

    def html_next(self, n: int = 1, *, operation: str | None = None, skip: int = 0) -> None:
        """Answer as a proxy in between would: 502 with a page of HTML."""
        self._add(_Fault("html", n, operation, skip))

    def delay_next(self, n: int, seconds: float, *, operation: str | None = None, skip: int = 0) -> None:
        """Answer late."""
        self._add(_Fault("delay", n, operation, skip, seconds=seconds))

    def expire_tokens(self) -> None:
        """Forget every page token given out so far."""
        with self._lock:
            self._tokens.clear()

    def clear_faults(self) -> None:
        """Behave again."""
        with self._lock:
            self._faults.clear()

    @property
    def requests(self) -> list[Recorded]:
        """The requests so far, oldest first."""
        with self._lock:
            return list(self._requests)

    def _add(self, fault: _Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def _next_fault(self, operation: str) -> _Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.operation not in (None, operation) or not fault.times:
                    continue
                if fault.skip:
                    fault.skip -= 1
                    return None
                fault.times -= 1
                return fault
        return None

    # How it answers.

    def _answer(self, operation: str, body: Any) -> dict[str, Any]:
        if self._bucket is not None:
            with self._lock:
                admitted = self._bucket.take()
            if not admitted:
                raise ServiceError(429, "ThrottlingException", "Rate exceeded")
        check_request(operation, body)
        start, end = (parse_time(body["TimePeriod"][edge]) for edge in ("Start", "End"))
        if start >= end:
            raise invalid("TimePeriod.Start must be before TimePeriod.End")
        measure = WATER if "Water" in operation else CARBON
        if measure is WATER and body.get("Granularity", "YEARLY_CALENDAR") != "YEARLY_CALENDAR":
            raise invalid("Water allocation supports the granularity YEARLY_CALENDAR only")
        with self._lock:
            periods = dict(self._years if measure is WATER else self._months)
        if operation.endswith("DimensionValues"):
            return self._page(
                operation, body, lambda: dimension_values(periods, start, end, body["Dimensions"])
            )
        return self._page(operation, body, lambda: query(periods, measure, start, end, body))

    def _page(self, operation: str, body: dict[str, Any], compute: Callable[[], list[Any]]) -> dict[str, Any]:
        """One page; a token stands for the rest of the results as they were, and for this very request."""
        asked = {name: value for name, value in body.items() if name != "NextToken"}
        fingerprint = hashlib.sha256(json.dumps([operation, asked], sort_keys=True).encode()).hexdigest()
        token = body.get("NextToken")
        if token is None:
            rows = compute()
        else:
            with self._lock:
                bound_to, rows = self._tokens.get(token, ("", []))
            if bound_to != fingerprint:
                raise invalid("NextToken is invalid, has expired or belongs to another request")
        size = body.get("MaxResults") or DEFAULT_PAGE
        page: dict[str, Any] = {"Results": rows[:size]}
        if rest := rows[size:]:
            page["NextToken"] = f"AAMA-{uuid.uuid4().hex}"
            with self._lock:
                self._tokens[page["NextToken"]] = (fingerprint, rest)
        return page

    def handler(self) -> type[QuietHandler]:
        """The request handler of this server."""
        return type("Handler", (_Handler,), {"cloud": self})


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    code: str | None
    answer: dict[str, Any]
    access_key: str | None = None


class _Handler(QuietHandler):
    cloud: SustainabilityServer

    def do_POST(self) -> None:  # noqa: N802 - the name is http.server's
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        model = operations().get(self.path)
        operation = model.name if model else self.path
        fault = self.cloud._next_fault(operation)
        kind = fault.kind if fault else ""
        if fault and kind == "delay":
            time.sleep(fault.seconds)
        if fault and kind in ("reset", "html", "error"):
            reply = _Reply(fault.error.status, fault.error.code, {"message": fault.error.message})
        else:
            reply = self._reply(operation, raw)
        self._record(operation, raw, kind, reply)
        if kind == "reset":
            self.reset_connection()
        elif kind == "html":
            self.send_whole(502, {"Content-Type": "text/html"}, b"<html><body>502 Bad Gateway</body></html>")
        else:
            self._send(reply, fault)

    def _reply(self, operation: str, raw: bytes) -> _Reply:
        if self.path not in operations():
            return _Reply(404, "UnknownOperationException", {})
        key: str | None = None
        try:
            key = authorize(self.headers.get("Authorization"), self.cloud.accepted_keys)
            return _Reply(200, None, self.cloud._answer(operation, parse_body(raw)), key)
        except ServiceError as error:
            return _Reply(error.status, error.code, {"message": error.message}, key)

    def _record(self, operation: str, raw: bytes, kind: str, reply: _Reply) -> None:
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        status, code = {"reset": (None, None), "html": (502, None)}.get(kind, (reply.status, reply.code))
        entry = Recorded(
            operation, body, datetime.now(UTC), status, code, reply.access_key, dict(self.headers.items())
        )
        with self.cloud._lock:
            self.cloud._requests.append(entry)

    def _send(self, reply: _Reply, fault: _Fault | None) -> None:
        headers = {"Content-Type": "application/json", "x-amzn-RequestId": str(uuid.uuid4())}
        if reply.code:
            headers["x-amzn-errortype"] = reply.code
        if fault and fault.kind == "error":
            headers |= fault.headers
        body = json.dumps(reply.answer).encode()
        self.send_whole(
            reply.status, headers, body, keep=len(body) // 2 if fault and fault.kind == "truncate" else None
        )
