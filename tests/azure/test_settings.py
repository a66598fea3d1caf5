"""Settings of Azure that are wrong, or do not go together: named before anything is asked."""

from __future__ import annotations

from typing import Any

import pytest
from singer_sdk.exceptions import ConfigValidationError

from tap_offgridflow_azure.tap import TapOffgridflowAzure

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
IMPACT = {"impact_instance_id": "i", "impact_enrollment_id": "e", "impact_subscription_key": "key-of-nobody"}


def export(url: str) -> dict[str, Any]:
    return {"exports": [{"type": "focus", "url": url}]}


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a secret without a tenant": ({"client_secret": "secret-of-nobody"}, "needs tenant_id, client_id: set"),
    "a certificate that is no file": (
        {"tenant_id": "t", "client_id": "c", "certificate_path": "/no/where.pem"},
        "certificate_path must be an existing file, got '/no/where.pem'",
    ),
    "a password without a certificate": ({"certificate_password": "p"}, "must come with certificate_path"),
    "plain http": ({"arm_endpoint_url": "http://127.0.0.1"}, "arm_endpoint_url must be an https URL"),
    "half an address": ({"authority_url": "https://[::1"}, "authority_url must be an https URL"),
    "a port that is none": ({"impact_endpoint_url": "https://host:port"}, "impact_endpoint_url must be"),
    "an endpoint with a query": ({"arm_endpoint_url": "https://host/?sig=x"}, "query, got 'https://host/'"),
    "two choices of subscriptions": (
        {"subscription_ids": [SUBSCRIPTION], "management_group_id": "root"},
        "say the same twice",
    ),
    "an id that is none": ({"subscription_ids": ["shop"]}, "ids of 36 characters, got 'shop'"),
    "a scope that is none": ({"cost_scopes": ["shop"]}, "cost_scopes must hold scopes such as"),
    "a third of the impact settings": ({"impact_instance_id": "i"}, "impact_subscription_key is missing"),
    "impact in China": (IMPACT | {"azure_cloud": "AzureChinaCloud"}, "exists in AzureCloud only"),
    "an export in no container": (export("https://a.blob.core.windows.net"), "the url of an export must"),
    "an export with a signature": (
        export("https://a.blob.core.windows.net/c/f?sig=secret"),
        "got 'https://a.blob.core.windows.net/c/f'",
    ),
    "an export at half an address": (export("https://[a/c/f"), "the url of an export must"),
    "an export in a folder from here": (export("file:here"), "the url of an export must"),
    "two exports of one name": (
        {"exports": [*export("file:///a/x")["exports"], *export("file:///b/x")["exports"]]},
        "different names, got 'x' more than once",
    ),
}


@pytest.mark.parametrize(("settings", "message"), WRONG.values(), ids=WRONG)
def test_settings_that_are_wrong_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigValidationError) as caught:
        TapOffgridflowAzure(config=settings)
    assert len(caught.value.errors) == 1
    assert message in caught.value.errors[0]


def test_nulls_are_what_is_not_set() -> None:
    nulls = dict.fromkeys(TapOffgridflowAzure.config_jsonschema["properties"])
    assert TapOffgridflowAzure(config=nulls).settings.fail_on_denied is True
