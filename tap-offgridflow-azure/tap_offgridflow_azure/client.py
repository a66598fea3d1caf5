"""The Azure clients: the only place that talks to Azure's SDK. Errors leave it as the project's own."""

from __future__ import annotations

import logging
import math
import threading
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import azure.core
import azure.core.exceptions
import azure.identity
from azure.core.credentials import AccessToken, AccessTokenInfo
from azure.storage.blob import ContainerClient, StorageStreamDownloader

from offgridflow_common.classification import ErrorTable
from offgridflow_common.errors import ConfigError, ErrorClass
from offgridflow_common.http import ApiClient
from offgridflow_common.pagination import CursorPager
from offgridflow_common.rate_limit import TokenBucket
from tap_offgridflow_azure.connection import error_codes
from tap_offgridflow_azure.connection.clouds import IMPACT_SCOPE, STORAGE_SCOPE
from tap_offgridflow_azure.connection.failures import SignInExchange, sign_in_error, storage_error
from tap_offgridflow_azure.connection.throttling import CostManagementClient
from tap_offgridflow_azure.connection.tokens import TokenAuth, TokenSource, claims_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from offgridflow_common.clock import Clock
    from offgridflow_common.pipeline import RequestPipeline
    from tap_offgridflow_azure.connection.tokens import Token
    from tap_offgridflow_azure.settings import AzureSettings

