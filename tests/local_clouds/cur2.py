"""Made-up CUR 2.0 data with the true column set, types and null forms, for any number of rows.

Rows come in blocks that depend on the seed and their place only: the same seed gives the same rows, and a
longer table begins with the shorter one. As in real files, the pair of identity_line_item_id and
identity_time_interval is unique within a table, and the first alone is not.
"""

from __future__ import annotations

import calendar
import csv
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from tests.local_clouds.cur2_files import write_csv_gz, write_parquet
from tests.local_clouds.cur2_lines import hourly_lines, single_lines
from tests.local_clouds.cur2_parts import Bill
from tests.local_clouds.cur2_vocabulary import COST_COLUMNS, DATA, SINGLE_LINES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "ACCOUNTS",
    "BLOCK_ROWS",
    "PAYER",
    "cur2_batches",
    "cur2_schema",
    "cur2_table",
    "write_csv_gz",
    "write_parquet",
]
PAYER = "111122223333"
ACCOUNTS = ("111122223333", "012345678901", "444455556666")
BLOCK_ROWS = 65_536
LINES = 1_600
# Steps that share no factor with the number of lines or with the hours of any month, so that walking by them
# meets every (line, hour) once, and kinds, lines and hours mix well from the first rows on.
_LINE_STEP, _HOUR_STEP, _LINE_HOUR_STEP = 989, 997, 389
_SINGLE_EVERY = 8
_TYPES = {
    "string": pa.string(),
    "double": pa.float64(),
    "timestamp[ns]": pa.timestamp("ns"),
    "map<string,string>": pa.map_(pa.string(), pa.string()),
    "map<string,double>": pa.map_(pa.string(), pa.float64()),
}


