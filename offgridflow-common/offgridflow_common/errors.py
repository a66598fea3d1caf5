"""Errors: one tree, one class per way to act on them.

```
OffGridFlowError                 unknown
├── TransientError               transient    tried again, within bounds
│   ├── Throttled                             the provider asked for a pause
│   ├── SourceChanged                         an object changed while it was read
│   ├── DeliveryUnderWay                      what is to be read is still being delivered
│   └── DeadlineExceeded                      the time allowed for trying is over
├── AuthError                    auth         who we are, or what we may do, is refused
│   └── PermissionDenied                      known, but not allowed
├── BadRequestError              bad_request  the request or the settings are wrong
│   └── ConfigError                           a setting is wrong
├── NotFoundError                not_found    what was asked for does not exist
├── FatalError                   fatal        going on would be wrong
│   ├── ContractBroken                        the provider answered outside of its contract
│   ├── OutputLost                            standard output cannot be written to any more
│   └── Cancelled                             the run was asked to stop
└── UnknownError                 unknown      nothing above fits
```

Only the transient class is tried again. Everything else stops what was being done. Errors of libraries and
providers are put into these classes in :mod:`offgridflow_common.classification`.
"""
# ruff: noqa: N818 - these names say what happened; an Error suffix would say nothing more.

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from offgridflow_common.redaction import redact

__all__ = [
    "AuthError",
    "BadRequestError",
    "Cancelled",
    "ConfigError",
    "ContractBroken",
    "DeadlineExceeded",
    "DeliveryUnderWay",
    "ErrorClass",
    "FatalError",
    "NotFoundError",
    "OffGridFlowError",
    "OutputLost",
    "PermissionDenied",
    "SourceChanged",
    "Throttled",
    "TransientError",
    "UnknownError",
    "cancelled",
]


class ErrorClass(StrEnum):
    """What can be done about an error; the values are used in logs, spans and metrics."""

    TRANSIENT = "transient"
    AUTH = "auth"
    BAD_REQUEST = "bad_request"
    NOT_FOUND = "not_found"
    FATAL = "fatal"
    UNKNOWN = "unknown"


class OffGridFlowError(Exception):
    """The root of all errors the taps raise on purpose.

    The message for people says what was asked, what came back and what to do. It never contains a secret:
    the parts are redacted when the error is made, and once more when it is shown.

    Args:
        asked: What was being done, such as "GET https://example.com/items".
        got: What came back instead.
        do: What the reader can do about it.
        code: The provider's own code for the error.
        request_id: The provider's id of the request, for its support.
        retry_after: Seconds the provider asks to wait before the next try.
    """

    error_class: ClassVar[ErrorClass] = ErrorClass.UNKNOWN

    def __init__(  # noqa: PLR0913 - three parts for people and three for machines, all by keyword
        self,
        *,
        asked: str,
        got: str,
        do: str,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.asked = redact(asked)
        self.got = redact(got)
        self.do = redact(do)
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        super().__init__(self._message())

    def _message(self) -> str:
        details = [f"class={self.error_class}"]
        if self.code is not None:
            details.append(f"code={self.code}")
        if self.request_id is not None:
            details.append(f"request id={self.request_id}")
        asked, got = (part.strip().removesuffix(".") for part in (self.asked, self.got))
        return redact(f"{asked}: {got}. {self.do.strip()} [{', '.join(details)}]")

    def __str__(self) -> str:
        return redact(str(self.args[0]))

    def __reduce__(self) -> tuple[object, ...]:
        # The default would call __init__ with positional arguments, which it does not take.
        return _restore, (type(self), self.args), self.__dict__


def _restore(cls: type[OffGridFlowError], args: tuple[object, ...]) -> OffGridFlowError:
    return cls.__new__(cls, *args)


class TransientError(OffGridFlowError):
    """It may work when tried again."""

    error_class = ErrorClass.TRANSIENT


class Throttled(TransientError):
    """The provider asked for a pause; `retry_after` says for how long, if the provider does."""


class SourceChanged(TransientError):
    """An object changed while it was read; what was read of it does not count."""


class DeliveryUnderWay(TransientError):
    """A delivery that is not complete yet. It may be read in some minutes, or by the next run."""


class DeadlineExceeded(TransientError):
    """The time allowed for waiting or trying is over. It is not tried again within the same call."""


class AuthError(OffGridFlowError):
    """The credentials are missing, wrong or expired."""

    error_class = ErrorClass.AUTH


class PermissionDenied(AuthError):
    """The credentials are good, but do not allow what was asked."""


class BadRequestError(OffGridFlowError):
    """The request is wrong and would be wrong again."""

    error_class = ErrorClass.BAD_REQUEST


class ConfigError(BadRequestError):
    """A setting is wrong."""


class NotFoundError(OffGridFlowError):
    """What was asked for does not exist."""

    error_class = ErrorClass.NOT_FOUND


class FatalError(OffGridFlowError):
    """Going on would be useless or harmful."""

    error_class = ErrorClass.FATAL


class ContractBroken(FatalError):
    """The provider answered outside of its contract, so its answer cannot be trusted."""


class OutputLost(FatalError):
    """Standard output cannot be written to any more, and its last line may be torn: the run ends here."""


class Cancelled(FatalError):
    """The run was asked to stop."""


def cancelled(asked: str = "send a request") -> Cancelled:
    """The error of a run that was asked to stop.

    Args:
        asked: What it was about to do.
    """
    return Cancelled(
        asked=asked, got="the run was cancelled", do="Run it again; it continues where it stopped."
    )


class UnknownError(OffGridFlowError):
    """Nothing is known about this error."""

    error_class = ErrorClass.UNKNOWN
