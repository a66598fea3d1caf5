"""Azurite, the emulator of Blob Storage, as a process on loopback that takes tokens over TLS."""

from __future__ import annotations

import base64
import os
import re
import secrets
import shutil
import subprocess
import time
import uuid
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Self

from azure.storage.blob import BlobServiceClient

if TYPE_CHECKING:
    from tests.local_clouds.azure_tls import LocalAuthority

ACCOUNT = "offgridflowlocal"
START_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02
_FOLDER = Path(__file__).parent / "azurite"
_LISTENS = re.compile(rb"successfully listens on (https://\S+)")


class AzuriteError(RuntimeError):
    """Azurite cannot run here."""


def missing() -> str | None:
    """What Azurite lacks to run here; None if it can."""
    if shutil.which("node") is None:
        return "Azurite needs Node.js: install node and npm 20 or newer, then run `make azurite`"
    return (
        None
        if (_FOLDER / "node_modules/azurite").is_dir()
        else "Azurite is not installed: run `make azurite`"
    )


class Azurite:
    """One account in memory, as a context manager; it takes tokens of the local token service.

    Starting takes a second or two and some 100 MB, so share one per process. Containers are the tests' own:
    `create_container` never gives a name twice.

    Args:
        authority: Whose certificate it has.
        any_version: Whether requests may be of versions of the interface that it does not know.

    Raises:
        AzuriteError: It is not installed, or did not start.
    """

    def __init__(self, authority: LocalAuthority, *, any_version: bool = True) -> None:
        self.authority = authority
        self._any_version = any_version
        self.account_key = base64.b64encode(secrets.token_bytes(32)).decode()
        self.url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if problem := missing():
            raise AzuriteError(problem)
        options = ["--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry"]
        options += ["--skipApiVersionCheck"] if self._any_version else []
        files = ["--cert", self.authority.certificate_file, "--key", self.authority.key_file]
        # A file, because nobody would read a pipe after the start, and a full one stops who writes to it.
        with TemporaryFile() as output:
            self._process = subprocess.Popen(
                ["node", _FOLDER / "serve.js", *options, "--silent", "--oauth", "basic", *files],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{self.account_key}"},
            )
            try:
                self.url = f"{self._wait(self._process, output.fileno())}/{ACCOUNT}"
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def client(self, credential: Any = None, **options: Any) -> BlobServiceClient:
        """Azure's own client; by default it signs with the account's key."""
        settings = {"connection_verify": str(self.authority.ca_file), "retry_total": 0} | options
        key = {"account_name": ACCOUNT, "account_key": self.account_key}
        return BlobServiceClient(self.url, credential=credential or key, **settings)

    def create_container(self, stem: str = "exports") -> str:
        """Create a container with a name that no other test has, and return the name."""
        name = f"{stem}-{uuid.uuid4().hex[:12]}"
        with self.client() as client:
            client.create_container(name)
        return name

    def upload(self, container: str, blobs: dict[str, bytes]) -> None:
        """Put blobs, over those that have their names."""
        with self.client() as client, client.get_container_client(container) as folder:
            for name, content in blobs.items():
                folder.upload_blob(name, content, overwrite=True)

    @staticmethod
    def _wait(process: subprocess.Popen[bytes], output: int) -> str:
        """The address that it says it listens on."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            ended = process.poll() is not None or time.monotonic() > deadline
            said = os.pread(output, 1 << 16, 0)
            if found := _LISTENS.search(said):
                return found[1].decode()
            if ended:
                raise AzuriteError(f"Azurite did not start: {said.decode(errors='replace')[:2000]}")
            time.sleep(POLL_SECONDS)
