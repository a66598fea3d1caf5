"""A REST client that knows one origin and trusts nobody else with its tokens."""

from __future__ import annotations

import math
from contextlib import closing, suppress
from functools import partial
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import requests
import urllib3
from requests.adapters import HTTPAdapter

from offgridflow_common.classification import causes, classify, error_type
from offgridflow_common.errors import ContractBroken, ErrorClass, PermissionDenied, Throttled, TransientError
from offgridflow_common.origins import base_origin, has_scheme, origin, prepare, refusal, request_label
from offgridflow_common.responses import Response, describe_json, plain
from offgridflow_common.retry import parse_retry_after

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from requests.auth import AuthBase

    from offgridflow_common.classification import ErrorTable
    from offgridflow_common.errors import OffGridFlowError
    from offgridflow_common.pipeline import RequestPipeline
    from offgridflow_common.responses import Description

_CHUNK_BYTES: Final = 64 * 1024
_PROBLEM_BYTES: Final = 64 * 1024  # read of an error's body; a description is far smaller
_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {"User-Agent": "offgridflow-taps", "Accept": "application/json", "Accept-Encoding": "gzip, deflate"},
)
_ADVICE: Final[Mapping[ErrorClass, str]] = MappingProxyType(
    {
        ErrorClass.TRANSIENT: "Try later; if it stays, look at the network and the provider's status page.",
        ErrorClass.AUTH: "Check that the credentials are right, not expired, and allowed to ask this.",
        ErrorClass.BAD_REQUEST: "Check the settings that this request is made of.",
        ErrorClass.NOT_FOUND: "Check that it exists and that the settings name it as the provider does.",
        ErrorClass.FATAL: "Check the address, and that the authority of its certificate is trusted here.",
        ErrorClass.UNKNOWN: "Look the answer up in the provider's documentation, and report it.",
    },
)


@runtime_checkable
class RenewableAuth(Protocol):
    """Credentials that can be made anew, once, when an answer refuses them."""

    def renew(self, headers: Mapping[str, str]) -> bool:
        """Make them anew after an answer of 401.

        Args:
            headers: Of the answer, which may say what is missing.

        Returns:
            Whether the request is worth another try.
        """
        ...


