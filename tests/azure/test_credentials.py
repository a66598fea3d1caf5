"""Who the tap is to Azure: from its settings, or its surroundings, to the token that it asks with."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from offgridflow_common.errors import AuthError, BadRequestError, ConfigError
from tests.azure.answers import ONE
from tests.azure.asking import CREDENTIALS, client_of, failure, subscriptions
from tests.local_clouds.azure_discovery import Subscription
from tests.local_clouds.azure_tokens import ARM_AUDIENCE
from tests.local_clouds.entra import CLIENT, TENANT
from tests.local_clouds.entra_assertions import Certificate
from tests.local_clouds.managed_identity import federated_token_file, workload_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.azure.conftest import Config, RunTap, Surround
    from tests.local_clouds.azure import LocalAzure

STREAM = "subscriptions"


@pytest.fixture(autouse=True)
def _published(azure: LocalAzure) -> None:
    azure.discovery.subscriptions = [Subscription(ONE, "Shop")]


def forms(azure: LocalAzure) -> list[Any]:
    """What the token service was asked."""
    return [request.body for request in azure.entra.asked("token")]


def is_read(azure: LocalAzure, config: Mapping[str, Any], run_tap: RunTap) -> bool:
    """Whether a run has the subscriptions, by one token for all its requests."""
    run = run_tap(config, [STREAM])
    assert run.exit_code == 0, run.stderr
    tokens = {request.token for request in azure.arm.requests}
    return len(run.records(STREAM)) == 1 and tokens == {"token 1"}


class TestSettings:
    """What the settings hold is enough."""

    @pytest.mark.parametrize("method", [None, "client_secret"])
    def test_a_secret(
        self, method: str | None, azure: LocalAzure, tap_config: Config, run_tap: RunTap
    ) -> None:
        assert is_read(azure, tap_config(**({"auth_method": method} if method else {})), run_tap)
        (form,) = forms(azure)
        assert form["client_id"] == CLIENT
        assert form["scope"] == f"{ARM_AUDIENCE}/.default"
        assert "client_secret" in form

    @pytest.mark.parametrize("password", [None, "wörd"])
    @pytest.mark.parametrize("form", ["PEM", "PKCS12"])
    @pytest.mark.parametrize("method", [None, "certificate"])
    def test_a_certificate(
        self,
        method: str | None,
        form: str,
        password: str | None,
        *,
        azure: LocalAzure,
        nobody: Config,
        run_tap: RunTap,
        tmp_path: Path,
    ) -> None:
        certificate = Certificate.create()
        azure.entra.certificates.append(certificate)
        path = tmp_path / "certificate"
        path.write_bytes(certificate.pem(password) if form == "PEM" else certificate.pkcs12(password))
        settings = {
            "tenant_id": TENANT,
            "client_id": CLIENT,
            "certificate_path": str(path),
            "certificate_password": password,
            "auth_method": method,
        }
        given = {name: value for name, value in settings.items() if value}
        assert is_read(azure, nobody(**given), run_tap)
        assert "client_assertion" in forms(azure)[0]

    def test_a_method_that_is_named_counts_more_than_a_secret_that_is_there(
        self,
        azure: LocalAzure,
        tap_config: Config,
        run_tap: RunTap,
        surround: Surround,
    ) -> None:
        surround(azure.identity.app_service_environment)
        assert is_read(azure, tap_config(auth_method="managed_identity"), run_tap)
        assert not forms(azure)


class TestSurroundings:
    """What the machine that the tap runs on holds is enough."""

    @pytest.mark.parametrize("told", [True, False], ids=["settings", "environment"])
    def test_a_federated_token(
        self,
        told: bool,  # noqa: FBT001 - who names the application
        *,
        azure: LocalAzure,
        nobody: Config,
        run_tap: RunTap,
        surround: Surround,
        tmp_path: Path,
    ) -> None:
        environment = workload_environment(federated_token_file(tmp_path, azure.entra), azure.entra)
        settings = {"auth_method": "workload_identity"}
        if told:
            environment = {"AZURE_FEDERATED_TOKEN_FILE": environment["AZURE_FEDERATED_TOKEN_FILE"]}
            settings |= {"tenant_id": TENANT, "client_id": CLIENT}
        # The settings say where to sign in.
        surround(environment | {"AZURE_AUTHORITY_HOST": "https://127.0.0.1:9"})
        assert is_read(azure, nobody(**settings), run_tap)
        assert forms(azure)[0]["client_id"] == CLIENT

    @pytest.mark.parametrize("client", [None, CLIENT])
    @pytest.mark.parametrize("style", ["app_service", "imds"])
    def test_a_managed_identity(
        self,
        style: str,
        client: str | None,
        *,
        azure: LocalAzure,
        nobody: Config,
        run_tap: RunTap,
        surround: Surround,
    ) -> None:
        surround(getattr(azure.identity, f"{style}_environment"))
        settings = {"auth_method": "managed_identity"} | ({"client_id": client} if client else {})
        assert is_read(azure, nobody(**settings), run_tap)
        (request,) = azure.identity.asked(style)
        assert request.query["resource"] == ARM_AUDIENCE
        assert request.query.get("client_id") == client

    @pytest.mark.parametrize("tenant", [None, TENANT])
    def test_the_command_line_is_started_once(
        self,
        tenant: str | None,
        *,
        azure: LocalAzure,
        nobody: Config,
        run_tap: RunTap,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        calls = az(tmp_path, azure.entra.token(), monkeypatch)
        settings = {"auth_method": "cli"} | ({"tenant_id": tenant} if tenant else {})
        azure.discovery.page_size = 1
        azure.discovery.subscriptions = [Subscription(ONE, "Shop"), Subscription(f"b{ONE[1:]}", "Lab")]
        run = run_tap(nobody(**settings), [STREAM])
        assert run.exit_code == 0, run.stderr
        assert len(azure.arm.requests) == 2
        wanted = f"account get-access-token --output json --resource {ARM_AUDIENCE}"
        assert calls() == [wanted + (f" --tenant {tenant}" if tenant else "")]

    def test_by_default_variables_of_an_application(
        self,
        azure: LocalAzure,
        nobody: Config,
        run_tap: RunTap,
        surround: Surround,
    ) -> None:
        surround({f"AZURE_{name.upper()}": azure.settings[name] for name in CREDENTIALS})
        assert is_read(azure, nobody(), run_tap)
        assert forms(azure)[0]["client_id"] == CLIENT

    @pytest.mark.parametrize("client", [None, CLIENT])
    def test_by_default_a_managed_identity_too(
        self,
        client: str | None,
        *,
        azure: LocalAzure,
        nobody: Config,
        run_tap: RunTap,
        surround: Surround,
    ) -> None:
        surround(azure.identity.app_service_environment)
        assert is_read(azure, nobody(**({"client_id": client} if client else {})), run_tap)
        assert azure.identity.asked("app_service")[-1].query.get("client_id") == client


def az(folder: Path, token: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Put a command `az` first on the path; give the arguments of its calls so far."""
    answer = {"accessToken": token, "expires_on": 4070908800, "tokenType": "Bearer"}
    program = folder / "az"
    program.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"open({str(folder / 'calls')!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        f"print({json.dumps(answer)!r})\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return lambda: (folder / "calls").read_text().splitlines()


