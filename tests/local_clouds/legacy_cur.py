"""Made-up legacy CUR of the line items of a CUR 2.0 table: both tell the same costs, row by row.

`legacy_table` gives the columns of one month's CSV (`category/Name`), among them those that differ from month
to month; `parquet_form` names them as the Athena integration does; `publish_legacy_cur` delivers either.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tempfile
import zipfile
from datetime import UTC, datetime
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
import pyarrow as pa

from tests.local_clouds.cur2_files import write_csv_gz, write_parquet
from tests.local_clouds.cur2_vocabulary import DATA
from tests.local_clouds.exports import PublishedDelivery
from tests.local_clouds.sustainability_data import add_months, month_start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.local_clouds.exports import Store

    Mode = Literal["create-new", "overwrite", "athena"]
    Format = Literal["gzip", "zip", "parquet"]

ACCOUNT = "111122223333"
EXTENSIONS = {"gzip": "csv.gz", "zip": "csv.zip", "parquet": "snappy.parquet"}
LONGEST_NAME = 128
LEGACY_TIME = "%Y-%m-%dT%H:%M:%SZ"
#: The headers of each tag. Where there are two, rows take turns, and the naming rule makes one name of them.
TAGS = {
    "user_name": ("user:Name",),
    "user_cost_center": ("user:cost-center", "user:Cost Center"),
    "user_owner": ("user:Owner",),
    "aws_created_by": ("aws:createdBy",),
}
_COMPRESSIONS = {"gzip": "GZIP", "zip": "ZIP", "parquet": "Parquet"}
_CATEGORIES = {
    "bill": "bill",
    "cost_category": "costCategory",
    "discount": "discount",
    "identity": "identity",
    "line_item": "lineItem",
    "pricing": "pricing",
    "product": "product",
    "reservation": "reservation",
    "savings_plan": "savingsPlan",
    "split_line_item": "splitLineItem",
}
#: Their names begin with a small letter.
_LOWER_CATEGORIES = {"pricing", "product"}
#: What CUR 2.0 brought.
_NOT_IN_LEGACY = {"bill_payer_account_name", "line_item_usage_account_name", "resource_tags", "tags"}


@cache
def _listed() -> list[dict[str, str]]:
    with (DATA / "legacy_cur_columns.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def legacy_table(
    lines: pa.Table,
    *,
    tags: Mapping[str, Sequence[str]] = TAGS,
    savings_plan_arn: str = "SavingsPlanARN",
    headers: Sequence[str] | None = None,
) -> pa.Table:
    """The rows of a CUR 2.0 table under the headers of legacy CUR, in the same order.

    Columns without any value are left out, as a month has the columns of what was used and tagged in it.

    Args:
        lines: From `cur2_table`.
        tags: The headers of each tag, by its key in CUR 2.0; tags that are not named are not activated.
        savings_plan_arn: How the header of the savings plan's ARN is spelled.
        headers: Which columns the month has, where that is known; null where these rows have nothing.
    """
    frame = pl.DataFrame(pl.from_arrow(lines))
    columns: dict[str, pl.Expr] = {}
    for row in _listed():
        name, header = row["parquet_name"], row["csv_header"]
        given = name in frame.columns
        columns[header] = pl.col(name) if given else _member("product", name.removeprefix("product_"))
    columns[f"savingsPlan/{savings_plan_arn}"] = columns.pop("savingsPlan/SavingsPlanARN")
    others = {_header(name): pl.col(name) for name in frame.columns if name not in _NOT_IN_LEGACY}
    for map_column in ("product", "discount", "cost_category"):
        del others[_header(map_column)]
        keys = sorted(lines[map_column].combine_chunks().keys.unique().to_pylist())
        others |= {_header(f"{map_column}_{key}"): _member(map_column, key) for key in keys}
    taken = {cur_name(header) for header in (*columns, "savingsPlan/SavingsPlanARN")}
    columns |= {header: value for header, value in others.items() if cur_name(header) not in taken}
    for key, spellings in tags.items():
        for turn, header in enumerate(spellings):
            its_turn = pl.int_range(pl.len()) % len(spellings) == turn
            columns[f"resourceTags/{header}"] = pl.when(its_turn).then(_member("resource_tags", key))
    if headers is not None:
        return _arrow(
            frame.select(columns.get(header, pl.lit(None, pl.String())).alias(header) for header in headers)
        )
    table = frame.select(value.alias(header) for header, value in columns.items())
    empty = [name for name in table.columns if table[name].null_count() == table.height and table.height]
    return _arrow(table.drop(empty))


def cur_name(header: str) -> str:
    """The naming rule of the Athena integration, letter by letter, for names that are not over-long."""
    name = ""
    for letter in header:
        plain = letter.isascii() and letter.isalnum()
        name += f"_{letter.lower()}" if letter.isupper() and plain else letter if plain else "_"
    return "_".join(part for part in name.split("_") if part)


def parquet_form(table: pa.Table, *, longest: int = LONGEST_NAME) -> pa.Table:
    """The same rows under Parquet names; over-long names lose underscores, and equal ones become one column.

    Args:
        table: From `legacy_table`.
        longest: How many characters a name may have.
    """
    frame = pl.DataFrame(pl.from_arrow(table))
    merged: dict[str, list[str]] = {}
    for header in frame.columns:
        name = cur_name(header)
        name = name.replace("_", "", max(0, len(name) - longest))
        merged.setdefault(name, []).append(header)
    columns = [pl.coalesce(headers).alias(name) for name, headers in merged.items()]
    return _arrow(frame.select(columns))


def write_csv_zip(
    table: pa.Table,
    path: Path,
    *,
    members: Sequence[str] = ("report.csv",),
    time_format: str = LEGACY_TIME,
) -> None:
    """Write one zip: rows are spread over the members, each of which has the header."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in zip(members, _parts(table, len(members)), strict=True):
            frame = pl.DataFrame(pl.from_arrow(part))
            archive.writestr(name, frame.write_csv(datetime_format=time_format))