@cache
def cur2_schema(*, iam_principal: bool = False) -> pa.Schema:
    """The columns of an export of everything, in order; `iam_principal` adds the optional one."""
    with (DATA / "cur2_columns.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["position"] or iam_principal]
    return pa.schema([pa.field(row["name"], _TYPES[row["arrow_type"]]) for row in rows])


def cur2_batches(
    rows: int,
    seed: int,
    month: str = "2026-09",
    *,
    payer: str = PAYER,
    accounts: Sequence[str] = ACCOUNTS,
    final: bool = True,
    commitments: bool = True,
    iam_principal: bool = False,
) -> Iterator[pa.RecordBatch]:
    """Line items of one month in blocks of at most `BLOCK_ROWS`, made one at a time.

    Args:
        rows: How many in all.
        seed: Same seed, same rows.
        month: Billing period, `YYYY-MM`.
        payer: Account id of the payer.
        accounts: Account ids of the users.
        final: The month is closed, so lines carry an invoice id.
        commitments: With reservations, savings plans, fees and refunds; else Usage, Credit and Tax only.
        iam_principal: With the optional column.
    """
    start = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    days = calendar.monthrange(start.year, start.month)[1]
    bill = Bill(start, start + timedelta(days=days), days * 24, payer, accounts, seed, final, commitments)
    schema = cur2_schema(iam_principal=iam_principal)
    singles = single_lines(bill)
    per_generation = LINES * bill.hours
    first = 0
    while first < rows:
        generation = first // per_generation
        lines = _line_table(hourly_lines(bill, LINES, generation) + singles, schema)
        end = min(rows, (generation + 1) * per_generation)
        for low in range(first, end, BLOCK_ROWS):
            yield _block(bill, schema, lines, low, min(low + BLOCK_ROWS, end))
        first = end


def cur2_table(
    rows: int,
    seed: int,
    month: str = "2026-09",
    *,
    payer: str = PAYER,
    accounts: Sequence[str] = ACCOUNTS,
    final: bool = True,
    commitments: bool = True,
    iam_principal: bool = False,
) -> pa.Table:
    """The same rows as `cur2_batches` in one table (about 1.5 KB a row)."""
    batches = cur2_batches(
        rows,
        seed,
        month,
        payer=payer,
        accounts=accounts,
        final=final,
        commitments=commitments,
        iam_principal=iam_principal,
    )
    return pa.Table.from_batches(batches, schema=cur2_schema(iam_principal=iam_principal))


def _line_table(lines: list[dict[str, object]], schema: pa.Schema) -> pa.Table:
    factors = [pa.field(f"_{column}", pa.float64()) for column in COST_COLUMNS]
    own = [
        pa.field("_rate", pa.float64()),
        pa.field("_amount", pa.float64()),
        pa.field("_steady", pa.bool_()),
        pa.field("_hours", pa.int64()),
    ]
    dates = {"bill_billing_period_start_date", "bill_billing_period_end_date"}
    naive = [
        {key: value.replace(tzinfo=None) if key in dates else value for key, value in line.items()}
        for line in lines
    ]
    return pa.Table.from_pylist(naive, schema=pa.schema([*schema, *own, *factors])).combine_chunks()


def _block(bill: Bill, schema: pa.Schema, lines: pa.Table, low: int, high: int) -> pa.RecordBatch:
    """Rows low..high: which line and hour each is, then its amount, costs and interval."""
    which, hours = [], []
    for row in range(low, high):
        turn, step = divmod(row, LINES)
        line = step * _LINE_STEP % LINES
        single, offset = divmod(row, _SINGLE_EVERY)
        if offset == _SINGLE_EVERY - 1 and single < SINGLE_LINES:
            which.append(LINES + single)
            hours.append(0)
        else:
            which.append(line)
            hours.append((turn * _HOUR_STEP + line * _LINE_HOUR_STEP) % bill.hours)
    block = lines.take(pa.array(which, pa.int64()))
    chance = pc.random(high - low, initializer=hash((bill.seed, low)) & 0x7FFF_FFFF_FFFF_FFFF)
    factor = pc.if_else(block["_steady"], 1.0, pc.add(0.25, pc.multiply(chance, 1.5)))
    amount = _ten_decimals(pc.multiply(block["_amount"], factor))
    cost = pc.multiply(amount, block["_rate"])
    begin = pa.array(hours, pa.int64())
    until = pc.min_element_wise(pc.add(begin, block["_hours"]), bill.hours)
    begin_text, until_text = (pa.array(_hour_texts(bill)).take(hour) for hour in (begin, until))
    values = {
        "identity_time_interval": pc.binary_join_element_wise(begin_text, until_text, "/"),
        "line_item_usage_start_date": _moment(bill, begin),
        "line_item_usage_end_date": _moment(bill, until),
        "line_item_usage_amount": amount,
        "line_item_normalized_usage_amount": _ten_decimals(
            pc.multiply(amount, block["line_item_normalization_factor"])
        ),
    }
    for column in COST_COLUMNS:
        own = _ten_decimals(pc.multiply(cost, block[f"_{column}"]))
        values[column] = pc.coalesce(own, block[column])
    columns = [values.get(name, block[name]) for name in schema.names]
    return pa.Table.from_arrays(columns, schema=schema).combine_chunks().to_batches()[0]


def _ten_decimals(values: pa.ChunkedArray) -> pa.ChunkedArray:
    # pc.round(values, 10) leaves doubles that print with more digits; a quotient by a power of ten does not.
    return pc.divide(pc.round(pc.multiply(values, 1e10)), 1e10)


def _hour_texts(bill: Bill) -> list[str]:
    hours = (bill.month_start + timedelta(hours=hour) for hour in range(bill.hours + 1))
    return [f"{hour:%Y-%m-%dT%H:%M:%SZ}" for hour in hours]


def _moment(bill: Bill, hours: pa.Array) -> pa.Array:
    start = int(bill.month_start.timestamp()) * 1_000_000_000
    return pc.add(pc.multiply(hours, 3_600_000_000_000), start).cast(pa.timestamp("ns"))
