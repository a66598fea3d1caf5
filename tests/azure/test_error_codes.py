"""What each error of Azure is to the tap: complete, through the client, in every shape that answers have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offgridflow_common.errors import ErrorClass, PermissionDenied, Throttled
from tap_offgridflow_azure.connection.error_codes import AADSTS, BY_CODE
from tests.azure.asking import VERSION, client_of, failure, subscriptions
from tests.local_clouds.azure import LocalAzure
from tests.local_clouds.azure_errors import (
    BAD_GATEWAY_HTML,
    ERROR_AS_LIST,
    ERROR_FLAT,
    ERROR_WITH_DETAILS,
    arm_error,
)
from tests.local_clouds.azure_messages import Reply
from tests.local_clouds.entra import entra_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_offgridflow_azure.client import AzureClient

A, B, N, T = ErrorClass.AUTH, ErrorClass.BAD_REQUEST, ErrorClass.NOT_FOUND, ErrorClass.TRANSIENT


def every(names: str, found: ErrorClass) -> dict[str, ErrorClass]:
    return dict.fromkeys(names.split(), found)


PERMISSION = """
    AuthorizationFailed LinkedAuthorizationFailed RBACAccessDenied BillingAccessDenied AccountCostDisabled
    DepartmentCostDisabled IndirectCostDisabled DisallowedOperation AuthorizationPermissionMismatch
    AuthorizationFailure InsufficientAccountPermissions
"""
THROTTLE = """
    TooManyRequests 429 SubscriptionRequestsThrottled TenantRequestsThrottled ResourceRequestsThrottled
    ResourceCollectionRequestsThrottled
