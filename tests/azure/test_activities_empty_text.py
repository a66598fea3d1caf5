"""Empty text means that nothing is given, as null does: both make one activity, whose id is that of null."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from tests.azure.answers import ONE, emissions
from tests.azure.usage_lines import EA, FOCUS, text, usage
from tests.local_clouds.azure_discovery import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.azure.conftest import Config, RunTap
    from tests.azure.shelf import Shelf
    from tests.driving import Message, Run
    from tests.local_clouds.azure import LocalAzure

#: What a file may give no text for.
OF_COST = (
    "SubscriptionId", "MeterCategory", "MeterSubCategory", "MeterName", "UnitOfMeasure", "BillingCurrency",
    "ResourceLocation", "ChargeType",
)  # fmt: skip
OF_FOCUS = (
    "SubAccountId", "CommitmentDiscountStatus", "ConsumedUnit", "BillingCurrency", "RegionId", "RegionName",
    "ServiceName", "ServiceCategory", "x_SkuMeterCategory", "x_SkuMeterSubcategory", "SkuMeter",
)  # fmt: skip


def parquet(base: dict[str, Any], *rows: dict[str, Any]) -> bytes:
    """A file of rows that differ from another."""
    numbers = [name for name in base if name.endswith(("Quantity", "Cost", "Price"))]
    table = pl.DataFrame([base | row for row in rows], infer_schema_length=None)
    file = io.BytesIO()
    table.with_columns(pl.col(numbers).cast(pl.Float64)).write_parquet(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "base", "name"),
    [
        *(("actual", EA | {"PricingModel": None}, name) for name in OF_COST),
        *(("focus", FOCUS | {"RegionName": None}, name) for name in OF_FOCUS),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_usage_without_a_text_is_one_however_the_file_says_so(
    shelf: Shelf, read_usage: Callable[..., Run], kind: str, base: dict[str, Any], name: str
) -> None:
    def read(*values: str | None) -> Message:
        shelf.deliver(kind, parquet(base, *({name: value} for value in values)), form="parquet")
        (record,) = usage(read_usage(kind))
        return record

    null, both = read(None, None), read("", None)
    for record in (null, both):
        del record["import_batch_id"]
    assert both == null


def test_quotes_with_nothing_in_them_are_empty_text_in_csv(
    shelf: Shelf, read_usage: Callable[..., Run]
) -> None:
    rows = text(EA, {"MeterCategory": "nothing"}, {"MeterCategory": None})
    shelf.deliver("actual", rows.replace(b"nothing", b'""'))
    (record,) = usage(read_usage("actual"))
    assert (record["service_code"], record["quantity"]) == (None, 4)


def test_a_meter_category_that_is_empty_leaves_the_service_to_its_name(
    shelf: Shelf, read_usage: Callable[..., Run]
) -> None:
    row = {"x_SkuMeterCategory": "", "ServiceName": "Contoso Backup"}
    shelf.deliver("focus", parquet(FOCUS, row), form="parquet")
    (record,) = usage(read_usage("focus"))
    assert record["service_code"] == "Contoso Backup"


@pytest.mark.parametrize("field", ["location", "resourceType"])
def test_emissions_without_a_text_are_one_however_the_answer_says_so(
    field: str, azure: LocalAzure, tap_config: Config, run_tap: RunTap
) -> None:
    azure.discovery.subscriptions = [Subscription(ONE, "Shop")]
    azure.carbon.publish(emissions(["2026-09"], [ONE], resources=4))

    def read(*values: str | None) -> Sequence[Message]:
        def change(answer: Any) -> None:
            for row, value in zip(answer["value"][::2], values, strict=True):
                row |= {"location": "east us", "resourceType": "x", field: value}

        azure.arm.alter("carbon", change)
        run = run_tap(tap_config(), ["activities"])
        assert run.exit_code == 0, run.stderr
        return [record | {"import_batch_id": None} for record in run.records("activities")]

    assert read("", None) == read(None, None)
