"""What failures of Azure's SDK are to the tap: those of signing in, and those of Blob Storage."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from offgridflow_common.classification import causes, classify, error_type
from offgridflow_common.errors import ErrorClass, OffGridFlowError, PermissionDenied, SourceChanged, Throttled
from offgridflow_common.responses import plain
from offgridflow_common.retry import parse_retry_after
from tap_offgridflow_azure.connection import error_codes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offgridflow_common.classification import ErrorTable
    from offgridflow_common.clock import Clock

_AADSTS = re.compile(r"AADSTS(\d+)")

#: Seconds between two attempts at a token service that does not keep up, where it asks for none.
_PATIENCE = 5.0

#: Ways to sign in that find what they need in the environment, or do not.
_FOUND_ON_THE_WAY = frozenset({"managed_identity", "cli", "default"})

#: What the endpoint of managed identities answers while it is being updated.
_BEING_UPDATED = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})


class SignInExchange:
    """What went over the wire while signing in, which the SDK's errors tell in part or not at all.

    Args:
        clock: Tells the time.

    Attributes:
        unanswered: The URL of the last request if no answer came.
        status: The status of the last answer.
        retry_after: The seconds that it asked to wait.
        number: The number after AADSTS in it.
        error: Its OAuth error.
    """

    unanswered: str
    status: int | None
    retry_after: float | None
    number: int | None
    error: str | None

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._begin("")

    def asked(self, request: Any) -> None:  # noqa: ANN401 - the SDK's
        """Note a request."""
        self._begin(request.http_request.url)

    def answered(self, response: Any) -> None:  # noqa: ANN401 - the SDK's
        """Note an answer."""
        self._begin("")
        answer = response.http_response
        self.status = answer.status_code
        self.retry_after = parse_retry_after(answer.headers.get("Retry-After"), self._clock.now())
        if self.status >= HTTPStatus.BAD_REQUEST:
            self._note_error(answer)

    def _begin(self, unanswered: str) -> None:
        self.unanswered = unanswered
        self.status = self.retry_after = self.number = self.error = None

    def _note_error(self, answer: Any) -> None:  # noqa: ANN401 - the SDK's
        try:
            body = answer.json()
        except ValueError:
            return
        if isinstance(body, dict):
            numbers = body.get("error_codes")
            self.number = numbers[0] if isinstance(numbers, list) and numbers else None
            self.error = body.get("error")


def sign_in_error(
    error: Exception, method: str, authority_url: str, wire: SignInExchange
) -> OffGridFlowError:
    """Turn what azure-identity raised into an error of ours.

    All of its errors are of one type, a wrong secret as well as a network that is down, and their texts
    change. The number after AADSTS tells; where there is none, what went over the wire does.

    Args:
        error: What was raised.
        method: How the tap signs in, as in the setting.
        authority_url: Where it does.
        wire: What was asked and answered.
    """
    number = wire.number or next(map(int, _AADSTS.findall(str(error))), None)
    found, do = error_codes.AADSTS.get(number or 0) or _without_number(
        error, method, authority_url, wire, number=number
    )
    throttled = wire.status == HTTPStatus.TOO_MANY_REQUESTS or wire.retry_after is not None
    transient = found is ErrorClass.TRANSIENT
    answered = transient and wire.status is not None
    return (Throttled if transient and throttled else error_type(found))(
        asked=f"signing in by {method.replace('_', ' ')}",
        got=plain(str(error)),
        do=do,
        code=f"AADSTS{number}" if number else None,
        retry_after=max(_PATIENCE, wire.retry_after or 0.0) if answered else None,
    )


def _without_number(
    error: Exception, method: str, authority_url: str, wire: SignInExchange, *, number: int | None
) -> tuple[ErrorClass, str]:
    """The class of an error without a number that is known, and what to do."""
    managed = method == "managed_identity"
    busy = wire.status is not None and (
        wire.status == HTTPStatus.TOO_MANY_REQUESTS
        or wire.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        or wire.error == "temporarily_unavailable"
        or (managed and wire.status in _BEING_UPDATED)
    )
    unreadable = any(isinstance(cause, FileNotFoundError | PermissionError) for cause in causes(error))
    silent = wire.unanswered.startswith(authority_url.rstrip("/"))
    rules = (
        (unreadable, ErrorClass.BAD_REQUEST, error_codes.NO_FILE),
        (busy, ErrorClass.TRANSIENT, error_codes.OVERLOADED),
        (_is_permanent(error), ErrorClass.FATAL, error_codes.UNREACHABLE),
        (silent, ErrorClass.TRANSIENT, error_codes.UNREACHABLE),
        # The endpoint of a machine that has just started may need a moment.
        (managed and wire.unanswered, ErrorClass.TRANSIENT, error_codes.NOT_SIGNED_IN),
        (number, ErrorClass.AUTH, error_codes.SIGN_IN),
        (method in _FOUND_ON_THE_WAY, ErrorClass.AUTH, error_codes.NOT_SIGNED_IN),
        (True, ErrorClass.BAD_REQUEST, error_codes.NO_AUTHORITY),
    )
    return next((found, do) for fits, found, do in rules if fits)


def storage_error(error: Exception, asked: str, table: ErrorTable, clock: Clock) -> OffGridFlowError:
    """Turn what azure-storage-blob raised into an error of ours.

    Args:
        error: What was raised.
        asked: What was asked.
        table: The classes of codes and of the SDK's exceptions.
        clock: Tells the time.
    """
    status = getattr(error, "status_code", None)
    code = getattr(error, "error_code", None)
    code = str(getattr(code, "value", code)) if code else None
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    found = _class_of(error, table, code, status)
    return _storage_kind(found, status, code)(
        asked=asked,
        got=plain(str(getattr(error, "message", None) or error).partition("\n")[0]) or type(error).__name__,
        do=error_codes.storage_advice(found, code, status),
        code=code,
        request_id=headers.get("x-ms-request-id"),
        retry_after=parse_retry_after(headers.get("Retry-After"), clock.now()),
    )


def _class_of(error: Exception, table: ErrorTable, code: str | None, status: int | None) -> ErrorClass:
    if _is_permanent(error):
        return ErrorClass.FATAL
    found = classify(error, tables=(table,), code=code, status=status)
    if found is not ErrorClass.UNKNOWN:
        return found
    # A body that broke off comes as an error without a status, around the one that tells.
    classes = (classify(cause, tables=(table,)) for cause in _behind(error))
    return next((one for one in classes if one is not ErrorClass.UNKNOWN), ErrorClass.UNKNOWN)


def _storage_kind(found: ErrorClass, status: int | None, code: str | None) -> type[OffGridFlowError]:
    if code in error_codes.CHANGED or status == HTTPStatus.PRECONDITION_FAILED:
        return SourceChanged
    if code == "ServerBusy":
        return Throttled
    if found is ErrorClass.AUTH and error_codes.is_denied(status, code):
        return PermissionDenied
    return error_type(found)


def _is_permanent(error: Exception) -> bool:
    """Whether what is behind an error of the SDK, such as an untrusted certificate, stays as it is."""
    return any(classify(cause) is ErrorClass.FATAL for cause in _behind(error))


def _behind(error: Exception) -> Iterator[BaseException]:
    """What led to an error, also where the SDK only keeps it beside."""
    for cause in causes(error):
        inner = getattr(cause, "inner_exception", None)
        yield from (one for one in (cause, inner) if isinstance(one, BaseException))