# They tell of each failure twice, quote answers, and tell of each request; the tap says what matters.
for _name in ("azure", "msal"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

T = TypeVar("T")

#: Without this header all callers of a tenant share one quota, which others use up.
_CLIENT_TYPE = MappingProxyType({"ClientType": "tap-offgridflow-azure"})

#: The newest version of the Blob interface that every cloud has.
_BLOB_VERSION = "2025-11-05"

#: The SDK makes one attempt: the pipeline has the one policy.
_ONE_ATTEMPT: Mapping[str, Any] = MappingProxyType(
    {"retry_total": 0, "retry_connect": 0, "retry_read": 0, "retry_status": 0, "redirect_max": 0}
)

#: Seconds to connect to the endpoint of managed identities, which is on the machine or there is none.
_NEARBY_SECONDS = 2

#: Bytes of one request for a part of a blob, of which the SDK holds two or three at a time.
_PART_BYTES = 16 * 1024 * 1024

_TABLE = ErrorTable(
    by_code=error_codes.BY_CODE,
    by_exception=(
        (azure.core.exceptions.ServiceRequestError, ErrorClass.TRANSIENT),
        (azure.core.exceptions.ServiceResponseError, ErrorClass.TRANSIENT),
        (azure.core.exceptions.DecodeError, ErrorClass.TRANSIENT),
        (azure.core.exceptions.ClientAuthenticationError, ErrorClass.AUTH),
        (azure.core.exceptions.ResourceNotFoundError, ErrorClass.NOT_FOUND),
        (azure.core.exceptions.TooManyRedirectsError, ErrorClass.FATAL),
    ),
)


class AzureClient:
    """Asks Azure, with tokens that are renewed in time; safe to use from several threads.

    Args:
        settings: The tap's settings.
        pipeline: Limits, traces and retries each request.

    Attributes:
        pager: Asks for page after page.
        arm: Azure Resource Manager.
        costs: Cost Management, which is part of Azure Resource Manager and has limits of its own.
        impact: Cloud for Sustainability.
    """

    def __init__(self, settings: AzureSettings, pipeline: RequestPipeline) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self._storage_pipeline = pipeline.apart_for_storage()
        self.pager = CursorPager(max_pages=settings.max_pages)
        arm = TokenAuth(self._tokens(settings.cloud.arm_scope))
        self.arm = self._api(ApiClient, settings.arm_url, arm, pipeline)
        own = TokenBucket(settings.rate_limit_per_second, settings.rate_limit_capacity, pipeline.clock)
        self.costs = self._api(
            CostManagementClient, settings.arm_url, arm, pipeline.apart(own), headers=_CLIENT_TYPE
        )
        impact = TokenAuth(self._tokens(IMPACT_SCOPE))
        key = {"Ocp-Apim-Subscription-Key": settings.impact_subscription_key or ""}
        self.impact = self._api(ApiClient, settings.impact_url, impact, pipeline, headers=key)
        self._storage_tokens = self._tokens(STORAGE_SCOPE)
        self._containers: dict[str, ContainerClient] = {}
        self._guard = threading.Lock()

    @property
    def clock(self) -> Clock:
        """The clock that all waiting goes by."""
        return self._pipeline.clock

    def wait(self, seconds: float) -> None:
        """Wait, but no longer than the run goes on.

        Raises:
            Cancelled: The run was asked to stop.
        """
        self._pipeline.wait(seconds)

    def attempt(self, container_url: str, asked: str, send: Callable[[ContainerClient], T]) -> T:
        """Run ``send`` through the pipeline: the request to Blob Storage, and the reading of its body.

        Args:
            container_url: The container.
            asked: What is asked, for messages.
            send: Gets the container's client and makes one attempt.

        Raises:
            OffGridFlowError: What the SDK raised, translated.
        """
        return self._storage_pipeline.call(
            asked.partition(" ")[0] + " blobs",
            lambda: self._renewed_once(container_url, send),
            lambda error: storage_error(error, asked, _TABLE, self.clock),
        )

    def chunks(self, opened: StorageStreamDownloader[bytes]) -> Iterator[bytes]:
        """The content of a blob, until the run is asked to stop."""
        return self._pipeline.unless_cancelled(opened.chunks())

    @staticmethod
    def open_unchanged(
        container: ContainerClient, name: str, etag: str, *, unpack: bool = True
    ) -> StorageStreamDownloader[bytes]:
        """The content of a blob, unpacked or as stored, if it still has this ETag; else the SDK raises."""
        unchanged = azure.core.MatchConditions.IfNotModified
        return container.download_blob(name, etag=f'"{etag}"', match_condition=unchanged, decompress=unpack)

    def _renewed_once(self, container_url: str, send: Callable[[ContainerClient], T]) -> T:
        """Send, and once more with a new token if the last one is refused."""
        try:
            return send(self._container(container_url))
        except azure.core.exceptions.HttpResponseError as error:
            if error.status_code != HTTPStatus.UNAUTHORIZED:
                raise
            headers = getattr(error.response, "headers", {})
        self._storage_tokens.renew(claims_of(headers.get("WWW-Authenticate", "")))
        with self._guard:
            # Each keeps the token that it was given last.
            self._containers.clear()
        return send(self._container(container_url))

    def _container(self, url: str) -> ContainerClient:
        with self._guard:
            if url not in self._containers:
                self._containers[url] = ContainerClient.from_container_url(
                    url,
                    credential=_StorageCredential(self._storage_tokens),
                    api_version=_BLOB_VERSION,
                    max_single_get_size=_PART_BYTES,
                    max_chunk_get_size=_PART_BYTES,
                    **_transport(self._settings),
                )
            return self._containers[url]

    def _tokens(self, scope: str) -> TokenSource:
        return TokenSource(lambda: _Credential(self._settings, self.clock), scope, self.clock)

    def _api(
        self,
        kind: type[ApiClient],
        base_url: str,
        auth: TokenAuth,
        pipeline: RequestPipeline,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> ApiClient:
        settings = self._settings
        return kind(
            base_url=base_url,
            pipeline=pipeline,
            auth=auth,
            timeout=settings.request_timeout_seconds,
            error_tables=(_TABLE,),
            verify=str(settings.ca_bundle) if settings.ca_bundle else True,
            describe=error_codes.describe,
            advise=lambda found, code, got: error_codes.advice(found, code, got.status, got.asked),
            headers=headers,
        )


class _Credential:
    """A credential of azure-identity, as the settings want it.

    Tokens are never asked for with ``enable_cae``: that is another memory, and mixing the two brings a
    revoked token back.
    """

    def __init__(self, settings: AzureSettings, clock: Clock) -> None:
        self._settings = settings
        self._wire = SignInExchange(clock)
        hooks = {"raw_request_hook": self._wire.asked, "raw_response_hook": self._wire.answered}
        try:
            self._credential = _CREDENTIALS[settings.auth_method](settings, {**_transport(settings), **hooks})
        except (ValueError, TypeError, OSError) as error:
            raise ConfigError(
                asked=f"preparing to sign in by {settings.auth_method.replace('_', ' ')}",
                got=str(error),
                do=error_codes.NOT_PREPARED,
            ) from error

    def fetch(self, scope: str, claims: str | None) -> Token:
        settings = self._settings
        try:
            found: Token = self._credential.get_token_info(
                scope, options={"claims": claims} if claims else {}
            )
        except Exception as error:
            raise sign_in_error(error, settings.auth_method, settings.authority_url, self._wire) from error
        return found


def _transport(settings: AzureSettings) -> dict[str, Any]:
    """How the SDK sends requests."""
    return {
        "connection_timeout": settings.request_timeout_seconds,
        "read_timeout": settings.request_timeout_seconds,
        "connection_verify": str(settings.ca_bundle) if settings.ca_bundle else True,
        **_ONE_ATTEMPT,
    }


def _authority(settings: AzureSettings) -> dict[str, Any]:
    return {"authority": settings.authority_url, "disable_instance_discovery": settings.private_authority}


def _given(**values: Any) -> dict[str, Any]:  # noqa: ANN401 - what the SDK takes
    return {name: value for name, value in values.items() if value}


_CREDENTIALS: Mapping[str, Callable[[AzureSettings, dict[str, Any]], Any]] = {
    "client_secret": lambda settings, transport: azure.identity.ClientSecretCredential(
        settings.tenant_id or "",
        settings.client_id or "",
        settings.client_secret or "",
        **_authority(settings),
        **transport,
    ),
    "certificate": lambda settings, transport: azure.identity.CertificateCredential(
        settings.tenant_id or "",
        settings.client_id or "",
        str(settings.certificate_path),
        password=settings.certificate_password,
        **_authority(settings),
        **transport,
    ),
    "workload_identity": lambda settings, transport: azure.identity.WorkloadIdentityCredential(
        **_given(tenant_id=settings.tenant_id, client_id=settings.client_id),
        **_authority(settings),
        **transport,
    ),
    "managed_identity": lambda settings, transport: azure.identity.ManagedIdentityCredential(
        client_id=settings.client_id, **{**transport, "connection_timeout": _NEARBY_SECONDS}
    ),
    "cli": lambda settings, _transport: azure.identity.AzureCliCredential(
        tenant_id=settings.tenant_id or "", process_timeout=math.ceil(settings.request_timeout_seconds)
    ),
    "default": lambda settings, transport: azure.identity.DefaultAzureCredential(
        **_given(managed_identity_client_id=settings.client_id),
        process_timeout=math.ceil(settings.request_timeout_seconds),
        **_authority(settings),
        **transport,
    ),
}


class _StorageCredential:
    """What azure-storage-blob takes its tokens from."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:  # noqa: ANN401 - the SDK's
        """The token of the tap, as older parts of the SDK ask for it."""
        token = self._source.token()
        return AccessToken(token.token, token.expires_on)

    def get_token_info(self, *_scopes: str, **_options: Any) -> AccessTokenInfo:  # noqa: ANN401 - the SDK's
        """The token of the tap, for whatever scope the SDK thinks it needs."""
        token = self._source.token()
        return AccessTokenInfo(token.token, token.expires_on)
