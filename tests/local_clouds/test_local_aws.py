from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError, ResponseStreamingError

from tests.local_clouds import s3_proxy
from tests.local_clouds.aws import LocalAws, month_range
from tests.local_clouds.cur2 import cur2_table
from tests.local_clouds.exports import S3Store, publish_cur2

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
KEY = "/folder//ünicode +%20.bin"


@pytest.fixture(scope="module")
def aws() -> Iterator[LocalAws]:
    with LocalAws() as running:
        yield running


@pytest.fixture
def bucket(aws: LocalAws) -> str:
    aws.proxy.clear_faults()
    aws.proxy.clear_requests()
    return aws.create_bucket()


@pytest.fixture
def s3(aws: LocalAws) -> Any:
    return aws.client("s3")


def read(s3: Any, bucket: str, key: str = KEY) -> bytes:
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def refusal(s3: Any, bucket: str) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        read(s3, bucket)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def test_objects_pass_the_proxy_unchanged_in_both_directions(
    aws: LocalAws, s3: Any, bucket: str, tmp_path: Path
) -> None:
    content = os.urandom(10 << 20)
    (tmp_path / "big").write_bytes(content)
    s3.put_object(Bucket=bucket, Key=KEY, Body=content)
    s3.upload_file(str(tmp_path / "big"), bucket, "in parts")
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    assert read(s3, bucket) == read(s3, bucket, "in parts") == content
    assert read(s3, bucket, "empty") == b""
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket)["Contents"]]
    assert set(keys) == {KEY, "in parts", "empty"}
    part = s3.get_object(Bucket=bucket, Key=KEY, Range="bytes=5-9")
    assert part["Body"].read() == content[5:10]
    seen = aws.proxy.requests[-1]
    assert (seen.method, seen.bucket, seen.key, seen.range, seen.status, seen.bytes) == (
        "GET", bucket, KEY, "bytes=5-9", 206, 5,
    )  # fmt: skip


def test_conditions_and_missing_things_are_answered_as_by_s3(s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key=KEY, Body=b"one")["ETag"]
    s3.put_object(Bucket=bucket, Key=KEY, Body=b"two")
    for asked, code in (
        ({"Bucket": bucket, "Key": KEY, "IfMatch": etag}, "PreconditionFailed"),
        ({"Bucket": bucket, "Key": "no"}, "NoSuchKey"),
        ({"Bucket": LocalAws.bucket_name(), "Key": KEY}, "NoSuchBucket"),
    ):
        with pytest.raises(ClientError) as caught:
            s3.get_object(**asked)
        assert caught.value.response["Error"]["Code"] == code


@pytest.mark.parametrize(
    "fault",
    [
        s3_proxy.ACCESS_DENIED,
        s3_proxy.SLOW_DOWN,
        s3_proxy.INTERNAL_ERROR,
        s3_proxy.EXPIRED_TOKEN,
        s3_proxy.CLOCK_SKEW,
    ],
    ids=lambda fault: fault.code,
)
def test_errors_reach_boto3_with_their_code(
    aws: LocalAws, s3: Any, bucket: str, fault: s3_proxy.Fault
) -> None:
    s3.put_object(Bucket=bucket, Key=KEY, Body=b"x")
    aws.proxy.inject(fault, "/folder/*", times=2)
    assert [refusal(s3, bucket), refusal(s3, bucket)] == [(fault.status, fault.code)] * 2
    assert read(s3, bucket) == b"x"


def test_a_wrong_region_is_followed_by_boto3_once_and_then_reported(
    aws: LocalAws, s3: Any, bucket: str
) -> None:
    s3.put_object(Bucket=bucket, Key=KEY, Body=b"x")
    aws.proxy.inject(s3_proxy.redirect_to("eu-west-1"))
    assert read(s3, bucket) == b"x"
    aws.proxy.inject(s3_proxy.redirect_to("eu-west-1"), times=10)
    assert refusal(aws.client("s3"), bucket) == (301, "PermanentRedirect")


def test_head_shows_the_status_only(aws: LocalAws, s3: Any, bucket: str) -> None:
    aws.proxy.inject(s3_proxy.ACCESS_DENIED, method="HEAD")
    with pytest.raises(ClientError) as caught:
        s3.head_object(Bucket=bucket, Key=KEY)
    assert caught.value.response["Error"]["Code"] == "403"


def test_listings_can_be_denied_while_objects_can_be_read(aws: LocalAws, s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key=KEY, Body=b"x")
    aws.proxy.inject(s3_proxy.ACCESS_DENIED, "", times=1)
    assert read(s3, bucket) == b"x"
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.list_objects_v2(Bucket=bucket)