def publish_legacy_cur(
    store: Store,
    *,
    report: str,
    period: str,
    data: pa.Table,
    assembly_id: str,
    prefix: str = "billing",
    mode: Mode = "create-new",
    format: Format = "gzip",  # noqa: A002 - the word of the service
    chunks: int = 2,
    members: Sequence[str] = ("report.csv",),
    time_format: str = LEGACY_TIME,
    longest_name: int = LONGEST_NAME,
    month_folder: str | None = None,
    delivered_at: datetime | None = None,
    manifest: Mapping[str, Any] | None = None,
) -> PublishedDelivery:
    """Deliver one month: the data files first, the manifests last, and what lies beside them.

    Args:
        store: Where to.
        report: Name of the report.
        period: Billing period, `YYYY-MM`.
        data: From `legacy_table`.
        assembly_id: The id of this delivery: a UUID, or a time such as `20210129T123456Z`.
        prefix: Key prefix of the report; if it is empty, keys begin with a slash.
        mode: `create-new` keeps the files of each delivery; `overwrite` reuses their names and empties the
            files of an earlier delivery that had more of them; `athena` does so with Parquet.
        format: `gzip` or `zip` for CSV; `athena` is always Parquet.
        chunks: Number of files; rows are split evenly.
        members: Names of the CSV files in each zip.
        time_format: Text form of times in CSV.
        longest_name: How long a column's name may be in Parquet.
        month_folder: The folder of the month where it is spelled otherwise.
        delivered_at: When; default now. Nothing in the store depends on it.
        manifest: Members that replace those of the manifest.
    """
    start = month_start(period)
    bounds = {"start": f"{start:%Y%m%d}", "end": f"{add_months(start, 1):%Y%m%d}"}
    base = f"{prefix}/{report}"
    if mode == "athena":
        month = f"{base}/{report}/{month_folder or f'year={start.year}/month={start.month}'}/"
        format = "parquet"  # noqa: A001 - as above
    else:
        month = f"{base}/{month_folder or '{start}-{end}'.format(**bounds)}/"
    folder = f"{month}{assembly_id}/" if mode == "create-new" else month
    table = parquet_form(data, longest=longest_name) if format == "parquet" else data
    sizes = {}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "chunk"
        for number, part in enumerate(_parts(table, chunks), start=1):
            _write(part, path, format, members, time_format)
            key = f"{folder}{report}-{number if format != 'parquet' else f'{number:05}'}.{EXTENSIONS[format]}"
            sizes[key] = path.stat().st_size
            store.put(key, path)
    if mode != "create-new":
        for key in store.keys(folder):
            if key.endswith(EXTENSIONS[format]) and key not in sizes:
                store.put(key, b"")
    content = {
        "assemblyId": assembly_id,
        "account": ACCOUNT,
        "columns": [_manifest_column(header, format) for header in data.column_names],
        "charset": "UTF-8",
        "compression": _COMPRESSIONS[format],
        "contentType": "text/csv",
        "reportId": hashlib.sha256(report.encode()).hexdigest(),
        "reportName": report,
        "billingPeriod": {name: f"{day}T000000.000Z" for name, day in bounds.items()},
        "bucket": store.bucket,
        "reportKeys": list(sizes),
        "additionalArtifactKeys": _put_siblings(store, folder, f"{base}/{report}/", report, mode),
    }
    for place in dict.fromkeys((folder, month)):
        text = json.dumps(content | dict(manifest or {}), indent=1)
        store.put(f"{place}{report}-Manifest.json", text.encode())
    at = delivered_at or datetime.now(UTC)
    manifest_key = f"{month}{report}-Manifest.json"
    return PublishedDelivery(manifest_key, tuple(sizes), assembly_id, table.num_rows, sum(sizes.values()), at)


