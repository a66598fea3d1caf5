"""Activities: ids that never change, one order of columns, and no fact that cannot be."""

from __future__ import annotations

import csv
import itertools
import uuid
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

import polars as pl
import pytest

from offgridflow_common.activity import ACTIVITY_COLUMNS, Unit, finish, normalise_unit
from offgridflow_common.columns import Kind, polars_schema
from offgridflow_common.errors import ContractBroken

DETAIL = "EUC1-BoxUsage:m5.large"
MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)

FACT: dict[str, Any] = {
    "source": "cloud_report",
    "subject": "emissions",
    "provider": "cloud",
    "activity_type": "emissions",
    "category": "cloud_compute",
    "service_code": "VM",
    "account_id": "111122223333",
    "region": "eu-1",
    "location": "EU",
    "period_start": MARCH,
    "period_end": APRIL,
    "quantity": 1.25,
    "unit": "kgCO2e",
    "scope": 2,
    "accounting_method": "market_based",
    "data_quality": "measured",
    "external_id": "cloud_report:2026-03",
    "metadata.note": "n",
}

#: All that tells one fact from another. What is not in here may be restated.
IDENTITY = {
    "provider": "other",
    "subject": "water",
    "bill": "444455556666 2026-03",
    "period_start": datetime(2026, 3, 2, tzinfo=UTC),
    "period_end": datetime(2026, 3, 31, tzinfo=UTC),
    "account_id": "444455556666",
    "region": None,
    "service_code": "vm",
    "detail": "BoxUsage:large",
    "unit": "Hours",
    "currency": "EUR",
    "scope": 3,
    "accounting_method": "location_based",
}

#: What is made of the others, or of settings.
OWN = {"id", "idempotency_key", "org_id", "workspace_id", "metadata"}


def activities(
    *facts: dict[str, Any], org_id: str | None = None, workspace_id: str | None = None
) -> pl.DataFrame:
    rows = [FACT | fact for fact in facts]
    schema = polars_schema(ACTIVITY_COLUMNS)
    names = {name: schema.get(name, pl.String()) for row in rows for name in row}
    return finish(pl.DataFrame(rows, schema=names), org_id=org_id, workspace_id=workspace_id)


def keys(*facts: dict[str, Any]) -> list[str]:
    return activities(*facts)["idempotency_key"].to_list()


@pytest.mark.parametrize(
    ("fact", "key", "activity_id"),
    [
        (
            {},
            "cloud|emissions||2026-03-01|2026-04-01|111122223333|eu-1|VM||kgCO2e||2|market_based",
            "c9fa056f-d265-5239-95d9-d16fb61d3fc5",
        ),
        (
            {
                "subject": "usage",
                "bill": "1234 2026-03",
                "detail": DETAIL,
                "unit": "Hours",
                "currency": "USD",
                "scope": None,
                "accounting_method": None,
                "period_end": datetime(2026, 3, 2, tzinfo=UTC),
            },
            f"cloud|usage|1234 2026-03|2026-03-01|2026-03-02|111122223333|eu-1|VM|{DETAIL}|Hours|USD||",
            "14ca498b-7824-51b6-84f4-fe9bfb306a9a",
        ),
        (
            {"region": None, "account_id": "", "service_code": "Größe 大"},
            "cloud|emissions||2026-03-01|2026-04-01|||Größe 大||kgCO2e||2|market_based",
            "140588b2-175c-5fe0-93eb-ea2d6b033a99",
        ),
    ],
)
def test_the_id_of_a_fact_is_the_same_for_ever(fact: dict[str, Any], key: str, activity_id: str) -> None:
    [row] = activities(fact).rows(named=True)
    assert (row["idempotency_key"], row["id"]) == (key, activity_id)
    assert uuid.UUID(row["id"]).version == 5


def test_a_restated_fact_keeps_its_id() -> None:
    restated = {
        "source": "another_report",
        "activity_type": "estimate",
        "external_id": "another_report:2026-03",
        "quantity": 99.0,
        "cost": 1.0,
        "category": "cloud_other",
        "service_name": "Renamed",
        "service_category": "Other",
        "location": "GLOBAL",
        "country": "DEU",
        "data_quality": "estimated",
        "model_version": "v9.0.0",
        "import_batch_id": "later",
        "metadata.note": "new",
        "metadata.more": "new",
    }
    assert keys({}) == keys(restated)
    given = (column.name for column in ACTIVITY_COLUMNS if column.name not in {*IDENTITY, *OWN})
    assert set(given) <= set(restated)
    ids = activities(restated, org_id="o", workspace_id="w")["id"].to_list()
    assert ids == activities({})["id"].to_list()


@pytest.mark.parametrize(("name", "value"), IDENTITY.items(), ids=IDENTITY)
def test_facts_that_differ_in_an_identifying_part_have_ids_of_their_own(name: str, value: object) -> None:
    frame = activities({}, {name: value})
    assert frame["id"].n_unique() == frame["idempotency_key"].n_unique() == 2


def test_rows_keep_their_order_and_their_ids_wherever_they_stand() -> None:
    facts = [{"detail": str(number), "quantity": float(number)} for number in range(50)]
    frame = activities(*facts)
    assert frame["quantity"].to_list() == [float(number) for number in range(50)]
    assert frame["id"].to_list() == [activities(fact)["id"].item() for fact in facts]