class ApiClient:
    """Asks one provider's API through a pipeline.

    The credentials go to the scheme, host and port of `base_url` and nowhere else; plain http is spoken
    with this machine only. A redirect is an error. The session is no more than the transport: its headers,
    cookies, netrc and retries play no part.

    Args:
        base_url: Where the API is; paths are appended to it.
        pipeline: Limits, observes and retries; its clock is the client's.
        auth: Puts the credentials on each attempt, so it may renew them; None for none.
        timeout: Seconds to connect, seconds to wait for more bytes, seconds for the body as a whole.
        max_response_bytes: The largest decoded body that is accepted.
        error_tables: The provider's errors.
        session: The transport; the retries of its adapters are switched off.
        verify: Whether to verify certificates, or the path of a CA bundle.
        describe: Finds code, message and request id in an error answer, None for what it does not say.
        retry_after_headers: Where the provider says how long to wait; the longest counts.
        advise: Says what to do about an error answer, from its class, its code, and the answer.
        headers: Sent wherever the credentials are sent, such as a key beside them.

    Raises:
        ConfigError: If `base_url` is not an https URL (http on loopback) without user, query and fragment.
        ValueError: If a number is not positive.
    """

    def __init__(  # noqa: PLR0913 - one keyword for each thing that differs between providers
        self,
        *,
        base_url: str,
        pipeline: RequestPipeline,
        auth: AuthBase | None,
        timeout: float,
        max_response_bytes: int = 64 * 1024 * 1024,
        error_tables: Sequence[ErrorTable] = (),
        session: requests.Session | None = None,
        verify: bool | str = True,
        describe: Callable[[Response], Description] | None = None,
        retry_after_headers: Sequence[str] = ("Retry-After",),
        advise: Callable[[ErrorClass, str | None, Response], str] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        if not (timeout > 0 and max_response_bytes > 0):
            raise ValueError(f"timeout and size must be positive, not {timeout} and {max_response_bytes}")
        self._base_url = base_url.rstrip("/")
        self._origin = base_origin(self._base_url)
        self._pipeline = pipeline
        self._auth = auth
        self._timeout = timeout
        self._max_response_bytes = max_response_bytes
        self._error_tables = error_tables
        self._session = session or requests.Session()
        self._verify = verify
        self._describe = describe or describe_json
        self._retry_after_headers = retry_after_headers
        self._own_headers = headers
        self._advise = advise or (lambda error_class, _code, _response: _ADVICE[error_class])
        for adapter in self._session.adapters.values():
            if isinstance(adapter, HTTPAdapter):
                adapter.max_retries = urllib3.Retry(0, read=False)

    def request(  # noqa: PLR0913 - the parts of a request, by keyword
        self,
        method: str,
        url_or_path: str,
        *,
        params: Mapping[str, str | int | Sequence[str]] | None = None,
        json: object = None,
        headers: Mapping[str, str] | None = None,
        anonymous: bool = False,
        about: object = None,
        into: Path | None = None,
    ) -> Response:
        """Ask once, or as often as the pipeline's policy has it, and return a 2xx answer.

        Args:
            method: The HTTP method, such as GET.
            url_or_path: A path below `base_url`, or a whole URL such as a link to the next page.
            params: Added to the query.
            json: The body, if there is one.
            headers: Added to, or instead of, the client's own. They go wherever the request goes.
            anonymous: Send no credentials; only then may the URL be of another origin.
            about: What is asked, where the address does not tell; for messages.
            into: A file to write the body to, of any size and for as long as it keeps coming; the answer's
                own body is empty then.

        Raises:
            OffGridFlowError: By the class of what came back. `BadRequestError` for an address that the
                credentials must not go to, `ContractBroken` for an answer that is too large.
        """
        url = url_or_path if has_scheme(url_or_path) else f"{self._base_url}/{url_or_path.lstrip('/')}"
        own = {} if anonymous else self._own_headers
        prepared = prepare(
            method, url, params=params, json=json, headers={**_HEADERS, **own, **(headers or {})}
        )
        if origin(prepared) != self._origin and not anonymous:
            raise refusal(request_label(prepared), "it is not the origin that the credentials are for")
        auth = None if anonymous else self._auth
        operation = request_label(prepared)
        asked = operation if about is None else f"{operation} for {about}"

        return self._pipeline.call(
            operation, lambda: self._answer(asked, prepared, auth, into), partial(self._no_answer, asked)
        )

    def _answer(
        self, asked: str, prepared: requests.PreparedRequest, auth: AuthBase | None, into: Path | None
    ) -> Response:
        """Send, and once more with renewed credentials if the first ones are refused; the answer is 2xx."""
        response = self._exchange(asked, prepared, auth, into)
        unauthorized = response.status == HTTPStatus.UNAUTHORIZED
        if unauthorized and isinstance(auth, RenewableAuth) and auth.renew(response.headers):
            response = self._exchange(asked, prepared, auth, into)
        if not _is_success(response.status):
            raise self._failure(response)
        return response

    def _no_answer(self, asked: str, error: Exception) -> OffGridFlowError:
        error_class = classify(error, tables=self._error_tables)
        return error_type(error_class)(
            asked=asked, got=f"no complete answer ({_reason(error)})", do=_ADVICE[error_class]
        )

    def _exchange(
        self, asked: str, prepared: requests.PreparedRequest, auth: AuthBase | None, into: Path | None
    ) -> Response:
        """Send once; the answer, whatever its status."""
        attempt = prepared.copy()
        if auth is not None:
            attempt.prepare_auth(auth)
        with closing(self._transmit(attempt)) as answer:
            return self._receive(asked, answer, into)

    def _transmit(self, attempt: requests.PreparedRequest) -> requests.Response:
        """Send by the adapter, since a session would add netrc and read a redirect's body without bound."""
        url = attempt.url or ""
        environment = self._session.merge_environment_settings(
            url=url, proxies={}, stream=True, verify=self._verify, cert=None
        )
        verify = environment["verify"]
        return self._session.get_adapter(url).send(
            attempt,
            stream=True,
            timeout=(self._timeout, self._timeout),
            verify=self._verify if verify is None else verify,
            # Plain http is for this machine; a proxy would carry it, and the token in it, elsewhere.
            proxies=environment["proxies"] if url.startswith("https:") else {},
        )

    def _receive(self, asked: str, answer: requests.Response, into: Path | None) -> Response:
        status = answer.status_code
        if answer.is_redirect:
            raise refusal(asked, f"HTTP {status}, a redirect, which is not followed")
        if into and _is_success(status):
            with into.open("wb") as file:
                file.writelines(self._chunks(asked, answer, math.inf))
            return Response(asked, status, answer.headers, b"")
        body = self._whole_body if _is_success(status) else self._start_of_body
        return Response(asked, status, answer.headers, body(asked, answer))

    def _whole_body(self, asked: str, answer: requests.Response) -> bytes:
        body = bytearray()
        for chunk in self._chunks(asked, answer, self._timeout):
            body += chunk
            if len(body) > self._max_response_bytes:
                raise ContractBroken(
                    asked=asked,
                    got=f"a body of more than {self._max_response_bytes} bytes",
                    do="Ask for less at once, such as smaller pages or a shorter period.",
                )
        return bytes(body)

    def _start_of_body(self, asked: str, answer: requests.Response) -> bytes:
        """As much of an error's body as it takes to describe it; a broken body must not hide the status."""
        body = bytearray()
        with suppress(urllib3.exceptions.HTTPError, OSError, TransientError):
            for chunk in self._chunks(asked, answer, self._timeout):
                body += chunk
                if len(body) >= _PROBLEM_BYTES:
                    break
        return bytes(body)

    def _chunks(self, asked: str, answer: requests.Response, seconds: float) -> Iterator[bytes]:
        """The decoded body in pieces that are bounded in size and, together, in time and by the run."""
        clock = self._pipeline.clock
        deadline = clock.monotonic() + seconds
        # read1, not read: it returns what is there, so that a trickle cannot outlast the deadline.
        chunks = iter(lambda: answer.raw.read1(_CHUNK_BYTES, decode_content=True), b"")
        for chunk in self._pipeline.unless_cancelled(chunks):
            yield chunk
            if clock.monotonic() > deadline:
                raise TransientError(
                    asked=asked,
                    got=f"a body that was not complete after {seconds:g} s",
                    do="Allow the request more time, or ask for less at once.",
                )

    def _failure(self, response: Response) -> OffGridFlowError:
        code, message, request_id = (plain(text) if text else None for text in self._describe(response))
        waits = (
            parse_retry_after(response.headers[name], self._pipeline.clock.now())
            for name in self._retry_after_headers
            if name in response.headers
        )
        retry_after = max((wait for wait in waits if wait is not None), default=None)
        error_class = classify(None, tables=self._error_tables, code=code, status=response.status)
        kind = error_type(error_class)
        asks_to_wait = response.status == HTTPStatus.TOO_MANY_REQUESTS or retry_after is not None
        if error_class is ErrorClass.TRANSIENT and asks_to_wait:
            kind = Throttled
        elif error_class is ErrorClass.AUTH and response.status == HTTPStatus.FORBIDDEN:
            kind = PermissionDenied
        return kind(
            asked=response.asked,
            got=f"HTTP {response.status}" + (f" ({message})" if message else ", without a description"),
            do=self._advise(error_class, code, response),
            code=code,
            request_id=request_id,
            retry_after=retry_after,
        )


def _is_success(status: int) -> bool:
    return HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def _reason(error: Exception) -> str:
    """Name what led to `error`. Its own text stays out, as it may quote a URL or a header."""
    *_, root = causes(error)
    if isinstance(root, OSError) and root.strerror:
        return f"{type(root).__name__}: {root.strerror}"
    return type(root).__name__
