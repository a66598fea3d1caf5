"""What the cases need around them: the local clouds, and programs in environments of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.inputs import DATA, MONTH, SEED, Input

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from benchmarks.subjects import Tap

REGION = "us-east-1"
TAP_S3_CSV = "tap-s3-csv==2.3.1"
TARGET_DUCKDB = "target-duckdb==0.8.0"
#: The last with which that keeps every row.
ITS_DUCKDB = "duckdb==1.0.0" if sys.version_info < (3, 13) else "duckdb==1.1.3"


@dataclass(frozen=True, slots=True)
class Clouds:
    """Local stand-ins: S3 and the Sustainability API of AWS; sign-in and Carbon Optimization of Azure.

    Attributes:
        bucket: A bucket that exists.
        endpoint_urls: By service of AWS.
        credentials: Accepted by all of them.
        azure: Settings that lead the tap to what stands in for Azure.
    """

    bucket: str
    endpoint_urls: Mapping[str, str]
    credentials: Mapping[str, str]
    azure: Mapping[str, str]

    def settings(self, tap: Tap) -> dict[str, Any]:
        """What leads a tap to the stand-ins."""
        if tap == "tap_offgridflow_azure":
            return dict(self.azure)
        return {"aws_endpoint_urls": dict(self.endpoint_urls), **self.credentials}

    @property
    def env(self) -> dict[str, str]:
        """What leads programs that read the environment to S3, and away from real clouds."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_urls["s3"],
            "AWS_DEFAULT_REGION": REGION,
            **{name.upper(): value for name, value in self.credentials.items()},
        }


@contextmanager
def local_clouds() -> Iterator[Clouds]:
    """Run the stand-ins as processes that end when their standard input closes."""
    with ExitStack() as stack:
        aws = stack.enter_context(_process("tests.local_clouds.aws", "--years"))
        azure = stack.enter_context(_process("tests.local_clouds.azure", "--no-blobs"))
        yield Clouds(**aws, azure=azure["settings"])


@contextmanager
def _process(module: str, *options: str) -> Iterator[dict[str, Any]]:
    """Run stand-ins of one month, and give what they say when they are ready."""
    shared = ("--seed", str(SEED), "--first-month", MONTH, "--last-month", MONTH)
    command = [sys.executable, "-m", module, *shared, *options]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdin is None or process.stdout is None:
        raise OSError("no pipes to the local clouds")
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def prepare(inputs: Iterable[Input], clouds: Clouds) -> None:
    """Make the inputs, and upload those that shall be."""
    order = {
        "inputs": [{"subject": one.subject.name, "rows": one.rows, "s3": one.s3} for one in inputs],
        "bucket": clouds.bucket,
        "client": {"endpoint_url": clouds.endpoint_urls["s3"], "region_name": REGION, **clouds.credentials},
    }
    module = [sys.executable, "-m", "benchmarks.inputs"]
    subprocess.run(module, input=json.dumps(order), text=True, check=True)


def tap_s3_csv() -> Path:
    """The program, installed in an environment of its own if it is not yet.

    Raises:
        subprocess.CalledProcessError: It cannot be installed.
    """
    return _installed("tap-s3-csv", TAP_S3_CSV)


def target_duckdb() -> Path:
    """The same of the loader, with the last DuckDB of which it keeps every row.

    Raises:
        subprocess.CalledProcessError: It cannot be installed.
    """
    return _installed("target-duckdb", TARGET_DUCKDB, ITS_DUCKDB)


def _installed(name: str, *requirements: str) -> Path:
    venv = DATA / f"venv-{name}"
    program = venv / "bin" / name
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(venv)], check=True)
        subprocess.run([str(venv / "bin" / "pip"), "install", "--quiet", *requirements], check=True)
    return program


def discovered(command: Sequence[str], env: Mapping[str, str]) -> dict[str, Any]:
    """The catalog that a tap discovers."""
    output = subprocess.run(
        [*command, "--discover"],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **env},
    )
    catalog: dict[str, Any] = json.loads(output.stdout)
    return catalog
