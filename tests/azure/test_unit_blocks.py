"""Quantities in hours and gigabytes, whether a row counts them or the blocks that they are priced in."""

from __future__ import annotations

import polars as pl
import pytest

from tap_offgridflow_azure.activities.pricing_blocks import (
    pricing_block_size,
    pricing_unit,
    quantity_in_units,
)


def in_units(quantity: float, unit: str | None, cost: float, *prices: float | None) -> float:
    row = pl.DataFrame(
        {"quantity": [quantity], "unit": [unit], "cost": [cost], "price": [prices[0]], "other": [prices[-1]]},
        schema_overrides={"unit": pl.String, "price": pl.Float64, "other": pl.Float64},
    )
    size = pricing_block_size(pl.col("unit"))
    expression = quantity_in_units(
        pl.col("quantity"), size, pl.col("cost"), (pl.col("price"), pl.col("other"))
    )
    value: float = row.select(expression).item()
    return value


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("1 Hour", "Hour"),
        ("100 Hours", "Hours"),
        ("1,000 Hours", "Hours"),
        ("100/Hour", "Hour"),
        ("1/Month", "Month"),
        ("1 /Month", "Month"),
        ("1 GB/Month", "GB/Month"),
        ("50000 GB Seconds", "GB Seconds"),
        ("1 MB", "MB"),
        ("10K", "Units"),
        ("10 K", "Units"),
        ("1M", "Units"),
        ("10K/Month", "Month"),
        ("1B", "Units"),
        ("1B/Month", "Month"),
        ("1 B Tokens", "Tokens"),
        ("1 GB", "GB"),
        ("1GB", "GB"),
        ("1MB", "MB"),
        ("1 Byte", "Byte"),
        ("1", "Units"),
        (None, None),
    ],
)
def test_the_unit_of_a_block_is_what_is_in_it(unit: str | None, expected: str | None) -> None:
    units = pl.DataFrame({"unit": [unit]}, schema={"unit": pl.String})
    assert units.select(pricing_unit(pl.col("unit"))).item() == expected


def test_a_row_whose_price_is_for_its_quantity_counts_blocks() -> None:
    assert in_units(0.0004, "10K", 0.00004, 0.1) == pytest.approx(4)
    assert in_units(0.0047, "10K", 0.000011139, 0.00237) == pytest.approx(47)


def test_a_row_whose_cost_is_that_over_the_block_counts_units() -> None:
    assert in_units(24, "100 Hours", 24 * 11 / 100, 11) == 24


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("10K", 5_000),
        ("1M", 500_000),
        ("1B", 500_000_000),
        ("1 B Tokens", 500_000_000),
        ("1B/Month", 500_000_000),
        ("1 GB", 0.5),
        ("1GB/Month", 0.5),
        ("1 MB", 0.5),
        ("1 Byte", 0.5),
    ],
)
def test_thousands_millions_and_billions_are_multiplied_out(unit: str, expected: float) -> None:
    assert in_units(0.5, unit, 1, 2) == expected


def test_either_price_tells() -> None:
    assert in_units(24, "100 Hours", 24 * 5 / 100, 11, 5) == 24
    assert in_units(0.24, "100 Hours", 0.24 * 5, 11, 5) == pytest.approx(24)


def test_rounded_costs_still_tell() -> None:
    assert in_units(24, "100 Hours", 0.0265, 0.11) == 24


@pytest.mark.parametrize(("cost", "price"), [(0.0, 0.0), (0.0, 11.0), (7.0, 11.0), (7.0, None)])
def test_a_row_that_does_not_tell_counts_blocks(cost: float, price: float | None) -> None:
    assert in_units(2, "100 Hours", cost, price) == 200


@pytest.mark.parametrize(("charged", "expected"), [("units", [24, 24, 24]), ("blocks", [2400, 2400, 2400])])
def test_rows_that_do_not_tell_count_what_the_others_do(charged: str, expected: list[float]) -> None:
    """As what a reservation covers, beside what is charged."""
    cost = 24 * 11 / (100 if charged == "units" else 1)
    rows = pl.DataFrame({"quantity": [24.0] * 3, "cost": [cost, 0.0, 0.0], "price": [11.0, 0.0, None]})
    found = rows.select(
        quantity_in_units(
            pl.col("quantity"), pl.lit(100.0), pl.col("cost"), (pl.col("price"), pl.col("price"))
        )
    )
    assert found.to_series().to_list() == expected


def test_a_block_of_one_changes_nothing() -> None:
    assert in_units(24, "1 Hour", 2.64, 0.11) == 24
    assert in_units(24, None, 2.64, 0.11) == 24
    assert in_units(24, "0 Hours", 2.64, 0.11) == 24
