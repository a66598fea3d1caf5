"""The demo with few rows: its own steps, on the real loader, looked at from outside."""

from __future__ import annotations

import io
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import requests

from demo import azure_story, pipeline
from demo.aws_source import AwsSource
from demo.azure_source import AzureSource
from demo.errors import DemoError
from demo.pipeline import Pipeline
from demo.screen import Screen
from demo.story import BILLED_MONTHS, CARBON_MONTHS, RESTATED_MONTH, SEED, WATER_YEARS, Size, Story
from tests.e2e.conftest import PROJECT
from tests.e2e.interrupted import LOADER_TIMES as OF_A_RUN
from tests.e2e.loaded import ask, differences, in_one_only
from tests.e2e.processes import group_ends
from tests.local_clouds.azure_demo import demo_costs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Home
    from tests.installed import Once

SIZE = Size(rows=1200)


def save_bills(story: Story, folder: Path) -> None:
    """Keep the files as they are in the bucket."""
    client, bucket = story.cloud.client(), story.cloud.bucket
    for key in story.cloud.store().keys(""):
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(bucket, key, str(path))


@pytest.fixture(scope="module")
def told(once: Once, meltano_home: Home) -> Path:
    """The demo, told once: the database and the delivered bills after each step, text and verdict."""

    def tell(folder: Path) -> None:
        text = io.StringIO()
        home = meltano_home(folder)
        with Story(PROJECT, folder / "output", Screen(text), SIZE, home=home) as story:
            for step in (story.first_run, story.second_run, story.restatement):
                step()
                save_bills(story, folder / step.__name__)
                shutil.copy(story.warehouse.path, folder / step.__name__ / "demo.duckdb")
            story.report()
            story.azure()
            story.both_clouds()
            story.closing()
            (folder / "text").write_text(text.getvalue())
            (folder / "verdict").write_text(f"agrees: {story.findings.agree}")
            with duckdb.connect(story.warehouse.path) as connection:
                connection.execute("DELETE FROM aws.water_allocation WHERE service = 'AmazonS3'")
            story.report()
            (folder / "verdict after a loss").write_text(f"agrees: {story.findings.agree}")

    return once("demo", tell)


@pytest.fixture(scope="module")
def first(told: Path) -> Path:
    return told / "first_run" / "demo.duckdb"


@pytest.fixture(scope="module")
def second(told: Path) -> Path:
    return told / "second_run" / "demo.duckdb"


@pytest.fixture(scope="module")
def third(told: Path) -> Path:
    return told / "restatement" / "demo.duckdb"


@pytest.mark.parametrize("step", ["first_run", "restatement"])
def test_every_line_item_of_every_delivery_lands_with_every_value(told: Path, step: str) -> None:
    assert differences(told / step / "demo.duckdb", told / step) == {}


def test_as_many_line_items_land_as_were_delivered(first: Path) -> None:
    rows = ask(first, "SELECT billing_period, count(*) FROM aws.cost_and_usage GROUP BY ALL ORDER BY 1")
    assert rows == [(month, SIZE.rows) for month in BILLED_MONTHS]


def test_the_second_run_writes_no_line_item_and_no_delivery_again(first: Path, second: Path) -> None:
    assert in_one_only(first, second, "aws.cost_and_usage") == 0
    assert in_one_only(first, second, "aws.deliveries") == 0


def test_the_second_run_adds_nothing_to_what_the_api_reports(first: Path, second: Path) -> None:
    for table in ("aws.carbon_emissions", "aws.water_allocation"):
        assert in_one_only(first, second, table, without=(*OF_A_RUN, "retrieved_at")) == 0
    assert in_one_only(first, second, "aws.activities", without=(*OF_A_RUN, "import_batch_id")) == 0


def test_the_second_run_reads_the_lookback_again_and_no_month_before_it(first: Path, second: Path) -> None:
    ((first_read_at,),) = ask(first, "SELECT max(retrieved_at) FROM aws.carbon_emissions")
    months = ask(
        second,
        """
        SELECT DISTINCT strftime(period_start, '%Y-%m')
        FROM aws.carbon_emissions WHERE retrieved_at > ? ORDER BY 1
        """,
        first_read_at,
    )
    assert [month for (month,) in months] == CARBON_MONTHS[-3:]


def test_a_restated_month_is_replaced_in_the_views_and_no_other_month_moves(
    second: Path, third: Path
) -> None:
    others = "FROM aws.current_cost_and_usage WHERE billing_period <> ? ORDER BY ALL"
    assert ask(third, others, RESTATED_MONTH) == ask(second, others, RESTATED_MONTH)
    counts = ask(third, "SELECT billing_period, count(*) FROM aws.current_cost_and_usage GROUP BY ALL")
    assert dict(counts) == dict.fromkeys(BILLED_MONTHS, SIZE.rows) | {RESTATED_MONTH: SIZE.restated_rows}


def test_a_replaced_delivery_stays_for_those_who_ask_for_it(third: Path) -> None:
    deliveries = ask(
        third,
        "SELECT rows FROM aws.deliveries WHERE billing_period = ? ORDER BY delivered_at, rows DESC",
        RESTATED_MONTH,
    )
    assert deliveries == [(SIZE.rows,), (SIZE.restated_rows,)]
    in_table = ask(third, "SELECT count(*) FROM aws.cost_and_usage WHERE billing_period = ?", RESTATED_MONTH)
    assert in_table == [(SIZE.rows + SIZE.restated_rows,)]


