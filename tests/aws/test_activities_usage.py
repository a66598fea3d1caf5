"""Usage as activities: what counts, that it adds up, and what stays the same however often it is read."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import jsonschema
import pyarrow as pa
import pytest

from tests.aws.bench import EXPORT, LEAST, PERIOD, line_items
from tests.local_clouds.cur2 import ACCOUNTS, PAYER, cur2_table

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.aws.bench import Bench
    from tests.aws.driving import Message, Run

PHYSICAL = ("Usage", "DiscountedUsage", "SavingsPlanCoveredUsage")
MONEY_ONLY = (
    "Tax", "Credit", "Refund", "Fee", "RIFee", "SavingsPlanNegation", "SavingsPlanRecurringFee",
    "SavingsPlanUpfrontFee", "BundledDiscount", "SomethingNew", None,
)  # fmt: skip


def activities(bench: Bench, state: Any = None, **settings: Any) -> list[Message]:
    return run_of(bench, state, **settings).records("activities")


def run_of(bench: Bench, state: Any = None, **settings: Any) -> Run:
    return bench.read(state, select=["activities"], config=bench.config(**settings))


def usage(**columns: Any) -> Any:
    """Line items of which only these columns differ, with a unit and a currency."""
    rows = len(next(iter(columns.values())))
    given = {
        "bill_payer_account_id": [PAYER] * rows,
        "line_item_currency_code": ["USD"] * rows,
        "pricing_unit": ["Hrs"] * rows,
    }
    table = line_items(**(given | {name: values for name, values in columns.items() if name not in LEAST}))
    for name, values in columns.items():
        if name in LEAST:
            kind = table.schema.field(name).type
            table = table.set_column(table.column_names.index(name), name, pa.array(values, kind))
    return table


def summed(rows: Iterable[tuple[tuple[str, ...], list[Any]]]) -> dict[tuple[str, ...], list[Decimal]]:
    """Exact sums of the figures of each key."""
    sums: dict[tuple[str, ...], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * 3)
    for key, figures in rows:
        sums[key] = [total + Decimal(str(figure)) for total, figure in zip(sums[key], figures, strict=True)]
    return dict(sums)


def of_file(table: Any, start: str) -> dict[tuple[str, ...], list[Decimal]]:
    """Amount, cost and number of a file's usage by account, service, usage type and start."""
    return summed(
        (
            (
                row["line_item_usage_account_id"],
                row["line_item_product_code"],
                row["line_item_usage_type"],
                row["line_item_usage_start_date"].strftime(start),
            ),
            [row["line_item_usage_amount"], row["line_item_unblended_cost"], 1],
        )
        for row in table.to_pylist()
        if row["line_item_line_item_type"] in PHYSICAL
    )


def of_activities(records: list[Message]) -> dict[tuple[str, ...], list[Decimal]]:
    """The same of activities."""
    return summed(
        (
            (row["account_id"], row["service_code"], row["metadata"]["usage_type"], row["period_start"][:10]),
            [row["quantity"], row["cost"], row["metadata"]["line_items"]],
        )
        for row in records
    )


@pytest.mark.parametrize("grain", ["month", "day"])
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_usage_adds_up_to_the_file_by_account_service_and_usage_type(
    bench: Bench, kind: str, grain: str
) -> None:
    tables = {"2026-08": cur2_table(800, 3, "2026-08"), "2026-09": cur2_table(500, 4, "2026-09")}
    expected: dict[tuple[str, ...], list[Decimal]] = {}
    for month, table in tables.items():
        bench.publish(month, table, format=kind, chunks=3)
        expected |= of_file(table, "%Y-%m-%d" if grain == "day" else "%Y-%m-01")
    records = activities(bench, activity_grain=grain)
    found = of_activities(records)
    assert found.keys() == expected.keys()
    assert {key[0] for key in found} == set(ACCOUNTS)
    for key, sums in expected.items():
        for got, true in zip(found[key], sums, strict=True):
            assert abs(got - true) <= abs(true) * Decimal("1e-14")
    assert all(record["quantity"] >= 0 for record in records)
    assert len({record["id"] for record in records}) == len(records)


def test_only_physical_usage_counts(bench: Bench) -> None:
    kinds = [*PHYSICAL, *MONEY_ONLY]
    table = usage(
        line_item_line_item_type=kinds,
        line_item_usage_amount=[2.0**place for place in range(len(kinds))],
        line_item_unblended_cost=[10.0 * 2**place for place in range(len(kinds))],
    )
    bench.publish(PERIOD, table, chunks=1)
    (record,) = activities(bench)
    assert (record["quantity"], record["cost"]) == (7.0, 70.0)
    assert record["metadata"]["line_items"] == "3"


