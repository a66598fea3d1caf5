"""The Azure clients: the only place that talks to Azure's SDK. Errors leave it as the project's own."""

from __future__ import annotations

import logging
import re
import threading
from functools import cached_property, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import azure.core
import azure.core.exceptions
import azure.identity
from azure.core.credentials import AccessToken, AccessTokenInfo
from azure.storage.blob import ContainerClient

from offgridflow_common.errors import (
    AuthError,
    ConfigError,
    ErrorClass,
    ErrorTable,
    OffGridFlowError,
    PermissionDenied,
    SourceChanged,
    Throttled,
    causes,
    classify,
    error_type,
)
from offgridflow_common.http import ApiClient
from offgridflow_common.pagination import CursorPager
from offgridflow_common.rate_limit import TokenBucket
from tap_offgridflow_azure import error_codes
from tap_offgridflow_azure.clouds import IMPACT_SCOPE, STORAGE_SCOPE
from tap_offgridflow_azure.throttling import FIRST_PAUSE, LONGEST_PAUSE, CostManagementClient
from tap_offgridflow_azure.tokens import TokenAuth, TokenSource

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from offgridflow_common.clock import Clock
    from offgridflow_common.pipeline import RequestPipeline
    from offgridflow_common.responses import Response
    from tap_offgridflow_azure.settings import AzureSettings
    from tap_offgridflow_azure.tokens import Token

# It tells of each failure twice, and of each request; the tap says what matters.
logging.getLogger("azure").setLevel(logging.CRITICAL)

T = TypeVar("T")

#: Without this header all callers of a tenant share one quota, which others use up.
_CLIENT_TYPE = MappingProxyType({"ClientType": "tap-offgridflow-azure"})

#: The newest version of the Blob interface that every cloud has.
_BLOB_VERSION = "2025-11-05"

#: The SDK makes one attempt: the pipeline has the one policy.
_ONE_ATTEMPT: Mapping[str, Any] = MappingProxyType(
    {"retry_total": 0, "retry_connect": 0, "retry_read": 0, "retry_status": 0, "redirect_max": 0}
)

#: Ways to sign in that never reach the token service if nothing is set up: then it is not the network.
_FOUND_ON_THE_WAY = frozenset({"managed_identity", "cli", "default"})

_AADSTS = re.compile(r"AADSTS(\d+)")
_TABLE = ErrorTable(
    by_code=error_codes.BY_CODE,
    by_exception=(
        (azure.core.exceptions.AzureError, ErrorClass.UNKNOWN),
        (azure.core.exceptions.HttpResponseError, ErrorClass.UNKNOWN),
        (azure.core.exceptions.ServiceRequestError, ErrorClass.TRANSIENT),
        (azure.core.exceptions.ServiceResponseError, ErrorClass.TRANSIENT),
        (azure.core.exceptions.DecodeError, ErrorClass.TRANSIENT),
        (azure.core.exceptions.ClientAuthenticationError, ErrorClass.AUTH),
        (azure.core.exceptions.ResourceNotFoundError, ErrorClass.NOT_FOUND),
    ),
)


