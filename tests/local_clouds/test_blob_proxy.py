"""The proxy in front of Blob Storage, as Azure's own client meets it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceModifiedError, ServiceResponseError
from azure.storage.blob import BlobServiceClient

from tests.local_clouds import blob_proxy
from tests.local_clouds.azure import LocalAzure
from tests.local_clouds.azure_tokens import STORAGE_AUDIENCE
from tests.local_clouds.azurite import ACCOUNT, Azurite
from tests.local_clouds.fault_proxy import RESET, call_first, truncate

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOB = "folder/ünicode +%20.csv"
FAULTS = [
    blob_proxy.NO_ROLE,
    blob_proxy.NO_ACCESS,
    blob_proxy.NOT_AUTHENTICATED,
    blob_proxy.SERVER_BUSY,
    blob_proxy.TIMED_OUT,
    blob_proxy.BLOB_NOT_FOUND,
]


@pytest.fixture
def azure(azurite: Azurite) -> Iterator[LocalAzure]:
    with LocalAzure(azurite=azurite) as running:
        yield running


@pytest.fixture
def container(azurite: Azurite) -> str:
    return azurite.create_container()


@pytest.fixture
def blobs(azure: LocalAzure, container: str, credential: Any, transport: dict[str, Any]) -> Iterator[Any]:
    """The container through the proxy, signed in with a token."""
    url = azure.blobs.account_url
    with (
        BlobServiceClient(url, credential=credential, **transport) as client,
        client.get_container_client(container) as opened,
    ):
        yield opened


def test_blobs_pass_the_proxy_unchanged(azure: LocalAzure, container: str, blobs: Any) -> None:
    content = os.urandom(5 << 20)
    blobs.upload_blob(BLOB, content)
    assert blobs.download_blob(BLOB).readall() == content
    assert blobs.download_blob(BLOB, offset=3, length=4).readall() == content[3:7]
    seen = azure.blobs.requests[-1]
    assert (seen.method, seen.bucket, seen.key, seen.status, seen.bytes) == ("GET", container, BLOB, 206, 4)
    assert [blob.name for blob in blobs.list_blobs("folder/")] == [BLOB]
    assert azure.blobs.requests[-1].key is None


def test_an_account_key_signs_through_the_proxy(
    azure: LocalAzure, azurite: Azurite, container: str, transport: dict[str, Any]
) -> None:
    azurite.upload(container, {BLOB: b"x"})
    key = {"account_name": ACCOUNT, "account_key": azurite.account_key}
    with BlobServiceClient(azure.blobs.account_url, credential=key, **transport) as client:
        assert client.get_blob_client(container, BLOB).download_blob().readall() == b"x"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.code)
def test_errors_reach_the_client_with_their_code(azure: LocalAzure, blobs: Any, fault: Any) -> None:
    blobs.upload_blob(BLOB, b"x")
    azure.blobs.inject(fault, "folder/*")
    with pytest.raises(HttpResponseError) as caught:
        blobs.download_blob(BLOB)
    assert (caught.value.status_code, caught.value.error_code) == (fault.status, fault.code)
    assert blobs.download_blob(BLOB).readall() == b"x"


def test_listings_can_be_denied_while_blobs_can_be_read(azure: LocalAzure, blobs: Any) -> None:
    blobs.upload_blob(BLOB, b"x")
    azure.blobs.inject(blob_proxy.NO_ROLE, "")
    assert blobs.download_blob(BLOB).readall() == b"x"
    with pytest.raises(HttpResponseError, match="AuthorizationPermissionMismatch"):
        list(blobs.list_blobs())


def test_bodies_end_too_early(azure: LocalAzure, blobs: Any, http: requests.Session) -> None:
    blobs.upload_blob(BLOB, b"x" * 100_000)
    http.headers["Authorization"] = f"Bearer {azure.entra.token(STORAGE_AUDIENCE)}"
    http.headers["x-ms-version"] = "2025-05-05"
    url = f"{blobs.url}/{quote(BLOB)}"
    azure.blobs.inject(truncate(10_000), BLOB)
    # Azure's own client would ask again by itself, each time after a second.
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="10000 bytes read"):
        http.get(url)
    assert len(http.get(url).content) == 100_000


def test_connections_break(azure: LocalAzure, blobs: Any) -> None:
    blobs.upload_blob(BLOB, b"x")
    azure.blobs.inject(RESET, BLOB)
    with pytest.raises(ServiceResponseError):
        blobs.download_blob(BLOB)
    assert blobs.download_blob(BLOB).readall() == b"x"


def test_a_blob_can_change_between_two_requests(
    azure: LocalAzure, azurite: Azurite, container: str, blobs: Any
) -> None:
    blobs.upload_blob(BLOB, b"one")
    properties = blobs.get_blob_client(BLOB).get_blob_properties()
    azure.blobs.inject(call_first(lambda: azurite.upload(container, {BLOB: b"two"})), BLOB)
    with pytest.raises(ResourceModifiedError):
        blobs.download_blob(BLOB, etag=properties.etag, match_condition=MatchConditions.IfNotModified)
