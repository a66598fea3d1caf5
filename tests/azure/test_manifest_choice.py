"""Which manifests of a container are read at all: few, and always the one of the run that counts."""

from __future__ import annotations

import json
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from offgridflow_common.errors import ConfigError, NotFoundError, SourceChanged
from offgridflow_common.exports.delivery import Export
from offgridflow_common.exports.storage import ObjectInfo
from tap_offgridflow_azure.exports.manifests import AzureLayout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOON = datetime(2026, 10, 10, 12, tzinfo=UTC)
DAYS = "20260901-20260930"
MONTH = "2026-09"


@dataclass
class Store:
    """A container in memory that counts what is read, and can change before it."""

    objects: dict[str, tuple[bytes, datetime]] = field(default_factory=dict)
    read_keys: list[str] = field(default_factory=list)
    before_read: Callable[[], None] = lambda: None

    def put_run(
        self,
        folder: str,
        submitted: datetime,
        *,
        written: datetime | None = None,
        scope: str = "",
        month: str = MONTH,
    ) -> str:
        """Put the manifest of a run; its id is the folder's name."""
        resource = f"/subscriptions/{scope}/providers/Microsoft.CostManagement/exports/daily"
        manifest = {
            "exportConfig": {
                "exportName": "daily",
                "type": "ActualCost",
                "resourceId": resource if scope else None,
            },
            "runInfo": {
                "runId": folder.rpartition("/")[2],
                "submittedTime": submitted.isoformat(),
                "startDate": f"{month}-01T00:00:00",
                "endDate": f"{month}-{monthrange(*map(int, month.split('-')))[1]}T00:00:00",
            },
            "blobs": [],
        }
        key = f"cost/daily/{folder}/manifest.json"
        self.objects[key] = (json.dumps(manifest).encode(), written or submitted)
        return key

    def uri(self, key: str) -> str:
        return f"memory://{key}"

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for key in sorted(key for key in self.objects if key.startswith(prefix)):
            content, written = self.objects[key]
            yield ObjectInfo(key, len(content), str(hash(content)), written)

    def read(self, info: ObjectInfo) -> bytes:
        self.read_keys.append(info.key)
        self.before_read()
        if info.key not in self.objects:
            raise NotFoundError(asked=info.key, got="nothing", do="look")
        content, _ = self.objects[info.key]
        if str(hash(content)) != info.etag:
            raise SourceChanged(asked=info.key, got="another", do="list again")
        return content

    def local_path(self, info: ObjectInfo) -> Path | None:
        del info
        return None

    def download(self, info: ObjectInfo, target: Path) -> None:
        raise NotImplementedError


@pytest.fixture
def store() -> Store:
    return Store()


def run_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def current(store: Store, layout: AzureLayout | None = None) -> list[tuple[str, int]]:
    """Month and number of the runs that count."""
    export = Export("daily", "actual", store, "cost/daily")
    found = layout or AzureLayout()
    return [(one.period, int(found.open(one).delivery_id[24:36])) for one in found.manifests(export)]


def put_days(store: Store, form: str, count: int = 30) -> None:
    """A run each day, in folders of a form."""
    for day in range(count):
        at = NOON + timedelta(days=day)
        store.put_run(form.format(days=DAYS, time=f"{at:%Y%m%d%H%M}", run=run_id(day)), at)


@pytest.mark.parametrize(
    ("form", "reads"),
    [
        ("{days}/{time}/{run}", 3),
        ("{time}/{days}/{run}", 3),
        ("{days}/{run}", 3),
        ("{run}/{days}/{run}", 3),
        ("{run}", 30),
    ],
)
def test_a_month_of_daily_runs_costs_few_requests(store: Store, form: str, reads: int) -> None:
    """That of the newest run and those of two days more; all where folders do not tell the days."""
    put_days(store, form)
    assert current(store) == [(MONTH, 29)]
    assert len(store.read_keys) == reads


@pytest.mark.parametrize(("start", "months"), [(None, 2), ("2026-09", 2), ("2026-10", 1), ("2026-11", 0)])
def test_folders_before_the_window_are_passed_over(store: Store, start: str | None, months: int) -> None:
    """What lies there may be archived, broken, or overlap; it keeps no later month from being read."""
    store.put_run(f"20260901-20260930/{run_id(1)}", NOON, month="2026-09")
    store.put_run(f"20261001-20261031/{run_id(2)}", NOON, month="2026-10")
    assert len(current(store, AzureLayout(start))) == months
    assert len(store.read_keys) == months