class AzureClient:
    """Asks Azure, with tokens that are renewed in time.

    Args:
        settings: The tap's settings.
        pipeline: Limits, traces and retries each request.
    """

    def __init__(self, settings: AzureSettings, pipeline: RequestPipeline) -> None:
        self._settings = settings
        self._pipeline = pipeline
        self.pager = CursorPager(max_pages=settings.max_pages)
        self._containers: dict[str, ContainerClient] = {}
        # The spool's thread asks for blobs, too.
        self._making = threading.Lock()

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

    @cached_property
    def arm(self) -> ApiClient:
        """Azure Resource Manager."""
        return self._api(ApiClient, self._settings.arm_url, self._arm_auth, self._pipeline)

    @cached_property
    def costs(self) -> ApiClient:
        """Cost Management, which is part of Azure Resource Manager and has limits of its own."""
        settings = self._settings
        limiter = TokenBucket(
            settings.rate_limit_per_second, settings.rate_limit_capacity, self._pipeline.clock
        )
        pipeline = self._pipeline.apart(
            limiter, throttled_initial=FIRST_PAUSE, throttled_maximum=LONGEST_PAUSE
        )
        return self._api(
            CostManagementClient, settings.arm_url, self._arm_auth, pipeline, headers=_CLIENT_TYPE
        )

    @cached_property
    def impact(self) -> ApiClient:
        """Cloud for Sustainability."""
        key = {"Ocp-Apim-Subscription-Key": self._settings.impact_subscription_key or ""}
        auth = TokenAuth(self._tokens(IMPACT_SCOPE))
        return self._api(ApiClient, self._settings.impact_url, auth, self._pipeline, headers=key)

    def attempt(self, container_url: str, asked: str, send: Callable[[ContainerClient], T]) -> T:
        """Run ``send`` through the pipeline: the request to Blob Storage, and the reading of its body.

        Args:
            container_url: The container.
            asked: What is asked, for messages.
            send: Gets the container's client and makes one attempt.

        Raises:
            OffGridFlowError: What the SDK raised, translated.
        """
        return self._pipeline.call(
            asked.partition(" ")[0] + " blobs",
            lambda: send(self._container(container_url)),
            partial(_storage_error, asked=asked),
        )

    @cached_property
    def _arm_auth(self) -> TokenAuth:
        return TokenAuth(self._tokens(self._settings.cloud.arm_scope))

    @cached_property
    def _storage_tokens(self) -> TokenSource:
        return self._tokens(STORAGE_SCOPE)

    def _tokens(self, scope: str) -> TokenSource:
        translate = partial(_sign_in_error, method=self._settings.auth_method)
        return TokenSource(lambda: _Credential(self._settings), scope, translate, self._pipeline.clock)

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
            advise=_advise,
            headers=headers,
        )

    def _container(self, url: str) -> ContainerClient:
        with self._making:
            if url not in self._containers:
                settings = self._settings
                self._containers[url] = ContainerClient.from_container_url(
                    url,
                    credential=_StorageCredential(self._storage_tokens),
                    api_version=_BLOB_VERSION,
                    connection_timeout=settings.request_timeout_seconds,
                    read_timeout=settings.request_timeout_seconds,
                    connection_verify=str(settings.ca_bundle) if settings.ca_bundle else True,
                    **_ONE_ATTEMPT,
                )
            return self._containers[url]


def open_unchanged(container: ContainerClient, name: str, etag: str) -> Any:  # noqa: ANN401 - the SDK's stream
    """The content of a blob, if it is still the one with this ETag; the SDK raises otherwise."""
    return container.download_blob(
        name, etag=f'"{etag}"', match_condition=azure.core.MatchConditions.IfNotModified
    )


class _Credential:
    """A credential of azure-identity, as the settings want it.

    Tokens are never asked for with ``enable_cae``: that is another memory, and mixing the two brings a
    revoked token back.
    """

    def __init__(self, settings: AzureSettings) -> None:
        try:
            self._credential = _CREDENTIALS[settings.auth_method](settings)
        except ValueError as error:
            raise ConfigError(
                asked=f"preparing to sign in by {settings.auth_method.replace('_', ' ')}",
                got=str(error),
                do="check tenant_id, client_id, authority_url and the certificate with its password",
            ) from error

    def fetch(self, scope: str, claims: str | None) -> Token:
        found: Token = self._credential.get_token_info(scope, options={"claims": claims} if claims else {})
        return found


def _common(settings: AzureSettings) -> dict[str, Any]:
    return {
        "authority": settings.authority_url,
        "disable_instance_discovery": settings.private_authority,
        "connection_timeout": settings.request_timeout_seconds,
        "read_timeout": settings.request_timeout_seconds,
        **({"connection_verify": str(settings.ca_bundle)} if settings.ca_bundle else {}),
        **_ONE_ATTEMPT,
    }


def _ids(settings: AzureSettings) -> dict[str, Any]:
    return {
        name: value
        for name, value in (("tenant_id", settings.tenant_id), ("client_id", settings.client_id))
        if value
    }


