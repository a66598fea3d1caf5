"""The endpoints of managed identities and federated tokens, as azure-identity meets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CredentialUnavailableError, ManagedIdentityCredential, WorkloadIdentityCredential

from tests.local_clouds.azure_messages import Reply
from tests.local_clouds.azure_tokens import ARM_AUDIENCE
from tests.local_clouds.entra import CLIENT
from tests.local_clouds.managed_identity import IDENTITY_HEADER, federated_token_file, workload_environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.local_clouds.azure import LocalAzure

SCOPE = f"{ARM_AUDIENCE}/.default"
STYLES = ("app_service", "imds")


def surround(azure: LocalAzure, monkeypatch: pytest.MonkeyPatch, style: str) -> None:
    for name in ("IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "AZURE_POD_IDENTITY_AUTHORITY_HOST"):
        monkeypatch.delenv(name, raising=False)
    environment = getattr(azure.identity, f"{style}_environment")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("client", [None, CLIENT])
@pytest.mark.parametrize("style", STYLES)
def test_a_managed_identity_gets_a_token(
    azure: LocalAzure, http: requests.Session, monkeypatch: pytest.MonkeyPatch, style: str, client: str | None
) -> None:
    surround(azure, monkeypatch, style)
    options = {} if client is None else {"client_id": client}
    with ManagedIdentityCredential(retry_total=0, **options) as credential:
        token = credential.get_token_info(SCOPE)
        assert credential.get_token(SCOPE).token == token.token
    assert token.refresh_on is not None
    asked = azure.identity.asked(style)
    assert [seen.query["resource"] for seen in asked if seen.status == 200] == [ARM_AUDIENCE]
    assert IDENTITY_HEADER not in repr(asked)
    http.headers["Authorization"] = f"Bearer {token.token}"
    assert http.get(f"{azure.arm.url}/subscriptions?api-version=2022-12-01").status_code == 200


@pytest.mark.parametrize("style", STYLES)
def test_a_missing_identity_is_told(azure: LocalAzure, monkeypatch: pytest.MonkeyPatch, style: str) -> None:
    surround(azure, monkeypatch, style)
    azure.identity.assigned = False
    with (
        ManagedIdentityCredential(retry_total=0) as credential,
        pytest.raises((ClientAuthenticationError, CredentialUnavailableError)),
    ):
        credential.get_token(SCOPE)


def test_failures_of_the_endpoint_reach_the_client(
    azure: LocalAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    surround(azure, monkeypatch, "app_service")
    azure.identity.fail_next(Reply(500, {"error": "unknown"}), operation="app_service")
    with (
        ManagedIdentityCredential(retry_total=0) as credential,
        pytest.raises(CredentialUnavailableError, match="Token request error"),
    ):
        credential.get_token(SCOPE)
    # Another one, because the first keeps repeating the error for a while.
    with ManagedIdentityCredential(retry_total=0) as credential:
        assert credential.get_token(SCOPE).token


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/msi/token?api-version=2019-08-01&resource=r", {}, 401),
        ("/msi/token?api-version=2019-08-01&resource=r", {"X-IDENTITY-HEADER": "wrong"}, 401),
        ("/metadata/identity/oauth2/token?api-version=2018-02-01&resource=r", {}, 400),
        ("/metadata/identity/oauth2/token?resource=r", {"Metadata": "true"}, 400),
        ("/metadata/identity/oauth2/token?api-version=2018-02-01", {"Metadata": "true"}, 400),
        ("/metadata", {}, 404),
    ],
)
def test_requests_without_what_they_need_are_refused(
    azure: LocalAzure, path: str, headers: dict[str, str], status: int
) -> None:
    assert requests.get(azure.identity.url + path, headers=headers, timeout=5).status_code == status


def test_a_workload_signs_in_with_its_file(
    azure: LocalAzure, transport: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = federated_token_file(tmp_path, azure.entra)
    for name, value in workload_environment(path, azure.entra).items():
        monkeypatch.setenv(name, value)
    with WorkloadIdentityCredential(disable_instance_discovery=True, **transport) as credential:
        assert credential.get_token(SCOPE).token
    assert path.read_text() not in repr(azure.entra.requests)