def test_each_manifest_is_read_once_until_it_changes(store: Store) -> None:
    put_days(store, "{days}/{time}/{run}", 3)
    layout = AzureLayout()
    for _ in range(3):
        assert current(store, layout) == [(MONTH, 2)]
    assert len(store.read_keys) == 3
    store.put_run(f"{DAYS}/202610121200/{run_id(2)}", NOON + timedelta(days=3))
    current(store, layout)
    assert len(store.read_keys) == 4


def test_times_in_folders_count_more_than_those_of_writing(store: Store) -> None:
    """Runs that were copied in the wrong order, days apart."""
    for day in range(5):
        at = NOON + timedelta(days=day)
        folder = f"{DAYS}/{at:%Y%m%d%H%M}/{run_id(day)}"
        store.put_run(folder, at, written=NOON + timedelta(days=90 - 9 * day))
    assert current(store) == [(MONTH, 4)]
    assert len(store.read_keys) == 3


@pytest.mark.parametrize("form", ["{days}/{time}/{run}", "{time}/{days}/{run}", "{days}/{run}"])
def test_two_exports_of_one_name_in_one_folder_are_refused_wherever_folders_tell_the_time(
    store: Store, form: str
) -> None:
    """They run at other minutes of the day, and only their resource ids tell them apart."""
    for day in range(3):
        for number, scope in enumerate(("a", "b")):
            at = NOON + timedelta(days=day, minutes=7 * number)
            folder = form.format(days=DAYS, time=f"{at:%Y%m%d%H%M}", run=run_id(2 * day + number))
            store.put_run(folder, at, scope=scope)
    with pytest.raises(ConfigError, match=r"runs of several exports: subscriptions/a/.*, subscriptions/b/"):
        current(store)


def test_a_folder_whose_name_is_no_time_tells_none(store: Store) -> None:
    """Such as an account number of twelve digits."""
    store.put_run(f"987654321098/{DAYS}/{run_id(1)}", NOON)
    store.put_run(f"987654321098/{DAYS}/{run_id(2)}", NOON + timedelta(days=5))
    assert current(store) == [(MONTH, 2)]
    assert len(store.read_keys) == 1


def test_runs_of_one_minute_are_all_read(store: Store) -> None:
    for number, seconds in ((1, 30), (2, 59), (3, 10)):
        store.put_run(f"{DAYS}/202610101200/{run_id(number)}", NOON + timedelta(seconds=seconds))
    assert current(store) == [(MONTH, 2)]


def test_seconds_in_folders_are_left_to_the_manifests(store: Store) -> None:
    store.put_run(f"{DAYS}/20261010120059/{run_id(1)}", NOON + timedelta(seconds=59))
    store.put_run(f"{DAYS}/202610101200/{run_id(2)}", NOON + timedelta(seconds=10))
    assert current(store) == [(MONTH, 1)]


def test_where_some_folders_have_no_time_the_time_of_writing_counts(store: Store) -> None:
    """The export was changed; what lies there from before has other folders."""
    store.put_run(f"{DAYS}/202610101200/{run_id(1)}", NOON)
    store.put_run(f"{DAYS}/{run_id(2)}", NOON + timedelta(days=5))
    assert current(store) == [(MONTH, 2)]


def test_a_run_may_be_written_after_one_that_was_submitted_later(store: Store) -> None:
    store.put_run(f"{DAYS}/{run_id(1)}", NOON + timedelta(hours=2), written=NOON + timedelta(hours=3))
    store.put_run(f"{DAYS}/{run_id(2)}", NOON, written=NOON + timedelta(hours=30))
    assert current(store) == [(MONTH, 1)]


def test_an_export_is_listed_again_where_a_manifest_changes_before_it_is_read(store: Store) -> None:
    key = store.put_run(f"{DAYS}/{run_id(1)}", NOON)

    def replace() -> None:
        store.before_read = lambda: None
        del store.objects[key]
        store.put_run(f"{DAYS}/{run_id(2)}", NOON + timedelta(days=1))

    store.before_read = replace
    assert current(store) == [(MONTH, 2)]


@pytest.mark.parametrize("error", [NotFoundError, SourceChanged])
def test_an_export_that_never_rests_is_an_error_in_the_end(store: Store, error: Any) -> None:
    store.put_run(f"{DAYS}/{run_id(1)}", NOON)
    numbers = iter(range(2, 100))

    def replace() -> None:
        if error is NotFoundError:
            store.objects.clear()
            store.put_run(f"{DAYS}/{run_id(next(numbers))}", NOON)
        else:
            store.put_run(f"{DAYS}/{run_id(1)}", NOON + timedelta(seconds=next(numbers)))

    store.before_read = replace
    with pytest.raises(error):
        current(store)
    assert len(store.read_keys) == 3
