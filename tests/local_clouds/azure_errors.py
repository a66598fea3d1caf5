"""Error answers of Azure Resource Manager and Cost Management, to refuse with and to fail on request with."""

from __future__ import annotations

from email.utils import format_datetime
from typing import TYPE_CHECKING

from tests.local_clouds.azure_messages import Refused, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

COSTS = "x-ms-ratelimit-microsoft.costmanagement"


def arm_error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    """An error in its usual shape."""
    return Reply(status, {"error": {"code": code, "message": message}}, headers or {})


def bad_request(message: str, code: str = "BadRequest") -> Refused:
    """The end of a request that cannot be accepted."""
    return Refused(arm_error(400, code, message))


def forbidden(action: str, scope: str) -> Reply:
    """The caller lacks a role."""
    message = (
        "The client '22222222-2222-2222-2222-222222222222' with object id "
        "'33333333-3333-3333-3333-333333333333' does not have authorization to perform action "
        f"'{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please "
        "refresh your credentials."
    )
    return arm_error(403, "AuthorizationFailed", message)


def subscription_not_found(subscription: str) -> Reply:
    """Nobody has it, or the caller has no role on it."""
    return arm_error(404, "SubscriptionNotFound", f"The subscription '{subscription}' could not be found.")


def throttled(headers: Mapping[str, str] | None = None) -> Reply:
    """Cost Management's answer to too many requests."""
    return arm_error(429, "429", "Too many requests. Please retry.", headers)


def until(moment: datetime) -> dict[str, str]:
    """The header that names a moment instead of seconds."""
    return {"Retry-After": format_datetime(moment, usegmt=True)}


def unavailable(retry_after: str | None = "60") -> Reply:
    """A service that is down for a while."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return arm_error(503, "ServiceUnavailable", "The service is unavailable.", headers)


#: How a 429 says in seconds how long to wait, with the seconds that a client should wait at least.
THROTTLES: Mapping[str, tuple[Mapping[str, str], float | None]] = {
    "none": ({}, None),
    "retry-after": ({"Retry-After": "10"}, 10),
    "qpu": ({f"{COSTS}-qpu-retry-after": "12"}, 12),
    "entity": ({f"{COSTS}-entity-retry-after": "45"}, 45),
    "tenant": ({f"{COSTS}-tenant-retry-after": "7"}, 7),
    "client": ({f"{COSTS}-client-retry-after": "8"}, 8),
    "clienttype": ({f"{COSTS}-clienttype-retry-after": "9"}, 9),
    "consumption": ({"x-ms-ratelimit-microsoft.consumption-retry-after": "11"}, 11),
    "fractional": ({f"{COSTS}-entity-retry-after": "4.75"}, 4.75),
    "zero": ({f"{COSTS}-qpu-retry-after": "0"}, None),
    "several": (
        {"Retry-After": "3", f"{COSTS}-entity-retry-after": "45", f"{COSTS}-qpu-retry-after": "12.5"},
        45,
    ),
}

VIEW_CHARGES_OFF = arm_error(401, "Unauthorized", "View charges is turned off for this account.")
GATEWAY_TIMEOUT = arm_error(
    504,
    "GatewayTimeout",
    "The gateway did not receive a response from 'Microsoft.CostManagement' within the specified time.",
)
NOT_ACCEPTABLE = arm_error(406, "NotAcceptable", "Not Acceptable")
BAD_GATEWAY_HTML = Reply(502, "<html><body>502 Bad Gateway</body></html>", {"Content-Type": "text/html"})
ERROR_AS_LIST = Reply(400, {"error": [{"code": "BadRequest", "message": "One of several."}]})
ERROR_FLAT = Reply(400, {"code": "BadRequest", "message": "Without an envelope."})
ERROR_WITH_DETAILS = Reply(
    400,
    {
        "error": {
            "code": "BadRequest",
            "message": "See the details.",
            "target": "dataset",
            "details": [{"code": "InvalidDimension", "message": "No such dimension."}],
        }
    },
)
