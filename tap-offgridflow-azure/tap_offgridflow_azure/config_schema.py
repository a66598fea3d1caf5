"""The JSON schema of the Azure tap's settings: their names, kinds, defaults and descriptions."""

from __future__ import annotations

from typing import Any

from singer_sdk import typing as th

from offgridflow_common.settings import RequestDefaults, common_properties
from tap_offgridflow_azure.connection.clouds import CLOUDS

#: The types of exports: FOCUS, and cost as it was billed or with purchases spread over their term.
EXPORT_TYPES = ("focus", "actual", "amortized")

#: How the tap can sign in.
_AUTH_METHODS = ("client_secret", "certificate", "workload_identity", "managed_identity", "cli", "default")

#: What a row of ``carbon_emissions`` can be about.
_CARBON_CATEGORIES = ("Resource", "ResourceGroup", "ResourceType", "Location", "Subscription")

#: Cost as it was billed, or with purchases spread over their term.
_COST_METRICS = ("ActualCost", "AmortizedCost")

_DEFAULTS = RequestDefaults(rate_limit_per_second=3, rate_limit_capacity=60, request_timeout_seconds=45)

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
        allowed_values=list(_AUTH_METHODS),
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
        allowed_values=list(_CARBON_CATEGORIES),
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
        allowed_values=list(_COST_METRICS),
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
