"""The AWS clients: the only place that talks to boto3. Errors leave it as the project's own."""

from __future__ import annotations

import logging
import threading
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.config
import botocore.credentials
import botocore.exceptions
import botocore.parsers
import botocore.session

from offgridflow_common.classification import ErrorTable, classify, error_type
from offgridflow_common.errors import (
    ConfigError,
    ErrorClass,
    OffGridFlowError,
    PermissionDenied,
    SourceChanged,
    Throttled,
    TransientError,
)
from offgridflow_common.origins import is_loopback
from offgridflow_common.pagination import CursorPager, Page
from offgridflow_common.retry import parse_retry_after
from tap_offgridflow_aws import error_codes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from botocore.response import StreamingBody

    from offgridflow_common.months import Period
    from offgridflow_common.pipeline import RequestPipeline
    from tap_offgridflow_aws.settings import AwsSettings

#: Where the services live that have one region only. China's own billing services have another.
_HOME = "us-east-1"
_CHINA_HOME = "cn-northwest-1"
_BILLING_SERVICES = frozenset({"bcm-data-exports", "cur"})
_HOME_SERVICES = _BILLING_SERVICES | {"sustainability"}

#: The most that the Sustainability API gives on one page.
_PAGE_SIZE = 5000

_DIMENSIONS = ("USAGE_ACCOUNT_ID", "REGION", "SERVICE")
_CHUNK_BYTES = 1024**2

T = TypeVar("T")

# It logs each attempt to assume a role that fails with its traceback; what matters of it is in our error.
logging.getLogger("botocore.credentials").setLevel(logging.ERROR)

_TABLE = ErrorTable(
    by_code=error_codes.BY_CODE,
    by_exception=(
        (botocore.parsers.ResponseParserError, ErrorClass.TRANSIENT),
        *(
            (getattr(botocore.exceptions, name), found)
            for found, names in error_codes.EXCEPTIONS.items()
            for name in names
        ),
    ),
)


