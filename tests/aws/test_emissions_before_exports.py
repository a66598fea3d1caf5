"""Emissions of the months before the first of a carbon export come from the API."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_offgridflow_aws.tap import TapOffgridflowAws
from tests.aws.shelf import Shelf
from tests.local_clouds.aws import month_range
from tests.local_clouds.carbon_export import carbon_table
from tests.local_clouds.sustainability import demo_emissions

if TYPE_CHECKING:
    from pathlib import Path

    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run, State
    from tests.local_clouds.sustainability import SourceRow, SustainabilityServer

MONTHS = month_range("2026-01", "2026-08")
WINDOW = {"start_date": "2026-01-01", "end_date": "2026-09-01"}
API, EXPORT = "aws_sustainability_emissions", "aws_carbon_export"
OPERATION = "GetEstimatedCarbonEmissions"


def emissions(version: str = "v3.0.1") -> dict[str, list[SourceRow]]:
    return demo_emissions(MONTHS, ["111122223333"], ["us-east-1"], ["AmazonEC2"], 3, model_version=version)


@pytest.fixture
def shelf(tmp_path: Path, tap_config: Config, run_tap: RunTap, sustainability: SustainabilityServer) -> Shelf:
    sustainability.set_months(emissions())
    return Shelf(tmp_path / "bucket", tap_config, run_tap)


def deliver(shelf: Shelf, *months: str, width: Any = 23) -> None:
    for month in months:
        shelf.carbon(month, carbon_table(month, emissions()[month], width=width))


def read(shelf: Shelf, state: State | None = None, **settings: Any) -> Run:
    return shelf.read("carbon", state=state, select=("activities", "deliveries"), **(WINDOW | settings))


def sources(run: Run) -> dict[str, str]:
    """Where the emissions of each month are from; a month has one source and all of its five facts."""
    found = [record for record in run.records("activities") if record["activity_type"] == "emissions"]
    months = {record["period_start"][:7]: record["source"] for record in found}
    assert len(found) == 5 * len(months) == 5 * len({(r["period_start"], r["source"]) for r in found})
    return months


def asked(server: SustainabilityServer, since: int = 0) -> list[str]:
    return [
        request.body["TimePeriod"]["Start"][:7]
        for request in server.requests[since:]
        if request.operation == OPERATION
    ]


def test_each_month_has_one_source_and_the_api_is_asked_for_no_other(
    shelf: Shelf, sustainability: SustainabilityServer
) -> None:
    deliver(shelf, "2026-06", "2026-07")
    run = read(shelf)
    before = dict.fromkeys(MONTHS[:5], API)
    assert sources(run) == {**before, "2026-06": EXPORT, "2026-07": EXPORT}
    assert asked(sustainability) == MONTHS[:5]
    requests = len(sustainability.requests)
    again = read(shelf, run.state, lookback_months=2)
    assert sources(again) == {"2026-04": API, "2026-05": API}
    assert asked(sustainability, requests) == ["2026-04", "2026-05"]


def test_a_backfill_of_the_export_takes_its_months(
    shelf: Shelf, sustainability: SustainabilityServer
) -> None:
    deliver(shelf, "2026-06")
    first = read(shelf)
    deliver(shelf, "2026-03", "2026-04", "2026-05")
    requests = len(sustainability.requests)
    run = read(shelf, first.state)
    assert sources(run) == {**dict.fromkeys(MONTHS[2:5], EXPORT), "2026-01": API, "2026-02": API}
    assert asked(sustainability, requests) == MONTHS[:2]


def test_deliveries_that_expire_leave_their_months_to_the_export(shelf: Shelf) -> None:
    deliver(shelf, "2026-06", "2026-07")
    first = read(shelf)
    for folder in shelf.root.rglob("*2026-06*"):
        shutil.rmtree(folder, ignore_errors=True)
    run = read(shelf, first.state, lookback_months=1)
    assert sources(run) == {"2026-05": API}


def test_an_export_that_has_delivered_nothing_leaves_all_months_to_the_api(shelf: Shelf) -> None:
    deliver(shelf, "2026-07")
    early = read(shelf, end_date="2026-07-01")
    assert sources(early) == dict.fromkeys(MONTHS[:6], API)
    later = read(shelf, early.state)
    assert sources(later) == {**dict.fromkeys(MONTHS[:6], API), "2026-07": EXPORT}


def test_months_without_scopes_come_from_the_api(shelf: Shelf) -> None:
    deliver(shelf, "2026-05", "2026-06", width=11)
    deliver(shelf, "2026-07")
    run = read(shelf)
    assert sources(run) == {**dict.fromkeys(MONTHS[:6], API), "2026-07": EXPORT}
    assert "no emissions by scope" in run.stderr


def test_a_new_model_version_reaches_the_months_before_the_export(
    shelf: Shelf, sustainability: SustainabilityServer
) -> None:
    deliver(shelf, "2026-07")
    first = read(shelf)
    sustainability.set_months(emissions("v3.1.0"))
    run = read(shelf, first.state)
    assert sources(run) == dict.fromkeys(MONTHS[:6], API)
    assert {record["model_version"] for record in run.records("activities")} == {"v3.1.0"}


def test_without_the_export_the_api_has_all_months_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(shelf, "2026-07", "2026-08")
    first = read(shelf)
    # What was read last counts, to the second.
    monkeypatch.setattr(TapOffgridflowAws, "started_at", datetime.now(UTC) + timedelta(hours=1))
    alone = shelf.read(state=first.state, select=("activities", "deliveries"), **WINDOW)
    assert sources(alone) == dict.fromkeys(MONTHS, API)
    back = read(shelf, alone.state)
    assert sources(back) == {**dict.fromkeys(MONTHS[:6], API), "2026-07": EXPORT, "2026-08": EXPORT}


def test_the_api_is_not_asked_while_it_is_not_known_what_the_export_has(
    shelf: Shelf, sustainability: SustainabilityServer
) -> None:
    deliver(shelf, "2026-07")
    gone = {"name": "gone", "type": "carbon", "url": (shelf.root / "nowhere" / "gone").as_uri()}
    run = shelf.run(
        "carbon",
        select=("activities", "deliveries"),
        exports=[*shelf.exports("carbon"), gone],
        **WINDOW,
    )
    assert run.exit_code == 1
    assert sources(run) == {"2026-07": EXPORT}
    assert asked(sustainability) == []


def test_a_month_that_cannot_be_read_keeps_none_before_the_exports_back(shelf: Shelf) -> None:
    deliver(shelf, "2026-07", "2026-08")
    broken = shelf.carbon("2026-06", carbon_table("2026-06", emissions()["2026-06"]))
    shelf.replace(broken, 0, b"no data file")
    run = shelf.run("carbon", select=("activities", "deliveries"), **WINDOW)
    assert run.exit_code == 1
    assert sources(run) == dict.fromkeys(MONTHS[:5], API)


def test_a_month_that_was_never_read_of_an_export_is_not_left_to_it(shelf: Shelf) -> None:
    """It has no scopes, but that is not known before it can be read."""
    deliver(shelf, "2026-07")
    broken = shelf.carbon("2026-05", carbon_table("2026-05", emissions()["2026-05"], width=11))
    content = shelf.path(broken.data_keys[0]).read_bytes()
    shelf.replace(broken, 0, b"no data file")
    first = shelf.run("carbon", select=("activities", "deliveries"), **WINDOW)
    assert sources(first) == dict.fromkeys(MONTHS[:4], API)
    shelf.replace(broken, 0, content)
    run = read(shelf, first.state)
    assert sources(run) == {**dict.fromkeys(MONTHS[:6], API), "2026-07": EXPORT}


def test_a_window_may_end_before_the_export_begins(
    shelf: Shelf, sustainability: SustainabilityServer
) -> None:
    deliver(shelf, "2026-07")
    first = read(shelf)
    requests = len(sustainability.requests)
    read(shelf, first.state, end_date="2026-04-01", lookback_months=1)
    assert max([*asked(sustainability, requests), ""]) < "2026-04"


@pytest.mark.parametrize("to_api", [True, False])
def test_a_month_that_a_killed_run_overwrote_is_read_again_when_the_settings_go_back(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, *, to_api: bool
) -> None:
    """The state is that of the moment when its first rows are out."""
    deliver(shelf, "2026-02", "2026-07")
    others = {"exports": []} if to_api else {"exports": shelf.exports("carbon")}
    these = {"exports": shelf.exports("carbon")} if to_api else {"exports": []}
    first = read(shelf, **these)
    monkeypatch.setattr(TapOffgridflowAws, "started_at", datetime.now(UTC) + timedelta(hours=1))
    killed = read(shelf, first.state, **others).messages
    begun = next(
        place
        for place, message in enumerate(killed)
        if message["type"] == "RECORD" and message["record"].get("period_start", "").startswith("2026-02")
    )
    state = [message["value"] for message in killed[:begun] if message["type"] == "STATE"][-1]
    back = read(shelf, state, **these)
    assert sources(back)["2026-02"] == (EXPORT if to_api else API)