def test_usage_activities_of_every_month_stand_for_its_current_line_items_and_their_cost(third: Path) -> None:
    activities = ask(
        third,
        """
        SELECT right(external_id, 7), sum((metadata ->> 'line_items')::BIGINT), round(sum(cost), 6)
        FROM aws.current_activities WHERE source = 'aws_cost_and_usage' GROUP BY ALL ORDER BY 1
        """,
    )
    line_items = ask(
        third,
        """
        SELECT billing_period, count(*), round(sum(line_item_unblended_cost), 6)
        FROM aws.current_cost_and_usage
        WHERE line_item_line_item_type IN ('Usage', 'DiscountedUsage', 'SavingsPlanCoveredUsage')
        GROUP BY ALL ORDER BY 1
        """,
    )
    assert [month for month, _, _ in activities] == BILLED_MONTHS
    assert activities == line_items


def test_emissions_by_month_and_method_are_those_of_the_api(third: Path) -> None:
    source = AwsSource(SEED, CARBON_MONTHS, WATER_YEARS)
    sums = ask(
        third,
        """
        SELECT strftime(month, '%Y-%m'), location_based_kg, market_based_kg
        FROM aws.emissions_by_month ORDER BY 1
        """,
    )
    assert [month for month, _, _ in sums] == CARBON_MONTHS
    for month, location_based, market_based in sums:
        landed = {"location_based": location_based, "market_based": market_based}
        assert landed == pytest.approx(source.emissions(month), rel=1e-12)


def test_the_text_says_that_all_agrees_and_where_the_database_is(told: Path) -> None:
    text = (told / "text").read_text()
    assert (told / "verdict").read_text() == "agrees: True"
    assert "WRONG" not in text
    assert "Everything agrees" in text
    assert "no location-based total: Azure reports scope 2 market based only" in text
    assert str(told / "output" / "demo.duckdb") in text
    assert "DuckDB 2.0 or newer" in text


def test_a_row_that_is_lost_makes_the_demo_fail(told: Path) -> None:
    assert (told / "verdict after a loss").read_text() == "agrees: False"


def test_one_view_has_the_emissions_of_both_clouds(told: Path) -> None:
    database = told / "output" / "demo.duckdb"
    totals = dict(
        ask(database, "SELECT provider, sum(market_based_kg) FROM emissions_of_all_clouds GROUP BY ALL")
    )
    azure = AzureSource(azure_story.SEED, azure_story.MONTHS).emissions()["market_based"]
    aws = AwsSource(SEED, CARBON_MONTHS, WATER_YEARS).emissions()["market_based"]
    assert totals == pytest.approx({"aws": aws, "azure": azure}, rel=1e-12)
    location_based = (
        "SELECT DISTINCT provider FROM emissions_of_all_clouds WHERE location_based_kg IS NOT NULL"
    )
    assert ask(database, location_based) == [("aws",)]


def test_cost_details_of_azure_are_those_of_the_files(told: Path) -> None:
    rows = ask(
        told / "output" / "demo.duckdb",
        """
        SELECT billing_period, count(*), sum(cost_in_billing_currency)
        FROM azure.current_cost_details GROUP BY ALL ORDER BY 1
        """,
    )
    expected = []
    for month in azure_story.EXPORTED_MONTHS:
        costs = demo_costs(azure_story.SEED, [month])
        expected.append(
            (month, len(costs), pytest.approx(float(sum(cost.cost for cost in costs)), rel=1e-12))
        )
    assert rows == expected


def test_meltano_leaves_the_project_as_it_is(told: Path, plugins: Path) -> None:
    # Meltano likes to write the file anew, in its own order and with what it misses.
    assert told.is_dir()
    assert (PROJECT / "meltano.yml").read_text() == (plugins / "meltano.yml before").read_text()


def test_an_interrupt_stops_all_that_was_started(
    meltano_home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[Any] = []

    def interrupt(seconds: float) -> None:
        if seconds:
            raise KeyboardInterrupt

    def remember(process: Any, stop: Any = pipeline.stop) -> None:
        stopped.append(process)
        stop(process)

    monkeypatch.setattr(pipeline, "stop", remember)
    screen = Screen(io.StringIO())
    monkeypatch.setattr(screen, "waiting", interrupt)
    story = Story(PROJECT, tmp_path / "output", screen, SIZE, home=meltano_home(tmp_path))
    with pytest.raises(KeyboardInterrupt), story:
        story.first_run()
    assert [group_ends(process.pid) for process in stopped] == [True]
    for url in story.cloud.endpoint_urls.values():
        with pytest.raises(requests.ConnectionError):
            requests.get(url, timeout=5)


def test_a_run_that_fails_shows_the_end_of_the_log(meltano_home: Home, tmp_path: Path) -> None:
    home = meltano_home(tmp_path)
    settings = {
        "TAP_OFFGRIDFLOW_AWS_ACTIVITY_GRAIN": "month",
        "TAP_OFFGRIDFLOW_AWS_AWS_ROLE_SESSION_NAME": "?",
        "TARGET_OFFGRIDFLOW_DUCKDB_PATH": str(tmp_path / "never.duckdb"),
    }
    failing = Pipeline(PROJECT, tmp_path, settings, waiting=lambda _: None, home=home)
    with pytest.raises(DemoError, match="aws_role_session_name must be"):
        failing.run()


def test_settings_of_somebody_else_do_not_reach_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("TAP_OFFGRIDFLOW_AWS_AWS_PROFILE", "production")
    monkeypatch.setenv("MELTANO_ENVIRONMENT", "prod")
    started: list[Any] = []
    monkeypatch.setattr(subprocess, "Popen", lambda *words, **options: started.append((words, options)))
    Pipeline(PROJECT, tmp_path, {}, waiting=lambda _: None).start("run", output=subprocess.DEVNULL)
    ((words, options),) = started
    assert not {"AWS_PROFILE", "TAP_OFFGRIDFLOW_AWS_AWS_PROFILE", "MELTANO_ENVIRONMENT"} & set(options["env"])
    assert "--env-file" in words[0]
