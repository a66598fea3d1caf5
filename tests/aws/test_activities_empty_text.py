"""Empty text means that nothing is given, as null does: both make one activity, whose id is that of null."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from tests.aws.bench import PERIOD, line_items
from tests.aws.shelf import Shelf, emitted
from tests.local_clouds.carbon_export import carbon_table
from tests.local_clouds.cur2 import ACCOUNTS, PAYER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.aws.bench import Bench
    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Message, Run

OF_CUR = {
    "bill_payer_account_id": PAYER,
    "line_item_currency_code": "USD",
    "line_item_product_code": "AmazonEC2",
    "line_item_usage_account_id": ACCOUNTS[1],
    "line_item_usage_type": "BoxUsage:m5.large",
    "pricing_unit": "Hrs",
    "product_region_code": "eu-west-1",
}
OF_FOCUS = {
    "BillingAccountId": PAYER,
    "BillingCurrency": "USD",
    "ConsumedUnit": "Hrs",
    "RegionId": "eu-west-1",
    "ServiceCategory": "Compute",
    "ServiceName": "Amazon EC2",
    "SkuMeter": "Hours",
    "SubAccountId": ACCOUNTS[1],
    "x_ServiceCode": "AmazonEC2",
    "x_UsageType": "BoxUsage:m5.large",
}


def columns(texts: dict[str, str], name: str, values: tuple[str | None, ...]) -> dict[str, pa.Array]:
    """Columns of text, of which one has these values."""
    of_each = {other: [value] * len(values) for other, value in texts.items()} | {name: list(values)}
    return {other: pa.array(given, pa.string()) for other, given in of_each.items()}


def the_one(run: Run) -> Message:
    """Its only activity, without what names the delivery."""
    (record,) = run.records("activities")
    return record | {"import_batch_id": None}


@pytest.mark.parametrize("name", OF_CUR)
def test_usage_of_a_bill_without_a_text_is_one_however_the_file_says_so(bench: Bench, name: str) -> None:
    def read(*values: str | None) -> Message:
        bench.publish(PERIOD, line_items(**columns(OF_CUR, name, values)), chunks=1)
        return the_one(bench.read(select=["activities"]))

    assert read("", None) == read(None, None)


@pytest.mark.parametrize("name", OF_FOCUS)
def test_usage_of_focus_without_a_text_is_one_however_the_file_says_so(
    tmp_path: Path, tap_config: Config, run_tap: RunTap, name: str
) -> None:
    shelf = Shelf(tmp_path / "bucket", tap_config, run_tap)

    def read(*values: str | None) -> Message:
        rows = len(values)
        others: dict[str, Any] = {
            "BilledCost": [0.25] * rows,
            "ChargeCategory": ["Usage"] * rows,
            "ChargePeriodStart": [datetime(2026, 9, 1)] * rows,  # noqa: DTZ001 - as in the provider's files
            "ConsumedQuantity": [1.0] * rows,
        }
        shelf.focus(PERIOD, pa.table(others | columns(OF_FOCUS, name, values)))
        return the_one(shelf.read("focus", select=("activities",)))

    assert read("", None) == read(None, None)


@pytest.mark.parametrize(
    "name", ["product_code", "region_code", "model_version", "total_scope_1_emissions_unit", "location"]
)
def test_emissions_without_a_text_are_one_however_the_export_says_so(
    tmp_path: Path, tap_config: Config, run_tap: RunTap, name: str
) -> None:
    shelf = Shelf(tmp_path / "bucket", tap_config, run_tap)
    two = carbon_table(PERIOD, [emitted("0.5"), emitted("0.25")])

    def read(*values: str | None) -> list[Message]:
        given = pa.array(values, pa.string())
        shelf.carbon(PERIOD, two.set_column(two.schema.get_field_index(name), name, given))
        records = shelf.read("carbon", select=("activities",)).records("activities")
        return [record | {"import_batch_id": None} for record in records]

    assert read("", None) == read(None, None)
    assert [record["quantity"] for record in read("", None)] == [750.0] * 5


def test_days_of_a_month_make_one_activity_of_a_carbon_export(
    tmp_path: Path, tap_config: Config, run_tap: RunTap
) -> None:
    shelf = Shelf(tmp_path / "bucket", tap_config, run_tap)
    two = carbon_table(PERIOD, [emitted("0.5"), emitted("0.25")])
    days = pa.array(["2026-09-01", "2026-09-02"]).cast(pa.timestamp("ns"))
    field = two.schema.get_field_index("usage_period_start")
    shelf.carbon(PERIOD, two.set_column(field, "usage_period_start", days))
    records = shelf.read("carbon", select=("activities",)).records("activities")
    assert [record["quantity"] for record in records] == [750.0] * 5
    assert {record["period_start"][:10] for record in records} == {"2026-09-01"}
