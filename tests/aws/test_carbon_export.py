"""The carbon export: every model version kept, the newest one told, and the same facts as the API's."""

from __future__ import annotations

import gzip
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from tests.aws import truth
from tests.aws.shelf import Shelf, emitted, plain
from tests.export_files import sums
from tests.local_clouds.carbon_export import PARTITIONS, PAYER, TIMES, carbon_columns, carbon_table
from tests.local_clouds.sustainability import EMISSIONS_TYPES, SourceRow, demo_emissions

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run, State
    from tests.local_clouds.sustainability import SustainabilityServer

    Row = dict[str, Any]

STREAM = "carbon_export"
SELECT = (STREAM, "deliveries")
EMISSIONS = ("activities",)
MONTH = "2026-08"
ACCOUNTS = ("111122223333", "012345678901")
REGIONS = ("us-east-1", "eu-central-1")
SERVICES = ("AmazonEC2", "AmazonS3", "AmazonCloudFront", "Other")


@pytest.fixture
def shelf(tmp_path: Path, tap_config: Config, run_tap: RunTap) -> Shelf:
    return Shelf(tmp_path / "bucket", tap_config, run_tap)


def months_of(*months: str, seed: int = 3, version: str = "v3.0.1") -> dict[str, list[SourceRow]]:
    return demo_emissions(months or (MONTH,), ACCOUNTS, REGIONS, SERVICES, seed, model_version=version)


def table(seed: int = 3, version: str = "v3.0.1", width: Any = 23, month: str = MONTH) -> pa.Table:
    return carbon_table(month, months_of(month, seed=seed, version=version)[month], width=width)


def facts(records: Iterable[Row]) -> dict[str, tuple[Any, ...]]:
    """What an activity says, by its id, apart from where it was read."""
    apart = {"id", "source", "import_batch_id", "metadata"}
    return {
        record["id"]: tuple(value for name, value in sorted(record.items()) if name not in apart)
        for record in records
        if record["activity_type"] == "emissions"
    }


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("width", [11, 13, 23])
def test_rows_are_those_of_the_file_and_columns_it_lacks_are_null(
    shelf: Shelf, width: Any, form: str
) -> None:
    data = table(width=width)
    shelf.carbon(MONTH, data, format=form)
    records = shelf.read("carbon", select=SELECT).records(STREAM)
    for record, row in zip(records, data.to_pylist(), strict=True):
        for name in carbon_columns():
            assert truth.same(record[name], plain(row.get(name))), name
    assert {record["extra"] for record in records} == {None}


@pytest.mark.parametrize("text", TIMES)
def test_times_are_understood_in_every_spelling(shelf: Shelf, text: str) -> None:
    shelf.carbon(MONTH, table(), time_format=text)
    records = shelf.read("carbon", select=SELECT).records(STREAM)
    times = {(r["usage_period_start"], r["usage_period_end"], r["last_refresh_timestamp"]) for r in records}
    assert times == {tuple(f"2026-{day}T00:00:00.000000+00:00" for day in ("08-01", "09-01", "09-15"))}


@pytest.mark.parametrize("partition", [*PARTITIONS, "Carbon_Model_Version", "MODEL_VERSION"])
def test_partitions_are_found_in_every_spelling(shelf: Shelf, partition: str) -> None:
    shelf.carbon(MONTH, table(), partition=partition)
    run = shelf.read("carbon", select=SELECT)
    assert {record["billing_period"] for record in run.records(STREAM)} == {MONTH}
    assert [row["model_version"] for row in run.records("deliveries")] == ["v3.0.1"]


def test_every_model_version_is_kept(shelf: Shelf) -> None:
    for version, seed in {"v3.0.0": 1, "v3.0.1": 2, "v2.1.0": 3}.items():
        shelf.carbon(MONTH, table(seed, version), model_version=version)
    run = shelf.read("carbon", select=SELECT)
    shown = sums(run.records(STREAM), ["model_version"], "total_mbm_emissions_value")
    assert shown == {
        (version,): sum(row.values[EMISSIONS_TYPES[1]] for row in months_of(seed=seed)[MONTH])
        for version, seed in {"v3.0.0": 1, "v3.0.1": 2, "v2.1.0": 3}.items()
    }
    assert {row["model_version"] for row in run.records("deliveries")} == {"v3.0.0", "v3.0.1", "v2.1.0"}


