"""Credentials that are made anew after a 401, a key beside them, and advice of the provider's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from requests.auth import AuthBase

from offgridflow_common.errors import AuthError, ErrorClass, NotFoundError
from offgridflow_common.http import ApiClient
from offgridflow_common.observability import Telemetry
from offgridflow_common.pipeline import RequestPipeline
from offgridflow_common.rate_limit import TokenBucket
from offgridflow_common.retry import RetryPolicy
from offgridflow_common.testing.clock import FakeClock
from tests.local_clouds.loopback import LoopbackServer, QuietHandler

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from http.server import BaseHTTPRequestHandler

    import requests

    from offgridflow_common.responses import Response


class Guarded(LoopbackServer):
    """Admits one token, and keeps the headers of what it was sent."""

    def __init__(self, good: str) -> None:
        super().__init__()
        self.good = good
        self.seen: list[dict[str, str]] = []

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:  # noqa: N802 - the name is given by http.server
                server.seen.append(dict(self.headers))
                if self.path == "/missing":
                    self.send_whole(404, {}, b'{"error": {"code": "Gone", "message": "no"}}')
                elif self.headers.get("Authorization") == server.good:
                    self.send_whole(200, {}, b"{}")
                else:
                    self.send_whole(401, {"WWW-Authenticate": "Bearer why"}, b"{}")

        return Handler


class Numbered(AuthBase):
    """Gives token 1 until it is renewed, then token 2, and so on."""

    def __init__(self, *, renews: bool = True) -> None:
        self.number = 1
        self.told: list[str] = []
        self._renews = renews

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"token {self.number}"
        return request

    def renew(self, headers: Mapping[str, str]) -> bool:
        self.told.append(headers["WWW-Authenticate"])
        self.number += 1
        return self._renews


@pytest.fixture
def server() -> Iterator[Guarded]:
    with Guarded("token 2") as running:
        yield running


def client(server: Guarded, auth: AuthBase | None, **options: object) -> ApiClient:
    clock = FakeClock()
    pipeline = RequestPipeline(
        limiter=TokenBucket(1000, 1000, clock),
        retry=RetryPolicy(max_attempts=3, clock=clock),
        telemetry=Telemetry("tap-test"),
    )
    return ApiClient(base_url=server.url, pipeline=pipeline, auth=auth, timeout=5, **options)  # type: ignore[arg-type]


def test_a_refused_token_is_renewed_once_and_the_request_sent_again(server: Guarded) -> None:
    auth = Numbered()
    assert client(server, auth).request("GET", "items").status == 200
    assert auth.told == ["Bearer why"]
    assert [seen["Authorization"] for seen in server.seen] == ["token 1", "token 2"]


def test_a_second_refusal_is_final(server: Guarded) -> None:
    server.good = "none"
    auth = Numbered()
    with pytest.raises(AuthError):
        client(server, auth).request("GET", "items")
    assert len(auth.told) == 1
    assert len(server.seen) == 2


def test_credentials_that_cannot_be_renewed_are_refused_at_once(server: Guarded) -> None:
    with pytest.raises(AuthError):
        client(server, Numbered(renews=False)).request("GET", "items")
    assert len(server.seen) == 1


def test_a_key_goes_where_the_credentials_go_and_nowhere_else(server: Guarded) -> None:
    server.good = "token 1"
    asking = client(server, Numbered(), headers={"Key": "the-key"})
    asking.request("GET", "items")
    with pytest.raises(AuthError):
        asking.request("GET", "items", anonymous=True)
    assert [seen.get("Key") for seen in server.seen] == ["the-key", None]


def test_the_advice_can_be_the_providers_own(server: Guarded) -> None:
    def advise(found: ErrorClass, code: str | None, response: Response) -> str:
        return f"{found} {code} {response.status}: look there"

    with pytest.raises(NotFoundError, match="not_found Gone 404: look there"):
        client(server, Numbered(), advise=advise).request("GET", "missing")
