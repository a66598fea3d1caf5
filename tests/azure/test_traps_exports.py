"""The known traps of Azure's interfaces, by number: those of exports."""

from __future__ import annotations

import io
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl

from tests.azure.answers import ONE, emissions
from tests.azure.shelf import DIRECTORY, FIRST_RUN, Shelf, made, time_format
from tests.export_files import decimal
from tests.local_clouds.azure_cost_rows import SUBSCRIPTIONS
from tests.local_clouds.azure_discovery import Subscription
from tests.local_clouds.azure_exports import BY_DAYS, BY_TIME_AND_RUN, DAYS_FIRST, SCOPE, UNDATED

if TYPE_CHECKING:
    from tests.azure.conftest import Config
    from tests.driving import Run
    from tests.local_clouds.azure import LocalAzure

LINES, FOCUS = "cost_details", "focus_costs"


def cost(run: Run) -> Decimal:
    return sum((decimal(row["cost_in_billing_currency"]) for row in run.records(LINES)), Decimal(0))


def cost_of(frame: pl.DataFrame) -> Decimal:
    return sum((decimal(value) for value in frame["Cost"]), Decimal(0))


def renamed(frame: pl.DataFrame, names: dict[str, str]) -> bytes:
    """A CSV file with some headers replaced."""
    file = io.BytesIO()
    frame.rename(names).write_csv(file, datetime_format="%m/%d/%Y")
    return b"\xef\xbb\xbf" + file.getvalue()


def test_trap_17_marks_languages_bare_tags_and_american_dates_do_not_show(shelf: Shelf) -> None:
    """One month as four files: of an enterprise, in another case, in German, and of a Customer Agreement."""
    frame = made("actual", 60)
    lower = {name: name.lower() for name in frame.columns}
    german = {
        "ResourceGroup": "Ressourcengruppe (ResourceGroup)",
        "Date": "Datum (Date)",
        "Cost": "Kosten (Cost)",
    }
    parts = [renamed(frame, names) for names in ({}, lower, german)]
    shelf.deliver("actual", *parts, made("actual", 60, variant="mca"))
    run = shelf.read("actual", select=(LINES,))
    files: list[list[Any]] = [[], [], [], []]
    shared = ("date", "resource_group_name", "subscription_id", "meter_category", "quantity", "tags")
    for row in run.records(LINES):
        assert row["extra"] is None
        files[row["file_ordinal"] - 1].append([row[name] for name in shared])
    assert files[0] == files[1] == files[2] == files[3]
    assert len(files[0]) == 60
    assert all("2026-09-01" <= day[:10] <= "2026-09-30" for day, *_ in files[0])
    assert any(tags and tags.get("note") == 'say "hello"' for *_, tags in files[0])


def test_trap_18_folders_have_no_fixed_depth_and_old_runs_stay_behind(shelf: Shelf) -> None:
    """Five runs of a month in five shapes of folders: only the one that was submitted last is read."""
    layouts = [BY_DAYS, DAYS_FIRST, UNDATED, BY_TIME_AND_RUN, "{directory}/a/b/{export}/{days}/c/{run}"]
    url = [{"type": "actual", "url": shelf.url(DIRECTORY)}]
    for last in (0, 2, 4):
        for number, layout in enumerate(layouts):
            at = FIRST_RUN + timedelta(days=10 * last + (5 if number == last else number / 10))
            newest = made("actual", 10 + number, seed=number)
            shelf.deliver("actual", newest, layout=layout, submitted_at=at)
        run = shelf.read(exports=url, select=(LINES,))
        assert cost(run) == cost_of(made("actual", 10 + last, seed=last))
        assert len({row["delivery_id"] for row in run.records(LINES)}) == 1


def test_trap_19_the_month_that_has_ended_changes_again_on_the_first_days_of_the_next(shelf: Shelf) -> None:
    august, september = {"period": "2026-08"}, {"period": "2026-09"}
    shelf.deliver("actual", made("actual", 20, 1, **august), **august)
    state = shelf.read("actual").state
    for day in range(1, 6):
        at = FIRST_RUN + timedelta(days=day)
        shelf.deliver("actual", made("actual", day, day, **september), submitted_at=at, **september)
        again = made("actual", 20 + day, 10 + day, **august)
        shelf.deliver("actual", again, submitted_at=at + timedelta(hours=5), **august)
        run = shelf.read("actual", state=state)
        told = {row["billing_period"]: row["rows"] for row in run.records("deliveries")}
        assert told == {"2026-08": 20 + day, "2026-09": day}
        in_august = [row for row in run.records(LINES) if row["billing_period"] == "2026-08"]
        assert sum(decimal(row["cost_in_billing_currency"]) for row in in_august) == cost_of(again)
        state = run.state
    assert shelf.read("actual", state=state).records("deliveries") == []


