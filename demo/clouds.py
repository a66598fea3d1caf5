"""The stand-ins for AWS, as a process of their own that ends with this one."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config

from demo.errors import DemoError
from tests.local_clouds.exports import S3Store

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PATIENCE_SECONDS = 10


class LocalClouds:
    """S3, STS and Sustainability on loopback, as a context manager.

    Args:
        project: The checkout.
        log: File for what the process has to say.
        seed: Of the emissions and the water.
        months: With emissions, `YYYY-MM`, in order and without gaps.
        years: With water.

    Attributes:
        endpoint_urls: By service.
        credentials: That the stand-ins accept, under boto3's names.
        bucket: Name of an empty bucket.
    """

    def __init__(
        self, project: Path, log: Path, *, seed: int, months: Sequence[str], years: Sequence[int]
    ) -> None:
        self._project = project
        self._log = log
        self._command = (
            *(sys.executable, "-m", "tests.local_clouds.aws"),
            *("--seed", str(seed)),
            *("--first-month", months[0], "--last-month", months[-1]),
            *("--years", *map(str, years)),
        )
        self.endpoint_urls: dict[str, str] = {}
        self.credentials: dict[str, str] = {}
        self.bucket = ""

    def __enter__(self) -> Self:
        """Start, and wait until all of them answer.

        Raises:
            DemoError: They do not start.
        """
        with self._log.open("w") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                self._command,
                cwd=self._project,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # A Ctrl-C at the terminal is for the demo, which then ends this process in its own time.
                start_new_session=True,
            )
        try:
            ready = self._answer()
        except BaseException:
            self.__exit__()
            raise
        self.endpoint_urls = ready["endpoint_urls"]
        self.credentials = ready["credentials"]
        self.bucket = ready["bucket"]
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; closing its input is enough, unless something is wrong with it."""
        for end in (self._input.close, self._process.terminate, self._process.kill):
            end()
            try:
                self._process.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                continue
            break
        self._output.close()

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

    def requests(self) -> dict[str, int]:
        """How many requests were served so far, by service."""
        self._input.write("{}\n")
        self._input.flush()
        served: dict[str, int] = self._answer()["requests"]
        return served

    def _answer(self) -> dict[str, Any]:
        line = self._output.readline()
        if not line:
            raise DemoError(f"The local clouds ended unexpectedly; {self._log} says why.")
        answer: dict[str, Any] = json.loads(line)
        return answer

    @property
    def _input(self) -> Any:  # noqa: ANN401 - a text pipe, which subprocess types as perhaps absent
        return self._process.stdin

    @property
    def _output(self) -> Any:  # noqa: ANN401 - as above
        return self._process.stdout