class TestNotPrepared:
    """What is missing or wrong is said before anything is asked, and never tried again."""

    @pytest.mark.parametrize(
        ("content", "password", "said"),
        [
            (b"not a certificate", None, "Failed to deserialize certificate"),
            ("PEM", None, "certificate_path|Password"),
            ("PEM", "not-the-password", "assword|decrypt"),
            ("PKCS12", "not-the-password", "Failed to deserialize certificate"),
            ("PKCS12", None, "Failed to deserialize certificate"),
        ],
    )
    def test_a_certificate_that_cannot_be_read(
        self,
        content: bytes | str,
        password: str | None,
        said: str,
        *,
        azure: LocalAzure,
        nobody: Config,
        tmp_path: Path,
    ) -> None:
        certificate = Certificate.create()
        if isinstance(content, str):
            content = certificate.pem("right") if content == "PEM" else certificate.pkcs12("right")
        path = tmp_path / "certificate"
        path.write_bytes(content)
        given = {"certificate_password": password} if password else {}
        config = nobody(tenant_id=TENANT, client_id=CLIENT, certificate_path=str(path), **given)
        error = failure(lambda: subscriptions(client_of(config)))
        assert isinstance(error, ConfigError)
        assert "the certificate with its password" in error.do
        assert error.got
        assert any(part in str(error) for part in said.split("|"))
        assert not azure.entra.requests

    def test_a_tenant_that_cannot_be_one(self, tap_config: Config, azure: LocalAzure) -> None:
        error = failure(lambda: subscriptions(client_of(tap_config(tenant_id="my tenant"))))
        assert isinstance(error, ConfigError)
        assert "check tenant_id" in error.do
        assert not azure.entra.requests

    def test_a_workload_without_a_token_file(self, nobody: Config) -> None:
        config = nobody(auth_method="workload_identity", tenant_id=TENANT, client_id=CLIENT)
        error = failure(lambda: subscriptions(client_of(config)))
        assert isinstance(error, ConfigError)
        assert "AZURE_FEDERATED_TOKEN_FILE" in error.do

    def test_a_token_file_that_is_not_there(
        self,
        nobody: Config,
        surround: Surround,
        tmp_path: Path,
        azure: LocalAzure,
    ) -> None:
        surround({"AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "none")})
        config = nobody(auth_method="workload_identity", tenant_id=TENANT, client_id=CLIENT)
        error = failure(lambda: subscriptions(client_of(config)))
        assert isinstance(error, BadRequestError)
        assert "AZURE_FEDERATED_TOKEN_FILE" in error.do
        assert not azure.entra.asked("token")

    @pytest.mark.parametrize("method", ["cli", "default"])
    def test_surroundings_without_any_identity(
        self,
        method: str,
        nobody: Config,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", "http://127.0.0.1:9")
        error = failure(lambda: subscriptions(client_of(nobody(auth_method=method))))
        assert isinstance(error, AuthError)
        assert f"signing in by {method}" in error.asked
        assert "`az login`" in error.do

    def test_a_command_line_that_is_not_signed_in(
        self, nobody: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        program = tmp_path / "az"
        program.write_text("#!/bin/sh\necho 'ERROR: Please run az login to setup account.' >&2\nexit 1\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        error = failure(lambda: subscriptions(client_of(nobody(auth_method="cli"))))
        assert isinstance(error, AuthError)
        assert "`az login`" in error.do
