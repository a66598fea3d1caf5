"""Access tokens between the stand-ins: who issues them notes them here, who is shown one looks it up.

Tokens are JWTs in the form of Entra's version 1, unsigned; Azurite accepts them too.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Mapping

ARM_AUDIENCE = "https://management.azure.com"
STORAGE_AUDIENCE = "https://storage.azure.com"
IMPACT_AUDIENCE = "c3163bf1-092f-436b-b260-7ade5973e5b9"
# Clocks differ a little, so tokens are valid from a minute before they are made.
_EARLY_SECONDS = 60
_CHALLENGE = 'Bearer authorization_uri="https://login.microsoftonline.com/"'


@dataclass(frozen=True, slots=True)
class Issued:
    """One token: `expires` in seconds since 1970, `claims` as they were asked for."""

    audience: str
    tenant: str
    expires: float
    claims: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TokenProblem(Exception):  # noqa: N818 - what is wrong with a token
    """Why a token is refused.

    Attributes:
        code: As Azure Resource Manager calls it.
        message: The same at length.
        challenge: Value of the header `WWW-Authenticate`.
    """

    code: str
    message: str
    challenge: str


class TokenLedger:
    """All tokens that were issued, and which of them are good.

    Args:
        now: Seconds since 1970.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self.now = now
        self._lock = threading.Lock()
        self._issued: dict[str, Issued] = {}
        self._demanded: Mapping[str, Any] = {}

    def issue(
        self, audience: str, tenant: str, lifetime: int, claims: Mapping[str, Any] | None = None
    ) -> str:
        """A new token; its name, for records and messages, is its claim `uti`."""
        moment = int(self.now())
        with self._lock:
            number = len(self._issued) + 1
            token = _unsigned_jwt(
                {
                    "aud": audience,
                    "iss": f"https://sts.windows.net/{tenant}/",
                    "tid": tenant,
                    "iat": moment,
                    "nbf": moment - _EARLY_SECONDS,
                    "exp": moment + lifetime,
                    "uti": f"token {number}",
                }
            )
            self._issued[token] = Issued(audience, tenant, moment + lifetime, claims or {})
        return token

    def expire_all(self) -> None:
        """Let every token issued so far be expired."""
        with self._lock:
            for token, issued in self._issued.items():
                self._issued[token] = Issued(issued.audience, issued.tenant, 0, issued.claims)

    def demand(self, claims: Mapping[str, Any]) -> None:
        """Refuse, with a challenge, every token that was not asked for with these claims."""
        with self._lock:
            self._demanded = claims

    def check(self, authorization: str | None, audiences: Container[str], tenant: str) -> None:
        """Look a request's token up.

        Args:
            authorization: The header of that name.
            audiences: Those that the service accepts.
            tenant: The one that the service is asked about.

        Raises:
            TokenProblem: The token is missing, unknown, expired, another's, or lacks demanded claims.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme != "Bearer" or not token:
            raise _problem("AuthenticationFailed", "The 'Authorization' header is missing.")
        with self._lock:
            issued, demanded = self._issued.get(token), self._demanded
        if issued is None:
            raise _problem("InvalidAuthenticationToken", "The access token is invalid.")
        if issued.audience not in audiences:
            message = (
                f"The access token has been obtained for wrong audience or resource '{issued.audience}'."
            )
            raise _problem("InvalidAuthenticationToken", message)
        if issued.tenant != tenant:
            wrong, right = (f"'https://sts.windows.net/{one}/'" for one in (issued.tenant, tenant))
            message = (
                f"The access token is from the wrong issuer {wrong}. It must match the tenant {right} "
                "associated with this subscription."
            )
            raise _problem("InvalidAuthenticationTokenTenant", message)
        if issued.expires <= self.now():
            message = "The access token expiry UTC time is earlier than current UTC time."
            raise _problem("ExpiredAuthenticationToken", message)
        if not _holds(issued.claims, demanded):
            raise TokenProblem("InvalidAuthenticationToken", "More claims are needed.", challenge(demanded))


def token_name(authorization: str | None) -> str | None:
    """The name of the token in an `Authorization` header, which may be shown, unlike the token."""
    token = (authorization or "").partition(" ")[2]
    if not token:
        return None
    try:
        payload = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["uti"])
    except (IndexError, KeyError, ValueError, TypeError, binascii.Error):
        return "unknown token"


def challenge(claims: Mapping[str, Any]) -> str:
    """The header `WWW-Authenticate` that asks for claims."""
    encoded = _unpadded(json.dumps(claims).encode())
    return f'{_CHALLENGE}, error="insufficient_claims", claims="{encoded}"'


def _problem(code: str, message: str) -> TokenProblem:
    return TokenProblem(code, message, f'{_CHALLENGE}, error="invalid_token", error_description="{message}"')


def _holds(given: Any, demanded: Any) -> bool:
    """Whether everything demanded is there; a client may ask for more."""
    if not isinstance(demanded, dict):
        return bool(given == demanded)
    return isinstance(given, dict) and all(
        name in given and _holds(given[name], value) for name, value in demanded.items()
    )


def _unsigned_jwt(claims: Mapping[str, Any]) -> str:
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    return ".".join([*(_unpadded(json.dumps(part).encode()) for part in parts), "signature"])


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
