"""Made-up Azure exports look like real ones, and are the same each time."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from tests.local_clouds.azure_cost_csv import BYTE_ORDER_MARK, columns
from tests.local_clouds.azure_cost_files import cost_details, focus, focus_columns, write_part
from tests.local_clouds.azure_cost_rows import BLOCK_ROWS, LINES, SUBSCRIPTIONS, cost_blocks, cost_table
from tests.local_clouds.azure_cost_vocabulary import DATA
from tests.local_clouds.azure_exports import BY_DAYS, LAYOUTS, ContainerStore, publish_azure
from tests.local_clouds.exports import FolderStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.local_clouds.azurite import Azurite
    from tests.local_clouds.exports import PublishedDelivery, Store

SUBMITTED = datetime(2026, 10, 3, 4, 12, 7, 523_444, tzinfo=UTC)
RUN = "3b6f0d52-7d0e-4a57-8a4b-6d1f8f0c2a11"
VIEWS: list[Any] = ["ActualCost", "AmortizedCost", "FocusCost"]


def publish(store: Store, *parts: Any, **options: Any) -> PublishedDelivery:
    given = {"export": "daily", "period": "2026-09", "run_id": RUN, "submitted_at": SUBMITTED}
    return publish_azure(store, parts=parts, **(given | options))


def manifest(store: FolderStore, delivery: PublishedDelivery) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((store.path / delivery.manifest_key).read_text("utf-8"))
    return found


def sample(rows: int = 30) -> pl.DataFrame:
    return cost_details(cost_table(rows, 1), "ea")


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("rows", [0, 1, 100, BLOCK_ROWS + 1])
def test_a_longer_table_begins_with_the_shorter_one(view: Any, rows: int) -> None:
    assert cost_table(rows, 3, view=view).equals(cost_table(BLOCK_ROWS + 10, 3, view=view).head(rows))


def test_another_seed_gives_other_rows() -> None:
    assert not cost_table(100, 1).equals(cost_table(100, 2))
    assert cost_table(100, 1).equals(cost_table(100, 1))


def test_blocks_stay_small_and_resources_are_new_when_the_month_is_full() -> None:
    rows = LINES * 30 + 5_000
    blocks = [block.select("meterid", "_date") for block in cost_blocks(rows, 1)]
    assert max(block.height for block in blocks) <= BLOCK_ROWS
    frame = pl.concat(blocks)
    assert frame.height == rows
    repeated = frame.height - frame.unique().height
    assert repeated < rows / 100  # the monthly lines stand in the place of a daily one


def test_even_a_short_table_has_every_kind_of_charge() -> None:
    kinds = {view: cost_table(400, 1, view=view) for view in VIEWS}
    common = {"Usage", "Purchase", "Tax", "RoundingAdjustment"}
    assert set(kinds["ActualCost"]["chargetype"]) == common | {"Refund"}
    unused = {"UnusedReservation", "UnusedSavingsPlan"}
    assert set(kinds["AmortizedCost"]["chargetype"]) == common | unused
    assert set(kinds["FocusCost"]["chargetype"]) == common | unused | {"Refund"}
    for rows in kinds.values():
        assert set(rows["pricingmodel"]) == {"OnDemand", "Spot", "Reservation", "SavingsPlan", ""}
        assert set(rows["publishertype"]) == {"Azure", "Marketplace"}
        assert set(rows.filter(pl.col("publishertype") == "Marketplace")["metercategory"]) == {""}


def test_what_belongs_to_no_subscription_has_none() -> None:
    rows = cost_table(2000, 1, view="AmortizedCost")
    nobodys = rows.filter(pl.col("subscriptionid") == "")
    kinds = {"UnusedReservation", "UnusedSavingsPlan", "Tax", "RoundingAdjustment"}
    assert set(nobodys["chargetype"]) == kinds
    assert rows.filter(pl.col("chargetype").is_in(kinds)).height == nobodys.height
    assert set(rows["subscriptionid"]) == {*SUBSCRIPTIONS, ""}


def test_commitments_are_billed_once_and_spread_over_what_they_cover() -> None:
    actual, amortized = (cost_table(4000, 1, view=view) for view in ("ActualCost", "AmortizedCost"))
    covered = (pl.col("chargetype") == "Usage") & (pl.col("_commitment") != "")
    assert actual.filter(covered)["_cost_billed"].unique().to_list() == [0.0]
    assert amortized.filter(covered)["_cost_spread"].min() > 0
    assert not amortized.filter(pl.col("chargetype").is_in(["Refund"])).height
    bought = actual.filter(pl.col("chargetype") == "Refund")
    assert bought["_cost_billed"].max() < 0
    plain = (pl.col("chargetype") == "Usage") & (pl.col("_commitment") == "")
    assert actual.filter(plain).select((pl.col("_cost_billed") == pl.col("_cost_spread")).all()).item()


def test_a_cost_is_its_quantity_times_its_price() -> None:
    rows = sample(1000)
    off = rows.select((pl.col("Cost") - pl.col("Quantity") * pl.col("EffectivePrice")).abs().max()).item()
    assert off < 1e-11


@pytest.mark.parametrize(("agreement", "count"), [("ea", 55), ("mca", 65)])
def test_cost_details_have_the_header_of_their_agreement(agreement: Any, count: int) -> None:
    rows = cost_details(cost_table(50, 1), agreement)
    assert rows.columns == list(columns(agreement))
    assert len(rows.columns) == count
    assert (rows["Tags" if agreement == "ea" else "tags"].drop_nulls().str.starts_with("{").all()) is (
        agreement == "mca"
    )


@pytest.mark.parametrize(
    ("version", "count"), [("1.0", 96), ("1.0r2", 96), ("1.2-preview", 105), ("1.2", 104)]
)
def test_focus_has_the_columns_of_its_version(version: Any, count: int) -> None:
    rows = focus(cost_table(400, 1, view="FocusCost"), version)
    assert rows.columns == list(focus_columns(version))
    assert len(rows.columns) == count
    assert set(rows["ChargeCategory"]) == {"Usage", "Purchase", "Tax", "Adjustment"}


def test_the_three_forms_hold_the_same(tmp_path: Path) -> None:
    rows = sample(300)
    for form in ("csv", "gzip", "parquet"):
        assert write_part([rows.head(200), rows.tail(100)], tmp_path / form, form) == 300  # type: ignore[arg-type]
    plain = (tmp_path / "csv").read_bytes()
    assert gzip.decompress((tmp_path / "gzip").read_bytes()) == plain
    assert plain.startswith(BYTE_ORDER_MARK.encode())
    read = list(csv.DictReader(plain.decode("utf-8-sig").splitlines(keepends=True)))
    assert list(read[0]) == rows.columns
    assert [float(row["Cost"]) for row in read] == rows["Cost"].to_list()
    assert [row["Date"] for row in read] == [f"{day:%m/%d/%Y}" for day in rows["Date"]]
    table = pq.read_table(tmp_path / "parquet")
    assert pl.DataFrame(pl.from_arrow(table)).equals(rows)
    assert pq.ParquetFile(tmp_path / "parquet").metadata.row_group(0).column(0).compression == "SNAPPY"


@pytest.mark.parametrize(("example", "generation"), [("csv_2024_04_01", "2024-04-01"), ("pre_2024", "2023")])
def test_made_up_manifests_have_the_shape_of_the_examples(
    tmp_path: Path, example: str, generation: Any
) -> None:
    store = FolderStore(tmp_path)
    said = manifest(store, publish(store, sample(), sample(5), generation=generation))
    expected = json.loads((DATA / "azure_export_manifests.json").read_text("utf-8"))[example]
    if generation == "2023":
        expected.pop("deliveryConfig")  # some lack it
    assert list(said) == list(expected)
    for part in ("exportConfig", "deliveryConfig", "runInfo"):
        assert list(said.get(part, ())) == list(expected.get(part, ()))
    assert set(said["blobs"][0]) == set(expected["blobs"][0])
    assert len(said["runInfo"]["submittedTime"]) == len(expected["runInfo"]["submittedTime"])
    assert said["runInfo"]["startDate"] == "2026-09-01T00:00:00"
    assert said["runInfo"]["endDate"] == (
        "2026-09-30T00:00:00" if generation == "2023" else "2026-09-30T00:00:00Z"
    )


class Journal(FolderStore):
    """A folder that remembers the order of writes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.puts: list[str] = []

    def put(self, key: str, data: bytes | Path) -> None:
        self.puts.append(key)
        super().put(key, data)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_data_files_are_there_before_their_manifest(tmp_path: Path, layout: str) -> None:
    store = Journal(tmp_path)
    delivery = publish(store, sample(10), sample(20), layout=layout)
    assert store.puts == [*delivery.data_keys, delivery.manifest_key]
    assert (delivery.rows, delivery.execution_id) == (30, RUN)
    assert delivery.bytes == sum((tmp_path / key).stat().st_size for key in delivery.data_keys)
    said = manifest(store, delivery)
    assert (said["byteCount"], said["blobCount"], said["dataRowCount"]) == (delivery.bytes, 2, 30)
    assert [blob["blobName"] for blob in said["blobs"]] == list(delivery.data_keys)