def _write(part: pa.Table, path: Path, kind: Format, members: Sequence[str], time_format: str) -> None:
    if kind == "parquet":
        write_parquet(part, path)
    elif kind == "zip":
        write_csv_zip(part, path, members=members, time_format=time_format)
    else:
        write_csv_gz(part, path, time_format=time_format)


def _manifest_column(header: str, kind: Format) -> dict[str, str]:
    """Of Parquet in the form of a public manifest, whose names are those of the columns."""
    category, _, name = header.partition("/")
    if kind == "parquet":
        return {"category": category, "name": cur_name(header), "type": "STRING"}
    kinds = {row["csv_header"]: row["manifest_type"] for row in _listed()}
    return {"category": category, "name": name, "type": kinds.get(header) or "OptionalString"}


def _put_siblings(store: Store, folder: str, tables: str, report: str, mode: Mode) -> list[dict[str, str]]:
    """Put what lies beside the data; give what the manifest names of it."""
    if mode == "athena":
        place = "cost_and_usage_data_status"
        status = io.BytesIO()
        pl.DataFrame({"status": ["READY"]}).write_parquet(status)
        store.put(f"{tables}{place}/{place}.parquet", status.getvalue())
        store.put(f"{folder}{report}-create-table.sql", b"CREATE EXTERNAL TABLE x (y STRING);\n")
        store.put(f"{tables}crawler-cfn.yml", b"Resources: {}\n")
        return []
    contents = {
        "RedshiftCommands": (f"{folder}{report}-RedshiftCommands.sql", b"copy x from y;\n"),
        "RedshiftManifest": (f"{folder}{report}-RedshiftManifest.json", b'{"entries": []}'),
    }
    for key, content in contents.values():
        store.put(key, content)
    return [{"artifactType": kind, "name": key} for kind, (key, _) in contents.items()]


def _parts(table: pa.Table, count: int) -> Iterator[pa.Table]:
    cuts = [table.num_rows * part // count for part in range(count + 1)] if count else []
    return (table.slice(low, high - low) for low, high in pairwise(cuts))


def _header(name: str) -> str:
    """A header that the naming rule makes this name of."""
    for prefix, category in _CATEGORIES.items():
        if name.startswith(f"{prefix}_"):
            head, *rest = name.removeprefix(f"{prefix}_").split("_")
            first = head if category in _LOWER_CATEGORIES else head.capitalize()
            return f"{category}/{first}{''.join(part.capitalize() for part in rest)}"
    return name


def _arrow(frame: pl.DataFrame) -> pa.Table:
    table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
    return table.cast(pa.schema([(field.name, _plain(field.type)) for field in table.schema]))


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.string() if pa.types.is_large_string(kind) else kind


def _member(column: str, key: str) -> pl.Expr:
    return pl.col(column).map.get(key)
