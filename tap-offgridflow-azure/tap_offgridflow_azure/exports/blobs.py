"""Containers of Blob Storage as object stores."""

from __future__ import annotations

import ipaddress
from datetime import UTC
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, unquote, urlsplit

from offgridflow_common.exports.storage import ObjectInfo, gone_is_changed, save
from offgridflow_common.pagination import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tap_offgridflow_azure.client import AzureClient

T = TypeVar("T")


def blob_store(client: AzureClient, url: str) -> tuple[BlobStore, str]:
    """The store and the prefix of an export at ``https://account.blob.core.windows.net/container/folder``.

    Where the host is an address or this machine, the account is the first part of the path.
    """
    parts = urlsplit(url)
    names = parts.path.strip("/").split("/")
    taken = 2 if _is_bare_host(parts.hostname or "") else 1
    container = "/".join((f"{parts.scheme}://{parts.netloc}", *names[:taken]))
    return BlobStore(client, container), unquote("/".join(names[taken:]))


def _is_bare_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return True


class BlobStore:
    """A container as an object store.

    Args:
        client: Asks Blob Storage.
        url: The container's URL.
    """

    def __init__(self, client: AzureClient, url: str) -> None:
        self._client = client
        self._url = url

    def uri(self, key: str) -> str:
        """The address of a blob."""
        return f"{self._url}/{quote(key)}"

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All blobs whose name starts with ``prefix``; folders of hierarchical accounts are left out."""
        asked = f"listing {self.uri(prefix)}"
        for page in self._client.pager.pages(lambda token: self._page(prefix, token, asked)):
            for blob in page.items:
                if not (blob.metadata or {}).get("hdi_isfolder"):
                    yield ObjectInfo(
                        key=blob.name,
                        size=blob.size,
                        etag=blob.etag.strip('"'),
                        modified=blob.last_modified.astimezone(UTC),
                    )

    def read(self, info: ObjectInfo) -> bytes:
        """The content of a small blob."""
        opened = self._client.open_unchanged
        content: bytes = self._fetch(info, lambda container: opened(container, info.key, info.etag).readall())
        return content

    def local_path(self, info: ObjectInfo) -> None:
        """Nothing of a container lies on local disk."""
        del info

    def download(self, info: ObjectInfo, target: Path) -> None:
        """Write a blob to a file as it is stored; a body that breaks is fetched again from its beginning."""

        def fetch(container: Any) -> None:  # noqa: ANN401 - the SDK's container client
            opened = self._client.open_unchanged(container, info.key, info.etag, unpack=False)
            save(self._client.chunks(opened), info, target, self.uri(info.key))

        self._fetch(info, fetch)

    def _fetch(self, info: ObjectInfo, send: Callable[[Any], T]) -> T:
        """Read a blob that was listed."""
        asked = f"reading {self.uri(info.key)}"
        with gone_is_changed(asked):
            return self._client.attempt(self._url, asked, send)

    def _page(self, prefix: str, token: str | None, asked: str) -> Page[Any]:
        def send(container: Any) -> Page[Any]:  # noqa: ANN401 - the SDK's container client
            pages = container.list_blobs(name_starts_with=prefix, include=["metadata"]).by_page(token)
            items = list(next(pages, ()))
            return Page(items=items, next_token=pages.continuation_token)

        return self._client.attempt(self._url, asked, send)
