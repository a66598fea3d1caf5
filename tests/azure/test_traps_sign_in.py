"""The known traps of Azure's interfaces, by number: those of signing in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from offgridflow_common.errors import AuthError, FatalError, TransientError
from tap_offgridflow_azure.connection.clouds import CLOUDS
from tests.azure.asking import client_of, failure, subscriptions
from tests.local_clouds.azure import LocalAzure
from tests.local_clouds.azure_tls import LocalAuthority
from tests.local_clouds.entra import UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from offgridflow_common.testing.clock import FakeClock
    from tests.azure.conftest import Config, Surround

CLAIMS = {"access_token": {"nbf": {"essential": True, "value": "1790000000"}}}
GOVERNMENT = "https://management.core.usgovcloudapi.net"


@pytest.mark.usefixtures("clock")
def test_trap_22_one_type_of_error_stands_for_the_secret_the_network_and_the_certificate(
    azure: LocalAzure, tap_config: Config
) -> None:
    config = tap_config(max_attempts=2)

    def kind(**settings: str) -> type[Exception]:
        given = {name: value for name, value in (config | settings).items() if value}
        return type(failure(lambda: subscriptions(client_of(given))))

    assert kind(client_secret="not-the-secret") is AuthError
    assert kind(ca_bundle="") is FatalError
    with azure.entra.refusing():
        assert kind() is TransientError


class TestTrap23:
    """A token that is good is used while the token service is not, and one that is refused never again."""

    @pytest.mark.parametrize(
        "shorten",
        [
            lambda azure: setattr(azure.entra, "refresh_in", 0),
            lambda azure: setattr(azure.entra, "lifetime", 250),
        ],
        ids=["to be refreshed", "in its last minutes"],
    )
    @pytest.mark.parametrize(
        "fail",
        [
            lambda azure: azure.entra.fail_next(UNAVAILABLE, 99, operation="token"),
            lambda azure: azure.entra.reset_next(99, operation="token"),
        ],
        ids=["down", "unreachable"],
    )
    def test_trap_23_a_good_token_carries_over(
        self,
        shorten: Callable[[LocalAzure], None],
        fail: Callable[[LocalAzure], None],
        *,
        azure: LocalAzure,
        tap_config: Config,
        clock: FakeClock,
    ) -> None:
        shorten(azure)
        client = client_of(tap_config())
        subscriptions(client)
        fail(azure)
        for _ in range(3):
            clock.advance(31)
            assert subscriptions(client).status == 200
        assert len(azure.entra.asked("token")) >= 2
        assert {request.token for request in azure.arm.requests} == {"token 1"}

    def test_trap_23_a_new_token_is_forced_by_a_new_credential(
        self, azure: LocalAzure, tap_config: Config
    ) -> None:
        client = client_of(tap_config())
        subscriptions(client)
        azure.tokens.expire_all()
        assert subscriptions(client).status == 200
        assert azure.arm.requests[-1].token == "token 2"

    def test_trap_23_errors_are_not_repeated_from_memory(
        self, azure: LocalAzure, tap_config: Config, clock: FakeClock
    ) -> None:
        azure.entra.fail_next(UNAVAILABLE, 3, operation="token")
        assert subscriptions(client_of(tap_config())).status == 200
        assert len(azure.entra.asked("token")) == 4
        assert all(5 <= seconds <= 30 for seconds in clock.slept)


def test_trap_24_claims_are_base64_in_the_header_and_one_memory_serves_all_requests(
    azure: LocalAzure, tap_config: Config
) -> None:
    client = client_of(tap_config())
    subscriptions(client)
    azure.tokens.demand(CLAIMS)
    for _ in range(3):
        assert subscriptions(client).status == 200
    first, second = azure.entra.asked("token")
    # With `enable_cae` they would hold `xms_cc` too, in every request for a token or in none.
    assert "claims" not in first.body
    assert json.loads(second.body["claims"]) == CLAIMS
    assert [request.token for request in azure.arm.requests[2:]] == ["token 2"] * 3


def test_trap_25_in_us_government_tokens_are_for_another_host_than_is_asked(tap_config: Config) -> None:
    with LocalAzure(arm_audience=GOVERNMENT) as azure:
        config = tap_config(**azure.settings, azure_cloud="AzureUSGovernment")
        assert subscriptions(client_of(config)).status == 200
        assert azure.entra.asked("token")[0].body["scope"] == f"{GOVERNMENT}/.default"
    assert CLOUDS["AzureUSGovernment"].arm_url == "https://management.usgovcloudapi.net"


class TestTrap26:
    """Private authorities: nobody else is asked about them, and their certificates are trusted as set."""

    def test_trap_26_no_other_service_is_asked_whether_the_authority_exists(
        self, azure: LocalAzure, tap_config: Config, surround: Surround
    ) -> None:
        # Whoever is not on this machine would be asked by way of a proxy that is not there.
        surround({"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"})
        surround({"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"})
        assert subscriptions(client_of(tap_config())).status == 200
        assert [request.operation for request in azure.entra.requests] == ["discovery", "token"]

    @pytest.mark.parametrize(
        ("variable", "trusted"), [("REQUESTS_CA_BUNDLE", True), ("SSL_CERT_FILE", False)]
    )
    def test_trap_26_without_the_setting_one_variable_counts_and_the_other_does_not(
        self,
        variable: str,
        trusted: bool,  # noqa: FBT001 - what is expected
        *,
        azure: LocalAzure,
        tap_config: Config,
        surround: Surround,
    ) -> None:
        surround({variable: str(azure.authority.ca_file)})
        config = {name: value for name, value in tap_config().items() if name != "ca_bundle"}
        client = client_of(config | {"max_attempts": 1})
        if trusted:
            assert subscriptions(client).status == 200
        else:
            assert isinstance(failure(lambda: subscriptions(client)), FatalError)

    @pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
    def test_trap_26_the_setting_counts_more_than_any_variable(
        self, variable: str, tap_config: Config, surround: Surround, tmp_path: Path
    ) -> None:
        surround({variable: str(LocalAuthority(tmp_path).ca_file)})
        assert subscriptions(client_of(tap_config())).status == 200
