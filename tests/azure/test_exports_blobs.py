"""Exports in Blob Storage: what is asked of it, how often, and runs that change while they are read."""

from __future__ import annotations

import gzip
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError

from tests.azure.container import LINES, Container
from tests.azure.shelf import PERIOD
from tests.local_clouds.azure import LocalAzure
from tests.local_clouds.azure_exports import BY_DAYS, BY_RUN, BY_TIME_AND_RUN, LAYOUTS
from tests.local_clouds.azurite import Azurite
from tests.local_clouds.blob_proxy import BLOB_NOT_FOUND
from tests.local_clouds.fault_proxy import call_first

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.azure.conftest import Config, RunTap
    from tests.local_clouds.azure_tls import LocalAuthority
    from tests.local_clouds.exports import PublishedDelivery

#: What is asked for, as a glob over the names of blobs.
LISTING, MANIFEST, FIRST_FILE, SECOND_FILE = "", "*manifest.json", "*part_0_0001.*", "*part_0_0002.*"

#: The newest version of the interface that the pinned Azurite knows.
KNOWN = "2025-11-05"

#: The id of all runs that overwrite each other.
RUN = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def azure(azurite: Azurite) -> Iterator[LocalAzure]:
    """A local cloud with Blob Storage."""
    with LocalAzure(azurite=azurite) as running:
        yield running


@pytest.fixture
def container(
    azure: LocalAzure, azurite: Azurite, tap_config: Config, run_tap: RunTap
) -> Iterator[Container]:
    """A container; nothing is published yet."""
    with ExitStack() as stack:
        client = stack.enter_context(azurite.client())
        opened = stack.enter_context(client.get_container_client(azurite.create_container()))
        yield Container(azure, opened, tap_config, run_tap)


def test_trap_27_requests_are_of_a_version_that_every_storage_service_knows(
    authority: LocalAuthority, tap_config: Config, run_tap: RunTap, tmp_path: Path
) -> None:
    """The newest version, which the client library asks for by itself, is not known everywhere."""
    with Azurite(authority, any_version=False) as strict, LocalAzure(azurite=strict) as azure:
        with pytest.raises(HttpResponseError, match="API version"):
            strict.create_container()
        with strict.client(api_version=KNOWN) as client, client.create_container("costs") as created:
            container = Container(azure, created, tap_config, run_tap)
            delivery = container.deliver()
            assert container.is_only(container.read(), delivery, tmp_path)


@pytest.mark.parametrize(
    ("layout", "form"), [*((layout, "csv") for layout in LAYOUTS), (BY_RUN, "gzip"), (BY_RUN, "parquet")]
)
def test_a_run_is_read_from_a_container(container: Container, tmp_path: Path, layout: str, form: Any) -> None:
    delivery = container.deliver(layout=layout, form=form)
    assert container.is_only(container.read("/cost"), delivery, tmp_path)


def test_files_whose_encoding_says_that_they_are_gzipped_are_read_as_they_are_stored(
    container: Container, tmp_path: Path
) -> None:
    """Unpacked on the way, they would have another size than was listed."""
    delivery = container.deliver(200, form="gzip")
    for key in delivery.data_keys:
        container.encode(key)
    assert container.is_only(container.read(), delivery, tmp_path)


def test_a_manifest_whose_encoding_says_that_it_is_gzipped_is_unpacked(
    container: Container, tmp_path: Path
) -> None:
    delivery = container.deliver()
    manifest = container.store.get(delivery.manifest_key)
    container.store.put(delivery.manifest_key, gzip.compress(manifest))
    container.encode(delivery.manifest_key)
    assert container.is_only(container.read(), delivery, tmp_path)


def test_the_folder_of_an_export_may_be_the_whole_container(container: Container, tmp_path: Path) -> None:
    delivery = container.deliver(layout="{export}/{days}")
    assert container.is_only(container.read(""), delivery, tmp_path)


def test_blobs_that_begin_like_the_folder_are_not_in_it(container: Container, tmp_path: Path) -> None:
    delivery = container.deliver()
    container.deliver(export="daily-2")
    assert container.is_only(container.read("/cost/daily"), delivery, tmp_path)


def test_of_many_runs_few_manifests_a_month_are_read_where_their_folders_tell_the_time(
    container: Container,
) -> None:
    for month in ("2026-08", "2026-09"):
        for _ in range(6):
            container.deliver(period=month, parts=1, layout=BY_TIME_AND_RUN)
    first = container.read()
    asked = container.asked()
    assert (asked["manifests"], asked["files"]) == (2 * 3, 2)
    # The export: for its scopes, for its months, and after each of two; each month's run: for both streams.
    assert asked["listings"] <= 2 + 2 + 2 * 2
    quiet = container.read(state=first.state)
    assert quiet.records(LINES) == []
    assert container.asked() == {"listings": 2, "manifests": 2 * 3, "files": 0}


def test_of_another_export_beside_it_few_manifests_are_read(container: Container) -> None:
    container.deliver(layout=BY_TIME_AND_RUN)
    for _ in range(7):
        container.deliver(layout=BY_TIME_AND_RUN, kind="AmortizedCost", export="other")
    container.read("/cost")
    assert container.asked()["manifests"] == 1 + 3


