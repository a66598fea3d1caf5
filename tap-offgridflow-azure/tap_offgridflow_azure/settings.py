"""The settings of the Azure tap: their JSON schema, and the frozen dataclass they become."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from singer_sdk import typing as th

from offgridflow_common.settings import (
    CommonSettings,
    RequestDefaults,
    common_properties,
    export_name,
    is_folder_url,
    parse_common,
    same_name_errors,
)
from tap_offgridflow_azure.clouds import CLOUDS, IMPACT_URL, Cloud

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

#: The types of exports: FOCUS, and cost as it was billed or with purchases spread over their term.
EXPORT_TYPES = ("focus", "actual", "amortized")

#: How the tap can sign in.
AUTH_METHODS = ("client_secret", "certificate", "workload_identity", "managed_identity", "cli", "default")

#: What a row of ``carbon_emissions`` can be about.
CARBON_CATEGORIES = ("Resource", "ResourceGroup", "ResourceType", "Location", "Subscription")

#: Cost as it was billed, or with purchases spread over their term.
COST_METRICS = ("ActualCost", "AmortizedCost")

_DEFAULTS = RequestDefaults(rate_limit_per_second=3, rate_limit_capacity=60, request_timeout_seconds=45)

#: What each method of signing in cannot do without.
_NEEDED = {
    "client_secret": ("tenant_id", "client_id", "client_secret"),
    "certificate": ("tenant_id", "client_id", "certificate_path"),
}

#: The settings that tell how to sign in where ``auth_method`` does not.
_OWN_CREDENTIALS = {"client_secret": "client_secret", "certificate": "certificate_path"}
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_SCOPE = re.compile(
    r"/?(subscriptions/[^/]+(/resourceGroups/[^/]+)?"
    r"|providers/Microsoft\.Management/managementGroups/[^/]+"
    r"|providers/Microsoft\.Billing/billingAccounts/[^/]+(/[A-Za-z]+/[^/]+)*)/?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ExportSetting:
    """One entry of the setting ``exports``.

    Attributes:
        name: What rows and messages call the export.
        type: One of :data:`EXPORT_TYPES`.
        url: ``https://account.blob.core.windows.net/container/folder``, or a ``file:///`` folder.
    """

    name: str
    type: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSettings(CommonSettings):
    """The settings of the Azure tap, parsed. Ids are in lower case, scopes without slashes at their ends."""

    cloud: Cloud
    auth_method: str
    tenant_id: str | None
    client_id: str | None
    client_secret: str | None
    certificate_path: Path | None
    certificate_password: str | None
    subscription_ids: tuple[str, ...]
    management_group_id: str | None
    carbon_category: str
    fail_on_denied: bool
    cost_scopes: tuple[str, ...]
    cost_metric: str
    exports: tuple[ExportSetting, ...]
    impact_instance_id: str | None
    impact_enrollment_id: str | None
    impact_subscription_key: str | None
    impact_url: str
    arm_url: str
    authority_url: str
    private_authority: bool
    ca_bundle: Path | None


CONFIG_SCHEMA: dict[str, Any] = th.PropertiesList(
    th.Property(
        "azure_cloud",
        th.StringType,
        default="AzureCloud",
        allowed_values=list(CLOUDS),
        description="The cloud to sign in to: the public one, US Government, or China.",
    ),
    th.Property(
        "auth_method",
        th.StringType,
        allowed_values=list(AUTH_METHODS),
        description="How to sign in. Default: `client_secret` or `certificate` where one is set, else "
        "`default`, which tries what the environment offers.",
    ),
    th.Property("tenant_id", th.StringType, description="Directory (tenant) id."),
    th.Property("client_id", th.StringType, description="Application (client) id."),
    th.Property("client_secret", th.StringType, secret=True, description="Secret of the application."),
    th.Property(
        "certificate_path",
        th.StringType,
        description="PEM or PKCS12 file with the application's certificate and its private key.",
    ),
    th.Property(
        "certificate_password", th.StringType, secret=True, description="Password of the certificate file."
    ),
    th.Property(
        "subscription_ids",
        th.ArrayType(th.StringType),
        description="The subscriptions to read. Default: all that the tap may see.",
    ),
    th.Property(
        "management_group_id",
        th.StringType,
        description="Read the subscriptions below this management group, at all levels.",
    ),
    th.Property(
        "carbon_category",
        th.StringType,
        default="Resource",
        allowed_values=list(CARBON_CATEGORIES),
        description="What one row of `carbon_emissions` is about.",
    ),
    th.Property(
        "fail_on_denied",
        th.BooleanType,
        default=True,
        description="Whether subscriptions that deny access to their emissions fail the stream, "
        "after all others are read.",
    ),
    th.Property(
        "cost_scopes",
        th.ArrayType(th.StringType),
        description="Scopes of cost, such as `subscriptions/{id}` or "
        "`providers/Microsoft.Billing/billingAccounts/{id}`. Default: each subscription.",
    ),
    th.Property(
        "cost_metric",
        th.StringType,
        default="ActualCost",
        allowed_values=list(COST_METRICS),
        description="Cost as it was billed, or with purchases spread over their term.",
    ),
    th.Property(
        "exports",
        th.ArrayType(
            th.ObjectType(
                th.Property("name", th.StringType, description="Default: the last part of `url`."),
                th.Property("type", th.StringType, required=True, allowed_values=list(EXPORT_TYPES)),
                th.Property("url", th.StringType, required=True),
                additional_properties=False,
            )
        ),
        description="The exports: a list of `{name, type, url}`; `type` is `focus`, `actual` or `amortized`; "
        "`url` is `https://account.blob.core.windows.net/container/folder` or a `file:///` folder of that "
        "layout.",
    ),
    th.Property(
        "impact_instance_id",
        th.StringType,
        description="Environment of Cloud for Sustainability; with the next two, it turns "
        "`emissions_impact` on.",
    ),
    th.Property(
        "impact_enrollment_id", th.StringType, description="Billing account whose emissions are read there."
    ),
    th.Property(
        "impact_subscription_key",
        th.StringType,
        secret=True,
        description="Key of the API subscription there.",
    ),
    th.Property("impact_endpoint_url", th.StringType, description="Another address of that API, for tests."),
    th.Property(
        "arm_endpoint_url",
        th.StringType,
        description="Another address of Azure Resource Manager, for private clouds and tests.",
    ),
    th.Property(
        "authority_url",
        th.StringType,
        description="Another address to sign in at, for private clouds and tests.",
    ),
    th.Property(
        "ca_bundle",
        th.StringType,
        description="PEM file of the authorities to trust instead of the public ones.",
    ),
    *common_properties(_DEFAULTS),
).to_dict()


def parse(config: Mapping[str, Any], now: datetime, errors: Sequence[str] = ()) -> AzureSettings:
    """Turn a validated configuration into settings.

    Args:
        config: The tap's configuration, defaults filled in by the SDK.
        now: When the run began.
        errors: What is already known to be wrong.

    Raises:
        ConfigValidationError: Settings are wrong or do not go together; all are reported at once.
    """
    exports = tuple(
        ExportSetting(name=export_name(entry), type=entry["type"], url=entry["url"].rstrip("/"))
        for entry in config.get("exports") or ()
    )
    errors = [
        *errors,
        *_credential_errors(config),
        *_place_errors(config),
        *_impact_errors(config),
        *_export_errors(exports),
    ]
    common = parse_common(config, now, errors)
    cloud = CLOUDS[config["azure_cloud"]]
    return AzureSettings(
        **{field.name: getattr(common, field.name) for field in fields(common)},
        cloud=cloud,
        auth_method=_auth_method(config),
        tenant_id=config.get("tenant_id"),
        client_id=config.get("client_id"),
        client_secret=config.get("client_secret"),
        certificate_path=_path(config, "certificate_path"),
        certificate_password=config.get("certificate_password"),
        subscription_ids=tuple(dict.fromkeys(map(str.lower, config.get("subscription_ids") or ()))),
        management_group_id=config.get("management_group_id"),
        carbon_category=config["carbon_category"],
        fail_on_denied=config["fail_on_denied"],
        cost_scopes=tuple(dict.fromkeys(scope.strip("/") for scope in config.get("cost_scopes") or ())),
        cost_metric=config["cost_metric"],
        exports=exports,
        impact_instance_id=config.get("impact_instance_id"),
        impact_enrollment_id=config.get("impact_enrollment_id"),
        impact_subscription_key=config.get("impact_subscription_key"),
        impact_url=config.get("impact_endpoint_url") or IMPACT_URL,
        arm_url=config.get("arm_endpoint_url") or cloud.arm_url,
        authority_url=config.get("authority_url") or cloud.authority_url,
        private_authority=bool(config.get("authority_url")),
        ca_bundle=_path(config, "ca_bundle"),
    )


def _auth_method(config: Mapping[str, Any]) -> str:
    if config.get("auth_method"):
        return str(config["auth_method"])
    given = (method for method, name in _OWN_CREDENTIALS.items() if config.get(name))
    return next(given, "default")


def _path(config: Mapping[str, Any], name: str) -> Path | None:
    return Path(config[name]) if config.get(name) else None


def _credential_errors(config: Mapping[str, Any]) -> Iterator[str]:
    method = _auth_method(config)
    missing = [name for name in _NEEDED.get(method, ()) if not config.get(name)]
    if missing:
        yield f"auth_method {method} needs {', '.join(missing)}: set them, or choose another method"
    if config.get("certificate_password") and not config.get("certificate_path"):
        yield "certificate_password must come with certificate_path"
    for name in ("certificate_path", "ca_bundle"):
        path = _path(config, name)
        if path and not path.is_file():
            yield f"{name} must be an existing file, got '{path}'"


def _place_errors(config: Mapping[str, Any]) -> Iterator[str]:
    for name in ("arm_endpoint_url", "authority_url", "impact_endpoint_url"):
        parts = urlsplit(config.get(name) or "https://unset")
        if parts.scheme != "https" or not parts.hostname:
            yield f"{name} must be an https URL, got '{config[name]}'"
    if config.get("subscription_ids") and config.get("management_group_id"):
        yield "subscription_ids and management_group_id say the same twice: set one of them"
    for subscription in config.get("subscription_ids") or ():
        if not _GUID.fullmatch(subscription):
            yield f"subscription_ids must hold ids of 36 characters, got '{subscription}'"
    for scope in config.get("cost_scopes") or ():
        if not _SCOPE.fullmatch(scope):
            yield (
                "cost_scopes must hold scopes such as subscriptions/{id} or "
                f"providers/Microsoft.Billing/billingAccounts/{{id}}, got '{scope}'"
            )


def _impact_errors(config: Mapping[str, Any]) -> Iterator[str]:
    names = ("impact_instance_id", "impact_enrollment_id", "impact_subscription_key")
    missing = [name for name in names if not config.get(name)]
    if missing and len(missing) < len(names):
        yield f"{', '.join(names)} must be set together, {', '.join(missing)} is missing"
    if not missing and config["azure_cloud"] != "AzureCloud" and not config.get("impact_endpoint_url"):
        yield "emissions_impact exists in AzureCloud only: remove the settings that begin with impact_"


def _export_errors(exports: Sequence[ExportSetting]) -> Iterator[str]:
    yield from same_name_errors(exports)
    for export in exports:
        parts = urlsplit(export.url)
        in_container = parts.scheme == "https" and parts.hostname and parts.path.strip("/")
        if parts.query or not (in_container or is_folder_url(export.url)):
            yield (
                "the url of an export must be https://account.blob.core.windows.net/container/folder or "
                f"file:///folder, without a query, got '{export.url.partition('?')[0]}'"
            )
