"""What engines do alone with the same file: read columns and write NDJSON, or group usage.

``python -m benchmarks.engines ENGINE FILE COLUMNS``, with one of `ENGINES`. All write to the null device.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, cast

from benchmarks.columns import ColumnSet, kinds, names

if TYPE_CHECKING:
    import polars as pl

_PHYSICAL = ("Usage", "DiscountedUsage", "SavingsPlanCoveredUsage")


def polars_ndjson(path: str, columns: ColumnSet) -> None:
    """Read the columns and write them as NDJSON: as fast as polars can, which holds much of the file."""
    _scan(path).select(names(columns)).sink_ndjson(os.devnull)


def polars_group(path: str, _columns: ColumnSet) -> None:
    """Group physical usage by the keys of an activity and sum it as floats: no mapping, no exact sums."""
    import polars as pl  # noqa: PLC0415 - only the engine that is measured is loaded

    csv = path.endswith(".gz")
    product = pl.col("product")
    month = pl.col("line_item_usage_start_date")
    groups = (
        _scan(path)
        .filter(pl.col("line_item_line_item_type").is_in(_PHYSICAL))
        .group_by(
            (month.str.slice(0, 7) if csv else month.dt.truncate("1mo")).alias("month"),
            "line_item_usage_account_id",
            pl.coalesce(
                product.str.json_path_match("$.region") if csv else product.map.get("region"),
                "product_region_code",
                "product_from_region_code",
                "product_to_region_code",
            ).alias("region"),
            "line_item_product_code",
            "line_item_usage_type",
            "pricing_unit",
            "line_item_currency_code",
        )
        .agg(pl.col("line_item_usage_amount", "line_item_unblended_cost").sum(), pl.len())
    )
    groups.collect(engine="streaming").write_ndjson(os.devnull)


def duckdb_ndjson(path: str, columns: ColumnSet) -> None:
    """Copy the columns into JSON lines."""
    import duckdb  # noqa: PLC0415 - as above

    selected = ", ".join(f'"{name}"' for name in names(columns))
    source = "read_parquet(?)" if path.endswith(".parquet") else "read_csv(?, all_varchar = true)"
    query = f"COPY (SELECT {selected} FROM {source}) TO '{os.devnull}' (FORMAT json)"  # noqa: S608 - own names
    duckdb.execute(query, [path])


ENGINES = {"polars-ndjson": polars_ndjson, "polars-group": polars_group, "duckdb-ndjson": duckdb_ndjson}


def _scan(path: str) -> pl.LazyFrame:
    import polars as pl  # noqa: PLC0415 - as above

    if path.endswith(".parquet"):
        return pl.scan_parquet(path)
    numbers = {name: pl.Float64() for name, kind in kinds().items() if kind == "double"}
    return pl.scan_csv(path, infer_schema=False, schema_overrides=numbers)


if __name__ == "__main__":
    engine, file, column_set = sys.argv[1:]
    ENGINES[engine](file, cast("ColumnSet", column_set))
