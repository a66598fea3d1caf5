"""The column sets that are compared; plain names, so that every program here can use them cheaply."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

ColumnSet = Literal["25", "30", "125", "130"]
COLUMN_SETS: tuple[ColumnSet, ...] = ("25", "30", "125", "130")

_CUR2 = Path(__file__).parents[1] / "tests" / "local_clouds" / "data" / "cur2_columns.csv"

#: What an analysis of cost and usage commonly selects.
SELECTED = (
    "identity_line_item_id",
    "identity_time_interval",
    "bill_bill_type",
    "bill_payer_account_id",
    "bill_billing_period_start_date",
    "line_item_usage_account_id",
    "line_item_line_item_type",
    "line_item_usage_start_date",
    "line_item_usage_end_date",
    "line_item_product_code",
    "line_item_usage_type",
    "line_item_operation",
    "line_item_availability_zone",
    "line_item_resource_id",
    "line_item_usage_amount",
    "line_item_currency_code",
    "line_item_unblended_rate",
    "line_item_unblended_cost",
    "line_item_net_unblended_cost",
    "line_item_line_item_description",
    "pricing_unit",
    "pricing_term",
    "pricing_public_on_demand_cost",
    "product_region_code",
    "product_instance_type",
)


def kinds() -> dict[str, str]:
    """The arrow type of each column of a CUR 2.0 export of everything, in order."""
    with _CUR2.open(newline="", encoding="utf-8") as file:
        return {row["name"]: row["arrow_type"] for row in csv.DictReader(file) if row["position"]}


def names(column_set: ColumnSet) -> list[str]:
    """The columns of a set: the 25 above or all of them, without the five maps or with them."""
    all_kinds = kinds()
    maps = {name for name, kind in all_kinds.items() if kind.startswith("map")}
    chosen = {
        "25": set(SELECTED),
        "30": maps.union(SELECTED),
        "125": all_kinds.keys() - maps,
        "130": all_kinds.keys(),
    }[column_set]
    return [name for name in all_kinds if name in chosen]