@pytest.mark.parametrize("keep", [0, 100_000])
def test_a_body_can_end_too_early(aws: LocalAws, s3: Any, bucket: str, keep: int) -> None:
    s3.put_object(Bucket=bucket, Key=KEY, Body=b"x" * 1_000_000)
    aws.proxy.inject(s3_proxy.truncate(keep), skip=1)
    assert len(read(s3, bucket)) == 1_000_000
    with pytest.raises(ResponseStreamingError):
        read(s3, bucket)
    assert aws.proxy.requests[-1].bytes == keep
    assert len(read(s3, bucket)) == 1_000_000


def test_connections_can_break_and_answers_be_late(aws: LocalAws, bucket: str) -> None:
    once = {"total_max_attempts": 1}
    s3 = aws.client("s3", config=Config(retries=once))
    hasty = aws.client("s3", config=Config(retries=once, read_timeout=0.3))
    s3.put_object(Bucket=bucket, Key=KEY, Body=b"x")
    aws.proxy.inject(s3_proxy.RESET)
    with pytest.raises(ConnectionClosedError):
        read(s3, bucket)
    aws.proxy.inject(s3_proxy.delay(0.8))
    with pytest.raises(ReadTimeoutError):
        read(hasty, bucket)
    assert read(s3, bucket) == b"x"


def test_an_object_can_change_between_two_requests(aws: LocalAws, s3: Any, bucket: str) -> None:
    etag = s3.put_object(Bucket=bucket, Key=KEY, Body=b"one")["ETag"]
    writer = aws.client("s3")
    aws.proxy.inject(s3_proxy.call_first(lambda: writer.put_object(Bucket=bucket, Key=KEY, Body=b"two")))
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.get_object(Bucket=bucket, Key=KEY, IfMatch=etag)
    assert read(s3, bucket) == b"two"


def test_a_delivery_lands_in_a_bucket(s3: Any, bucket: str) -> None:
    store = S3Store(s3, bucket)
    delivery = publish_cur2(
        store, export="cur", period="2026-09", data=cur2_table(100, 1), execution_id="one"
    )
    said = json.loads(read(s3, bucket, delivery.manifest_key))
    assert said["dataFiles"] == [f"s3://{bucket}/{key}" for key in delivery.data_keys]
    assert set(delivery.data_keys) <= set(store.keys("exports/cur/"))


def test_roles_are_assumed_and_buckets_have_regions(aws: LocalAws) -> None:
    answer = aws.client("sts").assume_role(
        RoleArn="arn:aws:iam::123456789012:role/reader", RoleSessionName="test", ExternalId="outside"
    )
    assert answer["Credentials"]["SessionToken"]
    far = aws.create_bucket(region="eu-central-1")
    assert aws.client("s3").get_bucket_location(Bucket=far)["LocationConstraint"] == "eu-central-1"


def test_months_are_counted_over_new_year() -> None:
    assert month_range("2025-11", "2026-02") == ["2025-11", "2025-12", "2026-01", "2026-02"]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.local_clouds.aws", "--seed", "3", "--bucket", "demo-bucket"]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as running:
        yield running
        running.kill()


def ask(process: subprocess.Popen[str], command: dict[str, Any] | None = None) -> Any:
    assert process.stdin is not None
    assert process.stdout is not None
    if command is not None:
        process.stdin.write(json.dumps(command) + "\n")
        process.stdin.flush()
    return json.loads(process.stdout.readline())


def test_the_process_serves_until_its_input_closes(process: subprocess.Popen[str]) -> None:
    started = ask(process)
    client = boto3.client(
        "sustainability",
        region_name="us-east-1",
        endpoint_url=started["endpoint_urls"]["sustainability"],
        **started["credentials"],
    )
    period = {"Start": "2026-12-01T00:00:00Z", "End": "2027-01-01T00:00:00Z"}
    assert client.get_estimated_carbon_emissions(TimePeriod=period)["Results"] == []
    assert (
        ask(process, {"seed": 1, "months": ["2026-12"], "model_version": "v3.1.0"})["requests"][
            "sustainability"
        ]
        == 1
    )
    assert client.get_estimated_carbon_emissions(TimePeriod=period)["Results"][0]["ModelVersion"] == "v3.1.0"
    assert started["bucket"] == "demo-bucket"
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(10) == 0


def test_the_process_ends_when_terminated(process: subprocess.Popen[str]) -> None:
    ask(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_stopping_ends_open_connections_and_frees_the_port() -> None:
    with s3_proxy.S3FaultProxy("http://127.0.0.1:9") as proxy:
        address = (proxy.upstream.hostname, urlsplit(proxy.url).port)
        proxy.inject(s3_proxy.ACCESS_DENIED)
        kept = socket.create_connection(address)
        kept.sendall(b"GET /bucket/key HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"403" in kept.recv(1024)
    with kept:
        while kept.recv(1024):
            pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
    with pytest.raises(RuntimeError, match="with statement"):
        _ = proxy.url
