"""The token service as azure-identity meets it, and how Azure Resource Manager looks at tokens."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential, ClientSecretCredential, WorkloadIdentityCredential

from tests.local_clouds import entra as entra_answers
from tests.local_clouds.azure import LocalAzure
from tests.local_clouds.azure_tokens import ARM_AUDIENCE, STORAGE_AUDIENCE
from tests.local_clouds.entra import CLIENT, SECRET, TENANT, entra_error
from tests.local_clouds.entra_assertions import Certificate

if TYPE_CHECKING:
    from pathlib import Path

SCOPE = f"{ARM_AUDIENCE}/.default"
SUBSCRIPTIONS = "/subscriptions?api-version=2022-12-01"


def sign_in(
    azure: LocalAzure,
    transport: dict[str, Any],
    tenant: str = TENANT,
    client: str = CLIENT,
    secret: str = SECRET,
) -> ClientSecretCredential:
    return ClientSecretCredential(
        tenant, client, secret, authority=azure.entra.url, disable_instance_discovery=True, **transport
    )


def ask(azure: LocalAzure, token: str | None) -> requests.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return requests.get(
        azure.arm.url + SUBSCRIPTIONS, headers=headers, verify=str(azure.authority.ca_file), timeout=5
    )


def test_a_secret_gets_a_token_that_the_client_keeps(azure: LocalAzure, credential: Any) -> None:
    first, second = credential.get_token(SCOPE), credential.get_token(SCOPE)
    assert first.token == second.token
    assert len(azure.entra.asked("token")) == 1
    assert ask(azure, first.token).status_code == 200


def test_a_short_lifetime_makes_the_client_ask_each_time(azure: LocalAzure, credential: Any) -> None:
    azure.entra.lifetime = 299
    assert credential.get_token(SCOPE).token != credential.get_token(SCOPE).token


def test_a_time_to_refresh_is_told(azure: LocalAzure, credential: Any) -> None:
    azure.entra.refresh_in = 1800
    token = credential.get_token_info(SCOPE)
    assert token.expires_on - token.refresh_on == pytest.approx(1800, abs=2)


@pytest.mark.parametrize("password", [None, "word"])
def test_a_certificate_is_good_only_if_it_is_registered(
    azure: LocalAzure, transport: dict[str, Any], password: str | None
) -> None:
    certificate = Certificate.create()
    settings = {"authority": azure.entra.url, "disable_instance_discovery": True, **transport}

    def token() -> str:
        with CertificateCredential(
            TENANT, CLIENT, certificate_data=certificate.pem(password), password=password, **settings
        ) as credential:
            return credential.get_token(SCOPE).token

    with pytest.raises(ClientAuthenticationError, match="AADSTS700027"):
        token()
    azure.entra.certificates.append(certificate)
    assert ask(azure, token()).status_code == 200


def test_a_federated_token_is_good_only_if_it_is_trusted(
    azure: LocalAzure, transport: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text("assertion of another issuer")
    with WorkloadIdentityCredential(
        tenant_id=TENANT,
        client_id=CLIENT,
        token_file_path=str(path),
        authority=azure.entra.url,
        disable_instance_discovery=True,
        **transport,
    ) as credential:
        with pytest.raises(ClientAuthenticationError, match="AADSTS50027"):
            credential.get_token(SCOPE)
        azure.entra.federated_tokens.add("assertion of another issuer")
        assert ask(azure, credential.get_token(SCOPE).token).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tenant": "99999999-9999-9999-9999-999999999999"}, "Unable to get authority configuration"),
        ({"client": "99999999-9999-9999-9999-999999999999"}, "AADSTS700016"),
        ({"secret": "wrong"}, "AADSTS7000215"),
    ],
)
def test_wrong_credentials_are_told_apart(
    azure: LocalAzure, transport: dict[str, Any], wrong: dict[str, str], message: str
) -> None:
    with (
        sign_in(azure, transport, **wrong) as credential,
        pytest.raises(ClientAuthenticationError, match=message),
    ):
        credential.get_token(SCOPE)


def test_an_expired_secret_and_an_unknown_resource_are_refused(azure: LocalAzure, credential: Any) -> None:
    with pytest.raises(ClientAuthenticationError, match="AADSTS500011"):
        credential.get_token("https://example.com/.default")
    azure.entra.secret_expired = True
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000222"):
        credential.get_token(SCOPE)


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (entra_answers.throttled(None), "AADSTS90055"),
        (entra_answers.UNAVAILABLE, "503|Service Unavailable"),
        (entra_error(400, "invalid_request", 90002, "Tenant not found."), "AADSTS90002"),
    ],
)
def test_failures_of_the_token_service_reach_the_client(
    azure: LocalAzure, credential: Any, reply: Any, message: str
) -> None:
    azure.entra.fail_next(reply, operation="token")
    with pytest.raises(ClientAuthenticationError, match=message):
        credential.get_token(SCOPE)


def test_the_token_service_refuses_connections_and_comes_back(azure: LocalAzure, credential: Any) -> None:
    with azure.entra.refusing(), pytest.raises(ClientAuthenticationError, match="refused"):
        credential.get_token(SCOPE)
    assert ask(azure, credential.get_token(SCOPE).token).status_code == 200


def test_clients_that_do_not_trust_the_authority_fail(azure: LocalAzure) -> None:
    with (
        sign_in(azure, {"retry_total": 0}) as credential,
        pytest.raises(ClientAuthenticationError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        credential.get_token(SCOPE)


def test_records_hold_no_secret(azure: LocalAzure, credential: Any) -> None:
    token = credential.get_token(SCOPE).token
    ask(azure, token)
    shown = repr(azure.entra.requests) + repr(azure.arm.requests)
    assert SECRET not in shown
    assert token not in shown
    assert azure.arm.requests[-1].token == "token 1"


@pytest.mark.parametrize("kind", ["missing", "unknown", "expired", "audience", "tenant"])
def test_tokens_that_are_not_good_are_refused(azure: LocalAzure, kind: str) -> None:
    token: str | None = azure.entra.token(STORAGE_AUDIENCE if kind == "audience" else ARM_AUDIENCE)
    if kind == "missing":
        token = None
    elif kind == "unknown":
        token = "never.issued.here"
    elif kind == "expired":
        azure.tokens.expire_all()
    elif kind == "tenant":
        token = azure.tokens.issue(ARM_AUDIENCE, "99999999-9999-9999-9999-999999999999", 60)
    answer = ask(azure, token)
    expected = {
        "missing": "AuthenticationFailed",
        "expired": "ExpiredAuthenticationToken",
        "tenant": "InvalidAuthenticationTokenTenant",
    }
    assert (answer.status_code, answer.json()["error"]["code"]) == (
        401,
        expected.get(kind, "InvalidAuthenticationToken"),
    )
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert azure.arm.requests[-1].code == answer.json()["error"]["code"]


def test_tokens_expire_by_the_clock_of_the_test() -> None:
    moment = 1_790_000_000.0
    with LocalAzure(now=lambda: moment) as azure:
        token = azure.entra.token()
        assert ask(azure, token).status_code == 200
        moment += azure.entra.lifetime
        assert ask(azure, token).json()["error"]["code"] == "ExpiredAuthenticationToken"


@pytest.mark.parametrize("cae", [True, False])
def test_a_revoked_token_is_challenged_until_the_claims_come(
    azure: LocalAzure, credential: Any, *, cae: bool
) -> None:
    claims = {"access_token": {"nbf": {"essential": True, "value": "1790000000"}}}
    token = credential.get_token(SCOPE, enable_cae=cae).token
    azure.tokens.demand(claims)
    refused = ask(azure, token)
    header = refused.headers["WWW-Authenticate"]
    found = re.search('error="insufficient_claims", claims="([^"]+)"', header)
    assert refused.status_code == 401
    assert found
    assert not found[1].endswith("=")
    text = base64.urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4)).decode()
    assert json.loads(text) == claims
    renewed = credential.get_token(SCOPE, claims=text, enable_cae=cae).token
    assert ask(azure, renewed).status_code == 200
    assert ask(azure, token).status_code == 401