def test_runs_of_another_type_that_are_newer_hide_no_month(container: Container) -> None:
    """Another export took the name, and is of another type; what the first one delivered stays."""
    container.deliver(period="2026-08", layout=BY_TIME_AND_RUN)
    container.deliver(layout=BY_TIME_AND_RUN)
    last = container.deliver(layout=BY_TIME_AND_RUN)
    for _ in range(7):
        container.deliver(layout=BY_TIME_AND_RUN, kind="AmortizedCost")
    told = {row["billing_period"]: row["delivery_id"] for row in container.read().records("deliveries")}
    assert told.keys() == {"2026-08", PERIOD}
    assert told[PERIOD].startswith(last.execution_id)
    # Of August one; of September those of three days, three times, and then one more before them.
    assert container.asked()["manifests"] == 1 + 3 + 3 + 3


@pytest.mark.parametrize("layout", [BY_RUN, BY_TIME_AND_RUN])
def test_exports_of_one_name_in_one_folder_are_refused(container: Container, layout: str) -> None:
    """Reading the newest run only would leave out what the other export covers."""
    for scope in ("a", "b"):
        resource_id = f"/subscriptions/{scope}/providers/Microsoft.CostManagement/exports/daily"
        container.deliver(layout=layout, resource_id=resource_id)
    run = container.run()
    assert run.exit_code == 1
    assert "runs of several exports: subscriptions/a" in run.stderr
    assert run.records(LINES) == run.records("deliveries") == []


def test_where_folders_do_not_tell_the_time_each_manifest_is_read_once(container: Container) -> None:
    for _ in range(4):
        container.deliver(parts=1, layout=BY_RUN)
    container.read()
    assert container.asked()["manifests"] == 4
    assert container.asked()["files"] == 1


@pytest.mark.parametrize("asked", [MANIFEST, FIRST_FILE, SECOND_FILE])
@pytest.mark.parametrize("overwrite", [True, False], ids=["overwritten", "new"])
@pytest.mark.parametrize("parts", [1, 3], ids=["fewer files", "more files"])
def test_a_run_that_is_replaced_while_it_is_read_is_read_again(
    container: Container,
    tmp_path: Path,
    asked: str,
    overwrite: bool,  # noqa: FBT001 - where the new run goes
    parts: int,
) -> None:
    """Its files are others then, or gone; of what went out of the old one nothing counts."""
    options: dict[str, Any] = {"layout": BY_DAYS, "overwrite": True} if overwrite else {"layout": BY_RUN}
    container.deliver(20, **options)
    replaced: list[PublishedDelivery] = []
    container.azure.blobs.inject(
        call_first(lambda: replaced.append(container.deliver(7, parts=parts, **options))), asked
    )
    run = container.read()
    (new,) = replaced
    assert container.is_only(run, new, tmp_path)


@pytest.mark.parametrize("form", ["csv", "gzip", "parquet"])
@pytest.mark.parametrize("listings", [1, 2])
def test_a_run_that_is_replaced_before_its_files_are_listed_is_not_under_way(
    container: Container, tmp_path: Path, form: Any, listings: int
) -> None:
    options: dict[str, Any] = {"layout": BY_DAYS, "overwrite": True, "form": form}
    container.deliver(20, **options)
    replaced: list[PublishedDelivery] = []
    replace = call_first(lambda: replaced.append(container.deliver(7, **options)))
    container.azure.blobs.inject(replace, LISTING, skip=listings)
    run = container.read()
    assert container.is_only(run, replaced[0], tmp_path)


def test_a_run_that_is_replaced_after_its_last_file_is_read_again(
    container: Container, tmp_path: Path
) -> None:
    container.deliver(20)
    replaced: list[PublishedDelivery] = []
    # Listings of a quiet run: the export, the folder of its run, and the export again.
    replace = call_first(lambda: replaced.append(container.deliver(7)))
    container.azure.blobs.inject(replace, LISTING, skip=2)
    run = container.read()
    assert container.is_only(run, replaced[0], tmp_path)
    assert "changed while it was read" in run.stderr


def test_a_manifest_that_is_gone_when_it_is_read_is_looked_for_again(
    container: Container, tmp_path: Path
) -> None:
    delivery = container.deliver()
    container.azure.blobs.inject(BLOB_NOT_FOUND, MANIFEST)
    assert container.is_only(container.read(), delivery, tmp_path)


def test_a_file_that_stays_away_is_told_after_some_attempts(container: Container) -> None:
    container.deliver()
    container.azure.blobs.inject(BLOB_NOT_FOUND, SECOND_FILE, times=100)
    run = container.run()
    assert run.exit_code == 1
    assert "part_0_0002.csv" in run.stderr
    assert "BlobNotFound" in run.stderr
    assert run.records("deliveries") == []


def test_a_file_that_is_older_than_its_run_is_of_the_run_before(container: Container, tmp_path: Path) -> None:
    """Where an export overwrites its files, one after the other, its manifest may be there first."""
    now = datetime.now(UTC)
    container.deliver(run_id=RUN, submitted_at=now + timedelta(hours=1))
    early = container.run()
    assert early.exit_code == 1
    assert early.records(LINES) == early.records("deliveries") == []
    assert "a delivery is under way: run again when it is complete" in early.stderr
    whole = container.deliver(run_id=RUN, submitted_at=now + timedelta(minutes=2))
    assert container.is_only(container.read(state=early.state), whole, tmp_path)
