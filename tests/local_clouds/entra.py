"""A stand-in for Entra's token service, for applications that sign in with a secret or an assertion."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from tests.local_clouds.azure_http import HIDDEN, HttpService
from tests.local_clouds.azure_messages import Refused, Reply, Request
from tests.local_clouds.azure_tokens import ARM_AUDIENCE, IMPACT_AUDIENCE, STORAGE_AUDIENCE, TokenLedger
from tests.local_clouds.entra_assertions import AssertionProblem, Certificate, check_assertion

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

TENANT = "11111111-1111-1111-1111-111111111111"
CLIENT = "22222222-2222-2222-2222-222222222222"
SECRET = "local-secret-of-nobody"
AUDIENCES = (
    ARM_AUDIENCE,
    "https://management.core.usgovcloudapi.net",
    "https://management.chinacloudapi.cn",
    STORAGE_AUDIENCE,
    IMPACT_AUDIENCE,
)
_SECRETS = {"client_secret", "client_assertion"}
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def entra_error(
    status: int, error: str, number: int, text: str = "Made up.", headers: Mapping[str, str] | None = None
) -> Reply:
    """An error answer; `number` is that of AADSTS."""
    trace = "00000000-0000-0000-0000-000000000000"
    body = {
        "error": error,
        "error_description": f"AADSTS{number}: {text} Trace ID: {trace} Correlation ID: {trace}",
        "error_codes": [number],
        "trace_id": trace,
        "correlation_id": trace,
        "error_uri": f"https://login.microsoftonline.com/error?code={number}",
    }
    return Reply(status, body, headers or {})


def throttled(retry_after: str | None = "1") -> Reply:
    """Too many token requests in the tenant."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return entra_error(429, "temporarily_unavailable", 90055, "Too many requests.", headers)


UNAVAILABLE = Reply(503, "<html><body>Service Unavailable</body></html>", {"Content-Type": "text/html"})


class EntraServer(HttpService):
    """The service of one tenant with one application, as a context manager.

    Operations: `discovery`, `token`.

    Args:
        tls: Certificate and key to serve with.
        ledger: Where issued tokens are noted.

    Attributes:
        lifetime: Seconds that tokens are good for; clients cache none below 300.
        refresh_in: Seconds after which clients shall get a new one; None says nothing about it.
        secret_expired: Whether the right secret is too old.
        federated_tokens: Assertions of other issuers that the application trusts.
        certificates: Those that the application may sign assertions with.
    """

    def __init__(
        self,
        tls: ssl.SSLContext,
        ledger: TokenLedger,
        *,
        tenant: str = TENANT,
        client: str = CLIENT,
        secret: str = SECRET,
    ) -> None:
        super().__init__(tls)
        self.tenant, self.client, self.secret = tenant, client, secret
        self.ledger = ledger
        self.lifetime = 3600
        self.refresh_in: int | None = None
        self.secret_expired = False
        self.federated_tokens: set[str] = set()
        self.certificates: list[Certificate] = []

    def token(self, audience: str = ARM_AUDIENCE) -> str:
        """A token as an application would get it, for clients that are not signed in."""
        return self.ledger.issue(audience, self.tenant, self.lifetime)

    def operation_of(self, request: Request) -> str:
        if request.path.endswith("/v2.0/.well-known/openid-configuration"):
            return "discovery"
        return "token" if request.path.endswith("/oauth2/v2.0/token") else request.path

    def answer(self, request: Request) -> Reply:
        operation = self.operation_of(request)
        tenant = request.path.split("/")[1].lower()
        if operation not in ("discovery", "token"):
            return Reply(404, "")
        if tenant != self.tenant:
            error = "invalid_tenant" if operation == "discovery" else "invalid_request"
            return entra_error(400, error, 90002, f"Tenant '{tenant}' not found.")
        if operation == "discovery":
            return self._discover(f"{request.origin}/{tenant}")
        return self._issue(_form(request), f"{request.origin}/{tenant}/oauth2/v2.0/token")

    def shown(self, request: Request) -> Any:
        form = _form(request)
        return form | dict.fromkeys(_SECRETS & form.keys(), HIDDEN)

    @staticmethod
    def _discover(base: str) -> Reply:
        return Reply(
            body={
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
            }
        )

    def _issue(self, form: Mapping[str, str], endpoint: str) -> Reply:
        if form.get("grant_type") != "client_credentials":
            raise Refused(entra_error(400, "unsupported_grant_type", 70003, "The grant is not supported."))
        if form.get("client_id") != self.client:
            text = f"Application with identifier '{form.get('client_id')}' was not found in the directory."
            raise Refused(entra_error(400, "unauthorized_client", 700016, text))
        self._authenticate(form, endpoint)
        audience = form.get("scope", "").removesuffix("/.default")
        if audience not in AUDIENCES:
            text = f"The resource principal named {audience} was not found in the tenant."
            raise Refused(entra_error(400, "invalid_resource", 500011, text))
        token = self.ledger.issue(
            audience, self.tenant, self.lifetime, json.loads(form.get("claims") or "{}")
        )
        body = {"token_type": "Bearer", "expires_in": self.lifetime, "ext_expires_in": self.lifetime}
        if self.refresh_in is not None:
            body["refresh_in"] = self.refresh_in
        return Reply(body=body | {"access_token": token})

    def _authenticate(self, form: Mapping[str, str], endpoint: str) -> None:
        if "client_secret" in form:
            self._check_secret(form["client_secret"])
        elif form.get("client_assertion_type") == _ASSERTION_TYPE:
            self._check_assertion(form.get("client_assertion", ""), endpoint)
        else:
            text = "The request body must contain 'client_assertion' or 'client_secret'."
            raise Refused(entra_error(401, "invalid_client", 7000218, text))

    def _check_secret(self, secret: str) -> None:
        if secret != self.secret:
            text = (
                "Invalid client secret provided. Ensure the secret being sent in the request is the client "
                f"secret value, not the client secret ID, for a secret added to app '{self.client}'."
            )
            raise Refused(entra_error(401, "invalid_client", 7000215, text))
        if self.secret_expired:
            text = f"The provided client secret keys for app '{self.client}' are expired."
            raise Refused(entra_error(401, "invalid_client", 7000222, text))

    def _check_assertion(self, assertion: str, endpoint: str) -> None:
        if assertion in self.federated_tokens:
            return
        try:
            check_assertion(assertion, self.certificates, self.client, endpoint, self.ledger.now())
        except AssertionProblem as problem:
            raise Refused(entra_error(401, "invalid_client", problem.number, str(problem))) from None


def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode(errors="replace"), keep_blank_values=True))