def test_what_is_told_of_an_instance_a_second_time_is_not_counted_again(bench: Bench) -> None:
    """Tasks and pods have their part of an instance, capacity that is reserved is used or is not."""
    lines: list[tuple[str, float, float, str | None]] = [
        ("BoxUsage:m5.large", 15, 1.5, ""),
        ("UnusedBox:m5.large", 5, 0.5, None),
        ("Reservation:m5.large", 20, 0, None),
        ("EUC1-DedicatedRes:m5.large", 20, 0, None),
        ("USE1-EKS-EC2-vCPU-Hours", 30, 0, "i-0123456789abcdef0"),
        ("Pod-Hours", 60, 0, "arn:aws:ec2:us-east-1:111122223333:instance/i-0123456789abcdef0"),
        ("ECS-EC2-GB-Hours", 60, 0, None),
        ("Fargate-GB-Hours", 8, 0.25, ""),
    ]
    types, amounts, costs, parents = zip(*lines, strict=True)
    table = usage(
        line_item_usage_type=list(types),
        line_item_usage_amount=list(amounts),
        line_item_unblended_cost=list(costs),
        split_line_item_parent_resource_id=list(parents),
    )
    bench.publish(PERIOD, table, chunks=1)
    found = {row["metadata"]["usage_type"]: (row["quantity"], row["cost"]) for row in activities(bench)}
    assert found == {
        "BoxUsage:m5.large": (15, 1.5),
        "UnusedBox:m5.large": (5, 0.5),
        "Fargate-GB-Hours": (8, 0.25),
    }


def test_the_free_tier_and_usage_of_nothing_are_kept(bench: Bench) -> None:
    table = usage(
        line_item_usage_type=["free", "none"],
        line_item_usage_amount=[750.0, 0.0],
        line_item_unblended_cost=[0.0, 0.0],
    )
    bench.publish(PERIOD, table, chunks=1)
    found = {row["metadata"]["usage_type"]: (row["quantity"], row["cost"]) for row in activities(bench)}
    assert found == {"free": (750.0, 0.0), "none": (0.0, 0.0)}


def test_a_group_that_is_negative_in_sum_is_reported_and_left_out(bench: Bench) -> None:
    table = usage(
        line_item_usage_type=["less", "less", "more", "more", "zero", "zero"],
        line_item_usage_amount=[1.0, -1.5, 4.0, -1.0, 0.3, -0.3],
    )
    bench.publish(PERIOD, table, chunks=3)
    run = run_of(bench)
    found = {row["metadata"]["usage_type"]: row["quantity"] for row in run.records("activities")}
    assert found == {"more": 3.0, "zero": 0.0}
    assert "1 of 3 groups of usage are negative in sum" in run.stderr


#: Columns of a line item, and the region and country of its activity.
REGIONS: list[tuple[dict[str, Any], str | None, str | None]] = [
    ({"product": {"region": "eu-west-1"}, "product_region_code": "us-east-1"}, "eu-west-1", "IRL"),
    ({"product": {"name": "x"}, "product_region_code": "eu-central-1"}, "eu-central-1", "DEU"),
    ({"product": {"region": ""}, "product_region_code": "eu-central-1"}, "eu-central-1", "DEU"),
    ({"product_region_code": "", "product_from_region_code": "us-west-2"}, "us-west-2", "USA"),
    ({"product_from_region_code": "us-west-2", "product_to_region_code": "eu-west-1"}, "us-west-2", "USA"),
    ({"product_to_region_code": "ap-southeast-2"}, "ap-southeast-2", "AUS"),
    ({"line_item_usage_type": "EUC1-DataTransfer-Out-Bytes"}, "eu-central-1", "DEU"),
    ({"line_item_usage_type": "EU-BoxUsage:m5.large"}, "eu-west-1", "IRL"),
    ({"line_item_usage_type": "USE1-EUC1-AWS-Out-Bytes"}, "us-east-1", "USA"),
    ({"line_item_usage_type": "APS2-X", "product": {"region": "us-east-1"}}, "us-east-1", "USA"),
    ({"line_item_usage_type": "BoxUsage:m5.large"}, None, None),
    ({"line_item_usage_type": "EU-Requests", "line_item_product_code": "AmazonCloudFront"}, None, None),
    ({"product": {"region": "global"}}, "global", None),
    ({"product": {"region": "Global"}}, "global", None),
    ({"product": {"region": "mars-north-1"}}, "mars-north-1", None),
]


