"""What each error of AWS and of botocore is to the tap: complete, by real exceptions, through `translate`."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import boto3.exceptions
import botocore.discovery
import botocore.stub
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

from offgridflow_common.errors import (
    ErrorClass,
    OffGridFlowError,
    PermissionDenied,
    SourceChanged,
    Throttled,
)
from tap_offgridflow_aws.client import translate

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Modules with exceptions of their own, imported so that those exist.
OWNERS = (boto3.exceptions, botocore.discovery, botocore.stub)

A, B, N, T = ErrorClass.AUTH, ErrorClass.BAD_REQUEST, ErrorClass.NOT_FOUND, ErrorClass.TRANSIENT
F = ErrorClass.FATAL


def every(names: str, found: ErrorClass) -> dict[str, ErrorClass]:
    return dict.fromkeys(names.split(), found)


THROTTLE = every(
    """
    Throttling ThrottlingException ThrottledException RequestThrottledException RequestThrottled
    TooManyRequestsException ProvisionedThroughputExceededException TransactionInProgressException
    RequestLimitExceeded BandwidthLimitExceeded LimitExceededException SlowDown PriorRequestNotComplete
    EC2ThrottledException
    """,
    T,
)
PERMISSION = every(
    """
    AccessDenied AccessDeniedException AllAccessDisabled OptInRequired 403
    KMS.AccessDeniedException KMS.DisabledException KMS.InvalidKeyUsageException KMS.InvalidStateException
    KMS.KMSInvalidStateException KMS.NotFoundException
    """,
    A,
)
CODES = {
    **THROTTLE,
    **every(
        """
        RequestTimeout RequestTimeoutException InternalError InternalServerException InternalErrorException
        ServiceUnavailable
        """,
        T,
    ),
    "PreconditionFailed": T,
    **every(
        """
        ExpiredToken ExpiredTokenException InvalidAccessKeyId SignatureDoesNotMatch InvalidClientTokenId
        UnrecognizedClientException InvalidToken AuthFailure IncompleteSignature RequestTimeTooSkewed
        RequestExpired
        """,
        A,
    ),
    **PERMISSION,
    **every(
        """
        ValidationException ValidationError InvalidArgument InvalidRequest InvalidNextTokenException
        RequestChangedException MalformedPolicyDocument AuthorizationHeaderMalformed PermanentRedirect
        IllegalLocationConstraintException InvalidObjectState 301 400
        """,
        B,
    ),
    **every(
        """
        NoSuchBucket NoSuchKey NoSuchVersion ResourceNotFoundException AWSOrganizationsNotInUseException 404
        """,
        N,
    ),
}

EXCEPTIONS = {
    # The network and the body of an answer.
    **every(
        """
        ConnectTimeoutError ConnectionClosedError ConnectionError EndpointConnectionError
        FlexibleChecksumError HTTPClientError IncompleteReadError ProxyConnectionError ReadTimeoutError
        ResponseStreamingError SSLError
        """,
        T,
    ),
    # Where credentials come from: settings, profiles, SSO, `aws login`, containers, instances.
    **every(
        """
        CredentialRetrievalError InfiniteLoopConfigError InvalidConfigError LoginAuthorizationCodeError
        LoginError LoginInsufficientPermissions LoginRefreshRequired LoginTokenLoadError
        MetadataRetrievalError NoAuthTokenError NoCredentialsError PartialCredentialsError ProfileNotFound
        RefreshWithMFAUnsupportedError SSOError SSOTokenLoadError TokenRetrievalError
        UnauthorizedSSOTokenError UnknownCredentialError UnknownTokenProviderError
        """,
        A,
    ),
    # Settings, AWS's own configuration files and variables, names of buckets.
    **every(
        """
        AliasConflictParameterError BaseEndpointResolverError ConfigNotFound ConfigParseError
        EndpointProviderError EndpointResolutionError EndpointVariantError InvalidChecksumConfigError
        InvalidDNSNameError InvalidDefaultsMode InvalidEndpointConfigurationError
        InvalidEndpointDiscoveryConfigurationError InvalidHostLabelError InvalidIMDSEndpointError
        InvalidIMDSEndpointModeError InvalidMaxRetryAttemptsError InvalidProxiesConfigError InvalidRegionError
        InvalidRetryConfigurationError InvalidRetryModeError InvalidS3AddressingStyleError
        InvalidS3UsEast1RegionalEndpointConfigError InvalidSTSRegionalEndpointsConfigError
        MissingParametersError NoRegionError ParamValidationError RangeError ServiceNotInRegionError
        UnknownEndpointError UnknownEndpointResolutionBuiltInName UnknownFIPSEndpointError UnknownKeyError
        UnknownParameterError UnknownRegionError UnsupportedOutpostResourceError
        UnsupportedS3AccesspointConfigurationError UnsupportedS3ArnError UnsupportedS3ConfigurationError
        ValidationError
        """,
        B,
    ),
    # What is installed is not enough.
    **every("DataNotFoundError MissingDependencyException UnknownServiceError", F),
}

#: Nothing that the tap does can raise these: if one comes, it is a bug, and `unknown` says so.
UNREACHABLE = {
    "ApiVersionNotFoundError": "no version of an API is asked for",
    "AwsChunkedWrapperError": "uploads are bytes, not streams",
    "CapacityNotAvailableError": "botocore's retries are off",
    "ChecksumError": "of DynamoDB and Glacier only",
    "EndpointDiscoveryException": "none of the services has endpoint discovery",
    "EndpointDiscoveryRefreshFailed": "none of the services has endpoint discovery",
    "EndpointDiscoveryRequired": "none of the services has endpoint discovery",
    "InvalidExpressionError": "botocore's paginators are not used",
    "MD5UnavailableError": "uploads carry a CRC",
    "OperationNotPageableError": "botocore's paginators are not used",
    "PaginationError": "botocore's paginators are not used",
    "ResourceNotExistsError": "boto3's resources are not used",
    "StubAssertionError": "tests only",
    "StubResponseError": "tests only",
    "UnStubbedResponseError": "tests only",
    "UnknownAPIVersionError": "boto3's resources are not used",
    "UnknownClientMethodError": "operations are named in the code",
    "UnknownServiceStyle": "nothing raises it any more",
    "UnknownSignatureVersionError": "no signature version is chosen",
    "UnseekableStreamError": "uploads are bytes, not streams",
    "UnsupportedS3ControlArnError": "S3 Control is not used",
    "UnsupportedS3ControlConfigurationError": "S3 Control is not used",
    "UnsupportedServiceProtocolsError": "the services' protocols are supported",
    "UnsupportedSignatureVersionError": "no signature version is chosen",
    "WaiterConfigError": "waiters are not used",
    "WaiterError": "waiters are not used",
}


def answered(
    code: str, status: int, *, message: str = "no", operation: str = "GetObject", **headers: str
) -> ClientError:
    """A ClientError as botocore raises one."""
    answer = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {
            "RequestId": "4442587FB7D0A2F9",
            "HTTPStatusCode": status,
            "HTTPHeaders": {name.replace("_", "-"): value for name, value in headers.items()},
        },
    }
    return ClientError(answer, operation)


def subclasses(cls: type[Exception]) -> Iterator[type[Exception]]:
    for derived in cls.__subclasses__():
        yield derived
        yield from subclasses(derived)


#: Of botocore's own and boto3's; tests of others may define more.
ALL_OF_BOTOCORE = {
    cls.__name__: cls
    for cls in subclasses(BotoCoreError)
    if cls.__module__.startswith(("botocore.", "boto3."))
}


def raised(name: str) -> Exception:
    """An exception of botocore, made as botocore makes it: from the parts of its message."""
    cls = ALL_OF_BOTOCORE[name]
    parts = [part for _, part, _, _ in string.Formatter().parse(getattr(cls, "fmt", "")) if part]
    return cls(**dict.fromkeys(parts, "something"))


def of(error: Exception, operation: str = "GetObject") -> OffGridFlowError:
    return translate(error, "reading s3://bucket/key", operation, datetime.now(UTC))


@pytest.mark.parametrize(("code", "expected"), CODES.items())
def test_the_code_decides_whatever_the_status_is(code: str, expected: ErrorClass) -> None:
    for status in (200, 400, 404, 503):
        error = of(answered(code, status, message="the server said so"))
        assert error.error_class is expected
        assert error.code == code
        assert error.request_id == "4442587FB7D0A2F9"
        text = str(error)
        assert text.startswith("reading s3://bucket/key: the server said so. ")
        assert f"class={expected}, code={code}, request id=4442587FB7D0A2F9]" in text


@pytest.mark.parametrize(
    ("status", "expected"),
    [(500, T), (502, T), (503, T), (504, T), (429, T), (408, T), (401, A), (403, A), (404, N), (400, B)],
)
def test_a_code_that_nobody_knows_leaves_it_to_the_status(status: int, expected: ErrorClass) -> None:
    assert of(answered("SomethingNew", status)).error_class is expected


@pytest.mark.parametrize(("name", "expected"), EXCEPTIONS.items())
def test_each_exception_of_botocore_has_its_class(name: str, expected: ErrorClass) -> None:
    error = of(raised(name))
    assert error.error_class is expected
    assert name in str(error)


def test_no_exception_of_botocore_is_forgotten() -> None:
    assert not set(EXCEPTIONS) & set(UNREACHABLE)
    assert set(ALL_OF_BOTOCORE) == set(EXCEPTIONS) | set(UNREACHABLE)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(104, "reset by peer"),
        TimeoutError("timed out"),
        ResponseParserError("Unable to parse response (no element found), invalid XML received"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_broken_answer_raises_beside_botocores_own_tree_is_transient_too(error: Exception) -> None:
    assert of(error).error_class is T


@pytest.mark.parametrize("code", [*THROTTLE, "SomethingNew"])
def test_throttling_is_told_apart_and_says_how_long(code: str) -> None:
    error = of(answered(code, 429, retry_after="7"))
    assert isinstance(error, Throttled)
    assert error.retry_after == 7.0


def test_any_transient_answer_may_say_how_long_to_wait() -> None:
    assert of(answered("ServiceUnavailable", 503, retry_after="2.5")).retry_after == 2.5
    assert of(answered("ServiceUnavailable", 503, retry_after="soon")).retry_after is None
    assert of(answered("ServiceUnavailable", 503)).retry_after is None


@pytest.mark.parametrize("code", ["PreconditionFailed", "412"])
def test_a_changed_object_is_told_apart(code: str) -> None:
    assert isinstance(of(answered(code, 412)), SourceChanged)


@pytest.mark.parametrize("code", PERMISSION)
@pytest.mark.parametrize(
    ("operation", "action"),
    [
        ("GetObject", "s3:GetObject"),
        ("ListObjectsV2", "s3:ListBucket"),
        ("GetEstimatedCarbonEmissions", "sustainability:GetEstimatedCarbonEmissions"),
        ("GetEstimatedWaterAllocation", "sustainability:GetEstimatedWaterAllocation"),
        ("AssumeRole", "sts:AssumeRole"),
    ],
)
def test_a_missing_permission_is_named(code: str, operation: str, action: str) -> None:
    error = of(answered(code, 403, operation=operation), operation)
    assert isinstance(error, PermissionDenied)
    assert action in error.do


def test_a_denied_object_may_be_missing_or_encrypted_and_the_advice_says_so() -> None:
    advice = of(answered("AccessDenied", 403)).do
    assert "s3:ListBucket" in advice
    assert "kms:Decrypt" in advice


def test_a_role_that_may_not_be_assumed_is_named_whatever_was_asked_for() -> None:
    denied = answered("AccessDenied", 403, operation="AssumeRole")
    assert "sts:AssumeRole" in of(denied, "GetEstimatedCarbonEmissions").do


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("RequestTimeTooSkewed", "clock"),
        ("RequestExpired", "clock"),
        ("ExpiredToken", "aws_assume_role_arn"),
        ("ExpiredTokenException", "renew the session token"),
        ("PermanentRedirect", "aws_default_region"),
        ("AuthorizationHeaderMalformed", "aws_default_region"),
        ("IllegalLocationConstraintException", "aws_default_region"),
        ("InvalidObjectState", "restore"),
        ("NoSuchBucket", "bucket"),
        ("NoSuchKey", "prefix"),
        ("InvalidAccessKeyId", "aws_access_key_id"),
    ],
)
def test_the_message_says_what_to_do(code: str, advice: str) -> None:
    assert advice in of(answered(code, 400)).do
