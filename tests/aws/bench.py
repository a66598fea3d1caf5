"""An export in a fresh bucket, deliveries to it, and the tap that reads it."""

from __future__ import annotations

import gzip
import itertools
import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from tests.aws import truth
from tests.aws.driving import LINE_ITEMS
from tests.local_clouds.cur2 import cur2_table
from tests.local_clouds.exports import PublishedDelivery, S3Store, publish_cur2

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run, State
    from tests.local_clouds.aws import LocalAws

EXPORT = "cur2-export"
PERIOD = "2026-09"
FIRST_DELIVERY = datetime(2026, 11, 2, 6, tzinfo=UTC)
#: What a line item cannot be without.
LEAST: dict[str, Any] = {
    "line_item_line_item_type": "Usage",
    "line_item_product_code": "AmazonEC2",
    "line_item_unblended_cost": 0.25,
    "line_item_usage_account_id": "012345678901",
    "line_item_usage_amount": 1.0,
    "line_item_usage_start_date": datetime(2026, 9, 1),  # noqa: DTZ001 - as in the provider's files
    "line_item_usage_type": "BoxUsage:m5.large",
}
#: The same as CSV.
HEADER = ",".join(LEAST)
LINE = "Usage,AmazonEC2,0.25,012345678901,1.0,2026-09-01T00:00:00Z,BoxUsage:m5.large"


def line_items(**columns: Any) -> pa.Table:
    """A table of the least columns and these: a list or an Arrow array of values for each."""
    arrays = {
        name: values if isinstance(values, pa.Array) else pa.array(values) for name, values in columns.items()
    }
    rows = len(next(iter(arrays.values())))
    given = {name: pa.array([value] * rows) for name, value in LEAST.items()}
    return pa.table(given | arrays)


@cache
def made_up(rows: int, period: str, seed: int) -> pa.Table:
    """Line items of all columns; many tests share them."""
    return cur2_table(rows, seed, period)


@dataclass(frozen=True)
class Bench:
    """All that a test of exports works with.

    Attributes:
        aws: The local cloud.
        s3: A boto3 client of its S3.
        bucket: A bucket of the test's own.
        tap_config: Makes configurations without exports.
        run_tap: Runs the tap.
    """

    aws: LocalAws
    s3: Any
    bucket: str
    tap_config: Config
    run_tap: RunTap
    _minutes: Iterator[int] = field(default_factory=itertools.count)

    @property
    def store(self) -> S3Store:
        """The bucket, to publish to."""
        return S3Store(self.s3, self.bucket)

    @property
    def url(self) -> str:
        """Where the export is."""
        return f"s3://{self.bucket}/exports/{EXPORT}"

    def get(self, key: str) -> bytes:
        """An object, read past the tap."""
        content: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return content

    def publish(
        self, period: str = PERIOD, data: Any = 50, *, seed: int = 1, **options: Any
    ) -> PublishedDelivery:
        """Deliver a period; data may be a number of rows to make up.

        Each delivery has an id of its own, and in the bucket it comes a minute after the one before.
        """
        rows = made_up(data, period, seed) if isinstance(data, int) else data
        given: dict[str, Any] = {
            "store": self.store,
            "export": EXPORT,
            "execution_id": str(uuid.uuid4()),
            "delivered_at": FIRST_DELIVERY + timedelta(minutes=next(self._minutes)),
        }
        delivery = publish_cur2(period=period, data=rows, **(given | options))
        if "store" not in options:
            self.set_time(delivery.delivered_at, delivery.manifest_key, *delivery.data_keys)
        return delivery

    def set_time(self, moment: datetime, *keys: str) -> None:
        """Let objects have been written at a moment."""
        objects = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].buckets[self.bucket].keys
        for key in keys:
            objects[key].last_modified = moment.replace(tzinfo=None)

    def publish_csv(self, *texts: str | bytes) -> PublishedDelivery:
        """Deliver files of the given CSV text, gzipped; bytes are put as they are."""
        delivery = self.publish(data=line_items(x=["x"] * len(texts)), format="csv", chunks=len(texts))
        for key, text in zip(delivery.data_keys, texts, strict=True):
            self.store.put(key, gzip.compress(text.encode()) if isinstance(text, str) else text)
        self.put_manifest(delivery)
        return delivery

    def put_manifest(self, delivery: PublishedDelivery, **members: Any) -> None:
        """Replace a delivery's manifest, by one that names no columns unless they are among the members."""
        files = [f"s3://{self.bucket}/{key}" for key in delivery.data_keys]
        content = {"executionId": delivery.execution_id, "dataFiles": files} | members
        self.store.put(delivery.manifest_key, json.dumps(content).encode())

    def config(self, **settings: Any) -> dict[str, Any]:
        """A configuration with the export, from January to November 2026."""
        exports = [{"type": "cur2", "url": self.url}]
        window = {"start_date": "2026-01-01", "end_date": "2026-11-15"}
        return self.tap_config(**({"exports": exports} | window | settings))

    def run(
        self,
        state: State | None = None,
        *,
        select: Sequence[str] = (LINE_ITEMS, "deliveries"),
        config: dict[str, Any] | None = None,
        **options: Any,
    ) -> Run:
        """Run the tap; options are those of `run_tap`."""
        return self.run_tap(self.config() if config is None else config, state, select, **options)

    def read(self, state: State | None = None, **options: Any) -> Run:
        """Run the tap, which must succeed."""
        run = self.run(state, **options)
        assert run.exit_code == 0, run.stderr
        return run

    def data_requests(self) -> list[str]:
        """The keys of the data files that were fetched."""
        return [
            request.key
            for request in self.aws.proxy.requests
            if request.key and "/data/" in request.key and request.method == "GET"
        ]

    def rows(self, period: str, delivery: PublishedDelivery) -> dict[truth.Place, truth.Row]:
        """What the files of a delivery hold, by place."""
        return truth.placed_rows(self.get, period, delivery)
