"""Blob Storage on loopback: how it is installed, and that Azure's own client signs in to it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError

from tests.local_clouds import azurite as azurite_module
from tests.local_clouds.azure import LocalAzure
from tests.local_clouds.azure_tokens import ARM_AUDIENCE, STORAGE_AUDIENCE
from tests.local_clouds.azurite import ACCOUNT, Azurite, AzuriteError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.local_clouds.azure_tls import LocalAuthority

FOLDER = azurite_module._FOLDER


@pytest.fixture
def azure(authority: LocalAuthority) -> Iterator[LocalAzure]:
    with LocalAzure(authority=authority) as running:
        yield running


def test_a_signed_in_application_reads_blobs(azurite: Azurite, credential: Any) -> None:
    container = azurite.create_container()
    azurite.upload(container, {f"folder/{number}.csv": b"0123456789" for number in range(5)})
    azurite.upload(container, {"folder/0.csv": b"new"})
    with azurite.client(credential) as client, client.get_container_client(container) as blobs:
        pages = blobs.list_blobs(name_starts_with="folder/", results_per_page=2).by_page()
        names = [[blob.name for blob in page] for page in pages]
        assert [len(page) for page in names] == [2, 2, 1]
        assert blobs.download_blob("folder/0.csv").readall() == b"new"
        assert blobs.download_blob("folder/1.csv", offset=3, length=4).readall() == b"3456"
        with pytest.raises(ResourceNotFoundError):
            blobs.download_blob("folder/9.csv")


def test_tokens_for_another_service_or_of_the_past_are_refused(azure: LocalAzure, azurite: Azurite) -> None:
    class Token:
        def __init__(self, text: str) -> None:
            self.token, self.expires_on = text, 1 << 40

        def get_token(self, *_: str, **__: Any) -> Token:
            return self

    good = azure.entra.token(STORAGE_AUDIENCE)
    other = azure.entra.token(ARM_AUDIENCE)
    azure.entra.lifetime = -10
    old = azure.entra.token(STORAGE_AUDIENCE)
    container = azurite.create_container()
    for token, allowed in ((good, True), (other, False), (old, False)):
        with azurite.client(Token(token)) as client, client.get_container_client(container) as blobs:
            if allowed:
                assert list(blobs.list_blobs()) == []
            else:
                with pytest.raises(ClientAuthenticationError):
                    list(blobs.list_blobs())


def test_missing_containers_are_told(azurite: Azurite) -> None:
    with azurite.client() as client, pytest.raises(HttpResponseError) as caught:
        client.get_container_client("missing").get_container_properties()
    assert caught.value.error_code == "ContainerNotFound"
    assert azurite.url.endswith(f"/{ACCOUNT}")


def test_the_version_is_pinned_and_no_registry_is_named() -> None:
    wanted = json.loads((FOLDER / "package.json").read_text("utf-8"))["dependencies"]
    lock = json.loads((FOLDER / "package-lock.json").read_text("utf-8"))["packages"]
    assert wanted == {"azurite": lock["node_modules/azurite"]["version"]}
    assert all("resolved" not in package for package in lock.values())
    assert all(package.get("integrity") for name, package in lock.items() if name)


def test_it_does_not_outlive_who_started_it(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path\n"
        "from tests.local_clouds.azure_tls import LocalAuthority\n"
        "from tests.local_clouds.azurite import Azurite\n"
        "with Azurite(LocalAuthority(Path(sys.argv[1]))) as azurite:\n"
        "    print(azurite.url, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], cwd=FOLDER.parents[2], stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        url = urlsplit(starter.stdout.readline())
        starter.kill()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as connection:
            if connection.connect_ex((url.hostname, url.port)):
                return
        time.sleep(0.02)
    raise AssertionError("Azurite still listens")


def test_what_is_missing_is_named(
    authority: LocalAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(azurite_module, "_FOLDER", tmp_path)
    with pytest.raises(AzuriteError, match="make azurite"):
        Azurite(authority).__enter__()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "Node.js" in (azurite_module.missing() or "")


def test_a_failed_start_says_why(
    authority: LocalAuthority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "node_modules/azurite").mkdir(parents=True)
    (tmp_path / "serve.js").write_text("throw new Error('broken on purpose')")
    monkeypatch.setattr(azurite_module, "_FOLDER", tmp_path)
    with pytest.raises(AzuriteError, match="broken on purpose"):
        Azurite(authority).__enter__()