def test_versions_that_one_execution_delivered_have_rows_of_their_own(shelf: Shelf) -> None:
    for version in ("v2.1.0", "v3.0.1"):
        shelf.carbon(MONTH, table(version=version), model_version=version, execution_id="the-same")
    run = shelf.read("carbon", select=SELECT)
    records = run.records(STREAM)
    assert len(records) == len({truth.place_of(record) for record in records})
    told = run.records("deliveries")
    assert len({(r["export_name"], r["billing_period"], r["delivery_id"]) for r in told}) == 2


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_activities_are_the_apis_of_the_same_rows_id_by_id(
    shelf: Shelf, sustainability: SustainabilityServer, form: str
) -> None:
    months = months_of("2026-07", MONTH)
    sustainability.set_months(months)
    from_api = shelf.read(select=EMISSIONS).records("activities")
    for month, rows in months.items():
        shelf.carbon(month, carbon_table(month, rows), format=form)
    from_export = shelf.read("carbon", select=EMISSIONS).records("activities")
    assert facts(from_export) == facts(from_api)
    assert len(facts(from_export)) == 5 * sum(map(len, months.values())) == len(from_export)
    assert {record["source"] for record in from_export} == {"aws_carbon_export"}


@pytest.mark.parametrize(
    ("region_code", "location"),
    [("Global", "Global"), ("global", "Global"), (None, "Global"), ("", "Global"), ("Global", None)],
)
def test_what_is_global_is_so_however_the_export_says_it(
    shelf: Shelf, sustainability: SustainabilityServer, region_code: str | None, location: str | None
) -> None:
    rows = [emitted("0.5", "Global")]
    sustainability.set_month(MONTH, rows)
    from_api = shelf.read(select=EMISSIONS).records("activities")
    spelled = carbon_table(MONTH, rows).to_pylist()
    data = carbon_table(MONTH, rows)
    for name, value in {"region_code": region_code, "location": location}.items():
        data = data.set_column(data.column_names.index(name), name, [[value] * len(spelled)])
    shelf.carbon(MONTH, data, format="parquet")
    from_export = shelf.read("carbon", select=EMISSIONS).records("activities")
    assert {record["region"] for record in from_export} == {"global"}
    assert set(facts(from_export)) == set(facts(from_api))


@pytest.mark.parametrize(
    "versions",
    [
        ("v3.0.0", "v3.0.1"),
        ("v3.0.9", "v3.0.10"),
        ("v9.0.0", "v10.0.0"),
        ("v3.0.1-beta", "v3.0.1"),
        ("v3.1", "v3.1.1"),
        ("2.9.9", "v3.0.0"),
    ],
)
@pytest.mark.parametrize("newest_last", [True, False], ids=["in order", "out of order"])
def test_activities_are_of_the_newest_version_only_as_versions_sort(
    shelf: Shelf,
    versions: tuple[str, str],
    newest_last: bool,  # noqa: FBT001 - which is delivered last
) -> None:
    for version in versions if newest_last else reversed(versions):
        value = "0.25" if version == versions[-1] else "99"
        rows = [emitted(value)]
        shelf.carbon(MONTH, carbon_table(MONTH, rows, model_version=version), model_version=version)
    records = shelf.read("carbon", select=EMISSIONS).records("activities")
    assert {(r["model_version"], r["quantity"]) for r in records} == {(versions[-1], 250.0)}
    assert len(records) == 5


def test_a_new_version_replaces_the_activities_of_the_months_that_it_has(shelf: Shelf) -> None:
    for month in ("2026-07", MONTH):
        shelf.carbon(month, table(1, "v2.1.0", month=month), model_version="v2.1.0")
    first = shelf.read("carbon", select=(*SELECT, *EMISSIONS))
    shelf.carbon(MONTH, table(2, "v3.0.1"), model_version="v3.0.1")
    second = shelf.read("carbon", select=(*SELECT, *EMISSIONS), state=first.state)
    old, new = (facts(run.records("activities")) for run in (first, second))
    assert set(new) < set(old)
    assert {r["model_version"] for r in second.records("activities")} == {"v3.0.1"}
    assert {r["period_start"][:7] for r in second.records("activities")} == {MONTH}
    assert {r["external_id"] for r in second.records("activities")} == {f"{a}/{MONTH}" for a in ACCOUNTS}
    assert len(second.records("deliveries")) == 1


