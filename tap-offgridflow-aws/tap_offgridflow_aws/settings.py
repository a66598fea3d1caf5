"""The settings of the AWS tap: their JSON schema, and the frozen dataclass they become."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from singer_sdk import typing as th

from offgridflow_common.origins import is_loopback
from offgridflow_common.settings import (
    CommonSettings,
    RequestDefaults,
    common_properties,
    export_name,
    parse_common,
    same_name_errors,
    unknown_settings,
)
from offgridflow_common.urls import is_endpoint_url, is_folder_url, url_parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

#: The types of exports: CUR 2.0, legacy CUR, FOCUS and the carbon export.
EXPORT_TYPES = ("cur2", "cur", "focus", "carbon")

_DEFAULTS = RequestDefaults(rate_limit_per_second=5, rate_limit_capacity=100, request_timeout_seconds=30)
_DEFAULT_SESSION_NAME = "tap-offgridflow-aws"
_ROLE_ARN = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}")
_ACCOUNT_ID = re.compile(r"\d{12}")
#: The services that are asked, by boto3's names.
_SERVICES = ("s3", "sts", "sustainability", "bcm-data-exports", "cur")


@dataclass(frozen=True, slots=True)
class ExportSetting:
    """One entry of the setting ``exports``.

    Attributes:
        name: What rows and messages call the export.
        type: One of :data:`EXPORT_TYPES`.
        url: ``s3://bucket/prefix/export-name``, or a ``file:///`` folder of the same layout.
        requester_pays: Whether the reader pays for the requests.
        expected_bucket_owner: The account that must own the bucket.
    """

    name: str
    type: str
    url: str
    requester_pays: bool = False
    expected_bucket_owner: str | None = None

    @property
    def place(self) -> tuple[str, str]:
        """Bucket and prefix of an ``s3://`` url. Keys may hold any sign, and may begin with a slash."""
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        return bucket, prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsSettings(CommonSettings):
    """The settings of the AWS tap, parsed."""

    access_key_id: str | None
    secret_access_key: str | None
    session_token: str | None
    profile: str | None
    default_region: str | None
    assume_role_arn: str | None
    external_id: str | None
    role_session_name: str
    endpoint_urls: Mapping[str, str]
    exports: tuple[ExportSetting, ...]
    discover_exports: bool


CONFIG_SCHEMA: dict[str, Any] = th.PropertiesList(
    th.Property("aws_access_key_id", th.StringType, secret=True, description="Access key id."),
    th.Property("aws_secret_access_key", th.StringType, secret=True, description="Secret access key."),
    th.Property(
        "aws_session_token", th.StringType, secret=True, description="Session token of temporary keys."
    ),
    th.Property("aws_profile", th.StringType, description="Profile of the AWS configuration files."),
    th.Property(
        "aws_default_region",
        th.StringType,
        description="Region of the buckets. The Sustainability API is always asked in us-east-1.",
    ),
    th.Property(
        "aws_assume_role_arn",
        th.StringType,
        description="Role to assume with the credentials above; its credentials refresh by themselves.",
    ),
    th.Property(
        "aws_external_id", th.StringType, secret=True, description="External id that the role asks for."
    ),
    th.Property(
        "aws_role_session_name",
        th.StringType,
        default=_DEFAULT_SESSION_NAME,
        description="Name of the role's session, as CloudTrail shows it.",
    ),
    th.Property(
        "aws_endpoint_urls",
        th.ObjectType(additional_properties=th.StringType),
        description="Other endpoints by service: `s3`, `sts`, `sustainability`, `bcm-data-exports`, `cur`; "
        "plain http only to loopback.",
    ),
    th.Property(
        "exports",
        th.ArrayType(
            th.ObjectType(
                th.Property("name", th.StringType, description="Default: the last part of `url`."),
                th.Property("type", th.StringType, required=True, allowed_values=list(EXPORT_TYPES)),
                th.Property("url", th.StringType, required=True),
                th.Property("requester_pays", th.BooleanType),
                th.Property("expected_bucket_owner", th.StringType),
                additional_properties=False,
            )
        ),
        description="The exports: a list of `{name, type, url, requester_pays, expected_bucket_owner}`; "
        "`name` is by default the last part of `url`, and another one makes it another export; `type` is "
        "`cur2`, `cur` (legacy CUR), `focus` or `carbon`; `url` is `s3://bucket/prefix/export-name` or a "
        "`file:///` folder of that layout.",
    ),
    th.Property(
        "discover_exports",
        th.BooleanType,
        default=False,
        description="Read all exports of cost and carbon that the account has, beside those of `exports`.",
    ),
    *common_properties(_DEFAULTS),
).to_dict()


