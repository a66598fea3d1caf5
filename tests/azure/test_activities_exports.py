"""Usage as activities: of several exports one counts, and it stays the same however often it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jsonschema
import pytest

from tests.azure.answers import ONE, THREE, TWO
from tests.azure.shelf import DIRECTORY, PERIOD, made
from tests.azure.usage_lines import EA, FOCUS, figures, text, usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.azure.shelf import Shelf
    from tests.driving import Run

STREAM = "activities"


@pytest.mark.parametrize("types", [("actual", "amortized", "focus"), ("amortized", "focus", "actual")])
def test_a_subscriptions_month_that_several_exports_hold_is_counted_once(
    shelf: Shelf, read_usage: Callable[..., Run], types: tuple[str, ...]
) -> None:
    """FOCUS before actual before amortized, in whatever order the settings name them."""
    shelf.deliver("focus", text(FOCUS, {"SubAccountId": f"/subscriptions/{ONE.upper()}"}))
    both = [{"SubscriptionId": one, "Quantity": "8"} for one in (ONE, TWO.upper())]
    shelf.deliver("actual", text(EA, *both))
    all_three = [{"SubscriptionId": one, "Quantity": "32"} for one in (ONE.upper(), TWO, THREE)]
    shelf.deliver("amortized", text(EA, *all_three))
    done = read_usage(*types)
    assert {row["account_id"]: (row["metadata"]["export"], row["quantity"]) for row in usage(done)} == {
        ONE: ("ofg-focus", 2),
        TWO: ("ofg-actual", 8),
        THREE: ("ofg-amortized", 32),
    }
    left = "another export counts for these, and they are left out here: {}"
    assert f"ofg-actual {PERIOD}: {left.format(ONE)}" in done.stderr
    assert f"ofg-amortized {PERIOD}: {left.format(f'{ONE}, {TWO}')}" in done.stderr
    again = read_usage(*types, state=done.state)
    assert usage(again) == []


def test_an_export_that_counts_first_replaces_what_was_taken_from_another(
    shelf: Shelf, read_usage: Callable[..., Run]
) -> None:
    shelf.deliver("actual", text(EA, {"Quantity": "8"}))
    first = read_usage("actual")
    (old,) = usage(first)
    shelf.deliver("focus", text(FOCUS, {}))
    shelf.deliver("actual", text(EA, {"Quantity": "16"}))
    (new,) = usage(read_usage("actual", "focus", state=first.state))
    assert (old["quantity"], new["quantity"]) == (8, 2)
    assert old["external_id"] == new["external_id"] == f"{ONE}/{PERIOD}"
    assert old["import_batch_id"] != new["import_batch_id"]


@pytest.mark.parametrize("select", [("focus_costs", "deliveries"), (STREAM,)])
def test_another_type_under_the_name_of_a_newer_export_is_refused(
    shelf: Shelf, read_usage: Callable[..., Run], select: tuple[str, ...]
) -> None:
    """Its older delivery could never become current."""
    shelf.deliver("focus", text(FOCUS, {}))
    shelf.deliver("actual", text(EA, {}))

    def named(kind: str) -> list[dict[str, str]]:
        return [{"name": "cost", "type": kind, "url": shelf.url(f"{DIRECTORY}/ofg-{kind}")}]

    state = shelf.read(exports=named("actual"), select=("cost_details", "deliveries")).state
    state = read_usage(exports=named("actual"), state=state).state
    run = shelf.run(exports=named("focus"), select=select, state=state)
    assert run.exit_code == 1
    assert f"cost {PERIOD} of type focus: a newer delivery of type actual" in run.stderr
    assert "give the export another name" in run.stderr
    assert run.records("deliveries") == usage(run) == []


@pytest.mark.parametrize(
    ("days", "told"), [((1, 10), True), ((20, 30), True), ((1, 28), False), ((3, 30), False)]
)
def test_an_export_that_counts_first_and_has_fewer_days_is_told(
    shelf: Shelf, read_usage: Callable[..., Run], days: tuple[int, int], *, told: bool
) -> None:
    """It stopped within the month, or has chosen days, and takes the month all the same."""
    shelf.deliver(
        "focus", text(FOCUS, *({"ChargePeriodStart": f"2026-09-{day:02}T00:00:00Z"} for day in days))
    )
    shelf.deliver("actual", text(EA, *({"Date": f"09/{day:02}/2026"} for day in (1, 30))))
    run = read_usage("focus", "actual")
    said = "has usage from 2026-09-01 to 2026-09-30, and ofg-focus, which counts first, from"
    assert (said in run.stderr) is told
    assert {row["metadata"]["export"] for row in usage(run)} == {"ofg-focus"}


def test_days_are_those_of_what_both_exports_have(shelf: Shelf, read_usage: Callable[..., Run]) -> None:
    """A young subscription that one export has by itself is whole there."""
    shelf.deliver("focus", text(FOCUS, {"ChargePeriodStart": "2026-09-20T00:00:00Z"}))
    days = {ONE: 20, TWO: 1, THREE: 30}
    rows = ({"SubscriptionId": one, "Date": f"09/{day:02}/2026"} for one, day in days.items())
    shelf.deliver("actual", text(EA, *rows))
    run = read_usage("focus", "actual")
    assert "which counts first" not in run.stderr
    assert {row["account_id"] for row in usage(run)} == {ONE, TWO, THREE}


def test_the_order_of_the_settings_decides_between_exports_of_one_type(
    shelf: Shelf, read_usage: Callable[..., Run]
) -> None:
    for name, quantity in (("one", "2"), ("two", "4")):
        shelf.deliver("actual", text(EA, {"Quantity": quantity}), export=name)
    exports = [{"type": "actual", "url": shelf.url(f"{DIRECTORY}/{name}")} for name in ("two", "one")]
    assert figures(usage(read_usage(exports=exports)), "account_id") == {ONE: (4, 1)}
    assert figures(usage(read_usage(exports=exports[::-1])), "account_id") == {ONE: (2, 1)}


def test_subscriptions_of_different_exports_are_all_there(
    shelf: Shelf, read_usage: Callable[..., Run]
) -> None:
    for name, subscription in (("one", ONE), ("two", TWO)):
        shelf.deliver("actual", text(EA, {"SubscriptionId": subscription}), export=name)
    exports = [{"type": "actual", "url": shelf.url(f"{DIRECTORY}/{name}")} for name in ("one", "two")]
    done = read_usage(exports=exports)
    assert figures(usage(done), "account_id", "external_id") == {
        (ONE, f"{ONE}/{PERIOD}"): (2, 1),
        (TWO, f"{TWO}/{PERIOD}"): (2, 1),
    }
    assert "left out" not in done.stderr


@pytest.mark.parametrize("kind", ["actual", "focus"])
def test_usage_of_no_subscription_is_that_of_the_export(
    shelf: Shelf, read_usage: Callable[..., Run], kind: str
) -> None:
    base, name = (EA, "SubscriptionId") if kind == "actual" else (FOCUS, "SubAccountId")
    shelf.deliver(kind, text(base, {name: ""}, {}, {name: ""}))
    done = read_usage(kind)
    assert figures(usage(done), "account_id", "external_id") == {
        (None, f"ofg-{kind}/{PERIOD}"): (4, 2),
        (ONE, f"{ONE}/{PERIOD}"): (2, 1),
    }
    assert "counts twice" not in done.stderr


def test_usage_of_no_subscription_that_several_exports_may_hold_is_warned_of(
    shelf: Shelf, read_usage: Callable[..., Run]
) -> None:
    shelf.deliver("actual", text(EA, {"SubscriptionId": ""}, {}))
    shelf.deliver("amortized", text(EA, {}))
    done = read_usage("actual", "amortized")
    assert "has usage without SubscriptionId: if another export has it, too, it counts twice" in done.stderr
    assert figures(usage(done), "account_id") == {None: (2, 1), ONE: (2, 1)}


# What stays the same.


def test_ids_stay_the_same_over_runs_orders_and_restatements(
    shelf: Shelf, read_usage: Callable[..., Run]
) -> None:
    frame = made("actual", 400, 9)
    shelf.deliver("actual", frame)
    first = read_usage("actual")
    ids = {row["id"]: row["quantity"] for row in usage(first)}
    shelf.deliver("actual", frame.reverse()[:150], frame.reverse()[150:], form="parquet")
    second = read_usage("actual", state=first.state)
    assert {row["id"]: row["quantity"] for row in usage(second)} == ids
    shelf.deliver("actual", frame, frame)
    third = read_usage("actual", state=second.state)
    doubled = {row["id"]: row["quantity"] for row in usage(third)}
    assert doubled == pytest.approx({key: 2 * quantity for key, quantity in ids.items()}, rel=1e-14)
    batches = [{row["import_batch_id"] for row in usage(one)} for one in (first, second, third)]
    assert [len(one) for one in batches] == [1, 1, 1]
    assert len(set.union(*batches)) == 3


def test_what_differs_in_unit_or_currency_is_not_added_up(
    shelf: Shelf, read_usage: Callable[..., Run]
) -> None:
    rows = [{}, {"UnitOfMeasure": "1 Hours"}, {"UnitOfMeasure": "1 GB"}, {"BillingCurrency": "EUR"}]
    shelf.deliver("actual", text(EA, *rows))
    assert figures(usage(read_usage("actual")), "unit", "currency") == {
        ("Hours", "USD"): (4, 2),
        ("GB", "USD"): (2, 1),
        ("Hours", "EUR"): (2, 1),
    }


def test_activities_have_the_columns_of_their_schema_in_order(
    shelf: Shelf, read_usage: Callable[..., Run]
) -> None:
    shelf.deliver("actual", made("actual", 200))
    done = read_usage("actual", org_id="org-1", workspace_id="ws-1")
    (schema,) = (one for one in done.messages if one["type"] == "SCHEMA" and one["stream"] == STREAM)
    assert schema["key_properties"] == ["id"]
    validator = jsonschema.Draft202012Validator(schema["schema"])
    for record in usage(done):
        validator.validate(record)
        assert list(record) == list(schema["schema"]["properties"])
        assert all(type(value) is str for value in record["metadata"].values())
        assert (record["org_id"], record["workspace_id"]) == ("org-1", "ws-1")
        assert (record["provider"], record["activity_type"], record["scope"]) == ("azure", "usage", None)
        assert (record["data_quality"], record["source"]) == ("measured", "azure_cost_management")