def test_an_older_version_that_is_delivered_again_changes_no_activity(shelf: Shelf) -> None:
    for version in ("v2.1.0", "v3.0.1"):
        shelf.carbon(MONTH, table(1, version), model_version=version)
    first = shelf.read("carbon", select=(*SELECT, *EMISSIONS))
    shelf.carbon(MONTH, table(2, "v2.1.0"), model_version="v2.1.0")
    second = shelf.read("carbon", select=(*SELECT, *EMISSIONS), state=first.state)
    assert second.records("activities") == []
    assert {record["model_version"] for record in second.records(STREAM)} == {"v2.1.0"}
    assert [row["model_version"] for row in second.records("deliveries")] == ["v2.1.0"]


@pytest.mark.parametrize("old_first", [True, False])
def test_of_two_exports_of_a_payer_the_newest_version_of_a_month_is_told(
    shelf: Shelf,
    old_first: bool,  # noqa: FBT001 - in the settings
) -> None:
    """An export keeps its columns: whoever wants the new ones creates another beside it."""
    shelf.carbon(MONTH, carbon_table(MONTH, [emitted("99")]), model_version="v2.1.0", export="old")
    shelf.carbon(MONTH, carbon_table(MONTH, [emitted("0.25")]), model_version="v3.0.1", export="new")
    names = ("old", "new") if old_first else ("new", "old")
    exports = [{"type": "carbon", "url": shelf.url("exports", name)} for name in names]
    first = shelf.read(select=EMISSIONS, exports=exports)
    landed = {record["id"]: record["quantity"] for record in first.records("activities")}
    assert set(landed.values()) == {250.0}
    shelf.carbon(MONTH, carbon_table(MONTH, [emitted("98")]), model_version="v2.1.0", export="old")
    second = shelf.read(select=EMISSIONS, exports=exports, state=first.state)
    landed |= {record["id"]: record["quantity"] for record in second.records("activities")}
    assert set(landed.values()) == {250.0}


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        gzip.compress(b"", mtime=0),
        gzip.compress(",".join(carbon_columns()).encode() + b"\n", mtime=0),
    ],
    ids=["no rows in Parquet", "no bytes", "no bytes in gzip", "a header"],
)
def test_a_month_without_data_is_a_delivery_without_rows(shelf: Shelf, content: bytes | None) -> None:
    form = "parquet" if content is None else "csv"
    delivery = shelf.carbon(MONTH, carbon_table(MONTH, []), format=form)
    if content is not None:
        shelf.replace(delivery, 0, content)
    shelf.carbon("2026-09", table(month="2026-09"))
    run = shelf.read("carbon", select=(*SELECT, *EMISSIONS))
    assert {record["billing_period"] for record in run.records(STREAM)} == {"2026-09"}
    assert [(r["billing_period"], r["rows"]) for r in run.records("deliveries")] == [
        (MONTH, 0),
        ("2026-09", 12 + 2),
    ]
    assert {record["period_start"][:7] for record in run.records("activities")} == {"2026-09"}


def test_what_several_payers_are_told_of_an_account_is_one_fact(shelf: Shelf) -> None:
    """An account that moved in the middle of a month stands under both payers."""
    parts = [carbon_table(MONTH, [emitted("0.000123")], payer=payer) for payer in (PAYER, "444455556666")]
    shelf.carbon(MONTH, pa.concat_tables(parts))
    records = shelf.read("carbon", select=EMISSIONS).records("activities")
    assert [record["quantity"] for record in records] == [0.246] * 5


def told_by(shelf: Shelf, organisation: str, account: str, version: str, tonnes: str = "1") -> None:
    """Deliver an organisation's export with one account."""
    row = SourceRow(account, "us-east-1", "AmazonEC2", dict.fromkeys(EMISSIONS_TYPES, Decimal(tonnes)))
    data = carbon_table(MONTH, [row], model_version=version)
    shelf.carbon(MONTH, data, model_version=version, export=organisation)


def of_organisations(shelf: Shelf, state: State | None = None) -> Run:
    exports = [{"type": "carbon", "url": shelf.url("exports", name)} for name in ("org-a", "org-b")]
    return shelf.read(select=EMISSIONS, exports=exports, state=state)


