"""The settings of the Azure tap: what they become, and what is wrong with them."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from offgridflow_common.settings import (
    CommonSettings,
    export_name,
    parse_common,
    same_name_errors,
)
from offgridflow_common.urls import is_endpoint_url, is_folder_url, url_parts
from tap_offgridflow_azure.connection.clouds import CLOUDS, IMPACT_URL, Cloud

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

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
        type: One of :data:`~tap_offgridflow_azure.config_schema.EXPORT_TYPES`.
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
        cost_scopes=_cost_scopes(config.get("cost_scopes") or ()),
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


def _cost_scopes(given: Iterable[str]) -> tuple[str, ...]:
    """Each scope once, as it is spelled first: Azure does not tell cases apart."""
    scopes: dict[str, str] = {}
    for scope in (text.strip("/") for text in given):
        scopes.setdefault(scope.lower(), scope)
    return tuple(scopes.values())


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
        url = config.get(name)
        if url and not is_endpoint_url(url, "https"):
            yield f"{name} must be an https URL without a query, got '{url.partition('?')[0]}'"
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
        in_container = is_endpoint_url(export.url, "https") and url_parts(export.url).path.strip("/")
        if not in_container and not is_folder_url(export.url):
            yield (
                "the url of an export must be https://account.blob.core.windows.net/container/folder or "
                f"file:///folder, without a query, got '{export.url.partition('?')[0]}'"
            )