def _certificate(settings: AzureSettings) -> Any:  # noqa: ANN401 - a credential of the SDK's, as below
    return azure.identity.CertificateCredential(
        settings.tenant_id or "",
        settings.client_id or "",
        str(settings.certificate_path),
        password=settings.certificate_password,
        **_common(settings),
    )


def _default(settings: AzureSettings) -> Any:  # noqa: ANN401
    managed = {"managed_identity_client_id": settings.client_id} if settings.client_id else {}
    return azure.identity.DefaultAzureCredential(**managed, **_common(settings))


_CREDENTIALS: Mapping[str, Callable[[AzureSettings], Any]] = {
    "client_secret": lambda settings: azure.identity.ClientSecretCredential(
        settings.tenant_id or "", settings.client_id or "", settings.client_secret or "", **_common(settings)
    ),
    "certificate": _certificate,
    "workload_identity": lambda settings: azure.identity.WorkloadIdentityCredential(
        **_ids(settings), **_common(settings)
    ),
    "managed_identity": lambda settings: azure.identity.ManagedIdentityCredential(
        client_id=settings.client_id, **_ONE_ATTEMPT
    ),
    "cli": lambda settings: azure.identity.AzureCliCredential(tenant_id=settings.tenant_id or ""),
    "default": _default,
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


def _sign_in_error(error: Exception, method: str) -> OffGridFlowError:
    """Turn what azure-identity raised into an error of ours.

    All of its errors are of one type, a wrong secret as well as a network that is down. The number behind
    AADSTS tells; where there is none, the token service was not reached, or did not answer as one.
    """
    if isinstance(error, OffGridFlowError):
        return error
    number = next(iter(_AADSTS.findall(str(error))), None)
    asked = f"signing in by {method.replace('_', ' ')}"
    got = str(error).partition("\n")[0]
    if number:
        found, do = error_codes.AADSTS.get(int(number), (ErrorClass.AUTH, error_codes.SIGN_IN))
        return error_type(found)(asked=asked, got=got, do=do, code=f"AADSTS{number}")
    if method in _FOUND_ON_THE_WAY:
        return AuthError(asked=asked, got=got, do=error_codes.NOT_SIGNED_IN)
    if any(type(cause) is ValueError for cause in causes(error)):
        # msal: what answered is no authority, or knows no such tenant.
        return ConfigError(asked=asked, got=got, do=error_codes.NO_AUTHORITY)
    # The type of the error says nothing: it never was about the credentials.
    found = ErrorClass.FATAL if _never_heals(error) else ErrorClass.TRANSIENT
    return error_type(found)(asked=asked, got=got, do=error_codes.UNREACHABLE)


def _never_heals(error: Exception) -> bool:
    """Whether what is behind an error of the SDK, such as an untrusted certificate, stays as it is."""
    behind = (getattr(cause, "inner_exception", None) for cause in causes(error))
    return any(inner and classify(inner) is ErrorClass.FATAL for inner in behind)


def _storage_error(error: Exception, asked: str) -> OffGridFlowError:
    """Turn what azure-storage-blob raised into an error of ours."""
    status = getattr(error, "status_code", None)
    code = getattr(error, "error_code", None)
    code = str(getattr(code, "value", code)) if code else None
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    found = classify(error, tables=(_TABLE,), code=code, status=status)
    found = ErrorClass.FATAL if _never_heals(error) else found
    got = str(getattr(error, "message", None) or error).partition("\n")[0]
    return _storage_kind(found, status, code)(
        asked=asked,
        got=got or type(error).__name__,
        do=error_codes.storage_advice(found, code, status),
        code=code,
        request_id=headers.get("x-ms-request-id"),
    )


def _storage_kind(found: ErrorClass, status: int | None, code: str | None) -> type[OffGridFlowError]:
    if code in error_codes.CHANGED or status == 412:  # noqa: PLR2004 - as HTTP has it
        return SourceChanged
    if code == "ServerBusy":
        return Throttled
    if found is ErrorClass.AUTH and status == 403:  # noqa: PLR2004 - as HTTP has it
        return PermissionDenied
    return error_type(found)


def _advise(found: ErrorClass, code: str | None, response: Response) -> str:
    return error_codes.advice(found, code, response.status, response.asked)
