"""AWS error codes: what class of error each is, and what to do about it.

From the S3, STS and Sustainability API references and botocore's retry tables; codes are compared exactly.
"""

from __future__ import annotations

from offgridflow_common.errors import ErrorClass

THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "LimitExceededException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)

_TRANSIENT = frozenset(
    {
        "InternalError",
        "InternalErrorException",
        "InternalServerException",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
    }
)

#: The object is no longer the one that was listed.
CHANGED = frozenset({"PreconditionFailed", "412"})

#: The clock of this machine and that of AWS disagree.
_CLOCK = frozenset({"RequestExpired", "RequestTimeTooSkewed"})

#: Temporary credentials have run out.
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException"})

_CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)

#: Known, but not allowed. S3 answers this for a missing key, too, to whoever may not list the bucket.
DENIED = frozenset(
    {
        "403",
        "AccessDenied",
        "AccessDeniedException",
        "AllAccessDisabled",
        "KMS.AccessDeniedException",
        "KMS.DisabledException",
        "KMS.InvalidKeyUsageException",
        "KMS.InvalidStateException",
        "KMS.KMSInvalidStateException",
        "KMS.NotFoundException",
        "OptInRequired",
    }
)

#: The bucket lies in another region.
REGION = frozenset(
    {"301", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"}
)

#: The object lies in an archive and must be restored before it can be read.
_ARCHIVED = frozenset({"InvalidObjectState"})

_BAD_REQUEST = frozenset(
    {
        "400",
        "InvalidArgument",
        "InvalidNextTokenException",
        "InvalidRequest",
        "MalformedPolicyDocument",
        "RequestChangedException",
        "ValidationError",
        "ValidationException",
    }
)

_NOT_FOUND = frozenset(
    {
        "404",
        "AWSOrganizationsNotInUseException",
        "NoSuchBucket",
        "NoSuchKey",
        "NoSuchVersion",
        "ResourceNotFoundException",
    }
)

BY_CODE = {
    **dict.fromkeys(THROTTLED | _TRANSIENT | CHANGED, ErrorClass.TRANSIENT),
    **dict.fromkeys(_CLOCK | _EXPIRED | _CREDENTIALS | DENIED, ErrorClass.AUTH),
    **dict.fromkeys(REGION | _ARCHIVED | _BAD_REQUEST, ErrorClass.BAD_REQUEST),
    **dict.fromkeys(_NOT_FOUND, ErrorClass.NOT_FOUND),
}

#: botocore's own exceptions, by name: the network and broken bodies; credentials and where they come from;
#: settings, AWS's configuration files and variables; and an installation that is not complete.
EXCEPTIONS = {
    ErrorClass.TRANSIENT: [
        "ConnectTimeoutError",
        "ConnectionClosedError",
        "ConnectionError",
        "EndpointConnectionError",
        "FlexibleChecksumError",
        "HTTPClientError",
        "IncompleteReadError",
        "ProxyConnectionError",
        "ReadTimeoutError",
        "ResponseStreamingError",
        "SSLError",
    ],
    ErrorClass.AUTH: [
        "CredentialRetrievalError",
        "InfiniteLoopConfigError",
        "InvalidConfigError",
        "LoginAuthorizationCodeError",
        "LoginError",
        "LoginInsufficientPermissions",
        "LoginRefreshRequired",
        "LoginTokenLoadError",
        "MetadataRetrievalError",
        "NoAuthTokenError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "ProfileNotFound",
        "RefreshWithMFAUnsupportedError",
        "SSOError",
        "SSOTokenLoadError",
        "TokenRetrievalError",
        "UnauthorizedSSOTokenError",
        "UnknownCredentialError",
        "UnknownTokenProviderError",
    ],
    ErrorClass.BAD_REQUEST: [
        "AliasConflictParameterError",
        "BaseEndpointResolverError",
        "ConfigNotFound",
        "ConfigParseError",
        "EndpointProviderError",
        "EndpointResolutionError",
        "EndpointVariantError",
        "InvalidChecksumConfigError",
        "InvalidDNSNameError",
        "InvalidDefaultsMode",
        "InvalidEndpointConfigurationError",
        "InvalidEndpointDiscoveryConfigurationError",
        "InvalidHostLabelError",
        "InvalidIMDSEndpointError",
        "InvalidIMDSEndpointModeError",
        "InvalidMaxRetryAttemptsError",
        "InvalidProxiesConfigError",
        "InvalidRegionError",
        "InvalidRetryConfigurationError",
        "InvalidRetryModeError",
        "InvalidS3AddressingStyleError",
        "InvalidS3UsEast1RegionalEndpointConfigError",
        "InvalidSTSRegionalEndpointsConfigError",
        "MissingParametersError",
        "NoRegionError",
        "ParamValidationError",
        "RangeError",
        "ServiceNotInRegionError",
        "UnknownEndpointError",
        "UnknownEndpointResolutionBuiltInName",
        "UnknownFIPSEndpointError",
        "UnknownKeyError",
        "UnknownParameterError",
        "UnknownRegionError",
        "UnsupportedOutpostResourceError",
        "UnsupportedS3AccesspointConfigurationError",
        "UnsupportedS3ArnError",
        "UnsupportedS3ConfigurationError",
        "ValidationError",
    ],
    ErrorClass.FATAL: ["DataNotFoundError", "MissingDependencyException", "UnknownServiceError"],
}

#: The IAM action behind an operation, to be named where it is missing.
ACTIONS = {
    "AssumeRole": "sts:AssumeRole",
    "DescribeReportDefinitions": "cur:DescribeReportDefinitions",
    "GetEstimatedCarbonEmissions": "sustainability:GetEstimatedCarbonEmissions",
    "GetEstimatedWaterAllocation": "sustainability:GetEstimatedWaterAllocation",
    "GetExport": "bcm-data-exports:GetExport",
    "GetObject": "s3:GetObject (and s3:ListBucket, without which S3 denies missing objects; "
    "and kms:Decrypt, if the bucket is encrypted with a key of yours; and see the bucket's policy)",
    "ListExports": "bcm-data-exports:ListExports",
    "ListObjectsV2": "s3:ListBucket",
    "PutObject": "s3:PutObject",
}


def advice(error_class: ErrorClass, code: str | None, operation: str) -> str:
    """What to do about an error.

    Args:
        error_class: Its class.
        code: AWS's code.
        operation: The API operation that failed.
    """
    for codes, text in _ADVICE:
        if code in codes:
            return text.format(action=ACTIONS.get(operation, operation))
    return _GENERAL_ADVICE[error_class]


_ADVICE = (
    (_CLOCK, "set the clock of this machine: AWS accepts a difference of a few minutes only"),
    (
        _EXPIRED,
        "renew the session token, or set aws_assume_role_arn, whose credentials refresh by themselves",
    ),
    (DENIED, "allow {action} for this identity"),
    (REGION, "set aws_default_region to the region of the bucket"),
    (_ARCHIVED, "restore the object from its archive class, then run again"),
    (frozenset({"NoSuchBucket"}), "check the bucket in the export's url"),
    (frozenset({"NoSuchKey", "404"}), "check the prefix and the export's name in its url"),
    (CHANGED, "the period is read again"),
)

_GENERAL_ADVICE = {
    ErrorClass.TRANSIENT: "run again later; if it stays, check the network and AWS's health page",
    ErrorClass.AUTH: "check aws_access_key_id, aws_secret_access_key, aws_session_token, aws_profile and "
    "aws_assume_role_arn, or what boto3's default chain finds",
    ErrorClass.BAD_REQUEST: "check the settings that the message speaks of",
    ErrorClass.NOT_FOUND: "check the names in the settings",
    ErrorClass.FATAL: "see the message; nothing that was not emitted counts as read",
    ErrorClass.UNKNOWN: "report it with the log; nothing that was not emitted counts as read",
}
