"""The error tree and what `classify` makes of other people's exceptions."""

from __future__ import annotations

import copy
import errno
import http.client
import inspect
import json
import pickle
import re
import socket
import ssl

import pytest
import requests
import urllib3.exceptions

from offgridflow_common import errors
from offgridflow_common.classification import ErrorTable, causes, classify, error_type
from offgridflow_common.errors import Cancelled, ErrorClass, OffGridFlowError, Throttled, TransientError
from offgridflow_common.redaction import REDACTED

OURS = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, OffGridFlowError)
]  # fmt: skip

A, B, N, T = ErrorClass.AUTH, ErrorClass.BAD_REQUEST, ErrorClass.NOT_FOUND, ErrorClass.TRANSIENT
F, U = ErrorClass.FATAL, ErrorClass.UNKNOWN

REQUESTS = {
    "ChunkedEncodingError": T,
    "ConnectTimeout": T,
    "ConnectionError": T,
    "ContentDecodingError": T,
    "HTTPError": U,
    "InvalidHeader": B,
    "InvalidJSONError": B,
    "InvalidProxyURL": B,
    "InvalidSchema": B,
    "InvalidURL": B,
    "JSONDecodeError": F,
    "MissingSchema": B,
    "ProxyError": T,
    "ReadTimeout": T,
    "RequestException": U,
    "RetryError": T,
    "SSLError": T,
    "StreamConsumedError": U,
    "Timeout": T,
    "TooManyRedirects": F,
    "URLRequired": B,
    "UnrewindableBodyError": U,
}
URLLIB3 = {
    "BodyNotHttplibCompatible": U,
    "ClosedPoolError": T,
    "ConnectTimeoutError": T,
    "DecodeError": T,
    "EmptyPoolError": T,
    "FullPoolError": T,
    "HTTPError": U,
    "HeaderParsingError": U,
    "HostChangedError": T,
    "IncompleteRead": T,
    "InvalidChunkLength": T,
    "InvalidHeader": U,
    "LocationParseError": B,
    "LocationValueError": B,
    "MaxRetryError": T,
    "NameResolutionError": T,
    "NewConnectionError": T,
    "PoolError": T,
    "ProtocolError": T,
    "ProxyError": T,
    "ProxySchemeUnknown": B,
    "ReadTimeoutError": T,
    "RequestError": T,
    "ResponseError": T,
    "ResponseNotChunked": T,
    "SSLError": T,
    "TimeoutError": T,
    "TimeoutStateError": U,
    "URLSchemeUnknown": B,
    "UnrewindableBodyError": U,
}


def an_error(cls: type[OffGridFlowError] = TransientError, **details: object) -> OffGridFlowError:
    return cls(asked="GET https://example.com", got="nothing", do="Wait.", **details)


def pickled(error: OffGridFlowError) -> object:
    return pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes


def raised_by(cause: BaseException, *wrappers: BaseException) -> BaseException:
    """The last wrapper, each raised while the one before it was handled, as libraries do."""
    for wrapper in wrappers:
        wrapper.__context__, cause = cause, wrapper
    return cause


def instance(cls: type[BaseException]) -> BaseException:
    """An exception of this type whatever its constructor wants."""
    return cls.__new__(cls)


