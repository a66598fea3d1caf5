"""How often an export is listed: whole ones hold all data files of all months."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from offgridflow_common.exports.delivery import Deliveries, Export
from offgridflow_common.exports.storage import FolderStore
from offgridflow_common.testing.clock import FakeClock
from tap_offgridflow_aws.exports.manifests import AwsLayout
from tests.aws.bench import made_up
from tests.local_clouds import exports
from tests.local_clouds.legacy_cur import legacy_table, publish_legacy_cur

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from offgridflow_common.exports.storage import ObjectInfo

MONTHS = ("2026-07", "2026-08", "2026-09")
END = datetime(2026, 11, 1, tzinfo=UTC)


class ListedStore(FolderStore):
    """A folder that remembers what was listed of it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.listed: list[str] = []

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self.listed.append(prefix)
        return super().list(prefix)


@pytest.fixture
def store(tmp_path: Path) -> ListedStore:
    return ListedStore(tmp_path)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def deliveries(store: ListedStore, clock: FakeClock) -> Deliveries:
    export = Export(name="report", type="cur", store=store, prefix="billing/report")
    layout = AwsLayout(since=None, until=END)
    return Deliveries((export,), layout, start=None, end=END, clock=clock)


def publish(folder: Path, month: str) -> None:
    publish_legacy_cur(
        exports.FolderStore(folder),
        report="report",
        period=month,
        data=legacy_table(made_up(2, month, 1)),
        assembly_id=str(uuid.uuid4()),
    )


def test_a_report_is_listed_once_while_its_months_stay_as_they_were(
    deliveries: Deliveries, store: ListedStore, tmp_path: Path
) -> None:
    for month in MONTHS:
        publish(tmp_path, month)
    (export,) = deliveries.exports
    for manifest in deliveries.manifests(export):
        deliveries.open(manifest)
        assert deliveries.refresh(manifest) == manifest
    assert len(deliveries.manifests(export)) == len(MONTHS)
    assert store.listed.count("billing/report/") == 1


def test_a_month_that_is_delivered_anew_while_it_is_read_is_noticed(
    deliveries: Deliveries, store: ListedStore, tmp_path: Path
) -> None:
    publish(tmp_path, MONTHS[0])
    (export,) = deliveries.exports
    (manifest,) = deliveries.manifests(export)
    publish(tmp_path, MONTHS[0])
    newest = deliveries.refresh(manifest)
    assert newest.info.etag != manifest.info.etag
    assert deliveries.manifests(export) == [newest]
    assert store.listed.count("billing/report/") == 2


def test_a_listing_counts_for_some_minutes(deliveries: Deliveries, clock: FakeClock, tmp_path: Path) -> None:
    """A stream may read for hours before another one begins."""
    publish(tmp_path, MONTHS[0])
    (export,) = deliveries.exports
    deliveries.manifests(export)
    publish(tmp_path, MONTHS[1])
    assert [manifest.period for manifest in deliveries.manifests(export)] == [MONTHS[0]]
    clock.sleep(300)
    assert [manifest.period for manifest in deliveries.manifests(export)] == list(MONTHS[:2])
