"""Tokens that are refused, or run out, while the tap asks: renewed once, and then an error that says why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from offgridflow_common.errors import AuthError, PermissionDenied, TransientError
from tests.azure.answers import ONE, THREE, TWO
from tests.azure.asking import VERSION, client_of, failure, subscriptions
from tests.local_clouds.azure import LocalAzure
from tests.local_clouds.azure_discovery import Subscription
from tests.local_clouds.azure_errors import VIEW_CHARGES_OFF, arm_error
from tests.local_clouds.azure_tokens import challenge
from tests.local_clouds.entra import UNAVAILABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from offgridflow_common.testing.clock import FakeClock
    from tap_offgridflow_azure.client import AzureClient
    from tests.azure.conftest import Config, RunTap

STREAM = "subscriptions"
QUERY = f"/subscriptions/{ONE}/providers/Microsoft.CostManagement/query"
CLAIMS = {"access_token": {"nbf": {"essential": True, "value": "1790000000"}}}
REFUSED = arm_error(401, "InvalidAuthenticationToken", "The access token is invalid.")

pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture(autouse=True)
def _published(azure: LocalAzure) -> None:
    azure.discovery.page_size = 1
    azure.discovery.subscriptions = [Subscription(one, one[-1]) for one in (ONE, TWO, THREE)]


@pytest.fixture
def client(tap_config: Config) -> AzureClient:
    return client_of(tap_config())


def tokens(azure: LocalAzure) -> list[tuple[str | None, int | None]]:
    """The tokens of the requests so far, and what came of them."""
    return [(request.token, request.status) for request in azure.arm.requests]


def test_a_token_that_expires_within_a_run_is_renewed_once_and_the_run_goes_on(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    pages: list[Any] = []

    def expire_after_the_first(page: Any) -> None:
        pages.append(page)
        if len(pages) == 1:
            azure.tokens.expire_all()

    azure.arm.alter("subscriptions", expire_after_the_first)
    run = run_tap(tap_config(), [STREAM])
    assert run.exit_code == 0, run.stderr
    assert len(run.records(STREAM)) == 3
    assert tokens(azure) == [("token 1", 200), ("token 1", 401), ("token 2", 200), ("token 2", 200)]


def test_tokens_that_run_out_again_and_again_are_fetched_in_time(
    tap_config: Config, run_tap: RunTap, clock: FakeClock
) -> None:
    with LocalAzure(now=lambda: clock.now().timestamp()) as azure:
        azure.entra.lifetime = 290
        azure.discovery.page_size = 1
        azure.discovery.subscriptions = [Subscription(one, one[-1]) for one in (ONE, TWO, THREE)]
        azure.arm.alter("subscriptions", lambda _page: clock.advance(200))
        run = run_tap(tap_config(**azure.settings), [STREAM])
        assert run.exit_code == 0, run.stderr
        assert tokens(azure) == [(f"token {number}", 200) for number in (1, 2, 3)]


def test_the_claims_of_a_challenge_are_asked_for_as_plain_json(
    azure: LocalAzure, client: AzureClient
) -> None:
    subscriptions(client)
    azure.tokens.demand(CLAIMS)
    assert subscriptions(client).status == 200
    first, second = azure.entra.asked("token")
    assert "claims" not in first.body
    assert json.loads(second.body["claims"]) == CLAIMS
    assert subscriptions(client).status == 200
    assert tokens(azure) == [("token 1", 200), ("token 1", 401), ("token 2", 200), ("token 2", 200)]


def test_a_second_refusal_is_final(azure: LocalAzure, client: AzureClient, clock: FakeClock) -> None:
    azure.arm.fail_next(REFUSED, 9)
    error = failure(lambda: subscriptions(client))
    assert isinstance(error, AuthError)
    assert not isinstance(error, PermissionDenied)
    assert error.code == "InvalidAuthenticationToken"
    assert "check auth_method, tenant_id, client_id and the secret or certificate" in error.do
    assert tokens(azure) == [("token 1", 401), ("token 2", 401)]
    assert clock.slept == []


def test_claims_that_no_token_ever_has_are_asked_for_once(azure: LocalAzure, client: AzureClient) -> None:
    refused = arm_error(401, "InvalidAuthenticationToken", "No.", {"WWW-Authenticate": challenge(CLAIMS)})
    azure.arm.fail_next(refused, 9)
    assert isinstance(failure(lambda: subscriptions(client)), AuthError)
    assert tokens(azure) == [("token 1", 401), ("token 2", 401)]


def test_each_request_may_renew_once(azure: LocalAzure, client: AzureClient) -> None:
    for _ in range(3):
        azure.tokens.expire_all()
        assert subscriptions(client).status == 200
    assert [token for token, status in tokens(azure) if status == 200] == ["token 1", "token 2", "token 3"]


def test_the_directory_is_named_where_it_is_another(azure: LocalAzure, client: AzureClient) -> None:
    azure.arm.fail_next(arm_error(401, "InvalidAuthenticationTokenTenant", "Wrong issuer."), 2)
    error = failure(lambda: subscriptions(client))
    assert "set tenant_id to the directory that the subscriptions belong to" in error.do


def test_a_token_service_that_is_down_for_a_moment_is_waited_for(
    azure: LocalAzure, client: AzureClient, clock: FakeClock
) -> None:
    subscriptions(client)
    azure.tokens.expire_all()
    azure.entra.fail_next(UNAVAILABLE, 2, operation="token")
    assert subscriptions(client).status == 200
    assert len(clock.slept) == 2


def test_a_token_that_was_refused_is_not_used_again_while_the_service_is_down(
    azure: LocalAzure, client: AzureClient
) -> None:
    subscriptions(client)
    azure.tokens.expire_all()
    azure.entra.fail_next(UNAVAILABLE, 99, operation="token")
    error = failure(lambda: subscriptions(client))
    assert isinstance(error, TransientError)
    assert "the token service does not keep up" in error.do
    assert tokens(azure) == [("token 1", 200), ("token 1", 401)]


def test_a_secret_that_expires_within_a_run_is_told_as_such(azure: LocalAzure, client: AzureClient) -> None:
    subscriptions(client)
    azure.tokens.expire_all()
    azure.entra.secret_expired = True
    error = failure(lambda: subscriptions(client))
    assert error.code == "AADSTS7000222"
    assert "this one has expired" in error.do


def test_what_is_forbidden_is_not_asked_again(azure: LocalAzure, client: AzureClient) -> None:
    azure.arm.forbid("subscriptions")
    assert isinstance(failure(lambda: subscriptions(client)), PermissionDenied)
    assert tokens(azure) == [("token 1", 403)]


def test_without_credentials_there_is_nothing_to_renew(azure: LocalAzure, client: AzureClient) -> None:
    error = failure(lambda: client.arm.request("GET", "/subscriptions", params=VERSION, anonymous=True))
    assert isinstance(error, AuthError)
    assert tokens(azure) == [(None, 401)]
    assert not azure.entra.requests


class TestCosts:
    """A 401 of Cost Management may also mean that charges are not to be seen."""

    @pytest.fixture
    def query(self, azure: LocalAzure, client: AzureClient) -> Callable[[], Any]:
        azure.scopes.subscriptions = {ONE}
        body = {
            "type": "ActualCost",
            "timeframe": "Custom",
            "timePeriod": {"from": "2026-09-01T00:00:00Z", "to": "2026-09-30T23:59:59Z"},
            "dataset": {
                "granularity": "Daily",
                "aggregation": {"cost": {"name": "Cost", "function": "Sum"}},
            },
        }
        params = {"api-version": "2025-03-01"}
        return lambda: client.costs.request("POST", QUERY, params=params, json=body)

    def test_the_token_is_renewed_first(self, azure: LocalAzure, query: Callable[[], Any]) -> None:
        azure.arm.fail_next(VIEW_CHARGES_OFF, operation="query")
        assert query().status == 200
        assert tokens(azure) == [("token 1", 401), ("token 2", 200)]

    def test_then_the_message_says_both(self, azure: LocalAzure, query: Callable[[], Any]) -> None:
        azure.arm.fail_next(VIEW_CHARGES_OFF, 2, operation="query")
        error = failure(query)
        assert isinstance(error, AuthError)
        assert "check the credentials" in error.do
        assert "'view charges' is off" in error.do
        assert tokens(azure) == [("token 1", 401), ("token 2", 401)]

    def test_a_revoked_token_is_renewed_with_its_claims_here_too(
        self, azure: LocalAzure, query: Callable[[], Any]
    ) -> None:
        query()
        azure.tokens.demand(CLAIMS)
        assert query().status == 200
        assert json.loads(azure.entra.asked("token")[1].body["claims"]) == CLAIMS