def parse(config: Mapping[str, Any], now: datetime, errors: Sequence[str] = ()) -> AwsSettings:
    """Turn a validated configuration into settings.

    Args:
        config: The tap's configuration, defaults filled in by the SDK.
        now: When the run began.
        errors: What is already known to be wrong.

    Raises:
        ConfigValidationError: Settings are wrong or do not go together; all are reported at once.
    """
    errors = [*errors, *_credential_errors(config), *_endpoint_errors(config)]
    exports = tuple(_export(entry) for entry in config.get("exports") or ())
    errors += _export_errors(exports)
    common = parse_common(config, now, errors)
    return AwsSettings(
        **{field.name: getattr(common, field.name) for field in fields(common)},
        access_key_id=config.get("aws_access_key_id"),
        secret_access_key=config.get("aws_secret_access_key"),
        session_token=config.get("aws_session_token"),
        profile=config.get("aws_profile"),
        default_region=config.get("aws_default_region"),
        assume_role_arn=config.get("aws_assume_role_arn"),
        external_id=config.get("aws_external_id"),
        role_session_name=config.get("aws_role_session_name") or _DEFAULT_SESSION_NAME,
        endpoint_urls=config.get("aws_endpoint_urls") or {},
        exports=exports,
        discover_exports=bool(config.get("discover_exports")),
    )


def _export(entry: Mapping[str, Any]) -> ExportSetting:
    return ExportSetting(
        name=export_name(entry),
        type=entry["type"],
        url=entry["url"].rstrip("/"),
        requester_pays=bool(entry.get("requester_pays")),
        expected_bucket_owner=entry.get("expected_bucket_owner"),
    )


def _credential_errors(config: Mapping[str, Any]) -> list[str]:
    errors = []
    if bool(config.get("aws_access_key_id")) != bool(config.get("aws_secret_access_key")):
        errors.append(
            "aws_access_key_id and aws_secret_access_key must be set together, got only one of them"
        )
    if config.get("aws_session_token") and not config.get("aws_access_key_id"):
        errors.append("aws_session_token must come with aws_access_key_id and aws_secret_access_key")
    role = config.get("aws_assume_role_arn")
    if role and not _ROLE_ARN.fullmatch(role):
        errors.append(f"aws_assume_role_arn must look like arn:aws:iam::111122223333:role/name, got '{role}'")
    if config.get("aws_external_id") and not role:
        errors.append("aws_external_id must come with aws_assume_role_arn")
    session_name = config.get("aws_role_session_name")
    if session_name and not _SESSION_NAME.fullmatch(session_name):
        errors.append(
            f"aws_role_session_name must be 2 to 64 letters, digits or +=,.@-, got '{session_name}'"
        )
    return errors


def _endpoint_errors(config: Mapping[str, Any]) -> list[str]:
    urls: Mapping[str, str] = config.get("aws_endpoint_urls") or {}
    errors = unknown_settings(
        {f"aws_endpoint_urls.{service}": url for service, url in urls.items()},
        {f"aws_endpoint_urls.{service}" for service in _SERVICES},
    )
    for service, url in urls.items():
        parts = url_parts(url)
        if not is_endpoint_url(url, "http", "https"):
            errors.append(f"aws_endpoint_urls must hold http(s) URLs, got '{url}' for {service}")
        elif parts.scheme == "http" and not is_loopback(parts.hostname or ""):
            errors.append(f"aws_endpoint_urls must be https outside of loopback, got '{url}' for {service}")
    return errors


def _export_errors(exports: tuple[ExportSetting, ...]) -> list[str]:
    errors = same_name_errors(exports)
    for export in exports:
        bucket, prefix = export.place
        in_bucket = export.url.startswith("s3://") and bucket and prefix.strip("/")
        if not in_bucket and not is_folder_url(export.url):
            errors.append(
                f"the url of an export must be s3://bucket/prefix/export-name or file:///folder/export-name, "
                f"got '{export.url}'"
            )
        owner = export.expected_bucket_owner
        if owner and not _ACCOUNT_ID.fullmatch(owner):
            errors.append(f"expected_bucket_owner must be an account id of 12 digits, got '{owner}'")
    return errors