def test_the_region_is_taken_from_the_first_that_names_one(bench: Bench) -> None:
    """Each case has an account of its own, so that it is found again."""
    names = {name for columns, _, _ in REGIONS for name in columns} - {"product"}
    arrays: dict[str, Any] = {
        name: [columns.get(name, LEAST.get(name)) for columns, _, _ in REGIONS] for name in names
    }
    maps = [columns.get("product") for columns, _, _ in REGIONS]
    arrays["product"] = pa.array(maps, pa.map_(pa.string(), pa.string()))
    accounts = [f"{number:012}" for number in range(len(REGIONS))]
    bench.publish(PERIOD, usage(line_item_usage_account_id=accounts, **arrays), chunks=1)
    records = {record["account_id"]: record for record in activities(bench)}
    assert {account: (row["region"], row["country"]) for account, row in records.items()} == {
        account: (region, country) for account, (_, region, country) in zip(accounts, REGIONS, strict=True)
    }
    assert {row["location"] for row in records.values() if row["country"] is None} == {"GLOBAL"}
    assert "GLOBAL" not in {row["location"] for row in records.values() if row["country"]}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"line_item_usage_amount": [float("nan")]}, "NaN"),
        ({"line_item_unblended_cost": [float("inf")]}, "inf"),
        ({"line_item_usage_amount": [1e30]}, "can't fit values"),
        ({"line_item_usage_start_date": [None]}, "usage that does not say when it began"),
    ],
    ids=["no number", "no end", "too large", "no time"],
)
def test_usage_that_cannot_be_summed_ends_its_export_with_a_message(
    wrong: dict[str, Any], message: str, bench: Bench
) -> None:
    good = bench.publish("2026-08", usage(line_item_usage_amount=[1.0]), chunks=1)
    bench.publish("2026-09", usage(**wrong), chunks=1)
    run = bench.run(select=["activities"])
    assert run.exit_code == 1
    batches = [row["import_batch_id"] for row in run.records("activities")]
    assert [batch.rpartition("/")[2] for batch in batches] == [good.execution_id]
    (line,) = [line for line in run.stderr.splitlines() if "summing the usage of" in line]
    assert message in line
    assert "2026-09" in line
    assert "class=fatal" in line
    assert "Traceback" not in run.stderr


def test_a_line_without_an_amount_is_no_usage(bench: Bench) -> None:
    bench.publish(PERIOD, usage(line_item_usage_amount=[None, 2.0, None]), chunks=1)
    (record,) = activities(bench)
    assert (record["quantity"], record["metadata"]["line_items"]) == (2.0, "1")


def test_global_and_no_region_are_not_the_same_and_one_place_in_two_spellings_is(bench: Bench) -> None:
    places = [
        {"region": "global"},
        {},
        {"region": "eu-west-1"},
        {"region": "EU (Ireland)"},
        {"region": "Global"},
    ]
    table = usage(product=pa.array(places, pa.map_(pa.string(), pa.string())))
    bench.publish(PERIOD, table, chunks=1)
    found = {record["region"]: record["quantity"] for record in activities(bench)}
    assert found == {"global": 2.0, None: 1.0, "eu-west-1": 2.0}


def test_what_cannot_be_mapped_is_named_once_in_a_warning_and_kept(bench: Bench) -> None:
    place = pa.array([{"region": "mars-north-1"}] * 3, pa.map_(pa.string(), pa.string()))
    table = usage(product=place, line_item_product_code=["AmazonNovelty", "AmazonNovelty", "AmazonEC2"])
    bench.publish("2026-08", table, chunks=3)
    bench.publish("2026-09", table, chunks=3)
    run = run_of(bench)
    novelty = [row for row in run.records("activities") if row["service_code"] == "AmazonNovelty"]
    assert {(row["category"], row["service_category"], row["quantity"]) for row in novelty} == {
        ("cloud_other", "Other", 2.0)
    }
    for word in ("mars-north-1", "AmazonNovelty"):
        assert sum(word in line for line in run.stderr.splitlines()) == 1


