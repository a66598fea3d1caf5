from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from azure.identity import ClientSecretCredential
from azure.mgmt.carbonoptimization import CarbonOptimizationMgmtClient
from azure.mgmt.costmanagement import CostManagementClient

from tests.local_clouds.azure import LocalAzure
from tests.local_clouds.azure_tokens import ARM_AUDIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def azure() -> Iterator[LocalAzure]:
    with LocalAzure() as running:
        yield running


@pytest.fixture
def transport(azure: LocalAzure) -> dict[str, Any]:
    """How Azure's own clients reach the stand-ins, without waiting between attempts."""
    return {"connection_verify": str(azure.authority.ca_file), "retry_total": 0}


@pytest.fixture
def credential(azure: LocalAzure, transport: dict[str, Any]) -> Iterator[ClientSecretCredential]:
    entra = azure.entra
    with ClientSecretCredential(
        entra.tenant,
        entra.client,
        entra.secret,
        authority=entra.url,
        disable_instance_discovery=True,
        **transport,
    ) as signed_in:
        yield signed_in


@pytest.fixture
def carbon_client(azure: LocalAzure, credential: Any, transport: dict[str, Any]) -> Iterator[Any]:
    """Azure's own client of Carbon Optimization."""
    scopes = [f"{ARM_AUDIENCE}/.default"]
    with CarbonOptimizationMgmtClient(
        credential, base_url=azure.arm.url, credential_scopes=scopes, **transport
    ) as client:
        yield client.carbon_service


@pytest.fixture
def cost_client(azure: LocalAzure, credential: Any, transport: dict[str, Any]) -> Iterator[Any]:
    """Azure's own client of Cost Management."""
    scopes = [f"{ARM_AUDIENCE}/.default"]
    with CostManagementClient(
        credential, base_url=azure.arm.url, credential_scopes=scopes, **transport
    ) as client:
        yield client


@pytest.fixture
def http(azure: LocalAzure) -> Iterator[requests.Session]:
    """A plain client with a good token."""
    with requests.Session() as session:
        # Otherwise REQUESTS_CA_BUNDLE would count more than what is said here.
        session.trust_env = False
        session.verify = str(azure.authority.ca_file)
        session.headers["Authorization"] = f"Bearer {azure.entra.token()}"
        session.headers["ClientType"] = "tests"
        yield session