def test_each_of_two_organisations_has_its_emissions_whichever_model_they_are_of(shelf: Shelf) -> None:
    """One has its month of the newer model already, the other not yet."""
    told_by(shelf, "org-a", ACCOUNTS[0], "v3.0.0")
    told_by(shelf, "org-b", ACCOUNTS[1], "v3.0.1")
    records = of_organisations(shelf).records("activities")
    assert Counter((row["account_id"], row["model_version"]) for row in records) == {
        (ACCOUNTS[0], "v3.0.0"): 5,
        (ACCOUNTS[1], "v3.0.1"): 5,
    }


@pytest.mark.parametrize(
    ("versions", "newer"), [(("v3.0.10", "v3.0.9"), "org-a"), (("v3.0.9", "v3.0.10"), "org-b")]
)
def test_an_account_that_two_exports_tell_of_is_taken_from_the_newer_model(
    shelf: Shelf, versions: tuple[str, str], newer: str
) -> None:
    """It moved to another organisation, or one organisation has two exports."""
    tonnes = dict(zip(("org-a", "org-b"), ("1", "2"), strict=True))
    for name, version in zip(tonnes, versions, strict=True):
        told_by(shelf, name, ACCOUNTS[0], version, tonnes[name])
    run = of_organisations(shelf)
    quantities = [row["quantity"] for row in run.records("activities")]
    assert quantities == [1000.0 * int(tonnes[newer])] * 5
    (left_out,) = [line for line in run.stderr.splitlines() if "left out here" in line]
    assert left_out.endswith(ACCOUNTS[0])
    older = next(name for name in tonnes if name != newer)
    told_by(shelf, older, ACCOUNTS[0], "v3.0.9", "4")
    assert of_organisations(shelf, run.state).records("activities") == []


@pytest.mark.parametrize("width", [11, 13])
def test_an_old_export_without_scopes_makes_no_activities_and_says_so(shelf: Shelf, width: Any) -> None:
    shelf.carbon(MONTH, table(width=width))
    run = shelf.read("carbon", select=(*SELECT, *EMISSIONS))
    assert run.records("activities") == []
    assert run.records(STREAM)
    assert "no emissions by scope" in run.stderr
    assert len(run.records("deliveries")) == 1


@pytest.mark.parametrize("way", ["null", "left out"])
def test_a_scope_that_is_not_there_takes_no_other_with_it(shelf: Shelf, way: str) -> None:
    """Which columns AWS fills is not documented, and a query may select some."""
    value, whole = "total_scope_1_emissions_value", table()
    nothing = pa.nulls(whole.num_rows, pa.float64())
    index = whole.schema.get_field_index(value)
    part = whole.set_column(index, value, nothing) if way == "null" else whole.drop_columns([value])
    shelf.carbon(MONTH, part)
    run = shelf.read("carbon", select=EMISSIONS)
    of_scopes = sums(run.records("activities"), ("scope", "accounting_method"), "quantity")
    assert set(of_scopes) == {
        (scope, method) for scope in (2, 3) for method in ("location_based", "market_based")
    }
    assert "no emissions by scope" not in run.stderr


def test_a_query_that_left_the_version_out_has_that_of_its_partition(shelf: Shelf) -> None:
    shelf.carbon(MONTH, table().drop_columns(["model_version"]))
    records = shelf.read("carbon", select=EMISSIONS).records("activities")
    assert {record["model_version"] for record in records} == {"v3.0.1"}


@pytest.mark.parametrize("missing", ["usage_account_id", "usage_period_start"])
def test_missing_columns_are_named_before_the_first_row(shelf: Shelf, missing: str) -> None:
    shelf.carbon(MONTH, table().drop_columns([missing]))
    run = shelf.run("carbon", select=SELECT)
    assert run.exit_code == 1
    assert f"no column {missing}." in run.stderr
    assert run.records(STREAM) == run.records("deliveries") == []


def test_the_consoles_report_is_not_taken_for_the_export(shelf: Shelf) -> None:
    delivery = shelf.carbon(MONTH, table())
    header = "usage_month,service,region,total_lbm_emissions,total_mbm_emissions,model_version"
    row = "2026-08,AmazonEC2,EU (Frankfurt),0.1,0.1,v3.0.1"
    shelf.replace(delivery, 0, gzip.compress(f"{header}\n{row}\n".encode()))
    run = shelf.run("carbon", select=(*SELECT, *EMISSIONS))
    assert run.exit_code == 1
    assert "no column usage_account_id, usage_period_start" in run.stderr
    assert run.records(STREAM) == run.records("activities") == []
