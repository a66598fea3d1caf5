"""Signing in that fails: what the tap says, whether it tries again, and how long it waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offgridflow_common.errors import (
    AuthError,
    BadRequestError,
    ErrorClass,
    FatalError,
    Throttled,
    TransientError,
)
from tests.azure.asking import CREDENTIALS, client_of, failure, subscriptions
from tests.local_clouds.azure_messages import Reply
from tests.local_clouds.entra import UNAVAILABLE, entra_error, throttled

if TYPE_CHECKING:
    from collections.abc import Callable

    from offgridflow_common.errors import OffGridFlowError
    from offgridflow_common.testing.clock import FakeClock
    from tests.azure.conftest import Config, RunTap, Surround
    from tests.local_clouds.azure import LocalAzure

OTHER = "99999999-9999-9999-9999-999999999999"
HTML = Reply(200, f"<html>{'<p>Sign in to the network.</p>' * 500}</html>", {"Content-Type": "text/html"})

pytestmark = pytest.mark.usefixtures("clock")


@pytest.fixture
def problem(tap_config: Config) -> Callable[..., OffGridFlowError]:
    """What asking for subscriptions ends in."""
    config = tap_config()
    return lambda **settings: failure(lambda: subscriptions(client_of(config | settings)))


def attempts(azure: LocalAzure) -> int:
    return len(azure.entra.asked("token"))


@pytest.mark.parametrize(
    ("settings", "expired", "kind", "code", "advice"),
    [
        ({"client_secret": "not-the-secret"}, False, AuthError, "AADSTS7000215", "the value of the secret"),
        ({}, True, AuthError, "AADSTS7000222", "make a new client secret: this one has expired"),
        ({"client_id": OTHER}, False, BadRequestError, "AADSTS700016", "check tenant_id, client_id"),
        ({"tenant_id": OTHER}, False, BadRequestError, "AADSTS90002", "check tenant_id, client_id"),
    ],
)
def test_what_is_wrong_with_the_settings_is_told_apart_and_not_tried_again(
    settings: dict[str, str],
    expired: bool,  # noqa: FBT001 - whether the secret is too old
    kind: type[OffGridFlowError],
    code: str | None,
    advice: str,
    *,
    azure: LocalAzure,
    problem: Callable[..., OffGridFlowError],
    clock: FakeClock,
) -> None:
    azure.entra.secret_expired = expired
    error = problem(**settings)
    assert isinstance(error, kind)
    assert error.code == code
    assert advice in error.do
    assert error.asked == "signing in by client secret"
    assert attempts(azure) == (0 if "tenant_id" in settings else 1)
    assert not azure.arm.requests
    assert clock.slept == []


@pytest.mark.parametrize(
    "text", ["The network timed out.", "503 Service Unavailable", "Zertifikat ungültig."]
)
def test_the_number_decides_and_never_the_text(
    text: str, azure: LocalAzure, problem: Callable[..., OffGridFlowError]
) -> None:
    azure.entra.fail_next(entra_error(401, "invalid_client", 7000222, text), operation="token")
    error = problem()
    assert isinstance(error, AuthError)
    assert "this one has expired" in error.do
    assert text in error.got


@pytest.mark.parametrize(
    "numbers", [{}, {"error_codes": []}, {"error_codes": None}, {"error_codes": "7000222"}]
)
def test_a_number_that_stands_in_the_text_alone_is_found(
    numbers: dict[str, Any], azure: LocalAzure, problem: Callable[..., OffGridFlowError]
) -> None:
    body = {"error": "invalid_client", "error_description": "AADSTS7000222: The keys have expired."}
    azure.entra.fail_next(Reply(401, body | numbers), operation="token")
    error = problem()
    assert isinstance(error, AuthError)
    assert error.code == "AADSTS7000222"
    assert "this one has expired" in error.do


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, ErrorClass.AUTH),
        (401, ErrorClass.AUTH),
        (429, ErrorClass.TRANSIENT),
        (500, ErrorClass.TRANSIENT),
    ],
)
def test_a_number_that_nobody_knows_leaves_it_to_the_status(
    status: int, expected: ErrorClass, azure: LocalAzure, problem: Callable[..., OffGridFlowError]
) -> None:
    azure.entra.fail_next(entra_error(status, "invalid_grant", 123456), 9, operation="token")
    error = problem()
    assert error.error_class is expected
    assert error.code == "AADSTS123456"
    assert ("look the number up" in error.do) is (expected is ErrorClass.AUTH)


def test_an_unknown_number_may_be_said_to_pass(
    azure: LocalAzure, problem: Callable[..., OffGridFlowError]
) -> None:
    azure.entra.fail_next(entra_error(400, "temporarily_unavailable", 123456), 9, operation="token")
    assert isinstance(problem(), TransientError)


FLAWS: dict[str, Callable[[LocalAzure, int], None]] = {
    "down": lambda azure, times: azure.entra.fail_next(UNAVAILABLE, times, operation="token"),
    "down before the first token": lambda azure, times: azure.entra.fail_next(
        UNAVAILABLE, times, operation="discovery"
    ),
    "busy": lambda azure, times: azure.entra.fail_next(
        entra_error(400, "temporarily_unavailable", 90033), times, operation="token"
    ),
    "throttled": lambda azure, times: azure.entra.fail_next(throttled("7"), times, operation="token"),
    "throttled without a word": lambda azure, times: azure.entra.fail_next(
        throttled(None), times, operation="token"
    ),
    "reset": lambda azure, times: azure.entra.reset_next(times, operation="token"),
    "cut short": lambda azure, times: azure.entra.truncate_next(times, operation="token"),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_what_may_pass_is_tried_again_for_real_until_it_has(
    flaw: str, azure: LocalAzure, tap_config: Config, clock: FakeClock
) -> None:
    """The memory of msal, which repeats errors for up to a minute, does not use the attempts up."""
    FLAWS[flaw](azure, 2)
    assert subscriptions(client_of(tap_config())).status == 200
    assert len(clock.slept) == 2
    if "reset" not in flaw and "cut" not in flaw:
        # Who answers that it cannot keep up is left alone for a while.
        assert min(clock.slept) >= (7 if flaw == "throttled" else 5)


@pytest.mark.parametrize("flaw", FLAWS)
def test_what_does_not_pass_ends_after_the_attempts_of_the_settings(
    flaw: str, azure: LocalAzure, problem: Callable[..., OffGridFlowError], clock: FakeClock
) -> None:
    FLAWS[flaw](azure, 99)
    error = problem(max_attempts=3)
    assert isinstance(error, TransientError)
    assert isinstance(error, Throttled) == flaw.startswith("throttled")
    operation = "discovery" if "before" in flaw else "token"
    assert len(azure.entra.asked(operation)) == 3
    assert len(clock.slept) == 2
    unreachable = flaw in {"reset", "cut short"}
    assert ("the token service was not reached" in error.do) is unreachable
    assert ("the token service does not keep up" in error.do) is not unreachable


def test_nobody_listening_is_the_network_and_not_the_secret(
    azure: LocalAzure, problem: Callable[..., OffGridFlowError], clock: FakeClock
) -> None:
    with azure.entra.refusing():
        error = problem()
    assert isinstance(error, TransientError)
    assert error.code is None
    assert "so the credentials are neither right nor wrong" in error.do
    assert len(clock.slept) == 4


@pytest.mark.parametrize("retry_after", ["86400", "3601", "99999999999"])
def test_no_pause_is_longer_than_a_request_may_take(
    retry_after: str, azure: LocalAzure, problem: Callable[..., OffGridFlowError], clock: FakeClock
) -> None:
    azure.entra.fail_next(throttled(retry_after), operation="token")
    error = problem()
    assert isinstance(error, Throttled)
    assert error.retry_after == float(retry_after)
    assert clock.slept == []
    assert attempts(azure) == 1


def test_an_authority_that_is_not_trusted_never_sees_the_secret(
    azure: LocalAzure, tap_config: Config, clock: FakeClock
) -> None:
    config = {name: value for name, value in tap_config().items() if name != "ca_bundle"}
    error = failure(lambda: subscriptions(client_of(config)))
    assert isinstance(error, FatalError)
    assert "ca_bundle" in error.do
    assert "so the credentials are neither right nor wrong" in error.do
    assert not azure.entra.requests
    assert clock.slept == []


@pytest.mark.parametrize("operation", ["token", "discovery"])
def test_a_page_in_place_of_a_token_is_not_quoted_at_length_and_not_tried_again(
    operation: str, azure: LocalAzure, problem: Callable[..., OffGridFlowError], clock: FakeClock
) -> None:
    azure.entra.fail_next(HTML, operation=operation)
    error = problem()
    assert not isinstance(error, TransientError)
    assert "authority_url" in error.do
    assert len(str(error)) < 1000
    assert clock.slept == []


IDENTITY_FLAWS: dict[str, Callable[[LocalAzure], None]] = {
    "down": lambda azure: azure.identity.fail_next(Reply(500, {"error": "unknown"}), 2),
    "a gateway's page": lambda azure: azure.identity.fail_next(Reply(502, "<html></html>"), 2),
    "throttled": lambda azure: azure.identity.fail_next(
        Reply(429, {"error": "throttled"}, {"Retry-After": "9"}), 2
    ),
    "being updated": lambda azure: azure.identity.fail_next(Reply(410, {"error": "gone"}), 2),
    "not there yet": lambda azure: azure.identity.fail_next(Reply(404, {"error": "none"}), 2),
    "reset": lambda azure: azure.identity.reset_next(2),
}


@pytest.mark.parametrize("style", ["app_service", "imds"])
@pytest.mark.parametrize("flaw", IDENTITY_FLAWS.values(), ids=IDENTITY_FLAWS)
def test_the_endpoint_of_a_managed_identity_may_need_a_moment(
    flaw: Callable[[LocalAzure], None],
    style: str,
    *,
    azure: LocalAzure,
    nobody: Config,
    surround: Surround,
    clock: FakeClock,
) -> None:
    surround(getattr(azure.identity, f"{style}_environment"))
    flaw(azure)
    assert subscriptions(client_of(nobody(auth_method="managed_identity"))).status == 200
    assert len(clock.slept) == 2


@pytest.mark.parametrize("style", ["app_service", "imds"])
def test_a_machine_without_that_identity_is_told_at_once(
    style: str, azure: LocalAzure, nobody: Config, surround: Surround, clock: FakeClock
) -> None:
    surround(getattr(azure.identity, f"{style}_environment"))
    config = nobody(auth_method="managed_identity", client_id=OTHER)
    error = failure(lambda: subscriptions(client_of(config)))
    assert isinstance(error, AuthError)
    assert "check auth_method and what it looks for" in error.do
    assert len(azure.identity.requests) == 1
    assert clock.slept == []


class TestDefault:
    """An application that the environment names, found by default."""

    @pytest.fixture
    def config(self, azure: LocalAzure, nobody: Config, surround: Surround) -> dict[str, Any]:
        surround({f"AZURE_{name.upper()}": azure.settings[name] for name in CREDENTIALS})
        return nobody()

    def test_its_wrong_secret_is_told_by_its_number(
        self, azure: LocalAzure, config: dict[str, Any], surround: Surround
    ) -> None:
        surround({"AZURE_CLIENT_SECRET": "not-the-secret"})
        error = failure(lambda: subscriptions(client_of(config)))
        assert isinstance(error, AuthError)
        assert error.code == "AADSTS7000215"
        assert attempts(azure) == 1

    @pytest.mark.parametrize("flaw", FLAWS)
    def test_what_may_pass_is_tried_again(self, flaw: str, azure: LocalAzure, config: dict[str, Any]) -> None:
        FLAWS[flaw](azure, 2)
        assert subscriptions(client_of(config)).status == 200


def test_a_run_says_it_once_for_each_stream_and_reads_nothing(
    azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    run = run_tap(tap_config(client_secret="not-the-secret"), ["subscriptions", "cost_query"])
    assert run.exit_code == 1
    assert "subscriptions (auth)" in run.stderr
    assert "cost_query (auth)" in run.stderr
    assert run.stderr.count("code=AADSTS7000215") >= 2
    assert not azure.arm.requests
    assert not run.records("subscriptions")