def test_a_csv_file_of_ones_own_adds_a_region(bench: Bench, tmp_path: Path) -> None:
    table = usage(line_item_usage_type=["MAN1-BoxUsage:m5.large"])
    bench.publish(PERIOD, table, chunks=1)
    assert activities(bench)[0]["region"] is None
    overrides = tmp_path / "own.csv"
    overrides.write_text(
        "kind,provider,key,aliases,country_iso3,offgridflow_location\n"
        "region,aws,mars-north-1,MAN1;Mars (North),DEU,EU-CENTRAL\n"
    )
    (record,) = activities(bench, mapping_overrides_path=str(overrides))
    assert (record["region"], record["country"], record["location"]) == ("mars-north-1", "DEU", "EU-CENTRAL")


def test_a_day_is_a_day_and_a_month_a_month_over_new_year(bench: Bench) -> None:
    moments = [datetime(2025, 12, 31, 23), datetime(2025, 12, 31, 1), datetime(2025, 12, 1)]  # noqa: DTZ001
    bench.publish("2025-12", usage(line_item_usage_start_date=moments), chunks=1)

    def periods(**settings: Any) -> list[tuple[str, str, float]]:
        found = activities(bench, start_date="2025-01-01", **settings)
        return [(row["period_start"][:13], row["period_end"][:13], row["quantity"]) for row in found]

    assert periods() == [("2025-12-01T00", "2026-01-01T00", 3.0)]
    assert sorted(periods(activity_grain="day")) == [
        ("2025-12-01T00", "2025-12-02T00", 1.0),
        ("2025-12-31T00", "2026-01-01T00", 2.0),
    ]


def test_usage_of_another_month_keeps_its_month_and_names_its_bill(bench: Bench) -> None:
    late = datetime(2026, 8, 31, 23)  # noqa: DTZ001 - as in the provider's files
    bench.publish("2026-08", usage(line_item_usage_start_date=[late]), chunks=1)
    bench.publish("2026-09", usage(line_item_usage_start_date=[late]), chunks=1)
    first, second = activities(bench)
    assert first["period_start"] == second["period_start"] == "2026-08-01T00:00:00.000000+00:00"
    assert first["external_id"] != second["external_id"]
    assert first["id"] != second["id"]


def test_units_are_focus_words_and_what_differs_in_unit_or_currency_is_not_added_up(bench: Bench) -> None:
    table = usage(
        pricing_unit=["Hrs", "Hours", "GB-Mo", None, "Hrs"],
        line_item_currency_code=["USD", "USD", "USD", "USD", "EUR"],
    )
    bench.publish(PERIOD, table, chunks=1)
    found = {(row["unit"], row["currency"]): row["quantity"] for row in activities(bench)}
    assert found == {
        ("Hours", "USD"): 2.0,
        ("GB-Months", "USD"): 1.0,
        (None, "USD"): 1.0,
        ("Hours", "EUR"): 1.0,
    }


def test_ids_stay_the_same_over_runs_orders_and_restatements(bench: Bench) -> None:
    table = cur2_table(600, 9, PERIOD)
    delivered = [bench.publish(PERIOD, table, chunks=2)]
    run = run_of(bench)
    first = by_id(run.records("activities"))
    assert without_batch(by_id(activities(bench))) == without_batch(first)
    reverse = table.take(list(range(table.num_rows - 1, -1, -1)))
    delivered.append(bench.publish(PERIOD, reverse, chunks=5, format="csv"))
    reordered = by_id(activities(bench, run.state))
    assert without_batch(reordered) == without_batch(first)
    delivered.append(bench.publish(PERIOD, pa.concat_tables([table, table]), chunks=2))
    doubled = by_id(activities(bench, run.state))
    assert doubled.keys() == first.keys()
    for key, record in first.items():
        assert doubled[key]["quantity"] == pytest.approx(2 * record["quantity"], rel=1e-14)
    for rows, delivery in zip((first, reordered, doubled), delivered, strict=True):
        (batch,) = {row["import_batch_id"] for row in rows.values()}
        assert batch.endswith(f"/{delivery.execution_id}")
    assert {(row["account_id"], row["external_id"]) for row in doubled.values()} == {
        (account, f"{PAYER}/{PERIOD}" if account == PAYER else f"{PAYER}/{account}/{PERIOD}")
        for account in ACCOUNTS
    }


def by_id(records: list[Message]) -> dict[str, Message]:
    found = {record["id"]: record for record in records}
    assert len(found) == len(records)
    return found


def without_batch(records: dict[str, Message]) -> dict[str, Message]:
    """Without what names the run and the delivery."""
    return {key: record | {"import_batch_id": None} for key, record in records.items()}