"""
CODES = {
    **every(
        """
        InvalidAuthenticationToken ExpiredAuthenticationToken InvalidAuthenticationTokenTenant
        AuthenticationFailed InvalidAuthenticationTokenAudience InvalidAuthenticationInfo
        """,
        A,
    ),
    **every(PERMISSION, A),
    **every(
        """
        SubscriptionNotFound ResourceGroupNotFound NotFound ContainerNotFound BillingSubscriptionNotFound
        BlobNotFound ManagementGroupNotFound ResourceNotFound
        """,
        N,
    ),
    **every(
        """
        BadRequest MissingSubscription InvalidSubscriptionId SubscriptionTypeNotSupported
        InvalidApiVersionParameter MissingApiVersionParameter NoRegisteredProviderFound
        """,
        B,
    ),
    **every(THROTTLE, T),
    **every(
        """
        GatewayTimeout ServerTimeout InvalidGatewayHost ServiceUnavailable ServerBusy NotAcceptable
        InternalError OperationTimedOut ConditionNotMet TargetConditionNotMet
        """,
        T,
    ),
}

NUMBERS = {
    **dict.fromkeys((7000215, 7000222, 70002, 7000218, 700027, 50012, 700024, 700030, 53003, 530032), A),
    **dict.fromkeys((700016, 7000112, 90002, 70011, 700022, 700023, 500011, 50001, 90038, 900382, 900432), B),
    **dict.fromkeys((90055, 90006, 90012, 90024, 90033, 90090, 50000), T),
}

SUBSCRIPTION = "/subscriptions/aaaaaaaa-0000-0000-0000-000000000001"
ACCOUNT = "/providers/Microsoft.Billing/billingAccounts/1234567"
GROUP = "/providers/Microsoft.Management/managementGroups/all"
COSTS = "/providers/Microsoft.CostManagement"
ROLES = {
    "/providers/Microsoft.Carbon/carbonEmissionReports": "Carbon Optimization Reader on the subscription",
    "/providers/Microsoft.Carbon/queryCarbonEmissionDataAvailableDateRange": "Carbon Optimization Reader",
    f"{SUBSCRIPTION}{COSTS}/query": "Cost Management Reader on the scope",
    f"{ACCOUNT}{COSTS}/query": "'view charges' to be on",
    f"{GROUP}{COSTS}/Query": "Cost Management Reader on the scope",
    f"{SUBSCRIPTION}{COSTS}/generateCostDetailsReport": "Cost Management Contributor",
    f"{SUBSCRIPTION}{COSTS}/costDetailsOperationResults/1": "or list an export in exports",
    f"{GROUP}/descendants": "Management Group Reader on the group",
    ACCOUNT: "a reader's role on the billing account",
    "/subscriptions": "Reader on the subscriptions, or set subscription_ids",
}


@pytest.fixture(scope="module")
def cloud() -> Iterator[LocalAzure]:
    """A local cloud that all tests here share: each lets its next answer be an error."""
    with LocalAzure() as running:
        yield running


@pytest.fixture(scope="module")
def client(cloud: LocalAzure) -> AzureClient:
    limits = {"rate_limit_per_second": 1000, "rate_limit_capacity": 10_000}
    return client_of({**cloud.settings, **limits, "max_attempts": 1})


@pytest.fixture(autouse=True)
def _good_again(cloud: LocalAzure) -> Iterator[None]:
    yield
    cloud.arm.clear_faults()
    cloud.entra.clear_faults()


def answered(cloud: LocalAzure, client: AzureClient, reply: Reply, path: str = "/subscriptions") -> Any:
    """The error that an answer becomes."""
    cloud.arm.fail_next(reply, 2)
    return failure(lambda: client.arm.request("GET", path, params=VERSION))


@pytest.mark.parametrize(("code", "expected"), CODES.items())
@pytest.mark.parametrize("status", [400, 404, 503])
def test_the_code_decides_whatever_the_status_is(
    code: str, expected: ErrorClass, status: int, *, cloud: LocalAzure, client: AzureClient
) -> None:
    error = answered(cloud, client, arm_error(status, code, "The service said so."))
    assert error.error_class is expected
    assert error.code == code
    assert error.got == f"HTTP {status} (The service said so.)"
    assert error.request_id
    assert f"class={expected}, code={code}, request id={error.request_id}]" in str(error)


def test_no_code_is_forgotten() -> None:
    assert CODES == BY_CODE


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, T) for status in (408, 429, 500, 502, 503, 504, 406)),
        *((status, A) for status in (401, 403)),
        *((status, N) for status in (404, 410)),
        *((status, B) for status in (400, 405, 409, 422)),
        (599, T),
    ],
)
def test_an_answer_without_a_code_that_is_known_is_judged_by_its_status(
    status: int, expected: ErrorClass, cloud: LocalAzure, client: AzureClient
) -> None:
    for reply in (Reply(status), *([arm_error(status, "SomethingNew", "No.")] if status != 406 else [])):
        assert answered(cloud, client, reply).error_class is expected


@pytest.mark.parametrize("code", THROTTLE.split())
def test_throttling_is_told_apart_and_says_how_long(
    code: str, cloud: LocalAzure, client: AzureClient
) -> None:
    error = answered(cloud, client, arm_error(429, code, "Too many.", {"Retry-After": "0.25"}))
    assert isinstance(error, Throttled)
    assert error.retry_after == 0.25


@pytest.mark.parametrize(("path", "role"), ROLES.items())
@pytest.mark.parametrize("code", ["AuthorizationFailed", "SomethingNew"])
def test_a_missing_role_is_named_by_what_was_asked(
    path: str, role: str, code: str, *, cloud: LocalAzure, client: AzureClient
) -> None:
    error = answered(cloud, client, arm_error(403, code, "Not you."), path)
    assert isinstance(error, PermissionDenied)
    assert error.do.startswith("give the identity ")
    assert role in error.do


@pytest.mark.parametrize("status", [500, 503])
def test_cost_management_that_is_down_wants_an_hour(
    status: int, cloud: LocalAzure, client: AzureClient
) -> None:
    reply = arm_error(status, "ServiceUnavailable", "Down.")
    assert "run again in an hour" in answered(cloud, client, reply, f"{SUBSCRIPTION}{COSTS}/query").do
    assert "an hour" not in answered(cloud, client, reply).do


SHAPES: dict[str, tuple[Reply, str | None, str]] = {
    "nested": (arm_error(400, "BadRequest", "Plainly."), "BadRequest", "HTTP 400 (Plainly.)"),
    "with details": (
        ERROR_WITH_DETAILS,
        "BadRequest",
        "HTTP 400 (See the details. InvalidDimension: No such dimension.)",
    ),
    "with details of another shape": (
        Reply(400, {"error": {"code": "BadRequest", "message": "No.", "details": ["x", None]}}),
        "BadRequest",
        "HTTP 400 (No.)",
    ),
    "flat": (ERROR_FLAT, "BadRequest", "HTTP 400 (Without an envelope.)"),
    "a list": (ERROR_AS_LIST, "BadRequest", "HTTP 400 (One of several.)"),
    "plain text": (
        Reply(400, "Try again.\n", {"Content-Type": "text/plain; charset=utf-8"}),
        None,
        "HTTP 400 (Try again.)",
    ),
    "html": (BAD_GATEWAY_HTML, None, "HTTP 502, without a description"),
    "html without a type": (Reply(502, "<html>no</html>"), None, "HTTP 502, without a description"),
    "nothing": (Reply(400), None, "HTTP 400, without a description"),
    "only a status": (Reply(406), "NotAcceptable", "HTTP 406, without a description"),
    "no object": (Reply(400, "[[1]]"), None, "HTTP 400, without a description"),
    "no JSON at all": (Reply(400, b"\xff\xfe"), None, "HTTP 400, without a description"),
}


@pytest.mark.parametrize(("reply", "code", "got"), SHAPES.values(), ids=SHAPES)
def test_an_answer_is_described_whatever_its_shape(
    reply: Reply, code: str | None, got: str, cloud: LocalAzure, client: AzureClient
) -> None:
    error = answered(cloud, client, reply)
    assert (error.code, error.got) == (code, got)


def test_a_long_text_is_not_quoted_at_length(cloud: LocalAzure, client: AzureClient) -> None:
    reply = Reply(400, "much " * 10_000, {"Content-Type": "text/plain"})
    assert len(answered(cloud, client, reply).got) < 600


@pytest.mark.parametrize(("number", "expected"), NUMBERS.items())
@pytest.mark.parametrize("status", [400, 401])
def test_each_number_of_the_token_service_has_its_class(
    number: int, expected: ErrorClass, status: int, cloud: LocalAzure
) -> None:
    cloud.entra.fail_next(entra_error(status, "invalid_request", number), operation="token")
    error = failure(lambda: subscriptions(client_of({**cloud.settings, "max_attempts": 1})))
    assert error.error_class is expected
    assert error.code == f"AADSTS{number}"
    assert error.do == AADSTS[number][1]


def test_no_number_is_forgotten() -> None:
    assert {number: found for number, (found, _) in AADSTS.items()} == NUMBERS
