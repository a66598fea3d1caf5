"""Asking with the tap's client, without running the tap."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from offgridflow_common.errors import OffGridFlowError
from tap_offgridflow_azure.tap import TapOffgridflowAzure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from offgridflow_common.responses import Response
    from tap_offgridflow_azure.client import AzureClient

#: What says who the tap is.
CREDENTIALS = ("tenant_id", "client_id", "client_secret")

#: The query of a list of subscriptions.
VERSION = {"api-version": "2022-12-01"}


def client_of(config: Mapping[str, Any]) -> AzureClient:
    """The client of a tap with this configuration; it has asked nothing yet."""
    return TapOffgridflowAzure(config=dict(config)).client


def subscriptions(client: AzureClient) -> Response:
    """Ask for the subscriptions."""
    return client.arm.request("GET", "/subscriptions", params=VERSION)


def failure(ask: Callable[[], object]) -> OffGridFlowError:
    """The error that asking ends in."""
    with pytest.raises(OffGridFlowError) as caught:
        ask()
    return caught.value