def test_a_payers_month_that_two_exports_hold_is_counted_once(bench: Bench) -> None:
    table = cur2_table(200, 9, PERIOD)
    for prefix in ("one", "two"):
        bench.publish(PERIOD, table, prefix=prefix)
    urls = {name: f"s3://{bench.bucket}/{name}/{EXPORT}" for name in ("one", "two")}
    exports = [{"name": name, "type": "cur2", "url": url} for name, url in urls.items()]
    assert of_activities(activities(bench, exports=exports)) == of_activities(
        activities(bench, exports=exports[:1])
    )


@pytest.mark.parametrize(
    ("order", "warned"),
    [
        (("one", "two", "all"), ["all"]),
        (("one", "all", "two"), ["all", "two"]),
        (("all", "one", "two"), ["one", "two"]),
    ],
)
def test_members_of_an_organisation_and_the_organisation_export_usage_that_counts_once(
    bench: Bench, order: tuple[str, ...], warned: list[str]
) -> None:
    """The exports of members name the payer of the organisation, and hold the member's own usage alone."""
    payer, *members, other = "999900001111", *ACCOUNTS
    held = {"one": [members[0]], "two": [members[1]], "all": [*members, other]}
    for name, accounts in held.items():
        table = usage(line_item_usage_account_id=accounts, bill_payer_account_id=[payer] * len(accounts))
        bench.publish(PERIOD, table, prefix=name, chunks=1)
    exports = [
        {"name": name, "type": "cur2", "url": f"s3://{bench.bucket}/{name}/{EXPORT}"} for name in order
    ]
    run = run_of(bench, exports=exports)
    expected = {}
    for name in order:
        for account in held[name]:
            expected.setdefault(account, (name, f"{payer}/{account}/{PERIOD}"))
    records = run.records("activities")
    assert len(records) == len(ACCOUNTS)
    found = {row["account_id"]: (row["metadata"]["export"], row["external_id"]) for row in records}
    assert found == expected
    left_out = [line for line in run.stderr.splitlines() if "left out here" in line]
    assert [line.partition(" ")[0] for line in left_out] == warned


@pytest.mark.parametrize("noted", [["111122223333"], ["111122223333/012345678901"]])
def test_a_share_by_payer_is_told_by_account_once_there_is_another_export(
    bench: Bench, noted: list[str]
) -> None:
    """States of version 0.1.0 have both forms, too; one export by itself does with the payer."""
    payer, account = "111122223333", "012345678901"
    first = usage(line_item_usage_account_id=[account], bill_payer_account_id=[payer])
    second = usage(line_item_usage_account_id=[account, payer], bill_payer_account_id=[payer] * 2)
    exports = []
    for name, table in {"first": first, "second": second}.items():
        bench.publish(PERIOD, table, prefix=name, chunks=1)
        exports.append({"name": name, "type": "cur2", "url": f"s3://{bench.bucket}/{name}/{EXPORT}"})
    state = run_of(bench, exports=exports[:1]).state
    (entry,) = [entry for entry in state["bookmarks"]["activities"]["partitions"] if "payers" in entry]
    assert entry["payers"] == [payer]
    entry["payers"] = noted
    run = bench.run(state, config=bench.config(exports=exports), select=["activities"])
    found = {(row["account_id"], row["metadata"]["export"]) for row in run.records("activities")}
    assert found == {(payer, "second")} | (set() if "/" in noted[0] else {(account, "first")})
    again = bench.run(run.state, config=bench.config(exports=exports), select=["activities"])
    assert again.records("activities") == []


def test_activities_have_the_columns_of_their_schema_in_order_and_text_as_metadata(bench: Bench) -> None:
    bench.publish(PERIOD, 300)
    run = run_of(bench, org_id="org-1", workspace_id="ws-1")
    (schema,) = [message for message in run.messages if message["type"] == "SCHEMA"]
    assert schema["key_properties"] == ["id"]
    validator = jsonschema.Draft202012Validator(schema["schema"])
    for record in run.records("activities"):
        validator.validate(record)
        assert list(record) == list(schema["schema"]["properties"])
        assert all(type(value) is str for value in record["metadata"].values())
        assert (record["org_id"], record["workspace_id"]) == ("org-1", "ws-1")
        assert (record["provider"], record["activity_type"], record["scope"]) == ("aws", "usage", None)
        assert record["data_quality"] == "measured"
        assert record["source"] == "aws_cost_and_usage"
