"""The stand-ins for Azure, as a process of their own that ends with this one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from azure.storage.blob import ContainerClient

from demo.local_process import LocalProcess
from tests.local_clouds.azurite import missing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class LocalAzureCloud(LocalProcess):
    """Sign-in, Resource Manager, Cost Management and, where Node.js is there, Blob Storage.

    Args:
        project: The checkout.
        log: File for what the process has to say.
        seed: Of the emissions and the costs.
        months: With both, `YYYY-MM`, in order and without gaps.

    Attributes:
        without_blobs: Why there is no Blob Storage; None if there is.
    """

    def __init__(self, project: Path, log: Path, *, seed: int, months: Sequence[str]) -> None:
        self.without_blobs = missing()
        command = (
            *(sys.executable, "-m", "tests.local_clouds.azure"),
            *("--seed", str(seed)),
            *("--first-month", months[0], "--last-month", months[-1]),
            *(["--no-blobs"] if self.without_blobs else []),
        )
        super().__init__(project, log, command)

    @property
    def settings(self) -> dict[str, Any]:
        """What the tap needs to sign in."""
        settings: dict[str, Any] = self.ready["settings"]
        return settings

    def export_url(self, folder: str) -> str:
        """The address of a folder of the container."""
        blobs = self.ready["blobs"]
        return f"{blobs['account_url']}/{blobs['container']}/{folder}"

    def upload(self, name: str, content: bytes) -> None:
        """Put a blob into the container."""
        blobs = self.ready["blobs"]
        url = f"{blobs['account_url']}/{blobs['container']}"
        credential = {"account_name": blobs["account_name"], "account_key": blobs["account_key"]}
        with ContainerClient.from_container_url(
            url, credential=credential, connection_verify=self.settings["ca_bundle"]
        ) as container:
            container.upload_blob(name, content, overwrite=True)
