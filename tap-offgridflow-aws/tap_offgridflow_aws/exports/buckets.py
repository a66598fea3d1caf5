"""Buckets: S3 as an object store that exports are delivered to, and as a place for BATCH files."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC
from typing import TYPE_CHECKING, Any, TypeVar

from offgridflow_common.errors import ConfigError, NotFoundError
from offgridflow_common.exports.delivery import Export
from offgridflow_common.exports.storage import FolderStore, ObjectInfo, gone_is_changed, save
from offgridflow_common.pagination import Page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from offgridflow_common.exports.storage import ObjectStore
    from tap_offgridflow_aws.client import AwsClient
    from tap_offgridflow_aws.settings import ExportSetting

T = TypeVar("T")


class S3Store:
    """A bucket as an object store.

    Args:
        client: Asks S3.
        bucket: The bucket.
        export: The setting it comes from: who pays, and who must own the bucket.
    """

    def __init__(self, client: AwsClient, bucket: str, export: ExportSetting) -> None:
        self._client = client
        self._bucket = bucket
        self._common: dict[str, str] = {"Bucket": bucket}
        if export.requester_pays:
            self._common["RequestPayer"] = "requester"
        if export.expected_bucket_owner:
            self._common["ExpectedBucketOwner"] = export.expected_bucket_owner

    def uri(self, key: str) -> str:
        """The ``s3://`` address of a key."""
        return f"s3://{self._bucket}/{key}"

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose key starts with ``prefix``."""

        def fetch(token: str | None) -> Page[dict[str, Any]]:
            more = {"ContinuationToken": token} if token else {}
            answer = self._client.attempt(
                "s3",
                "ListObjectsV2",
                f"listing {self.uri(prefix)}",
                lambda client: client.list_objects_v2(Prefix=prefix, **self._common, **more),
                member="IsTruncated",
            )
            return Page(items=answer.get("Contents", []), next_token=answer.get("NextContinuationToken"))

        for page in self._client.pager.pages(fetch):
            for entry in page.items:
                yield ObjectInfo(
                    key=entry["Key"],
                    size=entry["Size"],
                    etag=entry["ETag"].strip('"'),
                    modified=entry["LastModified"].astimezone(UTC),
                )

    def read(self, info: ObjectInfo) -> bytes:
        """The content of a small object."""
        content: bytes = self._get(info, lambda body: body.read())
        return content

    def local_path(self, info: ObjectInfo) -> None:
        """Nothing of a bucket lies on local disk."""
        del info

    def download(self, info: ObjectInfo, target: Path) -> None:
        """Write an object to a file; a body that breaks is fetched again from its beginning."""
        where = self.uri(info.key)
        self._get(info, lambda body: save(self._client.chunks(body), info, target, where))

    def _get(self, info: ObjectInfo, consume: Callable[[Any], T]) -> T:
        def send(client: Any) -> T:  # noqa: ANN401 - boto3 makes its clients at run time
            answer = client.get_object(Key=info.key, IfMatch=f'"{info.etag}"', **self._common)
            with closing(answer["Body"]) as body:
                return consume(body)

        asked = f"reading {self.uri(info.key)}"
        with gone_is_changed(asked):
            return self._client.attempt("s3", "GetObject", asked, send)


def open_export(client: Callable[[], AwsClient], setting: ExportSetting) -> Export:
    """An export in its bucket, or in the folder that a ``file:`` URL names, for which no client is made."""
    store: ObjectStore
    if folder := FolderStore.of_url(setting.url):
        store, prefix = folder
    else:
        bucket, prefix = setting.place
        store = S3Store(client(), bucket, setting)
    return Export(name=setting.name, type=setting.type, store=store, prefix=prefix)


class S3BatchStore:
    """A bucket that takes BATCH files, with the credentials and endpoint of the tap.

    Args:
        client: Asks S3.
        root: The ``s3://`` URL that the files go below.
    """

    def __init__(self, client: AwsClient, root: str) -> None:
        self._client = client
        self._root = root.rstrip("/")

    def put(self, name: str, content: bytes) -> str:
        """Put a file and return its URL.

        Raises:
            ConfigError: The bucket does not exist.
        """
        url = f"{self._root}/{name}"
        bucket, _, key = url.removeprefix("s3://").partition("/")
        asked = f"writing {url}"
        try:
            self._client.attempt(
                "s3",
                "PutObject",
                asked,
                lambda client: client.put_object(Bucket=bucket, Key=key, Body=content),
            )
        except NotFoundError as error:
            do = "check the bucket in storage.root of batch_config"
            raise ConfigError(asked=asked, got=error.got, do=do, code=error.code) from error
        return url
