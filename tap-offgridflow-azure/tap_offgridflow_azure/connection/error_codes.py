"""Azure's error codes: what class of error each is, and what to do about it.

From the error references of Azure Resource Manager, Cost Management, Storage and Microsoft Entra.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from offgridflow_common.errors import ErrorClass
from offgridflow_common.responses import describe_json

if TYPE_CHECKING:
    from offgridflow_common.responses import Description, Response

_TOKENS = frozenset(
    {
        "AuthenticationFailed",
        "ExpiredAuthenticationToken",
        "InvalidAuthenticationInfo",
        "InvalidAuthenticationToken",
        "InvalidAuthenticationTokenAudience",
        "InvalidAuthenticationTokenTenant",
    }
)

#: Known, but not allowed.
DENIED = frozenset(
    {
        "AccountCostDisabled",
        "AuthorizationFailed",
        "AuthorizationFailure",
        "AuthorizationPermissionMismatch",
        "BillingAccessDenied",
        "DepartmentCostDisabled",
        "DisallowedOperation",
        "IndirectCostDisabled",
        "InsufficientAccountPermissions",
        "LinkedAuthorizationFailed",
        "RBACAccessDenied",
    }
)

_NOT_FOUND = frozenset(
    {
        "BlobNotFound",
        "BillingSubscriptionNotFound",
        "ContainerNotFound",
        "ManagementGroupNotFound",
        "NotFound",
        "ResourceGroupNotFound",
        "ResourceNotFound",
        "SubscriptionNotFound",
    }
)

_BAD_REQUEST = frozenset(
    {
        "BadRequest",
        "InvalidApiVersionParameter",
        "InvalidSubscriptionId",
        "MissingApiVersionParameter",
        "MissingSubscription",
        "NoRegisteredProviderFound",
        "SubscriptionTypeNotSupported",
    }
)

THROTTLED = frozenset(
    {
        "429",
        "ResourceCollectionRequestsThrottled",
        "ResourceRequestsThrottled",
        "SubscriptionRequestsThrottled",
        "TenantRequestsThrottled",
        "TooManyRequests",
    }
)

_TRANSIENT = frozenset(
    {
        "GatewayTimeout",
        "InternalError",
        "InvalidGatewayHost",
        # Cost Management refuses to make a report now and then, for no reason, with 406.
        "NotAcceptable",
        "OperationTimedOut",
        "ServerBusy",
        "ServerTimeout",
        "ServiceUnavailable",
    }
)

#: The blob is no longer the one that was listed.
CHANGED = frozenset({"ConditionNotMet", "TargetConditionNotMet"})

BY_CODE = {
    **dict.fromkeys(_TOKENS | DENIED, ErrorClass.AUTH),
    **dict.fromkeys(_NOT_FOUND, ErrorClass.NOT_FOUND),
    **dict.fromkeys(_BAD_REQUEST, ErrorClass.BAD_REQUEST),
    **dict.fromkeys(THROTTLED | _TRANSIENT | CHANGED, ErrorClass.TRANSIENT),
}

_MISTAKEN = "check that client_secret is the value of the secret, not its id"
_APPLICATION = "check tenant_id, client_id and azure_cloud"
OVERLOADED = "run again later: the token service does not keep up"

#: What the token service says, by the number after AADSTS: its class, and what to do.
AADSTS = {
    7000215: (ErrorClass.AUTH, _MISTAKEN),
    7000222: (ErrorClass.AUTH, "make a new client secret: this one has expired"),
    70002: (ErrorClass.AUTH, _MISTAKEN),
    7000218: (ErrorClass.AUTH, "set client_secret or certificate_path: the application must prove itself"),
    700027: (ErrorClass.AUTH, "upload the certificate of certificate_path to the application"),
    50012: (ErrorClass.AUTH, "upload the certificate of certificate_path to the application"),
    700024: (ErrorClass.AUTH, "set the clock of this machine, and check that the federated token is fresh"),
    700030: (ErrorClass.AUTH, "check the subject of the certificate of certificate_path"),
    700016: (ErrorClass.BAD_REQUEST, _APPLICATION),
    7000112: (ErrorClass.BAD_REQUEST, "enable the application in its directory"),
    90002: (ErrorClass.BAD_REQUEST, _APPLICATION),
    70011: (ErrorClass.BAD_REQUEST, _APPLICATION),
    700022: (ErrorClass.BAD_REQUEST, _APPLICATION),
    700023: (ErrorClass.BAD_REQUEST, _APPLICATION),
    500011: (ErrorClass.BAD_REQUEST, _APPLICATION),
    50001: (ErrorClass.BAD_REQUEST, _APPLICATION),
    90038: (ErrorClass.BAD_REQUEST, _APPLICATION),
    900382: (ErrorClass.BAD_REQUEST, _APPLICATION),
    900432: (ErrorClass.BAD_REQUEST, _APPLICATION),
    53003: (ErrorClass.AUTH, "ask an administrator: a conditional access policy blocks the sign-in"),
    530032: (ErrorClass.AUTH, "ask an administrator: a security policy of the directory blocks the sign-in"),
    **dict.fromkeys((90055, 90006, 90012, 90024, 90033, 90090, 50000), (ErrorClass.TRANSIENT, OVERLOADED)),
}

#: What the identity lacks, by what was asked; the first that fits counts.
_ROLES = (
    ("/microsoft.carbon/", "Carbon Optimization Reader on the subscription"),
    (
        "/generatecostdetailsreport|/costdetailsoperation",
        "Cost Management Reader on the scope, or Cost Management Contributor; or list an export in exports",
    ),
    (
        "/microsoft.costmanagement/",
        "Cost Management Reader on the scope; enrolments also need 'view charges' to be on",
    ),
    ("/managementgroups/", "Management Group Reader on the group"),
    ("/microsoft.billing/", "a reader's role on the billing account"),
    (r"/emissions\b", "the application permission App.Emissions.Read, and check impact_subscription_key"),
    ("/subscriptions", "Reader on the subscriptions, or set subscription_ids"),
)
_STORAGE_ROLE = "Storage Blob Data Reader on the container"

_ADVICE = {
    ErrorClass.TRANSIENT: "run again later; if it stays, check the network and Azure's status page",
    ErrorClass.AUTH: "check auth_method, tenant_id, client_id and the secret or certificate",
    ErrorClass.BAD_REQUEST: "check the settings that this request is made of",
    ErrorClass.NOT_FOUND: "check that it exists, and that the settings name it as Azure does",
    ErrorClass.FATAL: "check the address, and that its certificate is signed by an authority trusted here; "
    "ca_bundle names others",
    ErrorClass.UNKNOWN: "look the code up in Azure's documentation, and report it",
}
#: What storage answers of blobs in the archive tier.
_ARCHIVED = frozenset({"BlobArchived", "BlobBeingRehydrated"})

#: Where the code says more than its class.
_ADVICE_BY_CODE = {
    "InvalidAuthenticationTokenTenant": "set tenant_id to the directory that the subscriptions belong to",
    "InvalidAuthenticationTokenAudience": "check azure_cloud: the token is for another cloud",
}

#: Of signing in: numbers that are not listed; what the SDK refuses to try; nothing to sign in with; a file
#: that cannot be read; another answer than that of a token service; none.
SIGN_IN = "look the number up among Microsoft Entra's errors, and check the settings of signing in"
NOT_PREPARED = (
    "check tenant_id, client_id, authority_url, the certificate with its password, and for workload_identity "
    "AZURE_FEDERATED_TOKEN_FILE"
)
NOT_SIGNED_IN = "check auth_method and what it looks for: environment, managed identity, or `az login`"
NO_FILE = "check AZURE_FEDERATED_TOKEN_FILE or certificate_path, and who may read the file"
NO_AUTHORITY = "check tenant_id, azure_cloud and authority_url"
UNREACHABLE = (
    "check the network, the proxy, authority_url and ca_bundle: the token service was not reached, "
    "so the credentials are neither right nor wrong"
)

_VIEW_CHARGES = (
    "check the credentials; Cost Management also answers this where 'view charges' is off for the enrolment"
)
_DOWN = frozenset({HTTPStatus.INTERNAL_SERVER_ERROR, HTTPStatus.SERVICE_UNAVAILABLE})
_WAIT_AN_HOUR = "run again in an hour, as Cost Management asks for after such errors"


#: Codes of answers that come without one.
_CODE_OF_STATUS: dict[int, str] = {HTTPStatus.NOT_ACCEPTABLE: "NotAcceptable"}


def describe(response: Response) -> Description:
    """Find code, message and request id in an error answer; never raises.

    Beside the shapes that are common, details are told where the error has some, and the text of an answer
    that is plain text. Pages of gateways are not quoted.
    """
    code, message, request_id = describe_json(response)
    told = (message, *_details(response.body)) if message else (_plain_text(response),)
    return (
        code or _CODE_OF_STATUS.get(response.status),
        " ".join(part for part in told if part) or None,
        request_id,
    )


def _details(body: bytes) -> list[str]:
    """What ``{"error": {"details": [{"code", "message"}]}}`` adds to the error's own message."""
    error = json.loads(body)
    error = error.get("error") if isinstance(error, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    entries = [entry for entry in details if isinstance(entry, dict)] if isinstance(details, list) else []
    return [f"{entry.get('code')}: {entry.get('message')}" for entry in entries]


def _plain_text(response: Response) -> str | None:
    kind = str(response.headers.get("Content-Type", ""))
    return response.body.decode(errors="replace") if kind.startswith("text/plain") else None


def _role_for(asked: str) -> str | None:
    """The role that allows what was asked, given as a method and a URL; None if no role is known for it."""
    return next((role for pattern, role in _ROLES if re.search(pattern, asked, re.IGNORECASE)), None)


def is_denied(status: int | None, code: str | None) -> bool:
    """Whether the identity is known, but not allowed: not where its token is what is refused."""
    return code in DENIED or (status == HTTPStatus.FORBIDDEN and code not in _TOKENS)


def advice(found: ErrorClass, code: str | None, status: int | None, asked: str) -> str:
    """What to do about an error answer.

    Args:
        found: Its class.
        code: Azure's code.
        status: The HTTP status.
        asked: What was asked.
    """
    costs = "/microsoft.costmanagement/" in asked.lower()
    if is_denied(status, code) and (role := _role_for(asked)):
        return f"give the identity {role}"
    if code in _ADVICE_BY_CODE:
        return _ADVICE_BY_CODE[code]
    if costs and status == HTTPStatus.UNAUTHORIZED:
        return _VIEW_CHARGES
    if costs and found is ErrorClass.TRANSIENT and status in _DOWN:
        return _WAIT_AN_HOUR
    return _ADVICE[found]


def storage_advice(found: ErrorClass, code: str | None, status: int | None) -> str:
    """What to do about an error of Blob Storage."""
    if is_denied(status, code):
        return f"give the identity {_STORAGE_ROLE}, and let the account's firewall admit this machine"
    if code in CHANGED:
        return "the period is read again"
    if code in _ARCHIVED:
        return "rehydrate the blob from the archive tier, or let start_date leave its month out"
    if found is ErrorClass.NOT_FOUND:
        return "check the url in exports: account, container and folder"
    return _ADVICE[found]
