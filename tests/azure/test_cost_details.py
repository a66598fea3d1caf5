"""Rows of cost exports: those of the files, to the last digit, whatever the agreement and the format."""

from __future__ import annotations

import csv
import gzip
import io
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from tests.azure.shelf import Shelf, made
from tests.azure.truth import cost_column, cost_rows, wrong_values
from tests.local_clouds.azure_cost_csv import columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    Row = dict[str, Any]

SAMPLES = Path(__file__).parent / "samples"
STREAM = "cost_details"
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
#: What a file must have at least.
LEAST = {"Date": "09/04/2026", "Cost": "1.5"}


def lines_of(shelf: Shelf, *parts: Any, of: str = "actual", **options: Any) -> list[Row]:
    """What the tap makes of the files of a run."""
    shelf.deliver(of, *parts, **options)
    return shelf.read(of, select=(STREAM,)).records(STREAM)


def text(rows: Sequence[dict[str, str]], bom: str = BOM) -> bytes:
    """Rows as a CSV file."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return (bom + file.getvalue()).encode()


@cache
def known_columns() -> set[str]:
    return {cost_column(header) for agreement in ("ea", "mca") for header in columns(agreement)}


def test_no_header_could_be_two_columns() -> None:
    text = (
        resources.files("tap_offgridflow_azure").joinpath("data/cost_details_columns.csv").read_text("utf-8")
    )
    spellings = [
        spelling.replace("_", "").lower()
        for row in csv.DictReader(text.splitlines())
        for spelling in (row["name"], *filter(None, row["aliases"].split(";")))
    ]
    assert len(spellings) > 90
    assert len(set(spellings)) == len(spellings)


@pytest.mark.parametrize("form", ["csv", "gzip", "parquet"])
@pytest.mark.parametrize("agreement", ["ea", "mca"])
@pytest.mark.parametrize("kind", ["actual", "amortized"])
def test_rows_are_those_of_the_files(shelf: Shelf, kind: str, agreement: str, form: Any) -> None:
    parts = [made(kind, 150, seed, variant=agreement) for seed in (1, 2)]
    delivery = shelf.deliver(kind, *parts, form=form)
    records = shelf.read(kind, select=(STREAM,)).records(STREAM)
    metric = {"actual": "ActualCost", "amortized": "AmortizedCost"}[kind]
    rows = [row for key in delivery.data_keys for row in cost_rows(shelf.path(key), metric)]
    assert len(rows) == 300
    assert wrong_values(records, rows) == []
    of_other_agreements = known_columns() - set(rows[0])
    assert {record[name] for record in records for name in of_other_agreements} == {None}
    assert {record["extra"] for record in records} == {None}
    assert [(record["file_ordinal"], record["row_number"]) for record in records] == [
        (file, row) for file in (1, 2) for row in range(1, 151)
    ]


@pytest.mark.parametrize("name", ["EA_ActualCost_Small", "EA_AmortizedCost_Small", "EnterpriseCamel", "BOM"])
@pytest.mark.parametrize("form", ["csv", "gzip"])
def test_the_public_samples_are_read_as_they_are(shelf: Shelf, name: str, form: Any) -> None:
    content = (SAMPLES / f"{name}.csv").read_bytes()
    records = lines_of(shelf, gzip.compress(content) if form == "gzip" else content, form=form)
    rows = cost_rows(SAMPLES / f"{name}.csv")
    assert rows
    assert wrong_values(records, rows) == []
    assert {record["extra"] for record in records} == {None}


def test_records_that_lack_a_field_are_refused_and_read_without_its_header(
    shelf: Shelf, tmp_path: Path
) -> None:
    """One of the samples names a column more than its records have."""
    content = (SAMPLES / "Template.csv").read_bytes()
    shelf.deliver("actual", content)
    run = shelf.run("actual", select=(STREAM,))
    assert run.exit_code == 1
    assert "row 1 has 10 fields, the header has 11" in run.stderr
    whole = tmp_path / "whole.csv"
    whole.write_bytes(content.replace(b",resourcelocation\r\n", b"\r\n", 1))
    records = lines_of(shelf, whole.read_bytes())
    assert len(records) == 87
    assert wrong_values(records, cost_rows(whole)) == []


def test_a_file_with_a_header_only_is_a_delivery_without_rows(shelf: Shelf) -> None:
    shelf.deliver("actual", (SAMPLES / "EA_NoRows.csv").read_bytes())
    run = shelf.read("actual")
    assert run.records(STREAM) == []
    assert [row["rows"] for row in run.records("deliveries")] == [0]


def test_parts_of_a_run_may_be_of_different_formats_and_agreements(shelf: Shelf) -> None:
    parts = [made("actual", 20, 1, variant=agreement) for agreement in ("ea", "mca", "ea")]
    delivery = shelf.deliver("actual", *parts, forms=("csv", "gzip", "parquet"))
    records = shelf.read("actual", select=(STREAM,)).records(STREAM)
    rows = [row for key in delivery.data_keys for row in cost_rows(shelf.path(key))]
    assert wrong_values(records, rows) == []


def test_decimals_of_parquet_keep_fifteen_digits(shelf: Shelf) -> None:
    frame = made("actual", 50).with_columns(
        pl.col("Cost", "Quantity", "EffectivePrice", "UnitPrice", "PayGPrice").cast(pl.Decimal(38, 18))
    )
    delivery = shelf.deliver("actual", frame, form="parquet")
    records = shelf.read("actual", select=(STREAM,)).records(STREAM)
    assert wrong_values(records, cost_rows(shelf.path(delivery.data_keys[0]))) == []


@pytest.mark.parametrize(
    "number",
    ["0.0000045", "4.5E-06", "123456789012.345", "-0.012345678901234", "0", "1e3", "0.100000000000000000"],
)
def test_numbers_are_read_however_they_are_written(shelf: Shelf, number: str) -> None:
    (record,) = lines_of(shelf, text([LEAST | {"Cost": number, "Quantity": number}]))
    assert record["cost_in_billing_currency"] == record["quantity"] == float(number)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("09/04/2026", "2026-09-04"),
        ("9/4/2026", "2026-09-04"),
        ("9/4/26", "2026-09-04"),
        ("2026-09-04", "2026-09-04"),
        ("2026-09-04T00:00:00Z", "2026-09-04"),
        ("12/11/2026", "2026-12-11"),
        ("NULL", None),
        ("", None),
    ],
)
def test_dates_of_the_united_states_and_of_iso_are_days(shelf: Shelf, written: str, read: str | None) -> None:
    """Where day and month could be either, the month comes first."""
    (record,) = lines_of(shelf, text([LEAST | {"Date": written, "ExchangeRateDate": written}]))
    expected = read and f"{read}T00:00:00.000000+00:00"
    assert record["date"] == record["exchange_rate_date"] == expected


@pytest.mark.parametrize("written", ["31/01/2026", "2026-13-01", "yesterday"])
def test_what_is_no_date_is_an_error_and_never_nothing(shelf: Shelf, written: str) -> None:
    shelf.deliver("actual", text([LEAST, LEAST | {"Date": written}]))
    run = shelf.run("actual", select=(STREAM, "deliveries"))
    assert run.exit_code == 1
    assert "a file that cannot be read" in run.stderr
    assert "part_0_0001.csv" in run.stderr
    assert run.records("deliveries") == []


@pytest.mark.parametrize(
    ("written", "tags"),
    [
        ('"env": "prod","team": "a"', {"env": "prod", "team": "a"}),
        ('{"env": "prod"}', {"env": "prod"}),
        ('{ "a:b": "c, d" }', {"a:b": "c, d"}),
        ('"said": "\\"hi\\", \\u00e4\\n"', {"said": '"hi", ä\n'}),
        ('"env": ""', {"env": ""}),
        ("{}", {}),
        ("", None),
        ("NULL", None),
    ],
)
def test_tags_are_objects_with_braces_and_without(shelf: Shelf, written: str, tags: Any) -> None:
    (record,) = lines_of(shelf, text([LEAST | {"Tags": written}]))
    assert record["tags"] == tags


def test_additional_info_stays_as_it_is(shelf: Shelf) -> None:
    texts = ['{"VCPUs": 4, "x": [1]}', '"VCPUs": 4', "free text", "9/4/2026", ""]
    records = lines_of(shelf, text([LEAST | {"AdditionalInfo": one} for one in texts]))
    assert [record["additional_info"] or "" for record in records] == texts


@pytest.mark.parametrize(
    "headers",
    [
        ("SubscriptionId", "ResourceGroup", "Date", "Cost", "Tags"),
        ("subscriptionid", "resourcegroupname", "date", "costinbillingcurrency", "tags"),
        ("SUBSCRIPTIONID", "resourceGroupName", "DATE", "costInBillingCurrency", "TAGS"),
        ("SubscriptionGuid", "ResourceGroup", "UsageDateTime", "PreTaxCost", "Tags"),
        ("Abonnement-GUID (SubscriptionGuid)", "Ressourcengruppe (ResourceGroup)",
         "UsageDateTime (UsageDateTime)", "PreTaxCost (PreTaxCost)", "Kategorien (Tags)"),
        ("Subscription Guid", "Resource Group", "Usage Date", "Cost", "Tags"),
    ],
    ids=["enterprise", "lower case", "mixed case", "pay as you go", "German", "with blanks"],
)  # fmt: skip
@pytest.mark.parametrize("bom", ["", BOM], ids=["without a mark", "with a mark"])
def test_headers_of_all_agreements_and_languages_are_the_same_columns(
    shelf: Shelf, headers: tuple[str, ...], bom: str
) -> None:
    values = ("the-id", "the-group", "09/04/2026", "1.25", '"env": "prod"')
    (record,) = lines_of(shelf, text([dict(zip(headers, values, strict=True))], bom))
    names = ("subscription_id", "resource_group_name", "date", "cost_in_billing_currency", "tags")
    assert tuple(record[name] for name in names) == (
        *("the-id", "the-group", "2026-09-04T00:00:00.000000+00:00", 1.25),
        {"env": "prod"},
    )
    assert record["extra"] is None


def test_columns_that_are_not_known_are_kept_under_their_own_names(shelf: Shelf) -> None:
    row = LEAST | {"Neue Spalte (NewColumn)": "a", "x_Thing": "1", "Anything (else)": "", "": "b"}
    (record,) = lines_of(shelf, text([row]))
    assert record["extra"] == {
        "Neue Spalte (NewColumn)": "a", "x_Thing": "1", "Anything (else)": None, "": "b"
    }  # fmt: skip


@pytest.mark.parametrize(
    "order", [("PreTaxCost", "CostInBillingCurrency"), ("CostInBillingCurrency", "PreTaxCost")]
)
def test_of_two_headers_of_one_column_the_one_of_its_name_counts_and_both_are_kept(
    shelf: Shelf, order: tuple[str, str]
) -> None:
    costs = {"PreTaxCost": "1", "CostInBillingCurrency": "2"}
    (record,) = lines_of(shelf, text([{"Date": "09/04/2026"} | {name: costs[name] for name in order}]))
    assert record["cost_in_billing_currency"] == 2
    assert record["extra"] == {"PreTaxCost": "1"}


def test_a_header_that_comes_twice_loses_nothing(shelf: Shelf) -> None:
    content = (BOM + "Date,Cost,Cost,Term,Term\n09/04/2026,1,2,12,36\n").encode()
    (record,) = lines_of(shelf, content)
    assert (record["cost_in_billing_currency"], record["term"]) == (1, "12")
    assert record["extra"] == {"Cost_2": "2", "Term_2": "36"}


def test_a_header_called_as_the_metric_does_not_replace_it(shelf: Shelf) -> None:
    (record,) = lines_of(shelf, text([LEAST | {"Metric": "of the file"}]), of="amortized")
    assert (record["metric"], record["extra"]) == ("AmortizedCost", {"Metric": "of the file"})


@pytest.mark.parametrize(("missing", "named"), [("Date", "date"), ("Cost", "cost_in_billing_currency")])
def test_missing_columns_are_named_before_the_first_row(shelf: Shelf, missing: str, named: str) -> None:
    row = LEAST | {"Quantity": "1"}
    del row[missing]
    shelf.deliver("actual", text([row]))
    run = shelf.run("actual", select=(STREAM, "deliveries"))
    assert run.exit_code == 1
    assert f"no column {named}." in run.stderr
    assert run.records(STREAM) == run.records("deliveries") == []


@pytest.mark.parametrize(
    ("export_type", "kind", "metric"),
    [
        ("actual", "ActualCost", "ActualCost"),
        ("actual", "Usage", "ActualCost"),
        ("amortized", "AmortizedCost", "AmortizedCost"),
    ],
)
def test_rows_say_which_cost_they_are(shelf: Shelf, export_type: str, kind: str, metric: str) -> None:
    (record,) = lines_of(shelf, text([LEAST]), of=export_type, kind=kind)
    assert record["metric"] == metric
