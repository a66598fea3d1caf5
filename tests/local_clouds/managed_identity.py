"""A stand-in for the endpoints of managed identities, and the file of a federated identity.

Both styles of endpoint are plain http on loopback, as on the machines of Azure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.local_clouds.azure_http import HttpService
from tests.local_clouds.azure_messages import Refused, Reply, Request
from tests.local_clouds.entra import CLIENT, TENANT, EntraServer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.local_clouds.azure_tokens import TokenLedger

IDENTITY_HEADER = "local-header-of-nobody"
_APP_SERVICE, _IMDS = "/msi/token", "/metadata/identity/oauth2/token"
_VERSIONS = {_APP_SERVICE: "2019-08-01", _IMDS: "2018-02-01"}


class ManagedIdentityServer(HttpService):
    """Both endpoints, as a context manager. Operations: `app_service`, `imds`.

    Args:
        ledger: Where issued tokens are noted.

    Attributes:
        lifetime: Seconds that tokens are good for.
        client: The identity assigned by a user; None for the system's only.
        assigned: Whether there is any identity.
    """

    def __init__(self, ledger: TokenLedger) -> None:
        super().__init__()
        self._ledger = ledger
        self.lifetime = 86400
        self.client: str | None = CLIENT
        self.assigned = True

    @property
    def app_service_environment(self) -> dict[str, str]:
        """Variables that a process in App Service has."""
        return {"IDENTITY_ENDPOINT": self.url + _APP_SERVICE, "IDENTITY_HEADER": IDENTITY_HEADER}

    @property
    def imds_environment(self) -> dict[str, str]:
        """The variable that leads a process of a virtual machine here."""
        return {"AZURE_POD_IDENTITY_AUTHORITY_HOST": self.url}

    def operation_of(self, request: Request) -> str:
        return {_APP_SERVICE: "app_service", _IMDS: "imds"}.get(request.path, request.path)

    def answer(self, request: Request) -> Reply:
        if request.path not in _VERSIONS or request.method != "GET":
            return Reply(404, "")
        _check(request)
        if not self.assigned or request.query.get("client_id", self.client) != self.client:
            return _error(400, "invalid_request", "Identity not found")
        resource = request.query["resource"]
        token = self._ledger.issue(resource, TENANT, self.lifetime)
        return Reply(
            body={
                "access_token": token,
                "expires_on": str(int(self._ledger.now()) + self.lifetime),
                "expires_in": str(self.lifetime),
                "resource": resource,
                "token_type": "Bearer",
            }
        )


def federated_token_file(folder: Path, entra: EntraServer, text: str = "local-assertion-of-nobody") -> Path:
    """A file as a workload's platform keeps it, whose content the token service trusts."""
    path = folder / "federated-token"
    path.write_text(text, "utf-8")
    entra.federated_tokens.add(text)
    return path


def workload_environment(path: Path, entra: EntraServer) -> dict[str, str]:
    """Variables that a workload with a federated identity has."""
    return {
        "AZURE_FEDERATED_TOKEN_FILE": str(path),
        "AZURE_TENANT_ID": entra.tenant,
        "AZURE_CLIENT_ID": entra.client,
        "AZURE_AUTHORITY_HOST": entra.url,
    }


def _check(request: Request) -> None:
    """Refuse what lacks something that every request must have."""
    if request.query.get("api-version") != _VERSIONS[request.path] or not request.query.get("resource"):
        raise Refused(_error(400, "invalid_request", "The api-version or the resource is missing."))
    if request.path == _APP_SERVICE and request.headers["X-IDENTITY-HEADER"] != IDENTITY_HEADER:
        raise Refused(_error(401, "unauthorized", "The header X-IDENTITY-HEADER is missing or wrong."))
    if request.path == _IMDS and request.headers["Metadata"] != "true":
        raise Refused(_error(400, "bad_request_102", "Required metadata header not specified"))


def _error(status: int, error: str, description: str) -> Reply:
    return Reply(status, {"error": error, "error_description": description})
