"""What each exception of Azure's SDK is to the tap when it comes of reading blobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import azure.core.exceptions
import pytest
from azure.core.exceptions import AzureError, HttpResponseError

from offgridflow_common.errors import ErrorClass
from tests.azure.asking import client_of, failure

if TYPE_CHECKING:
    from offgridflow_common.errors import OffGridFlowError
    from tap_offgridflow_azure.client import AzureClient

A, B, N, T = ErrorClass.AUTH, ErrorClass.BAD_REQUEST, ErrorClass.NOT_FOUND, ErrorClass.TRANSIENT
F, U = ErrorClass.FATAL, ErrorClass.UNKNOWN


def every(names: str, found: ErrorClass) -> dict[str, ErrorClass]:
    return dict.fromkeys(names.split(), found)


#: The exceptions of azure-core that reading blobs can end in, without a status.
EXCEPTIONS = {
    **every("ServiceRequestError ServiceRequestTimeoutError ServiceResponseError", T),
    **every("ServiceResponseTimeoutError IncompleteReadError DecodeError", T),
    "ClientAuthenticationError": A,
    "ResourceNotFoundError": N,
    "TooManyRedirectsError": F,
    # These say nothing but their status.
    **every(
        "AzureError HttpResponseError ResourceExistsError ResourceModifiedError ResourceNotModifiedError "
        "ODataV4Error",
        U,
    ),
}
#: Nothing that the tap does can raise these: if one comes, it is a bug, and `unknown` says so.
UNREACHABLE = {"ResponseNotReadError", "StreamClosedError", "StreamConsumedError"}


@pytest.fixture(scope="module")
def client() -> AzureClient:
    """A client that nobody answers; it does not get as far as asking."""
    return client_of({"auth_method": "cli", "max_attempts": 1})


def raised(name: str) -> AzureError:
    cls = getattr(azure.core.exceptions, name)
    if name == "TooManyRedirectsError":
        return cls([])
    return cls(response=None) if name == "ODataV4Error" else cls("something")


def of_blobs(client: AzureClient, error: Exception) -> OffGridFlowError:
    def fail(_container: object) -> None:
        raise error

    return failure(lambda: client.attempt("https://127.0.0.1:9/account/container", "reading it", fail))


@pytest.mark.parametrize(("name", "expected"), EXCEPTIONS.items())
def test_each_exception_of_the_sdk_has_its_class(
    name: str, expected: ErrorClass, client: AzureClient
) -> None:
    error = of_blobs(client, raised(name))
    assert error.error_class is expected
    assert error.asked == "reading it"


def test_no_exception_of_the_sdk_is_forgotten() -> None:
    known = {cls.__name__ for cls in vars(azure.core.exceptions).values() if _is_error(cls)}
    assert known == EXCEPTIONS.keys() | UNREACHABLE


def _is_error(cls: object) -> bool:
    return isinstance(cls, type) and issubclass(cls, AzureError)


@pytest.mark.parametrize(
    ("status", "expected"), [(500, T), (502, T), (503, T), (429, T), (408, T), (404, N), (400, B), (416, B)]
)
def test_an_answer_about_blobs_without_a_code_is_judged_by_its_status(
    status: int, expected: ErrorClass, client: AzureClient
) -> None:
    error = HttpResponseError("no")
    error.status_code = status
    assert of_blobs(client, error).error_class is expected


@pytest.mark.parametrize(
    ("inner", "expected"),
    [("IncompleteReadError", T), ("ServiceResponseError", T), ("ResourceNotFoundError", N)],
)
def test_what_an_error_is_around_counts_where_it_says_nothing(
    inner: str, expected: ErrorClass, client: AzureClient
) -> None:
    error = HttpResponseError("no")
    error.__cause__ = raised(inner)
    assert of_blobs(client, error).error_class is expected
