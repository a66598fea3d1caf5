"""The tables that AWS exports hold."""

from __future__ import annotations

import csv
from importlib import resources

from offgridflow_common.columns import Column, Kind
from offgridflow_common.exports.table import Table

_KINDS = {
    "string": Kind.STRING,
    "double": Kind.NUMBER,
    "timestamp": Kind.TIMESTAMP,
    "map<string,string>": Kind.STRING_MAP,
    "map<string,double>": Kind.NUMBER_MAP,
}


def _read_columns() -> tuple[Column, ...]:
    text = resources.files("tap_offgridflow_aws").joinpath("data/cur2_columns.csv").read_text("utf-8")
    return tuple(
        Column(row["name"], _KINDS[row["type"]], row["description"])
        for row in csv.DictReader(text.splitlines())
    )


#: CUR 2.0. An export's query may leave columns out; without these a line item means nothing.
CUR2 = Table(
    columns=_read_columns(),
    required=frozenset(
        {
            "line_item_product_code",
            "line_item_unblended_cost",
            "line_item_usage_account_id",
            "line_item_usage_start_date",
        }
    ),
)
