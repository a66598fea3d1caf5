"""The stand-ins for AWS, as a process of their own that ends with this one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from demo.local_process import LocalProcess
from tests.local_clouds.exports import S3Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class LocalAwsCloud(LocalProcess):
    """S3, STS and Sustainability on loopback, as a context manager.

    Args:
        project: The checkout.
        log: File for what the process has to say.
        seed: Of the emissions and the water.
        months: With emissions, `YYYY-MM`, in order and without gaps.
        years: With water.
    """

    def __init__(
        self, project: Path, log: Path, *, seed: int, months: Sequence[str], years: Sequence[int]
    ) -> None:
        command = (
            *(sys.executable, "-m", "tests.local_clouds.aws"),
            *("--seed", str(seed)),
            *("--first-month", months[0], "--last-month", months[-1]),
            *("--years", *map(str, years)),
        )
        super().__init__(project, log, command)

    @property
    def endpoint_urls(self) -> dict[str, str]:
        """By service."""
        urls: dict[str, str] = self.ready["endpoint_urls"]
        return urls

    @property
    def credentials(self) -> dict[str, str]:
        """That the stand-ins accept, under boto3's names."""
        credentials: dict[str, str] = self.ready["credentials"]
        return credentials

    @property
    def bucket(self) -> str:
        """Name of an empty bucket."""
        return str(self.ready["bucket"])

    def client(self) -> Any:  # noqa: ANN401 - boto3 makes its clients at run time
        """A boto3 client of S3."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint_urls["s3"],
            region_name="us-east-1",
            config=Config(proxies={}),
            **self.credentials,
        )

    def store(self) -> S3Store:
        """The bucket, to publish into."""
        return S3Store(self.client(), self.bucket)
