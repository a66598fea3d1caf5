"""What tests of the AWS tap share: the local cloud, an export to publish to, and the tap itself."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from tests.aws.bench import Bench
from tests.aws.driving import EXPORT_STREAMS, Run, catalog, command, run_here, run_process
from tests.local_clouds.aws import LocalAws
from tests.local_clouds.sustainability import SustainabilityServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path


class RunTap(Protocol):
    """Runs the tap and waits for its end."""

    def __call__(
        self,
        config: Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
        select: Iterable[str] = EXPORT_STREAMS,
        *,
        deselect: Mapping[str, Iterable[str]] | None = None,
        full_table: Iterable[str] = (),
        as_process: bool = False,
        dry: bool = False,
    ) -> Run: ...


class StartTap(Protocol):
    """Starts the tap and does not wait."""

    def __call__(
        self,
        config: Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
        select: Iterable[str] = EXPORT_STREAMS,
    ) -> subprocess.Popen[bytes]: ...


class Config(Protocol):
    """Makes a configuration: the local cloud's endpoints and keys, fast limits, and settings over them."""

    def __call__(self, **settings: Any) -> dict[str, Any]: ...


@pytest.fixture(autouse=True)
def _no_aws_around(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever this machine knows about AWS stays outside."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "TAP_OFFGRIDFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-aws-credentials"))


@pytest.fixture(scope="session")
def local_aws() -> Iterator[LocalAws]:
    """The local cloud of this worker; tests take `aws`, which is the same one behaving well."""
    with LocalAws() as running:
        yield running


@pytest.fixture
def aws(local_aws: LocalAws) -> LocalAws:
    """The local cloud, without faults or requests of earlier tests."""
    local_aws.proxy.clear_faults()
    local_aws.proxy.clear_requests()
    return local_aws


@pytest.fixture(scope="session")
def s3(local_aws: LocalAws) -> Any:
    """A boto3 client of S3, through the proxy."""
    return local_aws.client("s3")


@pytest.fixture
def sustainability() -> Iterator[SustainabilityServer]:
    """A Sustainability service of the test's own; nothing is published yet."""
    with SustainabilityServer() as running:
        yield running


@pytest.fixture
def bucket(aws: LocalAws, s3: Any) -> str:
    """A fresh bucket."""
    name = aws.bucket_name()
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def tap_config(aws: LocalAws, sustainability: SustainabilityServer, spool_dir: Path) -> Config:
    """Configurations without exports."""

    def make(**settings: Any) -> dict[str, Any]:
        return {
            **aws.credentials,
            "aws_endpoint_urls": aws.endpoint_urls | {"sustainability": sustainability.url},
            "rate_limit_per_second": 1000,
            "rate_limit_capacity": 10_000,
            "spool_dir": str(spool_dir),
            **settings,
        }

    return make


@pytest.fixture
def run_tap(tmp_path: Path) -> RunTap:
    """Runs the tap."""

    def run(
        config: Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
        select: Iterable[str] = EXPORT_STREAMS,
        *,
        deselect: Mapping[str, Iterable[str]] | None = None,
        full_table: Iterable[str] = (),
        as_process: bool = False,
        dry: bool = False,
    ) -> Run:
        selection = catalog(select, deselect=deselect, full_table=full_table)
        if not as_process:
            return run_here(config, state, selection, dry=dry)
        line = command(tmp_path, config, state, selection) + (["--test"] if dry else [])
        return run_process(line, os.environ)

    return run


@pytest.fixture
def start_tap(tmp_path: Path) -> Iterator[StartTap]:
    """Starts the tap as a process of its own; what still runs at the end of the test is killed."""
    with ExitStack() as stack:

        def start(
            config: Mapping[str, Any],
            state: Mapping[str, Any] | None = None,
            select: Iterable[str] = EXPORT_STREAMS,
        ) -> subprocess.Popen[bytes]:
            log = stack.enter_context((tmp_path / "stderr").open("ab"))
            line = command(tmp_path, config, state, catalog(select))
            # Without a buffer, so that what a test has not read yet is still in the pipe.
            running = stack.enter_context(
                subprocess.Popen(line, stdout=subprocess.PIPE, stderr=log, bufsize=0)
            )
            stack.callback(running.kill)
            return running

        yield start


@pytest.fixture
def bench(aws: LocalAws, s3: Any, bucket: str, tap_config: Config, run_tap: RunTap) -> Bench:
    """An export in the fresh bucket, and the tap that reads it."""
    return Bench(aws, s3, bucket, tap_config, run_tap)