class TestTheTree:
    def test_all_lists_every_public_name_of_the_module(self) -> None:
        public = {
            name
            for name, value in vars(errors).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == errors.__name__
        }
        assert sorted(errors.__all__) == sorted(public)

    def test_is_drawn_as_it_is_in_the_docstring(self) -> None:
        drawn: dict[str, tuple[str | None, str | None]] = {}
        path: list[str] = []
        for line in errors.__doc__.split("```")[1].strip().splitlines():
            indent, name, words = re.fullmatch(r"([│├└─ ]*)(\w+) +(.*)", line).groups()
            path[len(indent) // 4 :] = [name]
            label = words.split()[0] if words.split()[0] in set(ErrorClass) else None
            drawn[name] = (path[-2] if len(path) > 1 else None, label)
        assert drawn.keys() == {cls.__name__ for cls in OURS}
        for name, (parent, label) in drawn.items():
            cls = getattr(errors, name)
            assert cls.__base__.__name__ == (parent or "Exception")
            assert label in (None, cls.error_class)
            assert (label is None) == (parent not in (None, "OffGridFlowError"))

    @pytest.mark.parametrize("error_class", ErrorClass)
    def test_has_a_type_to_raise_for_every_class(self, error_class: ErrorClass) -> None:
        assert error_type(error_class).error_class is error_class
        assert error_type(error_class).__base__ is OffGridFlowError

    def test_class_values_are_plain_lower_case_words(self) -> None:
        assert [str(c) for c in ErrorClass] == [c.name.lower() for c in ErrorClass]


class TestTheMessage:
    def test_says_what_was_asked_what_came_back_and_what_to_do(self) -> None:
        error = Throttled(
            asked="GET https://example.com/a.",
            got="HTTP 429.",
            do="Wait.",
            code="SlowDown",
            request_id="r-1",
        )
        assert str(error) == (
            "GET https://example.com/a: HTTP 429. Wait. [class=transient, code=SlowDown, request id=r-1]"
        )

    def test_leaves_out_what_is_not_known(self) -> None:
        assert str(an_error()) == "GET https://example.com: nothing. Wait. [class=transient]"

    def test_hides_secrets_in_every_part(self) -> None:
        error = an_error(code="token=abc", request_id="sig=def").__class__(
            asked="GET https://u:hunter2@example.com/?sig=hunter2",
            got="Authorization: Bearer hunter2",
            do="Try password=hunter2",
            code="secret=hunter2",
            request_id="token=hunter2",
        )
        for text in (str(error), repr(error), error.asked, error.got, error.do, f"{error.args}"):
            assert "hunter2" not in text
            assert REDACTED in text

    def test_is_the_first_argument_for_those_who_log_that(self) -> None:
        error = an_error()
        assert error.args == (str(error),)

    @pytest.mark.parametrize("cls", OURS)
    @pytest.mark.parametrize("through", [pickled, copy.copy, copy.deepcopy])
    def test_survives_pickling_and_copying(self, cls: type[OffGridFlowError], through: object) -> None:
        error = an_error(cls, code="C", request_id="r", retry_after=1.5)
        error.add_note("seen in a worker")
        again = through(error)
        assert type(again) is cls
        assert str(again) == str(error)
        assert vars(again) == vars(error)
        assert again.__notes__ == ["seen in a worker"]


class TestClassify:
    @pytest.mark.parametrize("cls", OURS)
    def test_our_own_errors_answer_for_themselves(self, cls: type[OffGridFlowError]) -> None:
        table = ErrorTable(by_exception=[(Exception, ErrorClass.NOT_FOUND)], by_code={"C": ErrorClass.AUTH})
        assert classify(an_error(cls), tables=[table], code="C", status=404) is cls.error_class

    def test_knows_every_exception_of_requests(self) -> None:
        theirs = {
            name: cls
            for name, cls in inspect.getmembers(requests.exceptions, inspect.isclass)
            if issubclass(cls, requests.RequestException)
        }
        assert {name: classify(instance(cls)) for name, cls in theirs.items()} == REQUESTS

    def test_knows_every_exception_of_urllib3(self) -> None:
        theirs = {
            cls.__name__: cls
            for _, cls in inspect.getmembers(urllib3.exceptions, inspect.isclass)
            if issubclass(cls, urllib3.exceptions.HTTPError) and not issubclass(cls, Warning)
        }
        assert {name: classify(instance(cls)) for name, cls in theirs.items()} == URLLIB3

    @pytest.mark.parametrize(
        ("error", "expected"),
        [
            (TimeoutError(), T),
            (ConnectionResetError(), T),
            (ConnectionRefusedError(), T),
            (BrokenPipeError(), T),
            (socket.gaierror(socket.EAI_AGAIN, "again"), T),
            (OSError(errno.EHOSTUNREACH, "no route"), T),
            (OSError(errno.ENETUNREACH, "no network"), T),
            (http.client.IncompleteRead(b""), T),
            (http.client.RemoteDisconnected(), T),
            (ssl.SSLEOFError(), T),
            (OSError(errno.ENOSPC, "disk full"), F),
            (OSError(errno.EDQUOT, "over quota"), F),
            (MemoryError(), F),
            (json.JSONDecodeError("bad", "{", 0), F),
            (FileNotFoundError(), N),
            (PermissionError(), A),
            (OSError(errno.EIO, "input/output error"), U),
            (ValueError(), U),
            (KeyError("a programming error"), U),
        ],
        ids=repr,
    )
    def test_knows_the_exceptions_of_python(self, error: Exception, expected: ErrorClass) -> None:
        assert classify(error) is expected

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            (400, B), (401, A), (403, A), (404, N), (405, B), (407, A), (408, T), (409, B), (410, N),
            (412, B), (425, T), (429, T), (451, B), (500, T), (501, T), (502, T), (503, T), (504, T),
            (599, T), (200, U), (304, U), (600, U), (None, U),
        ],
    )  # fmt: skip
    def test_falls_back_on_the_status(self, status: int | None, expected: ErrorClass) -> None:
        assert classify(None, status=status) is expected
        assert classify(ValueError(), status=status) is expected

    def test_takes_the_status_of_an_http_error_of_requests(self) -> None:
        response = requests.Response()
        response.status_code = 404
        assert classify(requests.HTTPError(response=response)) is ErrorClass.NOT_FOUND

    def test_the_code_outweighs_exception_and_status(self) -> None:
        table = ErrorTable(by_exception=[(ValueError, ErrorClass.FATAL)], by_code={"Slow": T})
        assert classify(ValueError(), tables=[table], code="Slow", status=400) is T

    def test_a_code_nobody_knows_leaves_the_decision_to_the_rest(self) -> None:
        table = ErrorTable(by_exception=[(LookupError, N)], by_code={"Slow": T})
        assert classify(KeyError(), tables=[table], code="slow", status=400) is N
        assert classify(ValueError(), tables=[table], code="slow", status=400) is B

    def test_the_first_table_that_knows_decides(self) -> None:
        tables = [ErrorTable(by_code={"X": A}), ErrorTable(by_code={"X": N, "Y": T})]
        assert classify(None, tables=tables, code="X") is A
        assert classify(None, tables=tables, code="Y") is T

    @pytest.mark.parametrize("order", [1, -1])
    def test_the_most_derived_row_decides_in_any_order(self, order: int) -> None:
        rows = [(Exception, F), (LookupError, N), (KeyError, B)][::order]
        table = ErrorTable(by_exception=rows)
        own_kind = type("OwnKeyError", (KeyError,), {})
        assert classify(own_kind(), tables=[table]) is B
        assert classify(IndexError(), tables=[table]) is N
        assert classify(ValueError(), tables=[table]) is F

    def test_a_certificate_that_does_not_verify_is_fatal_however_wrapped(self) -> None:
        wrapped = raised_by(
            ssl.SSLCertVerificationError(1, "self-signed certificate"),
            urllib3.exceptions.SSLError("x"),
            requests.exceptions.SSLError("y"),
        )
        table = ErrorTable(by_exception=[(requests.exceptions.SSLError, T)])
        assert classify(wrapped, tables=[table]) is F
        assert classify(raised_by(ssl.SSLEOFError(), requests.exceptions.SSLError())) is T

    def test_a_full_disk_is_fatal_however_wrapped(self) -> None:
        assert classify(raised_by(OSError(errno.ENOSPC, "full"), TimeoutError())) is F

    def test_what_was_suppressed_does_not_count(self) -> None:
        error = raised_by(OSError(errno.ENOSPC, "full"), TimeoutError())
        error.__suppress_context__ = True
        assert classify(error) is T


class TestCauses:
    def test_are_listed_newest_first(self) -> None:
        chain = raised_by(ValueError(), KeyError(), an_error(Cancelled))
        assert [type(error) for error in causes(chain)] == [Cancelled, KeyError, ValueError]

    def test_end_even_where_they_form_a_ring(self) -> None:
        first, second = ValueError(), KeyError()
        first.__cause__, second.__cause__ = second, first
        assert list(causes(first)) == [first, second]