def test_trap_20_what_belongs_to_no_subscription_is_kept(shelf: Shelf) -> None:
    """Unused commitments, taxes and rounding: rows like any other, with keys of their own."""
    frame = made("amortized", 400)
    shelf.deliver("amortized", frame)
    run = shelf.read("amortized", select=(LINES,))
    nobodys = [row for row in run.records(LINES) if row["subscription_id"] is None]
    kinds = {"UnusedReservation", "UnusedSavingsPlan", "Tax", "RoundingAdjustment"}
    assert {row["charge_type"] for row in nobodys} == kinds
    assert len(nobodys) == frame["SubscriptionId"].null_count()
    assert cost(run) == cost_of(frame)
    (schema,) = [one for one in run.messages if one["type"] == "SCHEMA" and one["stream"] == LINES]
    assert "null" in schema["schema"]["properties"]["subscription_id"]["type"]
    assert "subscription_id" not in schema["key_properties"]


def test_trap_21_columns_of_focus_change_between_versions(shelf: Shelf) -> None:
    """A history of all four: each month has the columns of its version, in one schema."""
    versions = {"2026-06": "1.0", "2026-07": "1.0r2", "2026-08": "1.2-preview", "2026-09": "1.2"}
    for period, version in versions.items():
        options = {"time_format": time_format(version), "data_version": version, "period": period}
        shelf.deliver("focus", made("focus", 200, period=period, variant=version), **options)
    records = shelf.read("focus", select=(FOCUS,)).records(FOCUS)
    meters = {
        "1.0": "x_sku_meter_name",
        "1.0r2": "x_sku_meter_name",
        "1.2-preview": "sku_meter",
        "1.2": "sku_meter",
    }
    details = {"1.0": True, "1.0r2": True, "1.2-preview": True, "1.2": False}
    for period, version in versions.items():
        rows = [row for row in records if row["billing_period"] == period]
        assert len(rows) == 200
        assert any(row[meters[version]] for row in rows)
        assert {row["sku_meter"] if version < "1.2" else row["x_sku_meter_name"] for row in rows} == {None}
        assert any(row["x_sku_details"] for row in rows) is details[version]
        assert all(row["charge_period_start"].startswith(period) for row in rows)
        assert {row["extra"] for row in rows} == {None}


def test_trap_30_an_export_is_one_in_whatever_case_its_id_is_written(shelf: Shelf) -> None:
    path = f"{SCOPE}/providers/Microsoft.CostManagement/exports/ofg-actual"
    for month, resource_id in (("2026-08", path.upper()), ("2026-09", path.lower()), ("2026-09", path)):
        shelf.deliver("actual", made("actual", 5, period=month), period=month, resource_id=resource_id)
    run = shelf.read("actual")
    assert [row["billing_period"] for row in run.records("deliveries")] == ["2026-08", "2026-09"]


def test_trap_30_usage_of_a_subscription_is_one_fact_in_whatever_case_its_id_is_written(
    shelf: Shelf, azure: LocalAzure, tap_config: Config
) -> None:
    """Raw rows keep the case, since nothing is changed there."""
    azure.discovery.subscriptions = [Subscription(ONE, "Shop")]
    azure.carbon.publish(emissions(["2026-09"], [ONE]))
    frame = made("actual", 300)
    loud = frame.with_columns(
        pl.when(pl.int_range(pl.len()) % 2 == 0)
        .then(pl.col("SubscriptionId").str.to_uppercase())
        .otherwise(pl.col("SubscriptionId"))
        .alias("SubscriptionId")
    )
    settings = tap_config(auth_method="client_secret")
    facts = []
    for rows in (frame, loud):
        shelf.deliver("actual", rows)
        run = shelf.read("actual", select=("activities", LINES), **settings)
        usage = [row for row in run.records("activities") if row["activity_type"] == "usage"]
        facts.append({row["id"]: (row["account_id"], row["quantity"], row["cost"]) for row in usage})
    assert facts[0] == facts[1]
    assert {account for account, _, _ in facts[0].values()} == set(SUBSCRIPTIONS)
    written = {row["subscription_id"] for row in run.records(LINES)} - {None}
    assert written == {*SUBSCRIPTIONS, *map(str.upper, SUBSCRIPTIONS)}