def test_overwriting_leaves_nothing_of_the_run_before(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    options: dict[str, Any] = {"layout": BY_DAYS, "overwrite": True}
    publish(store, sample(10), sample(20), **options)
    new = publish(store, sample(5), **options)
    assert store.keys("") == sorted([*new.data_keys, new.manifest_key])


def test_an_empty_run_has_a_manifest_only(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    delivery = publish(store, days=(date(2026, 9, 1), date(2026, 9, 1)))
    said = manifest(store, delivery)
    assert store.keys("") == [delivery.manifest_key]
    assert (said["blobCount"], said["blobs"]) == (0, [])
    assert "20260901-20260901" in delivery.manifest_key


def test_a_container_holds_what_a_folder_holds(azurite: Azurite, tmp_path: Path) -> None:
    folder = FolderStore(tmp_path)
    with azurite.client() as client, client.get_container_client(azurite.create_container()) as container:
        store = ContainerStore(container)
        for target in (store, folder):
            publish(target, sample(10), sample(20), layout=BY_DAYS, overwrite=True)
            delivery = publish(target, sample(30), layout=BY_DAYS, overwrite=True)
        assert store.keys("") == folder.keys("")
        for key in (delivery.manifest_key, *delivery.data_keys):
            assert container.download_blob(key).readall() == (tmp_path / key).read_bytes()
