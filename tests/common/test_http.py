"""The REST client against a real server on loopback, and against addresses it must never reach."""

from __future__ import annotations

import gzip
import http.server
import io
import ipaddress
import json
import socket
import ssl
import struct
import threading
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import pytest
import requests
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.auth import AuthBase, HTTPBasicAuth

from offgridflow_common.classification import ErrorTable
from offgridflow_common.errors import (
    AuthError,
    BadRequestError,
    Cancelled,
    ConfigError,
    ContractBroken,
    ErrorClass,
    FatalError,
    NotFoundError,
    OffGridFlowError,
    PermissionDenied,
    Throttled,
    TransientError,
    UnknownError,
)
from offgridflow_common.http import ApiClient
from offgridflow_common.observability import Telemetry
from offgridflow_common.pipeline import RequestPipeline
from offgridflow_common.rate_limit import TokenBucket
from offgridflow_common.responses import Response, describe_json
from offgridflow_common.retry import RetryPolicy
from offgridflow_common.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TOKEN = "Bearer the-token-of-the-test"


class Seen(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server:
    """A real HTTP server that does what the test scripted, one step a request, the last one forever."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.steps: list[Callable[[http.server.BaseHTTPRequestHandler], None]] = [answer()]
        self.seen: list[Seen] = []
        self.released = threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                server.seen.append(Seen(self.command, self.path, dict(self.headers), body))
                step = server.steps.pop(0) if len(server.steps) > 1 else server.steps[0]
                step(self)

            do_GET = do_HEAD = do_POST = handle_any  # noqa: N815 - the names are given by http.server

            def log_message(self, *_: object) -> None:
                pass

        class Listener(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """A client that hangs up is what some tests are about."""

        self._listener = Listener(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._listener.socket = tls.wrap_socket(self._listener.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._listener.server_port}"
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self.released.set()
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join()


def answer(
    body: bytes = b"{}", status: int = 200, **headers: str
) -> Callable[[http.server.BaseHTTPRequestHandler], None]:
    """A complete answer; a header's underscores become hyphens."""

    def step(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(body)

    return step


def error_json(status: int, code: str, message: str = "no", **headers: str) -> object:
    return answer(json.dumps({"error": {"code": code, "message": message}}).encode(), status, **headers)


def reset(handler: http.server.BaseHTTPRequestHandler) -> None:
    """Close with RST instead of FIN."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def truncated(handler: http.server.BaseHTTPRequestHandler) -> None:
    answer(b'{"whole": ', Content_Length="100")(handler)
    handler.close_connection = True


def truncated_chunks(handler: http.server.BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"5\r\n[1,2,\r\n")
    handler.close_connection = True


class Bearer(AuthBase):
    """Counts how often it was asked, since a token may be renewed between attempts."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
        self.asked += 1
        assert "Authorization" not in r.headers
        r.headers["Authorization"] = TOKEN
        return r


class Recorder(BaseAdapter):
    """Takes every request in place of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:
        self.sent.append(request)
        response = requests.Response()
        response.status_code = 200
        response.raw = urllib3.HTTPResponse(io.BytesIO(b"{}"), preload_content=False)
        return response

    def close(self) -> None:
        pass


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


@pytest.fixture
def recorder(session: requests.Session) -> Recorder:
    recorder = Recorder()
    session.mount("https://", recorder)
    session.mount("http://", recorder)
    return recorder


@pytest.fixture
def servers() -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(tls: ssl.SSLContext | None = None) -> Server:
        started.append(Server(tls))
        return started[-1]

    yield start
    for server in started:
        server.close()


@pytest.fixture
def server(servers: Callable[..., Server]) -> Server:
    return servers()


@pytest.fixture
def make(clock: FakeClock, session: requests.Session) -> Callable[..., ApiClient]:
    def make(
        base_url: str, *, max_attempts: int = 1, cancel: threading.Event | None = None, **settings: object
    ) -> ApiClient:
        pipeline = RequestPipeline(
            limiter=TokenBucket(1000, 1000, clock),
            retry=RetryPolicy(max_attempts=max_attempts, clock=clock, random=lambda: 1.0),
            telemetry=Telemetry("tap-test"),
            cancel=cancel,
        )
        defaults = {"auth": Bearer(), "timeout": 10, "session": session}
        return ApiClient(base_url=base_url, pipeline=pipeline, **{**defaults, **settings})

    return make


def certificate(folder: Path) -> tuple[ssl.SSLContext, str]:
    """A server's TLS with a certificate that signed itself, and the path of that certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context, str(path)


class TestARequest:
    def test_gets_the_answer(self, server: Server, make: Callable[..., ApiClient]) -> None:
        server.steps = [answer(b'{"items": [1, 2]}', X_Custom="yes")]
        response = make(f"{server.url}/v1/").request("GET", "/things", params={"page": 2, "of": ["a", "b"]})
        assert response.status == 200
        assert response.headers["x-custom"] == "yes"
        assert response.json() == {"items": [1, 2]}
        [seen] = server.seen
        assert (seen.method, seen.path) == ("GET", "/v1/things?page=2&of=a&of=b")
        assert seen.headers["Authorization"] == TOKEN

    def test_sends_json_and_headers(self, server: Server, make: Callable[..., ApiClient]) -> None:
        make(server.url).request(
            "POST", "q", json={"a": 1}, headers={"ClientType": "x", "accept": "text/csv"}
        )
        [seen] = server.seen
        assert json.loads(seen.body) == {"a": 1}
        headers = {name.lower(): value for name, value in seen.headers.items()}
        assert headers["content-type"] == "application/json"
        assert headers["clienttype"] == "x"
        assert headers["accept"] == "text/csv"

    def test_takes_a_whole_url_of_the_same_origin(
        self, server: Server, make: Callable[..., ApiClient]
    ) -> None:
        make(f"{server.url}/v1").request("GET", f"{server.url}/v2/next?token=1")
        assert server.seen[0].path == "/v2/next?token=1"

    def test_has_the_token_put_on_anew_by_each_attempt(
        self, server: Server, make: Callable[..., ApiClient]
    ) -> None:
        auth = Bearer()
        server.steps = [answer(status=500), answer()]
        make(server.url, auth=auth, max_attempts=2).request("GET", "x")
        assert auth.asked == 2

    def test_without_credentials_carries_none(
        self,
        server: Server,
        make: Callable[..., ApiClient],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("machine 127.0.0.1 login someone password else")
        monkeypatch.setenv("NETRC", str(netrc))
        make(server.url).request("GET", "x", anonymous=True)
        make(server.url, auth=None).request("GET", "x")
        assert all("Authorization" not in seen.headers for seen in server.seen)

    def test_takes_back_no_cookies(self, server: Server, make: Callable[..., ApiClient]) -> None:
        server.steps = [answer(Set_Cookie="session=1; Path=/")]
        client = make(server.url)
        client.request("GET", "x")
        client.request("GET", "x")
        assert all("Cookie" not in seen.headers for seen in server.seen)

    def test_over_plain_http_goes_around_any_proxy(
        self, server: Server, make: Callable[..., ApiClient], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert make(server.url).request("GET", "x").status == 200

    def test_head_may_announce_more_than_would_be_accepted(
        self, server: Server, make: Callable[..., ApiClient]
    ) -> None:
        server.steps = [answer(b"x" * 100)]
        response = make(server.url, max_response_bytes=10).request("HEAD", "x")
        assert (response.headers["Content-Length"], response.body) == ("100", b"")

    def test_ends_when_the_run_is_cancelled(self, server: Server, make: Callable[..., ApiClient]) -> None:
        cancel = threading.Event()
        cancel.set()
        with pytest.raises(Cancelled):
            make(server.url, cancel=cancel).request("GET", "x")
        assert server.seen == []

    @pytest.mark.parametrize("settings", [{"timeout": 0}, {"timeout": -1}, {"max_response_bytes": 0}])
    def test_is_never_unbounded(self, make: Callable[..., ApiClient], settings: dict[str, object]) -> None:
        with pytest.raises(ValueError, match="positive"):
            make("https://api.example.com", **settings)


class TestWhereTokensGo:
    @pytest.mark.parametrize(
        "url",
        [
            "https://api.example.com/x",
            "https://api.example.com:443/x",
            "https://api.example.com:0/x",  # requests takes 0 for no port
            "HTTPS://API.Example.COM/x",
            "https://api.example.com",
            "x",
            "/x",
            "//evil.example/x",
            "x?next=https://evil.example",
            "../../x",
            "https://api.example.com/@evil.example",
            "https://api.example.com?@evil.example",
            "https://api.example.com#@evil.example",
        ],
    )
    def test_is_the_configured_origin(
        self, url: str, make: Callable[..., ApiClient], recorder: Recorder
    ) -> None:
        make("https://API.example.com/v1").request("GET", url)
        [sent] = recorder.sent
        assert sent.url.startswith(("https://api.example.com/", "https://api.example.com:443/"))
        assert sent.headers["Authorization"] == TOKEN

    @pytest.mark.parametrize(
        "url",
        [
            "https://evil.example/x",
            "https://api.example.com.evil.example/x",
            "https://api.example.com@evil.example/x",
            "https://api.example.com:443@evil.example/x",
            "https://evil.example\\@api.example.com/x",
            "https://evil.example/@api.example.com",
            "https://evil.example#@api.example.com/",
            "https://evil.example?@api.example.com/",
            "https://api.example.com\t.evil.example/",
            "https://api.example.com\n@evil.example/",
            "https://api.example.com%2eevil.example/",
            "https://api.example.com.",
            "https://api.example.co\u043c/x",
            "https://user@api.example.com/x",
            "https://user:pass@api.example.com/x",
            "https://api.example.com:444/x",
            "https://api.example.com:99999/x",
            "https://api.example.com:80/x",
            "http://api.example.com/x",
            "http://api.example.com:443/x",
            "http://127.0.0.1/x",
            "ftp://api.example.com/x",
            "httpx://api.example.com/x",
            "file:///etc/passwd",
            "https://",
            "https:///x",
            "https://[::1/x",
        ],
    )
    def test_is_nowhere_else(self, url: str, make: Callable[..., ApiClient], recorder: Recorder) -> None:
        with pytest.raises(BadRequestError):
            make("https://api.example.com").request("GET", url)
        assert recorder.sent == []

    def test_is_not_told_apart_by_a_default_port(
        self, make: Callable[..., ApiClient], recorder: Recorder
    ) -> None:
        make("https://api.example.com:443").request("GET", "https://api.example.com/x")
        assert len(recorder.sent) == 1

    def test_is_the_same_scheme_on_this_machine_too(
        self, make: Callable[..., ApiClient], recorder: Recorder
    ) -> None:
        with pytest.raises(BadRequestError):
            make("https://127.0.0.1:8443").request("GET", "http://127.0.0.1:8443/x")
        assert recorder.sent == []

    def test_is_the_port_of_a_local_stand_in(
        self, servers: Callable[..., Server], make: Callable[..., ApiClient]
    ) -> None:
        own, other = servers(), servers()
        with pytest.raises(BadRequestError):
            make(own.url).request("GET", f"{other.url}/x")
        assert other.seen == []

    def test_may_be_left_to_go_elsewhere_without_them(
        self, make: Callable[..., ApiClient], recorder: Recorder
    ) -> None:
        make("https://api.example.com").request("GET", "https://files.example/x?sig=a", anonymous=True)
        [sent] = recorder.sent
        assert sent.url == "https://files.example/x?sig=a"
        assert "Authorization" not in sent.headers

    @pytest.mark.parametrize(
        "url", ["http://files.example/x", "https://u:p@files.example/x", "ftp://files.example/x"]
    )
    def test_elsewhere_has_to_be_safe_without_them_too(
        self, url: str, make: Callable[..., ApiClient], recorder: Recorder
    ) -> None:
        with pytest.raises(BadRequestError):
            make("https://api.example.com").request("GET", url, anonymous=True)
        assert recorder.sent == []

    @pytest.mark.parametrize(
        "base_url",
        [
            "http://127.0.0.1:1",
            "http://127.9.9.9",
            "http://[::1]:80/v1",
            "http://localhost",
            "HTTP://LOCALHOST:8",
        ],
    )
    def test_may_be_plain_http_on_this_machine(
        self, base_url: str, make: Callable[..., ApiClient], recorder: Recorder
    ) -> None:
        make(base_url).request("GET", "x")
        assert len(recorder.sent) == 1

    @pytest.mark.parametrize(
        "base_url",
        [
            "http://api.example.com",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://localhost@evil.example",
            "http://0.0.0.0",
            "http://169.254.169.254",
            "https://user:hunter2@api.example.com",
            "https://api.example.com?token=hunter2",
            "https://api.example.com#part",
            "api.example.com",
            "",
        ],
    )
    def test_must_be_set_to_something_safe(self, base_url: str, make: Callable[..., ApiClient]) -> None:
        with pytest.raises(ConfigError) as caught:
            make(base_url)
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_is_not_changed_by_a_redirect(
        self, servers: Callable[..., Server], make: Callable[..., ApiClient], status: int, method: str
    ) -> None:
        own, other = servers(), servers()
        for target in (f"{other.url}/x?token=hunter2", f"{own.url}/x?token=hunter2", "/x"):
            own.steps = [answer(b"moved", status, Location=target)]
            with pytest.raises(BadRequestError, match=f"HTTP {status}, a redirect") as caught:
                make(own.url, max_attempts=3).request(method, "a")
            assert "hunter2" not in str(caught.value)
        assert other.seen == []
        assert len(own.seen) == 3

    def test_stays_out_of_messages_together_with_the_query(self, make: Callable[..., ApiClient]) -> None:
        client = make("https://api.example.com")
        for url in (
            "https://u:hunter2@evil.example/x?a=hunter2",
            "https://hunter2@evil.example:x/?a=hunter2",
        ):
            with pytest.raises(BadRequestError) as caught:
                client.request("GET", url)
            assert "hunter2" not in str(caught.value)
            assert "evil.example" in str(caught.value)


class TestErrorAnswers:
    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            (400, BadRequestError),
            (401, AuthError),
            (403, PermissionDenied),
            (404, NotFoundError),
            (408, TransientError),
            (429, Throttled),
            (500, TransientError),
            (503, TransientError),
            (304, UnknownError),
            (302, UnknownError),
        ],
    )
    def test_are_classified_by_status(
        self, server: Server, make: Callable[..., ApiClient], status: int, expected: type[OffGridFlowError]
    ) -> None:
        server.steps = [answer(b"", status)]
        with pytest.raises(expected, match=f"HTTP {status}, without a description") as caught:
            make(server.url).request("GET", "x")
        assert type(caught.value) is expected
        assert len(server.seen) == 1

    def test_are_classified_by_the_providers_code_first(
        self, server: Server, make: Callable[..., ApiClient]
    ) -> None:
        table = ErrorTable(by_code={"Busy": ErrorClass.TRANSIENT, "Gone": ErrorClass.NOT_FOUND})
        client = make(server.url, error_tables=[table])
        server.steps = [error_json(400, "Busy"), error_json(500, "Gone")]
        with pytest.raises(TransientError):
            client.request("GET", "x")
        with pytest.raises(NotFoundError):
            client.request("GET", "x")

    def test_tell_code_message_and_request_id(self, server: Server, make: Callable[..., ApiClient]) -> None:
        server.steps = [error_json(403, "NoRole", "Reader is\n missing.", X_Ms_Request_Id="r-7")]
        with pytest.raises(PermissionDenied) as caught:
            make(server.url).request("GET", "a/b?secret=1")
        error = caught.value
        assert (error.code, error.request_id) == ("NoRole", "r-7")
        assert str(error).startswith(f"GET {server.url}/a/b: HTTP 403 (Reader is missing.). Check")

    def test_tell_what_was_asked_where_the_address_does_not(
        self, server: Server, make: Callable[..., ApiClient]
    ) -> None:
        server.steps = [error_json(404, "None", "Nothing."), answer(b"[]")]
        client = make(server.url)
        with pytest.raises(NotFoundError) as caught:
            client.request("POST", "reports", json={}, about="May of shop")
        assert str(caught.value).startswith(
            f"POST {server.url}/reports for May of shop: HTTP 404 (Nothing.)."
        )
        assert client.request("GET", "reports", about="June").asked == f"GET {server.url}/reports for June"

    def test_are_described_by_the_providers_own_reader(
        self, server: Server, make: Callable[..., ApiClient]
    ) -> None:
        server.steps = [answer(b"oops", 400, X_Code="Own")]

        def describe(response: Response) -> tuple[str | None, str | None, str | None]:
            return response.headers["X-Code"], response.body.decode(), ""

        with pytest.raises(BadRequestError, match=r"HTTP 400 \(oops\).*code=Own\]") as caught:
            make(server.url, describe=describe).request("GET", "x")
        assert caught.value.request_id is None

    def test_show_neither_secrets_nor_more_than_a_glimpse(
        self, server: Server, make: Callable[..., ApiClient]
    ) -> None:
        message = "token=hunter2 " + "x" * 490 + " password=hunter3 " + "y" * 100_000
        server.steps = [error_json(400, "c" * 10_000, message, X_Request_Id="r" * 10_000)]
        with pytest.raises(BadRequestError) as caught:
            make(server.url).request("GET", "x")
        assert "hunter" not in str(caught.value)
        assert len(str(caught.value)) < 2_000

    def test_that_are_html_show_nothing_of_it(self, server: Server, make: Callable[..., ApiClient]) -> None:
        page = b"<html><title>Bad gateway hunter2</title></html>"
        server.steps = [answer(page, 502, Content_Type="text/html", X_Debug="hunter2")]
        with pytest.raises(TransientError) as caught:
            make(server.url).request("GET", "x")
        assert "hunter2" not in str(caught.value)
        assert "html" not in str(caught.value)

    def test_keep_their_status_when_their_body_is_broken(
        self, server: Server, make: Callable[..., ApiClient]
    ) -> None:
        server.steps = [answer(b'{"error"', 404, Content_Length="100", Connection="close")]
        with pytest.raises(NotFoundError):
            make(server.url).request("GET", "x")

    def test_are_read_no_further_than_needed(self, server: Server, make: Callable[..., ApiClient]) -> None:
        server.steps = [answer(b"x" * 5_000_000, 400)]
        sizes: list[int] = []

        def describe(response: Response) -> tuple[None, None, None]:
            sizes.append(len(response.body))
            return None, None, None

        with pytest.raises(BadRequestError):
            make(server.url, describe=describe).request("GET", "x")
        assert sizes[0] < 200_000

    def test_429_waits_as_long_as_it_says(
        self, server: Server, make: Callable[..., ApiClient], clock: FakeClock
    ) -> None:
        server.steps = [answer(status=429, Retry_After="17"), answer()]
        assert make(server.url, max_attempts=2).request("GET", "x").status == 200
        assert clock.monotonic() == 17

    def test_429_may_name_a_date(
        self, server: Server, make: Callable[..., ApiClient], clock: FakeClock
    ) -> None:
        date = (clock.now() + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")
        server.steps = [answer(status=429, Retry_After=date)]
        with pytest.raises(Throttled) as caught:
            make(server.url).request("GET", "x")
        assert caught.value.retry_after == 90

    def test_503_with_a_time_is_a_pause_too(self, server: Server, make: Callable[..., ApiClient]) -> None:
        server.steps = [answer(status=503, Retry_After="3")]
        with pytest.raises(Throttled) as caught:
            make(server.url).request("GET", "x")
        assert caught.value.retry_after == 3

    def test_the_longest_of_all_waits_counts(self, server: Server, make: Callable[..., ApiClient]) -> None:
        server.steps = [answer(status=429, Retry_After="5", X_Tenant_Retry_After="9.5", X_Odd_After="soon")]
        names = ("Retry-After", "x-tenant-retry-after", "x-odd-after", "x-absent")
        with pytest.raises(Throttled) as caught:
            make(server.url, retry_after_headers=names).request("GET", "x")
        assert caught.value.retry_after == 9.5


class TestBrokenAnswers:
    @pytest.mark.parametrize("broken", [reset, truncated, truncated_chunks])
    def test_are_transient_and_healed_by_the_next_attempt(
        self, server: Server, make: Callable[..., ApiClient], broken: object
    ) -> None:
        server.steps = [broken, answer(b"[1]")]
        assert make(server.url, max_attempts=2).request("GET", "x").json() == [1]
        server.steps = [broken]
        with pytest.raises(TransientError, match="no complete answer") as caught:
            make(server.url, max_attempts=3).request("GET", "x")
        assert isinstance(caught.value.__cause__, requests.RequestException | urllib3.exceptions.HTTPError)
        assert len(server.seen) == 5

    def test_the_sessions_own_retries_do_not_multiply_ours(
        self, server: Server, make: Callable[..., ApiClient], session: requests.Session
    ) -> None:
        session.mount("http://", HTTPAdapter(max_retries=urllib3.Retry(5, status_forcelist=[500])))
        client = make(server.url, max_attempts=2)
        for step in (answer(status=500), reset):
            server.steps = [step]
            with pytest.raises(TransientError):
                client.request("GET", "x")
        assert len(server.seen) == 4

    def test_nobody_listening_is_transient(self, make: Callable[..., ApiClient]) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}"
            with pytest.raises(TransientError, match="ConnectionRefusedError: Connection refused"):
                make(url).request("GET", "x")

    @pytest.mark.parametrize(
        "sent", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1,"], ids=["at once", "in the body"]
    )
    def test_that_stop_coming_run_into_the_timeout(
        self, server: Server, make: Callable[..., ApiClient], sent: bytes
    ) -> None:
        def stall(handler: http.server.BaseHTTPRequestHandler) -> None:
            handler.wfile.write(sent)
            server.released.wait()

        server.steps = [stall]
        with pytest.raises(TransientError, match="no complete answer"):
            make(server.url, timeout=0.05).request("GET", "x")

    def test_that_trickle_run_into_the_timeout_as_well(
        self, server: Server, make: Callable[..., ApiClient], clock: FakeClock
    ) -> None:
        def trickle(handler: http.server.BaseHTTPRequestHandler) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
            while not server.released.wait(0.001):
                clock.advance(6)
                handler.wfile.write(b" ")

        server.steps = [trickle]
        with pytest.raises(TransientError, match="not complete after 10 s"):
            make(server.url, timeout=10).request("GET", "x")

    @pytest.mark.parametrize("encoding", ["identity", "gzip"])
    def test_too_large_are_refused(
        self, server: Server, make: Callable[..., ApiClient], encoding: str
    ) -> None:
        body = b"x" * 1001
        body = gzip.compress(body) if encoding == "gzip" else body
        server.steps = [answer(body, Content_Encoding=encoding)]
        assert len(make(server.url, max_response_bytes=1001).request("GET", "x").body) == 1001
        with pytest.raises(ContractBroken, match="more than 1000 bytes"):
            make(server.url, max_response_bytes=1000, max_attempts=3).request("GET", "x")
        assert len(server.seen) == 2

    def test_that_unpack_without_end_do_not_fill_the_memory(
        self, server: Server, make: Callable[..., ApiClient]
    ) -> None:
        bomb = gzip.compress(bytes(200_000_000), compresslevel=1)
        server.steps = [answer(bomb, Content_Encoding="gzip")]
        client = make(server.url, max_response_bytes=1_000_000)
        tracemalloc.start()
        try:
            with pytest.raises(ContractBroken):
                client.request("GET", "x")
            assert tracemalloc.get_traced_memory()[1] < 20_000_000
        finally:
            tracemalloc.stop()

    def test_that_are_not_what_their_encoding_says_are_transient(
        self, server: Server, make: Callable[..., ApiClient]
    ) -> None:
        server.steps = [answer(b"not gzip", Content_Encoding="gzip")]
        with pytest.raises(TransientError):
            make(server.url).request("GET", "x")

    @pytest.mark.parametrize(
        "body",
        [b"", b"<html>hunter2", b"\xff\xfe\xff", b"[" * 1_000_000, b'{"a": '],
        ids=["nothing", "HTML", "bytes", "depth", "half"],
    )
    def test_that_are_not_json_break_the_contract(
        self, server: Server, make: Callable[..., ApiClient], body: bytes
    ) -> None:
        server.steps = [answer(body)]
        response = make(server.url).request("GET", "x")
        with pytest.raises(ContractBroken, match="not JSON") as caught:
            response.json()
        assert "hunter2" not in str(caught.value)
        assert "hunter2" not in repr(response)

    def test_a_token_that_is_no_header_is_not_shown(
        self, server: Server, make: Callable[..., ApiClient]
    ) -> None:
        client = make(server.url, auth=None)
        with pytest.raises(BadRequestError) as caught:
            client.request("GET", "x", headers={"X-Key": "hunter2\nfour"})
        assert "hunter2" not in str(caught.value)

    def test_an_error_while_signing_is_classified_by_the_providers_table(
        self, server: Server, make: Callable[..., ApiClient]
    ) -> None:
        class Expired(Exception):  # noqa: N818 - a stand-in for another library's exception
            pass

        class Failing(AuthBase):
            def __call__(self, r: requests.PreparedRequest) -> requests.PreparedRequest:
                raise Expired(f"hunter2 is not good for {r.url}")

        table = ErrorTable(by_exception=[(Expired, ErrorClass.AUTH)])
        with pytest.raises(AuthError, match="Expired") as caught:
            make(server.url, auth=Failing(), error_tables=[table]).request("GET", "x")
        assert "hunter2" not in str(caught.value)
        assert server.seen == []


class TestABodyForAFile:
    """What is asked for with `into` may be larger than memory."""

    def test_is_written_there_whatever_its_size(
        self, server: Server, make: Callable[..., ApiClient], tmp_path: Path
    ) -> None:
        body = bytes(range(256)) * 1000
        server.steps = [answer(gzip.compress(body), Content_Encoding="gzip")]
        file = tmp_path / "body"
        response = make(server.url, max_response_bytes=1000).request("GET", "x", into=file)
        assert (response.status, response.body, file.read_bytes()) == (200, b"", body)

    def test_begins_anew_with_each_attempt(
        self, server: Server, make: Callable[..., ApiClient], tmp_path: Path
    ) -> None:
        server.steps = [truncated, error_json(503, "Busy"), answer(b"all of it")]
        file = tmp_path / "body"
        make(server.url, max_attempts=3).request("GET", "x", into=file)
        assert file.read_bytes() == b"all of it"

    def test_may_take_its_time_as_long_as_it_keeps_coming(
        self, server: Server, make: Callable[..., ApiClient], clock: FakeClock, tmp_path: Path
    ) -> None:
        def trickle(handler: http.server.BaseHTTPRequestHandler) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
            for _ in range(9):
                clock.advance(6)
                handler.wfile.write(b"x")

        server.steps = [trickle]
        file = tmp_path / "body"
        make(server.url, timeout=10).request("GET", "x", into=file)
        assert file.read_bytes() == b"x" * 9

    def test_ends_with_what_has_come_when_the_run_is_cancelled(
        self, server: Server, make: Callable[..., ApiClient], tmp_path: Path
    ) -> None:
        cancel = threading.Event()

        def half(handler: http.server.BaseHTTPRequestHandler) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
            cancel.set()
            handler.wfile.write(b"x")
            server.released.wait(20)

        server.steps = [half]
        with pytest.raises(Cancelled):
            make(server.url, cancel=cancel).request("GET", "x", into=tmp_path / "body")
        assert not server.released.is_set()

    def test_is_not_made_of_an_error(
        self, server: Server, make: Callable[..., ApiClient], tmp_path: Path
    ) -> None:
        server.steps = [error_json(404, "None", "Nothing here")]
        file = tmp_path / "body"
        with pytest.raises(NotFoundError, match="Nothing here"):
            make(server.url).request("GET", "x", into=file)
        assert not file.exists()


class TestTls:
    def test_an_untrusted_certificate_is_fatal_and_sees_no_token(
        self, servers: Callable[..., Server], make: Callable[..., ApiClient], tmp_path: Path
    ) -> None:
        context, _ = certificate(tmp_path)
        server = servers(context)
        with pytest.raises(FatalError, match=r"CERTIFICATE_VERIFY_FAILED.*authority of its certificate"):
            make(server.url, max_attempts=3).request("GET", "x")
        assert server.seen == []

    def test_a_bundle_of_ones_own_is_trusted(
        self, servers: Callable[..., Server], make: Callable[..., ApiClient], tmp_path: Path
    ) -> None:
        context, path = certificate(tmp_path)
        server = servers(context)
        auth = HTTPBasicAuth("user", "password")
        assert make(server.url, verify=path, auth=auth).request("GET", "x").status == 200
        assert server.seen[0].headers["Authorization"].startswith("Basic ")


class TestDescribeJson:
    @pytest.mark.parametrize(
        ("body", "code", "message"),
        [
            ({"error": {"code": "C", "message": "m"}}, "C", "m"),
            ({"error": [{"code": "C", "message": "m"}]}, "C", "m"),
            ({"code": "C", "message": "m"}, "C", "m"),
            ({"Error": {"Code": 429, "Message": "m"}}, "429", "m"),
            ([{"code": "C"}], "C", None),
            ({"error": "invalid_client", "error_description": "m"}, "invalid_client", "m"),
            ({"error": {"code": ["C"], "message": {"m": 1}}}, None, None),
            ({"error": None}, None, None),
            ({"error": []}, None, None),
            ([], None, None),
            (7, None, None),
            (None, None, None),
        ],
    )
    def test_reads_the_common_shapes(self, body: object, code: str | None, message: str | None) -> None:
        response = Response("GET x", 400, {}, json.dumps(body).encode())
        assert describe_json(response) == (code, message, None)

    @pytest.mark.parametrize(
        "body",
        [b"", b"<html>", b"\xff", b"[" * 1_000_000, b'{"a":' * 100_000],
        ids=["nothing", "HTML", "bytes", "lists", "objects"],
    )
    def test_takes_anything(self, body: bytes) -> None:
        assert describe_json(Response("GET x", 500, {}, body)) == (None, None, None)

    @pytest.mark.parametrize("name", ["x-ms-request-id", "X-Amzn-RequestId", "Request-Id"])
    def test_finds_the_request_id_by_the_end_of_its_name(self, name: str) -> None:
        assert describe_json(Response("GET x", 500, {name: "r"}, b""))[2] == "r"
