"""URLs in settings: what names nothing is told apart before anything is asked there."""

from __future__ import annotations

import pytest

from offgridflow_common.urls import is_endpoint_url, is_folder_url

#: What cannot be taken apart, or has a port that is none.
MALFORMED = ["://[::1", "://host:port", "://host:99999", "://[nohost]", "://", ""]


@pytest.mark.parametrize(
    "url", ["https://host", "https://host:8443/path", "https://[::1]:8443", "HTTPS://host/"]
)
def test_an_endpoint_is_a_server_or_a_path_there(url: str) -> None:
    assert is_endpoint_url(url, "https")
    assert not is_endpoint_url(url, "http")


@pytest.mark.parametrize(
    "url", [*(f"https{rest}" for rest in MALFORMED), "https://host?q", "https://host/path#f", "http://host"]
)
def test_nothing_else_is_an_endpoint(url: str) -> None:
    assert not is_endpoint_url(url, "https")


@pytest.mark.parametrize("url", ["file:///folder", "file://localhost/folder/export", "file:///a%23b"])
def test_a_folder_is_a_path_of_this_machine(url: str) -> None:
    assert is_folder_url(url)


@pytest.mark.parametrize(
    "url",
    [
        *(f"file{rest}" for rest in MALFORMED),
        *("file:folder", "file:///", "file://host/folder", "file:///a?b", "file:///a#b", "/a"),
    ],
)
def test_nothing_else_is_a_folder(url: str) -> None:
    assert not is_folder_url(url)