class AwsClient:
    """Asks AWS: the Sustainability API and S3, with credentials that refresh by themselves.

    botocore's own retries are off: the pipeline has the one policy.

    Args:
        settings: The tap's settings.
        pipeline: Limits, traces and retries each request.
    """

    def __init__(self, settings: AwsSettings, pipeline: RequestPipeline) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._storage_pipeline = pipeline.apart_for_storage()
        self.pager = CursorPager(max_pages=settings.max_pages)
        self._clients: dict[str, Any] = {}
        # boto3 makes clients one at a time; the spool's thread asks, too.
        self._making = threading.Lock()

    def sustainability(
        self, operation: str, period: Period, parameters: Mapping[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """What the Sustainability API reports for a period, by account, region and service.

        Args:
            operation: The API operation, such as ``GetEstimatedCarbonEmissions``.
            period: What the report is about.
            parameters: What the operation takes beside period, grouping and paging.

        Returns:
            The result rows as the API gives them.
        """
        return self.entries(
            "sustainability",
            operation,
            f"{operation} for {period.label}",
            "Results",
            TimePeriod={"Start": period.start, "End": period.end},
            GroupBy=_DIMENSIONS,
            MaxResults=_PAGE_SIZE,
            **parameters,
        )

    def entries(
        self,
        service: str,
        operation: str,
        asked: str,
        member: str,
        **parameters: object,
    ) -> Iterator[dict[str, Any]]:
        """The entries of a list, page by page.

        Args:
            service: A service as boto3 names it.
            operation: The API operation, such as ``ListExports``.
            asked: What is asked, for messages.
            member: What the list is called in the answer.
            **parameters: What the operation takes beside paging.
        """

        def fetch(token: str | None) -> Page[dict[str, Any]]:
            more = {"NextToken": token} if token else {}
            answer: dict[str, Any] = self.attempt(
                service,
                operation,
                asked,
                lambda client: getattr(client, _method(operation))(**parameters, **more),
                member=member,
            )
            return Page(items=answer[member], next_token=answer.get("NextToken"))

        for page in self.pager.pages(fetch):
            yield from page.items

    def chunks(self, body: StreamingBody) -> Iterator[bytes]:
        """The body of an answer, until the run is asked to stop."""
        return self._pipeline.unless_cancelled(body.iter_chunks(_CHUNK_BYTES))

    def attempt(
        self,
        service: str,
        operation: str,
        asked: str,
        send: Callable[[Any], T],
        *,
        member: str | None = None,
    ) -> T:
        """Run ``send`` through the pipeline: the request, and the reading of its body.

        Args:
            service: A service as boto3 names it.
            operation: The API operation, such as ``ListObjectsV2``.
            asked: What is asked, for messages.
            send: Gets the service's client and makes one attempt.
            member: What each whole answer has. botocore gives an empty one where a body broke off.

        Raises:
            OffGridFlowError: What boto3 raised, translated.
        """

        def whole_answer() -> T:
            answer = send(self._client(service))
            if member and isinstance(answer, dict) and member not in answer:
                got = f"an answer without {member}: it broke off"
                raise TransientError(asked=asked, got=got, do="run again later")
            return answer

        pipeline = self._storage_pipeline if service == "s3" else self._pipeline
        return pipeline.call(
            f"{service} {operation}",
            whole_answer,
            lambda error: translate(error, asked, operation, pipeline.clock.now()),
        )

    def _client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
        with self._making:
            if service not in self._clients:
                self._clients[service] = self._new_client(self._session, service)
            return self._clients[service]

    def _new_client(self, session: boto3.Session, service: str) -> Any:  # noqa: ANN401
        client = session.client(
            service,
            region_name=_region(service, session.region_name),
            endpoint_url=self._settings.endpoint_urls.get(service),
            config=botocore.config.Config(
                retries={"mode": "standard", "total_max_attempts": 1},
                connect_timeout=self._settings.request_timeout_seconds,
                read_timeout=self._settings.request_timeout_seconds,
                user_agent_extra="tap-offgridflow-aws",
            ),
        )
        _refuse_plain_http(service, client.meta.endpoint_url)
        return client

    @cached_property
    def _session(self) -> boto3.Session:
        base = boto3.Session(
            aws_access_key_id=self._settings.access_key_id,
            aws_secret_access_key=self._settings.secret_access_key,
            aws_session_token=self._settings.session_token,
            profile_name=self._settings.profile,
            region_name=self._settings.default_region,
        )
        return self._assumed(base) if self._settings.assume_role_arn else base

    def _assumed(self, base: boto3.Session) -> boto3.Session:
        """A session of the role, whose credentials are fetched anew before they expire."""
        source = base.get_credentials()
        if source is None:
            raise botocore.exceptions.NoCredentialsError
        extra = {"RoleSessionName": self._settings.role_session_name}
        if self._settings.external_id:
            extra["ExternalId"] = self._settings.external_id
        fetcher = botocore.credentials.AssumeRoleCredentialFetcher(
            client_creator=lambda service, **_: self._new_client(base, service),
            source_credentials=source,
            role_arn=self._settings.assume_role_arn,
            extra_args=extra,
        )
        role = botocore.session.Session(profile=self._settings.profile)
        role._credentials = botocore.credentials.DeferredRefreshableCredentials(  # noqa: SLF001 - botocore's only way in
            method="assume-role", refresh_using=fetcher.fetch_credentials
        )
        role.set_config_variable("region", base.region_name)
        return boto3.Session(botocore_session=role)


def _region(service: str, default: str | None) -> str:
    """Where a service is asked: some exist in one region of a partition only, wherever the buckets are."""
    if service in _BILLING_SERVICES and default and default.startswith("cn-"):
        return _CHINA_HOME
    return _HOME if service in _HOME_SERVICES else default or _HOME


def _refuse_plain_http(service: str, url: str) -> None:
    """Endpoints may also come from the environment and from AWS's own configuration files."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ConfigError(
            asked=f"using the endpoint of {service}",
            got=f"'{url}', which must be https outside of loopback",
            do="change it in AWS_ENDPOINT_URL or in the profile, or set aws_endpoint_urls",
        )


def translate(error: Exception, asked: str, operation: str, now: datetime) -> OffGridFlowError:
    """Turn what boto3 raised into an error of ours.

    Args:
        error: What was raised.
        asked: What was asked, for the message.
        operation: The API operation.
        now: When it was raised.
    """
    answer = getattr(error, "response", None) or {}
    code = answer.get("Error", {}).get("Code")
    metadata = answer.get("ResponseMetadata", {})
    found = classify(error, tables=(_TABLE,), code=code, status=metadata.get("HTTPStatusCode"))
    return _kind(found, code, metadata)(
        asked=asked,
        got=answer.get("Error", {}).get("Message") or f"{type(error).__name__}: {error}",
        # Behind any operation there may be another one: that which assumes the role.
        do=error_codes.advice(found, code, getattr(error, "operation_name", operation)),
        code=code,
        request_id=metadata.get("RequestId"),
        retry_after=parse_retry_after(metadata.get("HTTPHeaders", {}).get("retry-after"), now),
    )


def _kind(found: ErrorClass, code: str | None, metadata: dict[str, Any]) -> type[OffGridFlowError]:
    if code in error_codes.CHANGED:
        return SourceChanged
    if code in error_codes.DENIED:
        return PermissionDenied
    if code in error_codes.THROTTLED or metadata.get("HTTPStatusCode") == HTTPStatus.TOO_MANY_REQUESTS:
        return Throttled
    return error_type(found)


def _method(operation: str) -> str:
    name: str = botocore.xform_name(operation)
    return name
