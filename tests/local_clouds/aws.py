"""AWS on loopback: S3 and STS by moto, S3 behind a proxy that breaks answers on request, and Sustainability.

moto keeps its state once per process: every `LocalAws` of a process sees the same buckets. Take names from
`LocalAws.bucket_name`, which never gives one twice. Stopping takes half a second, so share one per module.

`python -m tests.local_clouds.aws --seed 1` runs it as a process of its own. It prints one line of JSON
(endpoint URLs, credentials, bucket) and serves until its standard input closes or it is terminated, so it
cannot outlive the process that started it with a pipe. Lines of JSON on its input publish more emissions and
water, such as `{"seed": 2, "months": ["2026-11"], "years": [], "model_version": "v3.1.0"}`; `{}` changes
nothing. Each is answered by a line with the numbers of requests served so far.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import uuid
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

import boto3
from botocore.config import Config
from moto.server import ThreadedMotoServer

from tests.local_clouds.loopback import LOOPBACK
from tests.local_clouds.s3_proxy import S3FaultProxy
from tests.local_clouds.sustainability import SustainabilityServer, demo_emissions, demo_water

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

REGION = "us-east-1"
CREDENTIALS = {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "local-secret-of-nobody"}
DEMO_ACCOUNTS = ("111122223333", "012345678901", "444455556666")
DEMO_REGIONS = ("us-east-1", "eu-central-1", "eu-west-1")
DEMO_SERVICES = ("AmazonEC2", "AmazonS3", "AmazonCloudFront", "Other")


class LocalAws:
    """All stand-ins together, as a context manager.

    Args:
        rate: Requests a second that the Sustainability server admits; None never throttles.
        capacity: Burst it admits.
    """

    credentials = CREDENTIALS
    proxy: S3FaultProxy

    def __init__(self, *, rate: float | None = None, capacity: float | None = None) -> None:
        self.sustainability = SustainabilityServer(rate=rate, capacity=capacity)
        self.endpoint_urls: dict[str, str] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        # moto prints every request unless its server is told that somebody else decides on levels.
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        moto = ThreadedMotoServer(LOOPBACK, 0, verbose=False)
        moto.start()
        self._stack.callback(moto.stop)
        host, port = moto.get_host_and_port()
        moto_url = f"http://{host}:{port}"
        self.proxy = self._stack.enter_context(S3FaultProxy(moto_url))
        self._stack.enter_context(self.sustainability)
        self.endpoint_urls = {
            "s3": self.proxy.url,
            "sts": moto_url,
            "sustainability": self.sustainability.url,
        }
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def client(self, service: str, **options: Any) -> Any:
        """A boto3 client of one of the services; `options` are `boto3.client`'s."""
        settings = {"region_name": REGION, "config": Config(retries={"total_max_attempts": 1})} | CREDENTIALS
        return boto3.client(service, endpoint_url=self.endpoint_urls[service], **(settings | options))

    @staticmethod
    def bucket_name(stem: str = "example-billing") -> str:
        """A bucket name that no other test has."""
        return f"{stem}-{uuid.uuid4().hex[:12]}"

    def create_bucket(self, name: str | None = None, region: str = REGION) -> str:
        """Create a bucket and return its name."""
        bucket = name or self.bucket_name()
        options = {} if region == REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        client = self.client("s3", region_name=region)
        client.create_bucket(Bucket=bucket, **options)
        client.close()
        return bucket

    def seed(
        self, seed: int, months: Sequence[str], years: Sequence[int], model_version: str = "v3.0.1"
    ) -> None:
        """Publish or restate made-up emissions and water; the version is the emissions' one."""
        dimensions = (DEMO_ACCOUNTS, DEMO_REGIONS, DEMO_SERVICES)
        emissions = demo_emissions(months, *dimensions, seed, model_version=model_version)
        self.sustainability.set_months(emissions)
        self.sustainability.set_years(demo_water(years, *dimensions, seed))


def month_range(first: str, last: str) -> list[str]:
    """All months from first to last, both included."""
    low, high = (int(month[:4]) * 12 + int(month[5:]) - 1 for month in (first, last))
    return [f"{ordinal // 12}-{ordinal % 12 + 1:02}" for ordinal in range(low, high + 1)]


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _obey(aws: LocalAws, lines: Iterable[str]) -> None:
    """Answer commands, one JSON object a line, until the input ends."""
    for line in lines:
        command = {"months": [], "years": []} | json.loads(line)
        if "seed" in command:
            aws.seed(**command)
        _say(
            {"requests": {"sustainability": len(aws.sustainability.requests), "s3": len(aws.proxy.requests)}}
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the stand-ins until standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m tests.local_clouds.aws", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the made-up emissions and water")
    parser.add_argument("--first-month", default="2026-01", help="first month with emissions")
    parser.add_argument("--last-month", default="2026-10", help="last month with emissions")
    parser.add_argument("--years", type=int, nargs="*", default=[2023, 2024, 2025], help="with water")
    parser.add_argument("--bucket", help="name of the bucket to create")
    parser.add_argument("--rate", type=float, help="requests a second that Sustainability admits")
    parser.add_argument("--capacity", type=float, help="burst that Sustainability admits")
    options = parser.parse_args(arguments)
    for end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(end, lambda *_: sys.exit(0))
    with LocalAws(rate=options.rate, capacity=options.capacity) as aws:
        aws.seed(options.seed, month_range(options.first_month, options.last_month), options.years)
        bucket = aws.create_bucket(options.bucket)
        _say({"endpoint_urls": aws.endpoint_urls, "credentials": aws.credentials, "bucket": bucket})
        _obey(aws, sys.stdin)


if __name__ == "__main__":
    main()