def test_no_bar_within_a_part_makes_two_facts_one() -> None:
    parts = ["", "|", "||", "a", "a|", "|a", "a|a", "\\", "\\|"]
    names = ("region", "service_code", "detail")
    facts = [dict(zip(names, values, strict=True)) for values in itertools.product(parts, repeat=3)]
    assert len(set(keys(*facts))) == len(facts)


def test_columns_have_the_order_and_types_of_the_schema_whatever_is_missing_or_more() -> None:
    shuffled = pl.DataFrame([{"surplus": 1, **FACT}]).select(pl.col(reversed(["surplus", *FACT])))
    for frame in (activities({"cost": 5.0}), finish(shuffled, org_id=None, workspace_id=None)):
        assert dict(frame.schema) == polars_schema(ACTIVITY_COLUMNS)
        assert frame.columns == [column.name for column in ACTIVITY_COLUMNS]


def test_there_may_be_no_facts_at_all() -> None:
    schema = {**polars_schema(ACTIVITY_COLUMNS), "subject": pl.String()}
    frame = finish(pl.DataFrame(schema=schema), org_id=None, workspace_id=None)
    assert frame.height == 0
    assert dict(frame.schema) == polars_schema(ACTIVITY_COLUMNS)


@pytest.mark.parametrize("owner", ["acme", None])
def test_the_owner_stands_in_every_row_and_replaces_what_was_there(owner: str | None) -> None:
    frame = activities({"org_id": "stale"}, {"detail": "2", "org_id": None}, org_id=owner, workspace_id=owner)
    assert frame["org_id"].to_list() == frame["workspace_id"].to_list() == [owner, owner]


def test_metadata_holds_what_is_given_as_text_and_nothing_else() -> None:
    frame = activities(
        {"detail": "1", "metadata.note": "1", "metadata.b.c": ""},
        {"detail": "2", "metadata.note": None, "metadata.b.c": "|\n\"'"},
        {"detail": "3", "metadata.note": None, "metadata.b.c": None},
    )
    assert frame["metadata"].to_list() == [{"note": "1", "b.c": ""}, {"b.c": "|\n\"'"}, {}]
    assert frame.schema["metadata"] == Kind.STRING_MAP.dtype


def test_facts_may_have_no_metadata_at_all() -> None:
    bare = pl.DataFrame([FACT]).drop("metadata.note")
    assert finish(bare, org_id=None, workspace_id=None)["metadata"].to_list() in ([{}], [None])


@pytest.mark.parametrize("quantity", [0.0, -0.0, 5e-324, 1e300])
def test_zero_and_the_smallest_quantity_are_values(quantity: float) -> None:
    assert activities({"quantity": quantity})["quantity"].to_list() == [quantity]


@pytest.mark.parametrize(
    ("fact", "rule"),
    [
        ({"quantity": -1e-12}, "a quantity"),
        ({"quantity": None}, "a quantity"),
        ({"quantity": float("nan")}, "a quantity"),
        ({"quantity": float("-inf")}, "a quantity"),
        ({"quantity": float("inf")}, "a quantity"),
        ({"period_end": MARCH}, "a period"),
        ({"period_start": APRIL, "period_end": MARCH}, "a period"),
        ({"period_end": None}, "a period"),
        ({"period_start": None}, "a period"),
    ],
    ids=str,
)
def test_a_fact_that_cannot_be_is_refused_and_named(fact: dict[str, Any], rule: str) -> None:
    with pytest.raises(ContractBroken) as caught:
        activities({"detail": "good"}, {"detail": "bad one", **fact}, {"detail": "good, too"})
    assert rule in str(caught.value)
    assert "|bad one|" in str(caught.value)
    assert "good" not in str(caught.value)


def test_the_same_fact_twice_is_refused_even_if_its_quantities_differ() -> None:
    with pytest.raises(ContractBroken, match="the same fact twice"):
        activities({}, {"detail": "x"}, {"quantity": 7.0})


def test_no_more_than_three_offenders_are_shown() -> None:
    with pytest.raises(ContractBroken) as caught:
        activities(*({"detail": f"bad {number}", "quantity": -1.0} for number in range(1000)))
    assert str(caught.value).count("|bad ") == 3


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("MTCO2e", Unit("kgCO2e", 1000.0)),
        ("mtco2E", Unit("kgCO2e", 1000.0)),
        ("kgCO2e", Unit("kgCO2e", 1.0)),
        ("m3", Unit("m3", 1.0)),
        ("Hrs", Unit("Hours", 1.0)),
        ("GB-Mo", Unit("GB-Months", 1.0)),
        ("10K Widgets/Month", Unit("10K Widgets/Month", 1.0)),
        ("", Unit("", 1.0)),
    ],
)
def test_units_become_those_of_the_schema_and_unknown_ones_stay(unit: str, expected: Unit) -> None:
    assert normalise_unit(unit) == expected


def test_every_unit_is_known_once_and_what_it_becomes_stays_itself() -> None:
    text = (files("offgridflow_common") / "data" / "units.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    names = [row["source_unit"].casefold() for row in rows]
    by_name = {row["source_unit"].casefold(): (row["unit"], row["factor"]) for row in rows}
    assert all(by_name[row["source_unit"].casefold()] == (row["unit"], row["factor"]) for row in rows)
    assert len(names) >= 20
    for row in rows:
        assert normalise_unit(row["unit"]) == Unit(row["unit"], 1.0)
        assert float(row["factor"]) > 0
