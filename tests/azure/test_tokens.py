"""How long a token is used, when the next one is asked for, and what counts as the claims of a challenge."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import requests

from offgridflow_common.errors import AuthError, TransientError
from offgridflow_common.redaction import REDACTED, redact
from offgridflow_common.testing.clock import FakeClock
from tap_offgridflow_azure.connection.tokens import TokenAuth, TokenSource, claims_of

if TYPE_CHECKING:
    from offgridflow_common.errors import OffGridFlowError

SCOPE = "https://example.com/.default"
CLAIMS = {"access_token": {"nbf": {"essential": True, "value": "1790000000"}}}


@dataclass(frozen=True)
class Token:
    token: str
    expires_on: int
    refresh_on: int | None = None


@dataclass
class Service:
    """Gives numbered tokens to credentials, each of which only asks; fails on request.

    Attributes:
        asked: The number of the credential and the claims of each question.
    """

    clock: FakeClock
    lifetime: int = 3600
    refresh_in: int | None = None
    error: OffGridFlowError | None = None
    credentials: int = 0
    issued: int = 0
    asked: list[tuple[int, str | None]] = field(default_factory=list)

    def source(self) -> TokenSource:
        return TokenSource(self.credential, SCOPE, self.clock)

    def credential(self) -> Credential:
        self.credentials += 1
        return Credential(self, self.credentials)


@dataclass(frozen=True)
class Credential:
    service: Service
    number: int

    def fetch(self, scope: str, claims: str | None) -> Token:
        service = self.service
        assert scope == SCOPE
        service.asked.append((self.number, claims))
        if service.error:
            raise service.error
        service.issued += 1
        now = int(service.clock.now().timestamp())
        refresh_on = now + service.refresh_in if service.refresh_in else None
        return Token(f"token-number-{service.issued}", now + service.lifetime, refresh_on)


def down(kind: type[OffGridFlowError] = TransientError) -> OffGridFlowError:
    return kind(asked="signing in", got="nothing", do="wait")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def service(clock: FakeClock) -> Service:
    return Service(clock)


def used(source: TokenSource) -> str:
    return source.token().token


@pytest.mark.parametrize(("seconds", "number"), [(0, 1), (3299, 1), (3300, 2), (3599, 2), (9999, 2)])
def test_a_token_is_used_until_five_minutes_before_it_expires(
    seconds: float, number: int, clock: FakeClock, service: Service
) -> None:
    source = service.source()
    used(source)
    clock.advance(seconds)
    assert used(source) == used(source) == f"token-number-{number}"


@pytest.mark.parametrize(("seconds", "number"), [(1799, 1), (1800, 2)])
def test_a_token_is_asked_for_when_the_service_wants_it(
    seconds: float, number: int, clock: FakeClock, service: Service
) -> None:
    service.refresh_in = 1800
    source = service.source()
    used(source)
    clock.advance(seconds)
    assert used(source) == f"token-number-{number}"


@pytest.mark.parametrize("lifetime", [299, 120])
def test_short_tokens_are_not_asked_for_with_each_request(
    lifetime: int, clock: FakeClock, service: Service
) -> None:
    service.lifetime = lifetime
    source = service.source()
    for _ in range(60):
        used(source)
        clock.advance(1)
    assert service.issued == 2


def test_a_token_that_may_expire_on_its_way_is_not_used_again(service: Service) -> None:
    service.lifetime = 60
    source = service.source()
    assert used(source) != used(source)


@pytest.mark.parametrize("kind", [TransientError, AuthError])
def test_the_last_token_carries_over_a_service_that_fails(
    kind: type[OffGridFlowError], clock: FakeClock, service: Service
) -> None:
    source = service.source()
    used(source)
    clock.advance(3300)
    service.error = down(kind)
    for _ in range(239):
        assert used(source) == "token-number-1"
        clock.advance(1)
    # While it fails, it is asked again each half minute, not with each request.
    assert len(service.asked) == 1 + 8
    clock.advance(1)
    with pytest.raises(kind) as caught:
        used(source)
    assert caught.value is service.error
    service.error = None
    assert used(source) == "token-number-2"


def test_the_service_is_back_before_the_last_token_is_over(clock: FakeClock, service: Service) -> None:
    source = service.source()
    used(source)
    clock.advance(3300)
    service.error = down()
    assert used(source) == "token-number-1"
    service.error = None
    clock.advance(30)
    assert used(source) == "token-number-2"
    assert service.credentials == 1


def test_whoever_uses_the_last_token_for_want_of_a_new_one_says_so(
    clock: FakeClock, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    source = service.source()
    used(source)
    clock.advance(3300)
    service.error = down()
    used(source)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "the last one is used while it is good: signing in: nothing" in record.getMessage()


def test_after_an_error_there_is_a_new_credential_which_repeats_none_from_memory(service: Service) -> None:
    service.error = down()
    source = service.source()
    for _ in range(2):
        with pytest.raises(TransientError):
            used(source)
    assert [number for number, _ in service.asked] == [1, 2]


def test_renewing_takes_a_new_credential(service: Service) -> None:
    source = service.source()
    used(source)
    source.renew(None)
    assert used(source) == "token-number-2"
    assert service.asked == [(1, None), (2, None)]


def test_renewing_with_claims_asks_the_same_credential_for_them(service: Service) -> None:
    source = service.source()
    used(source)
    source.renew('{"a": 1}')
    assert used(source) == "token-number-2"
    assert service.asked == [(1, None), (1, '{"a": 1}')]


def test_a_refused_token_carries_over_nothing(service: Service) -> None:
    source = service.source()
    used(source)
    service.error = down()
    with pytest.raises(TransientError):
        source.renew(None)
    with pytest.raises(TransientError):
        used(source)
    service.error = None
    assert used(source) == "token-number-2"


def test_many_threads_share_one_token(service: Service) -> None:
    source = service.source()
    seen: list[str] = []
    gate = threading.Barrier(16)

    def ask() -> None:
        gate.wait(10)
        seen.extend(used(source) for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == ["token-number-1"] * 16 * 50
    assert service.issued == 1


def test_tokens_are_hidden_once_they_are_known(service: Service) -> None:
    source = service.source()
    assert redact(f"seen {used(source)}") == f"seen {REDACTED}"
    source.renew(None)
    assert redact(f"seen {used(source)}") == f"seen {REDACTED}"


def test_each_request_carries_the_token_of_its_moment(clock: FakeClock, service: Service) -> None:
    auth = TokenAuth(service.source())
    seen = []
    for _ in range(2):
        request = requests.Request("GET", "https://example.com", auth=auth).prepare()
        seen.append(request.headers["Authorization"])
        clock.advance(3400)
    assert seen == ["Bearer token-number-1", "Bearer token-number-2"]


def encoded(text: str, *, padded: bool = False, url_safe: bool = True) -> str:
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    coded = encode(text.encode()).decode()
    return coded if padded else coded.rstrip("=")


#: Its base64 has the two characters that differ between the alphabets.
ODD = json.dumps({"a": "ÿþ~~~???>>>"}, ensure_ascii=False)


@pytest.mark.parametrize("text", [json.dumps(CLAIMS), ODD, *(json.dumps({"a": "x" * n}) for n in range(3))])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("url_safe", [True, False])
def test_claims_are_decoded_however_they_are_encoded(text: str, *, padded: bool, url_safe: bool) -> None:
    claims = encoded(text, padded=padded, url_safe=url_safe)
    challenge = (
        'Bearer authorization_uri="https://login.example.com/", error="insufficient_claims", '
        f'claims="{claims}"'
    )
    assert claims_of(challenge) == text


def test_claims_may_come_before_the_error_and_in_any_case() -> None:
    claims = encoded(json.dumps(CLAIMS))
    assert claims_of(f'Bearer realm="", CLAIMS="{claims}", Error=insufficient_claims') == json.dumps(CLAIMS)


@pytest.mark.parametrize(
    "challenge",
    [
        "",
        "Bearer",
        'Bearer authorization_uri="https://login.example.com/"',
        'Bearer error="invalid_token", error_description="expired"',
        f'Bearer error="invalid_token", claims="{encoded("{}")}"',
        'Bearer error="insufficient_claims"',
        'Bearer error="insufficient_claims", claims=""',
        'Bearer error="insufficient_claims", claims="!!!"',
        'Bearer error="insufficient_claims", claims="gICA"',
        f'Bearer error="insufficient_claims", claims="{encoded("[1]")}"',
        f'Bearer error="insufficient_claims", claims="{encoded("no json")}"',
    ],
)
def test_what_is_no_challenge_for_claims_asks_for_none(challenge: str) -> None:
    assert claims_of(challenge) is None
