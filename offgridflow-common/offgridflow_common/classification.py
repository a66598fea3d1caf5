"""Which class an error is of: those of libraries and, by a table of the provider's, of providers."""

from __future__ import annotations

import errno
import http.client
import json
import socket
import ssl
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import requests
import urllib3.exceptions

from offgridflow_common.errors import (
    AuthError,
    BadRequestError,
    ErrorClass,
    FatalError,
    NotFoundError,
    OffGridFlowError,
    TransientError,
    UnknownError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_TYPES: Final[Mapping[ErrorClass, type[OffGridFlowError]]] = MappingProxyType(
    {
        cls.error_class: cls
        for cls in (TransientError, AuthError, BadRequestError, NotFoundError, FatalError, UnknownError)
    },
)


@dataclass(frozen=True, slots=True)
class ErrorTable:
    """What a provider's errors mean, as data.

    Attributes:
        by_exception: Exception types and their class. Subclasses are covered; where several rows match, the
            most derived type wins whatever the order of the rows.
        by_code: The provider's error codes, exactly as it spells them, and their class.
    """

    by_exception: Sequence[tuple[type[BaseException], ErrorClass]] = ()
    by_code: Mapping[str, ErrorClass] = field(default_factory=dict)

    def of_exception(self, error: BaseException | None) -> ErrorClass | None:
        """Return the class of the row that fits `error` best, or None."""
        rows = dict(self.by_exception)
        # The MRO lists every type that isinstance() would accept, most derived first.
        return next((rows[cls] for cls in type(error).__mro__ if cls in rows), None)


# Exceptions of the libraries below every tap. Bases whose subclasses have nothing in common are unknown.
_BUILT_IN: Final = ErrorTable(
    by_exception=(
        (OSError, ErrorClass.UNKNOWN),
        (TimeoutError, ErrorClass.TRANSIENT),
        (ConnectionError, ErrorClass.TRANSIENT),
        (socket.gaierror, ErrorClass.TRANSIENT),
        (ssl.SSLError, ErrorClass.TRANSIENT),
        (http.client.HTTPException, ErrorClass.TRANSIENT),
        (http.client.InvalidURL, ErrorClass.BAD_REQUEST),
        (FileNotFoundError, ErrorClass.NOT_FOUND),
        (PermissionError, ErrorClass.AUTH),
        (MemoryError, ErrorClass.FATAL),
        (json.JSONDecodeError, ErrorClass.FATAL),
        (urllib3.exceptions.HTTPError, ErrorClass.UNKNOWN),
        (urllib3.exceptions.PoolError, ErrorClass.TRANSIENT),
        (urllib3.exceptions.TimeoutError, ErrorClass.TRANSIENT),
        (urllib3.exceptions.ProtocolError, ErrorClass.TRANSIENT),
        (urllib3.exceptions.IncompleteRead, ErrorClass.TRANSIENT),
        (urllib3.exceptions.InvalidChunkLength, ErrorClass.TRANSIENT),
        (urllib3.exceptions.SSLError, ErrorClass.TRANSIENT),
        (urllib3.exceptions.ProxyError, ErrorClass.TRANSIENT),
        (urllib3.exceptions.DecodeError, ErrorClass.TRANSIENT),
        (urllib3.exceptions.ResponseError, ErrorClass.TRANSIENT),
        (urllib3.exceptions.LocationValueError, ErrorClass.BAD_REQUEST),
        (requests.exceptions.RequestException, ErrorClass.UNKNOWN),
        (requests.exceptions.ConnectionError, ErrorClass.TRANSIENT),
        (requests.exceptions.Timeout, ErrorClass.TRANSIENT),
        (requests.exceptions.RetryError, ErrorClass.TRANSIENT),
        (requests.exceptions.ChunkedEncodingError, ErrorClass.TRANSIENT),
        (requests.exceptions.ContentDecodingError, ErrorClass.TRANSIENT),
        (requests.exceptions.TooManyRedirects, ErrorClass.FATAL),
        (requests.exceptions.JSONDecodeError, ErrorClass.FATAL),
        (requests.exceptions.InvalidJSONError, ErrorClass.BAD_REQUEST),
        (requests.exceptions.URLRequired, ErrorClass.BAD_REQUEST),
        (requests.exceptions.MissingSchema, ErrorClass.BAD_REQUEST),
        (requests.exceptions.InvalidSchema, ErrorClass.BAD_REQUEST),
        (requests.exceptions.InvalidURL, ErrorClass.BAD_REQUEST),
        (requests.exceptions.InvalidHeader, ErrorClass.BAD_REQUEST),
    ),
)

_BY_STATUS: Final[Mapping[int, ErrorClass]] = MappingProxyType(
    {
        HTTPStatus.UNAUTHORIZED: ErrorClass.AUTH,
        HTTPStatus.FORBIDDEN: ErrorClass.AUTH,
        HTTPStatus.PROXY_AUTHENTICATION_REQUIRED: ErrorClass.AUTH,
        HTTPStatus.NOT_FOUND: ErrorClass.NOT_FOUND,
        HTTPStatus.GONE: ErrorClass.NOT_FOUND,
        HTTPStatus.REQUEST_TIMEOUT: ErrorClass.TRANSIENT,
        HTTPStatus.TOO_EARLY: ErrorClass.TRANSIENT,
        HTTPStatus.TOO_MANY_REQUESTS: ErrorClass.TRANSIENT,
    },
)
_BY_STATUS_HUNDREDS: Final[Mapping[int, ErrorClass]] = MappingProxyType(
    {4: ErrorClass.BAD_REQUEST, 5: ErrorClass.TRANSIENT},
)
_DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NETWORK_DOWN: Final = frozenset(
    {errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH},
)


def error_type(error_class: ErrorClass) -> type[OffGridFlowError]:
    """Return the exception type to raise for `error_class`."""
    return _TYPES[error_class]


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield `error` and what led to it, newest first, as a traceback would show it."""
    seen: set[int] = set()
    current = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        context = None if current.__suppress_context__ else current.__context__
        current = current.__cause__ or context


def classify(
    error: BaseException | None,
    *,
    tables: Sequence[ErrorTable] = (),
    code: str | None = None,
    status: int | None = None,
) -> ErrorClass:
    """Say what can be done about `error`. Never raises.

    What is most certain decides: an error of ours, then the provider's code, then a cause that no retry
    can heal, then the provider's exception types, then the HTTP status, then the types of the libraries.

    Args:
        error: What was raised; None where there is only an answer with a code or a status.
        tables: The provider's tables; the first that knows the code or the type decides.
        code: The provider's code for this error, if it gave one.
        status: The HTTP status of the answer, if there was one.
    """
    if isinstance(error, OffGridFlowError):
        return error.error_class
    answers = (
        next((table.by_code[code] for table in tables if code in table.by_code), None) if code else None,
        ErrorClass.FATAL if _never_heals(error) else None,
        next((found for table in tables if (found := table.of_exception(error))), None),
        _of_status(_status_of(error) if status is None else status),
        ErrorClass.TRANSIENT if isinstance(error, OSError) and error.errno in _NETWORK_DOWN else None,
        _BUILT_IN.of_exception(error),
    )
    return next((answer for answer in answers if answer is not None), ErrorClass.UNKNOWN)


def _never_heals(error: BaseException | None) -> bool:
    """Tell whether a full disk or an untrusted certificate is behind `error`.

    A certificate that does not verify means that the other side may not be the provider: neither the
    request nor the credentials are at fault, a retry meets the same certificate, and to go on is not safe.
    """
    return any(
        isinstance(cause, ssl.SSLCertVerificationError)
        or (isinstance(cause, OSError) and cause.errno in _DISK_FULL)
        for cause in causes(error)
    )


def _status_of(error: BaseException | None) -> int | None:
    response = getattr(error, "response", None)
    return response.status_code if isinstance(response, requests.Response) else None


def _of_status(status: int | None) -> ErrorClass | None:
    if status is None:
        return None
    return _BY_STATUS.get(status) or _BY_STATUS_HUNDREDS.get(status // 100)
