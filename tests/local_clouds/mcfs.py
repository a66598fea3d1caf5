"""A stand-in for the OData interface of Microsoft Cloud for Sustainability: emissions of one enrollment."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tests.local_clouds.azure_http import HttpService
from tests.local_clouds.azure_messages import Refused, Reply, Request
from tests.local_clouds.azure_tokens import IMPACT_AUDIENCE, TokenLedger, TokenProblem
from tests.local_clouds.entra import TENANT

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from decimal import Decimal

INSTANCE = "44444444-4444-4444-4444-444444444444"
ENROLLMENT = "12345678"
KEY = "local-key-of-nobody"
MOST_ROWS = 1000
_KEY_HEADER = "Ocp-Apim-Subscription-Key"
_PATH = re.compile(r"/api/v1\.0/instances/(?P<instance>[^/]+)/enrollments/(?P<enrollment>[^/]+)/emissions")
_CONDITION = re.compile(r"dateKey (eq|ge|gt|le|lt) (\d{8})")
_OPTIONS = {"$filter", "$orderby", "$top", "$skip", "subscription-key"}


@dataclass(frozen=True, slots=True)
class ImpactRow:
    """Emissions in metric tons of CO2e in one month (`YYYY-MM`)."""

    month: str
    subscription: str
    service: str
    scope: int
    emissions: Decimal
    sub_service: str = "Azure Compute"
    region: str = "East US"
    enrollment: str = ENROLLMENT

    def described(self) -> dict[str, Any]:
        """As the interface has it."""
        return {
            "dateKey": self.date_key,
            "enrollmentId": self.enrollment,
            "orgName": "Contoso",
            "subscriptionId": self.subscription,
            "subscriptionName": f"Name of {self.subscription[-4:]}",
            "azureServiceName": self.service,
            "subService": self.sub_service,
            "azureRegionName": self.region,
            "scope": f"Scope {self.scope}",
            "scopeId": self.scope,
            "totalEmissions": self.emissions,
        }

    @property
    def date_key(self) -> int:
        return int(self.month.replace("-", "") + "01")


class ImpactServer(HttpService):
    """The interface of one instance, as a context manager. Operation: `emissions`.

    Args:
        tls: Certificate and key to serve with.
        ledger: Knows the tokens.

    Attributes:
        key: The one that the API gateway wants.
        page_size: The most rows of a page.
    """

    def __init__(self, tls: ssl.SSLContext, ledger: TokenLedger) -> None:
        super().__init__(tls)
        self._ledger = ledger
        self._rows: list[ImpactRow] = []
        self.key = KEY
        self.page_size = MOST_ROWS

    @property
    def api_url(self) -> str:
        """Where the paths of the interface begin."""
        return f"{self.url}/api/v1.0"

    def publish(self, rows: Iterable[ImpactRow]) -> None:
        """Replace all rows."""
        self._rows = list(rows)

    def operation_of(self, request: Request) -> str:
        return "emissions" if _PATH.fullmatch(request.path) else request.path

    def answer(self, request: Request) -> Reply:
        self._authorize(request)
        found = _PATH.fullmatch(request.path)
        if request.method != "GET" or found is None:
            return Reply(404, {"statusCode": 404, "message": "Resource not found"})
        if found["instance"] != INSTANCE:
            return Reply(403, {"error": {"code": "Forbidden", "message": "No access to this instance."}})
        if unknown := request.query.keys() - _OPTIONS:
            return _bad_request(f"Query options that are not known here: {', '.join(sorted(unknown))}")
        keep = _filter(request.query.get("$filter"))
        rows = [row for row in self._rows if row.enrollment == found["enrollment"] and keep(row.date_key)]
        return self._page(request, _ordered(rows, request.query.get("$orderby")))

    def _authorize(self, request: Request) -> None:
        key = request.headers[_KEY_HEADER] or request.query.get("subscription-key")
        if key != self.key:
            kind = "invalid" if key else "missing"
            message = f"Access denied due to {kind} subscription key."
            raise Refused(Reply(401, {"statusCode": 401, "message": message}))
        try:
            self._ledger.check(request.headers["Authorization"], {IMPACT_AUDIENCE}, TENANT)
        except TokenProblem as problem:
            headers = {"WWW-Authenticate": problem.challenge}
            raise Refused(Reply(401, {"statusCode": 401, "message": "Unauthorized."}, headers)) from None

    def _page(self, request: Request, rows: list[ImpactRow]) -> Reply:
        skip = int(request.query.get("$skip", 0))
        wanted = rows[skip:][: int(request.query.get("$top", len(rows)))]
        page = wanted[: self.page_size]
        context = f"{request.origin}{request.path.rpartition('/')[0]}/$metadata#emissions"
        body: dict[str, Any] = {"@odata.context": context, "value": [row.described() for row in page]}
        if len(page) < len(wanted):
            options = dict(request.query) | {"$skip": skip + len(page)}
            if "$top" in options:
                options["$top"] = len(wanted) - len(page)
            query = urlencode(options, safe="$")
            body["@odata.nextLink"] = f"{request.origin}{request.path}?{query}"
        return Reply(body=body)


def _filter(text: str | None) -> Callable[[int], bool]:
    """The meaning of a `$filter` on `dateKey`, as far as it is known here: conditions joined by `and`."""
    conditions = [_CONDITION.fullmatch(part.strip(" ()")) for part in text.split(" and ")] if text else []
    if not all(conditions):
        raise Refused(_bad_request(f"A filter that is not known here: {text}"))
    checks = [(getattr(operator, found[1]), int(found[2])) for found in conditions if found]
    return lambda key: all(holds(key, bound) for holds, bound in checks)


def _ordered(rows: list[ImpactRow], text: str | None) -> list[ImpactRow]:
    """The rows by the fields of an `$orderby`, ascending; without one in no order to rely on."""
    names = text.split(",") if text else []
    if unknown := set(names) - (rows[0].described().keys() if rows else set(names)):
        raise Refused(_bad_request(f"Fields that are not known here: {', '.join(sorted(unknown))}"))
    return sorted(rows, key=lambda row: [row.described()[name] for name in names])


def _bad_request(message: str) -> Reply:
    return Reply(400, {"error": {"code": "BadRequest", "message": message}})
