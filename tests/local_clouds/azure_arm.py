"""A stand-in for Azure Resource Manager: tokens, versions, permissions and routes; its parts do the rest."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tests.local_clouds.azure_errors import arm_error, bad_request, forbidden
from tests.local_clouds.azure_http import HttpService, InFlight
from tests.local_clouds.azure_messages import Refused, Reply, Request
from tests.local_clouds.azure_tokens import ARM_AUDIENCE, TokenLedger, TokenProblem
from tests.local_clouds.entra import TENANT

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Mapping

    from tests.local_clouds.azure_http import Fault

_API_VERSION = re.compile(r"20\d\d-\d\d-\d\d(-preview)?")


@dataclass(frozen=True, slots=True)
class Route:
    """One operation of a resource provider.

    Attributes:
        operation: Its name, for faults and records.
        method: The HTTP method.
        path: Regular expression over the whole path; its named groups go to the handler.
        action: What a role must allow, for the refusal.
        handler: Makes the answer.
        family: Operations that are counted together by `ArmServer.at_once`.
    """

    operation: str
    method: str
    path: str
    action: str
    handler: Callable[[Request, Mapping[str, str]], Reply]
    family: str = ""

    def match(self, request: Request) -> Mapping[str, str] | None:
        """The named groups if the request is for this route; ids and words may have any case."""
        found = re.fullmatch(self.path, request.path.rstrip("/"), re.IGNORECASE)
        return found.groupdict() if found and request.method == self.method else None


class ArmPart(Protocol):
    """A resource provider behind Azure Resource Manager."""

    def routes(self) -> Iterable[Route]:
        """Its operations."""
        ...


class ArmServer(HttpService):
    """Azure Resource Manager of one tenant on 127.0.0.1, as a context manager.

    Args:
        tls: Certificate and key to serve with.
        ledger: Knows the tokens.
        parts: The resource providers.
        tenant: The one that tokens must be from.
        audience: The one that tokens must be for; US Government's is another than its host.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        ledger: TokenLedger,
        parts: Iterable[ArmPart],
        *,
        tenant: str = TENANT,
        audience: str = ARM_AUDIENCE,
    ) -> None:
        super().__init__(tls)
        self._ledger, self._tenant, self._audience = ledger, tenant, audience
        self._routes = [route for part in parts for route in part.routes()]
        self._forbidden: dict[str, str] = {}
        self._in_flight = {family: InFlight() for family in ("", *(route.family for route in self._routes))}

    def forbid(self, operation: str, path: str = ".*") -> None:
        """Refuse an operation, everywhere or on paths that match, for want of a role."""
        self._forbidden[operation] = path

    def allow(self, operation: str) -> None:
        """Permit an operation again."""
        self._forbidden.pop(operation, None)

    def at_once(self, family: str) -> int:
        """The most requests of a family of operations, such as `costs`, that ever were in work at once."""
        return self._in_flight[family].highest

    def operation_of(self, request: Request) -> str:
        route, _ = self._route(request)
        return route.operation if route else request.path

    def answer(self, request: Request) -> Reply:
        try:
            self._ledger.check(request.headers["Authorization"], {self._audience}, self._tenant)
        except TokenProblem as problem:
            headers = {"WWW-Authenticate": problem.challenge}
            raise Refused(arm_error(401, problem.code, problem.message, headers)) from None
        route, groups = self._route(request)
        if route is None:
            return arm_error(404, "NotFound", f"No such resource: {request.method} {request.path}")
        _check_version(request)
        if re.search(self._forbidden.get(route.operation, r"(?!)"), request.path):
            return forbidden(route.action, request.path.rpartition("/")[0])
        return route.handler(request, groups)

    def common_headers(self) -> dict[str, str]:
        return {name: str(uuid.uuid4()) for name in ("x-ms-request-id", "x-ms-correlation-request-id")}

    def respond(self, request: Request, fault: Fault | None) -> Reply:
        route, _ = self._route(request)
        with self._in_flight[route.family if route else ""]:
            return super().respond(request, fault)

    def _route(self, request: Request) -> tuple[Route | None, Mapping[str, str]]:
        for route in self._routes:
            groups = route.match(request)
            if groups is not None:
                return route, groups
        return None, {}


def _check_version(request: Request) -> None:
    version = request.query.get("api-version")
    if version is None:
        message = "The api-version query parameter (?api-version=) is required for all requests."
        raise bad_request(message, "MissingApiVersionParameter")
    if not _API_VERSION.fullmatch(version):
        raise bad_request(f"The api-version '{version}' is invalid.", "InvalidApiVersionParameter")
