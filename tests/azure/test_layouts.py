"""Where runs of exports lie: at any depth, in any order, copied elsewhere, beside others, or nowhere."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from tests.azure.shelf import DIRECTORY, KINDS, STREAM, Shelf, made
from tests.local_clouds.azure_exports import (
    BY_DAYS,
    BY_RUN,
    BY_TIME,
    BY_TIME_AND_RUN,
    DAYS_FIRST,
    LAYOUTS,
    SCOPE,
    UNDATED,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.driving import Run
    from tests.local_clouds.exports import PublishedDelivery

LINES = "cost_details"
RESOURCE = f"{SCOPE}/providers/Microsoft.CostManagement/exports/ofg-actual"


def deliver(shelf: Shelf, rows: int = 5, *, parts: int = 1, kind: str = "actual", **options: Any) -> Any:
    """A run with so many rows in each of its files."""
    return shelf.deliver(kind, *(made(kind, rows, seed) for seed in range(1, parts + 1)), **options)


def current(run: Run) -> dict[str, tuple[str, int]]:
    """Of each month the id of the delivery that was told of, and its rows, which must all be there."""
    told = run.records("deliveries")
    lines = [record["delivery_id"] for name in set(STREAM.values()) for record in run.records(name)]
    assert sorted(lines) == sorted(row["delivery_id"] for row in told for _ in range(row["rows"]))
    return {row["billing_period"]: (row["delivery_id"], row["rows"]) for row in told}


def is_only(run: Run, delivery: PublishedDelivery) -> bool:
    """Whether this delivery was read, whole, and no other one."""
    ((delivery_id, rows),) = current(run).values()
    return delivery_id.startswith(delivery.execution_id) and rows == delivery.rows


def move(shelf: Shelf, old: str, new: str) -> None:
    """Let a folder lie elsewhere, its manifests unchanged."""
    (shelf.root / new).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(shelf.root / old, shelf.root / new)


def manifests_of(shelf: Shelf) -> Iterator[dict[str, Any]]:
    for path in shelf.root.rglob("*manifest.json"):
        yield json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize("generation", ["2024-04-01", "2023"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_manifests_are_found_at_any_depth(shelf: Shelf, layout: str, generation: Any) -> None:
    delivery = deliver(shelf, parts=2, layout=layout, generation=generation)
    exports = [{"type": "actual", "url": shelf.url(DIRECTORY), "name": "x"}]
    run = shelf.read(exports=exports)
    assert is_only(run, delivery)
    assert {record["billing_period"] for record in run.records(LINES)} == {"2026-09"}
    (told,) = run.records("deliveries")
    assert (told["files"], told["bytes"]) == (2, delivery.bytes)
    assert told["delivered_at"] == delivery.delivered_at.isoformat()
    assert ("manifestVersion" in next(manifests_of(shelf))) is (generation == "2024-04-01")


@pytest.mark.parametrize("name", ["_manifest.json", "part_0_manifest.json", "Manifest.JSON"])
def test_manifests_are_known_by_how_their_names_end(shelf: Shelf, name: str) -> None:
    delivery = deliver(shelf, manifest_name=name)
    folder = delivery.manifest_key.rpartition("/")[0]
    for other in ("manifest.json.bak", "manifest.txt", "readme.json", "_SUCCESS"):
        shelf.store.put(f"{folder}/{other}", b"{}")
    assert is_only(shelf.read("actual"), delivery)


@pytest.mark.parametrize("generation", ["2024-04-01", "2023"])
@pytest.mark.parametrize("layout", [BY_RUN, BY_TIME_AND_RUN, BY_TIME, DAYS_FIRST, UNDATED])
def test_of_each_month_the_run_that_was_submitted_last_counts(
    shelf: Shelf, layout: str, generation: Any
) -> None:
    """Not the one that was written last, as a copy may be."""
    last = {"2026-08": deliver(shelf, 7, period="2026-08", layout=layout, generation=generation)}
    last["2026-09"] = deliver(shelf, 6, layout=layout, generation=generation)
    earlier = last["2026-08"].delivered_at.replace(day=1)
    for day in (1, 2):
        for month in last:
            deliver(
                shelf,
                layout=layout,
                generation=generation,
                period=month,
                submitted_at=earlier.replace(hour=day),
            )
    run = shelf.read("actual", exports=[{"type": "actual", "url": shelf.url(DIRECTORY)}])
    found = current(run)
    assert {month: rows for month, (_, rows) in found.items()} == {"2026-08": 7, "2026-09": 6}
    assert all(found[month][0].startswith(last[month].execution_id) for month in last)


@pytest.mark.parametrize(
    ("form", "given", "other"),
    [
        ("parquet", ".snappy.parquet", ""),
        ("parquet", ".snappy.parquet", ".PARQUET"),
        ("parquet", ".snappy.parquet", ".parquet.snappy"),
        ("gzip", ".csv.gz", ".csv"),
        ("gzip", ".csv.gz", ".csv.gzip"),
        ("csv", ".csv", ".txt"),
    ],
)
def test_what_files_are_does_not_depend_on_their_names(
    shelf: Shelf, form: Any, given: str, other: str
) -> None:
    """Azure may change names; of compressed files, the manifest may count the bytes of before."""
    delivery = deliver(shelf, form=form)
    manifest = json.loads(shelf.path(delivery.manifest_key).read_text("utf-8"))
    for blob in manifest["blobs"]:
        name = blob["blobName"].removesuffix(given) + other
        shelf.path(blob["blobName"]).rename(shelf.path(name))
        blob |= {"blobName": name, "byteCount": blob["byteCount"] + (form == "gzip")}
    shelf.store.put(delivery.manifest_key, json.dumps(manifest).encode())
    assert len(shelf.read("actual").records(LINES)) == delivery.rows > 0


def test_a_run_whose_manifest_lies_above_its_files_is_read(shelf: Shelf) -> None:
    """And the files of other runs, which are called the same, are left alone."""
    runs = [deliver(shelf, rows, parts=2) for rows in (5, 6, 7)]
    for delivery in runs:
        folder, _, name = delivery.manifest_key.rpartition("/")
        above = f"{folder.rpartition('/')[0]}/{delivery.execution_id}_{name}"
        shelf.path(delivery.manifest_key).rename(shelf.path(above))
    assert is_only(shelf.read("actual"), runs[-1])


def test_an_overwritten_run_replaces_the_one_before_even_under_the_same_id(shelf: Shelf) -> None:
    options: dict[str, Any] = {"layout": BY_DAYS, "overwrite": True, "run_id": "the-run"}
    deliver(shelf, 5, parts=3, **options)
    first = shelf.read("actual")
    new = deliver(shelf, 4, parts=1, **options)
    second = shelf.read("actual", state=first.state)
    assert is_only(second, new)
    assert current(first).keys() == current(second).keys()
    assert current(first)["2026-09"][0] != current(second)["2026-09"][0]
    third = shelf.read("actual", state=second.state)
    assert third.records(LINES) == third.records("deliveries") == []


def test_exports_of_other_types_in_the_folder_are_left_out_with_one_line(shelf: Shelf) -> None:
    for kind in KINDS:
        deliver(shelf, kind=kind)
    shelf.deliver("actual", b"not,ours\n", export="prices", kind="PriceSheet")
    exports = [{"type": kind, "url": shelf.url(DIRECTORY), "name": f"x-{kind}"} for kind in KINDS]
    run = shelf.read(exports=exports)
    assert [row["rows"] for row in run.records("deliveries")] == [5, 5, 5]
    assert {row["metric"] for row in run.records(LINES)} == {"ActualCost", "AmortizedCost"}
    said = [line for line in run.stderr.splitlines() if "lie there, too" in line]
    assert len(said) == 3
    assert "x-actual: exports of type AmortizedCost, FocusCost, PriceSheet lie there" in said[0]


@pytest.mark.parametrize("resource_id", ["", None])
def test_several_exports_of_the_type_are_refused_by_name(shelf: Shelf, resource_id: str | None) -> None:
    for name in ("daily", "monthly"):
        deliver(shelf, export=name, resource_id=resource_id)
    run = shelf.run(exports=[{"type": "actual", "url": shelf.url(DIRECTORY), "name": "both"}])
    assert run.exit_code == 1
    assert "runs of several exports: " in run.stderr
    assert "let the url name the folder of one export" in run.stderr
    assert run.records(LINES) == []
    each = [{"type": "actual", "url": shelf.url(f"{DIRECTORY}/{name}")} for name in ("daily", "monthly")]
    assert len(shelf.read(exports=each).records(LINES)) == 10


def test_exports_of_one_name_in_different_scopes_are_several(shelf: Shelf) -> None:
    for subscription in ("a", "b"):
        scope = f"/subscriptions/{subscription}/providers/Microsoft.CostManagement/exports/ofg-actual"
        deliver(shelf, resource_id=scope)
    assert "runs of several exports: subscriptions/a" in shelf.run("actual").stderr


def test_manifests_that_lack_the_resource_id_are_of_the_export_of_that_name(shelf: Shelf) -> None:
    deliver(shelf, period="2026-08", resource_id=None, generation="2023")
    deliver(shelf, 6, period="2026-08", resource_id=RESOURCE.upper())
    deliver(shelf, 7)
    found = current(shelf.read("actual"))
    assert {month: rows for month, (_, rows) in found.items()} == {"2026-08": 6, "2026-09": 7}


def test_where_there_is_nothing_the_place_is_named(shelf: Shelf) -> None:
    shelf.root.mkdir()
    run = shelf.run("actual")
    assert run.exit_code == 1
    assert f"at {shelf.exports('actual')[0]['url']}: none." in run.stderr
    assert "class=not_found" in run.stderr


def test_where_there_are_other_types_only_they_are_named(shelf: Shelf) -> None:
    deliver(shelf, kind="focus")
    run = shelf.run(exports=[{"type": "actual", "url": shelf.url(f"{DIRECTORY}/ofg-focus")}])
    assert run.exit_code == 1
    assert "only exports of type FocusCost. check the url, that the type is actual" in run.stderr


class TestCopies:
    """Manifests name the blobs of the container that they come from."""

    @pytest.mark.parametrize("layout", LAYOUTS)
    @pytest.mark.parametrize("place", ["replica/of/it", "x"])
    def test_a_folder_is_read_where_it_lies(self, shelf: Shelf, layout: str, place: str) -> None:
        delivery = deliver(shelf, parts=2, layout=layout)
        move(shelf, DIRECTORY, place)
        run = shelf.read(exports=[{"type": "actual", "url": shelf.url(place)}])
        assert is_only(run, delivery)

    def test_files_beside_their_manifest_are_enough(self, shelf: Shelf) -> None:
        delivery = deliver(shelf, parts=2)
        move(shelf, delivery.manifest_key.rpartition("/")[0], "flat")
        run = shelf.read(exports=[{"type": "actual", "url": shelf.url("flat")}])
        assert is_only(run, delivery)

    def test_nothing_outside_of_the_folder_is_read(self, shelf: Shelf) -> None:
        """The original lies there, too, and has changed since."""
        delivery = deliver(shelf, parts=2)
        shutil.copytree(shelf.root / DIRECTORY, shelf.root / "replica" / DIRECTORY)
        for key in delivery.data_keys:
            shelf.store.put(key, b"bait")
        run = shelf.read(exports=[{"type": "actual", "url": shelf.url(f"replica/{DIRECTORY}")}])
        assert is_only(run, delivery)

    @pytest.mark.parametrize("layout", [BY_RUN, BY_TIME_AND_RUN, DAYS_FIRST, UNDATED])
    @pytest.mark.parametrize("form", ["csv", "parquet"])
    def test_a_missing_file_is_never_taken_from_another_run(
        self, shelf: Shelf, layout: str, form: Any
    ) -> None:
        deliver(shelf, parts=2, layout=layout, form=form)
        delivery = deliver(shelf, parts=2, layout=layout, form=form)
        shelf.path(delivery.data_keys[1]).unlink()
        run = shelf.run("actual", exports=[{"type": "actual", "url": shelf.url(DIRECTORY)}])
        assert run.exit_code == 1
        assert (
            f"no {delivery.data_keys[1]}. run again if the export is just running; else copy the data files"
            in run.stderr
        )
        assert "class=not_found" in run.stderr
        assert run.records(LINES) == run.records("deliveries") == []

    def test_files_that_became_one_in_a_copy_are_missing(self, shelf: Shelf) -> None:
        delivery = deliver(shelf, parts=1)
        manifest = json.loads(shelf.path(delivery.manifest_key).read_text("utf-8"))
        manifest["blobs"] = [
            manifest["blobs"][0] | {"blobName": f"cost/{folder}/part_0_0001.csv"} for folder in ("a", "b")
        ]
        manifest["blobCount"] = 2
        shelf.store.put(delivery.manifest_key, json.dumps(manifest).encode())
        run = shelf.run("actual")
        assert run.exit_code == 1
        assert "no cost/b/part_0_0001.csv" in run.stderr
