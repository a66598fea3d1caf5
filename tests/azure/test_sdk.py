"""The Azure tap as a tap of the Meltano SDK: standard tests, command line, catalogs, maps and BATCH."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from singer_sdk.testing import SuiteConfig

from tap_offgridflow_azure.tap import TapOffgridflowAzure
from tests.azure import everything
from tests.azure.driving import catalog, command, run_here, run_process
from tests.batches import batch_rows
from tests.local_clouds.azure import LocalAzure
from tests.standard import standard_tests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.azure.conftest import RunTap
    from tests.driving import Run

CARBON, DELIVERIES, ACTIVITIES = "carbon_emissions", "deliveries", "activities"
STREAMS = {
    ACTIVITIES,
    CARBON,
    "cost_details",
    "cost_query",
    DELIVERIES,
    "emissions_impact",
    "focus_costs",
    "subscriptions",
}
LINE_ITEMS = {"cost_details", "focus_costs"}
KEYS = [
    "period_start",
    "carbon_scope",
    "category_type",
    "subscription_id",
    "item_id",
    "item_number",
]

#: What the standard tests run with; the local cloud fills in where it is.
CONFIG: dict[str, Any] = {"rate_limit_per_second": 1000, "rate_limit_capacity": 10_000}

TestStandard = standard_tests(
    TapOffgridflowAzure,
    config=CONFIG,
    catalog=catalog(STREAMS),
    suite_config=SuiteConfig(max_records_limit=1000),
)


@pytest.fixture(scope="module", autouse=True)
def everywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A configuration with which each stream has records."""
    with LocalAzure() as running:
        CONFIG.update(everything.publish(running, tmp_path_factory.mktemp("container"), datetime.now(UTC)))
        yield CONFIG


def cli(*arguments: str) -> str:
    done = CliRunner().invoke(TapOffgridflowAzure.cli, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


class TestCommandLine:
    """What works before anything is set up."""

    OFFLINE = (
        "import socket, sys\n"
        "sys.modules['azure'] = sys.modules['msal'] = None  # they take time to load\n"
        "def refuse(*_, **__): raise SystemExit('the network was used')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from tap_offgridflow_azure.tap import TapOffgridflowAzure\n"
        "TapOffgridflowAzure.cli()\n"
    )

    def test_discovery_needs_neither_settings_nor_credentials_nor_a_network(self, tmp_path: Path) -> None:
        bare = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        run = run_process([sys.executable, "-c", self.OFFLINE, "--discover"], bare)
        assert run.exit_code == 0, run.stderr
        streams = {stream["tap_stream_id"]: stream for stream in json.loads(run.stdout)["streams"]}
        assert streams.keys() == STREAMS
        selected = {
            name: entry["metadata"]["selected-by-default"]
            for name, stream in streams.items()
            for entry in stream["metadata"]
            if not entry["breadcrumb"]
        }
        assert {name for name, on in selected.items() if not on} == LINE_ITEMS

    def test_about_tells_all_settings_in_json_and_in_markdown(self) -> None:
        about = json.loads(cli("--about", "--format=json"))
        assert about["name"] == "tap-offgridflow-azure"
        settings = about["settings"]["properties"]
        assert {"tenant_id", "exports", "start_date", "stream_maps", "batch_config"} <= settings.keys()
        markdown = cli("--about", "--format=markdown")
        assert [name for name in settings if f"| {name} |" not in markdown] == []
        for capability in ("catalog", "state", "discover", "stream-maps", "batch", "structured-logging"):
            assert capability in about["capabilities"]
            assert f"`{capability}`" in markdown

    def test_version_names_the_tap(self) -> None:
        assert cli("--version").startswith("tap-offgridflow-azure v0.")

    def test_settings_can_come_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        one, two = (f"aaaaaaaa-0000-0000-0000-00000000000{number}" for number in (1, 2))
        monkeypatch.setenv("TAP_OFFGRIDFLOW_AZURE_LOOKBACK_MONTHS", "7")
        monkeypatch.setenv("TAP_OFFGRIDFLOW_AZURE_SUBSCRIPTION_IDS", f'["{one}", "{two}"]')
        settings = TapOffgridflowAzure(config={}, parse_env_config=True).settings
        assert settings.lookback_months == 7
        assert settings.subscription_ids == (one, two)


class TestDryRun:
    """`--test` asks for a record of each stream, and its exit code says whether that went well."""

    @staticmethod
    def line(folder: Path, config: dict[str, Any]) -> list[str]:
        config_only = command(folder, config, None, {})
        return [*config_only[: config_only.index("--catalog")], "--test"]

    def test_it_succeeds_where_all_is_well_and_leaves_nothing_behind(
        self, tmp_path: Path, everywhere: dict[str, Any], spool_dir: Path
    ) -> None:
        config = everywhere | {"spool_dir": str(spool_dir)}
        run = run_process(self.line(tmp_path, config), os.environ)
        assert run.exit_code == 0, run.stderr
        out = Counter(message["stream"] for message in run.messages if message["type"] == "RECORD")
        assert out == dict.fromkeys(STREAMS - {DELIVERIES}, 1)
        assert list(spool_dir.iterdir()) == []

    def test_it_fails_with_the_message_where_credentials_are_bad(
        self, tmp_path: Path, everywhere: dict[str, Any]
    ) -> None:
        config = everywhere | {"client_secret": "wrong-secret-of-nobody"}
        run = run_process(self.line(tmp_path, config), os.environ)
        assert run.exit_code == 1
        assert "AADSTS7000215" in run.stderr
        assert "client_secret" in run.stderr
        assert "wrong-secret-of-nobody" not in run.stderr
        assert "Logging error" not in run.stderr

    @pytest.mark.parametrize("limit", [1, 5, 37])
    def test_a_limit_of_records_counts_for_a_stream_whatever_its_partitions_are(
        self, limit: int, everywhere: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        tap = TapOffgridflowAzure(config=dict(everywhere), catalog=catalog([CARBON]))
        tap.run_sync_dry_run(limit, [tap.streams[CARBON]])
        out = [json.loads(line)["type"] for line in capsys.readouterr().out.splitlines()]
        assert out.count("RECORD") == limit


def run_carbon(run_tap: RunTap, config: dict[str, Any], **settings: Any) -> Run:
    run = run_tap(config | settings, [CARBON])
    assert run.exit_code == 0, run.stderr
    return run


def schema(run: Run, stream: str = CARBON) -> dict[str, Any]:
    (message,) = (m for m in run.messages if m["type"] == "SCHEMA" and m["stream"] == stream)
    return dict(message)


class TestSelectionAndMaps:
    """Catalogs, stream maps and flattening do what they do in any SDK tap."""

    def test_what_is_deselected_disappears_and_keys_stay(self, everywhere: dict[str, Any]) -> None:
        whole = set(schema(run_here(everywhere, None, catalog([CARBON])))["schema"]["properties"])
        unwanted = {"extra", "retrieved_at", "latest_month_emissions", "resource_type"}
        run = run_here(everywhere, None, catalog([CARBON], deselect={CARBON: unwanted}))
        assert set(schema(run)["schema"]["properties"]) == whole - unwanted
        assert schema(run)["key_properties"] == KEYS
        assert {frozenset(record) for record in run.records(CARBON)} == {frozenset(whole - unwanted)}

    def test_keys_cannot_be_deselected(self, everywhere: dict[str, Any]) -> None:
        selection = catalog([CARBON])
        for stream in selection["streams"]:
            for entry in stream["metadata"]:
                if entry["breadcrumb"]:
                    entry["metadata"]["selected"] = False
        run = run_here(everywhere, None, selection)
        assert {frozenset(record) for record in run.records(CARBON)} == {frozenset(KEYS)}

    def test_a_map_renames_computes_and_drops(self, everywhere: dict[str, Any], run_tap: RunTap) -> None:
        plain = run_carbon(run_tap, everywhere).records(CARBON)
        maps = {
            CARBON: {
                "tonnes": "float(latest_month_emissions) / 1000",
                "place": "location",
                "location": "__NULL__",
                "retrieved_at": "__NULL__",
            }
        }
        mapped = run_carbon(run_tap, everywhere, stream_maps=maps).records(CARBON)
        dropped = {"location", "retrieved_at"}
        assert mapped == [
            {name: value for name, value in one.items() if name not in dropped}
            | {"tonnes": one["latest_month_emissions"] / 1000, "place": one["location"]}
            for one in plain
        ]

    def test_a_map_filters_and_gives_the_stream_another_name(
        self, everywhere: dict[str, Any], run_tap: RunTap
    ) -> None:
        maps = {CARBON: {"__alias__": "co2", "__filter__": "carbon_scope == 'Scope3'"}}
        run = run_carbon(run_tap, everywhere, stream_maps=maps)
        assert run.records(CARBON) == []
        assert {record["carbon_scope"] for record in run.records("co2")} == {"Scope3"}
        assert schema(run, "co2")["key_properties"] == KEYS
        assert run.state == run_carbon(run_tap, everywhere).state

    def test_flattening_makes_columns_of_objects(self, everywhere: dict[str, Any], run_tap: RunTap) -> None:
        flat = {"flattening_enabled": True, "flattening_max_depth": 2}
        run = run_tap(everywhere | flat, [ACTIVITIES])
        plain = run_tap(everywhere, [ACTIVITIES])
        assert run.exit_code == 0, run.stderr
        records = run.records(ACTIVITIES)
        assert [record["id"] for record in records] == [record["id"] for record in plain.records(ACTIVITIES)]
        assert set(records[0]) <= set(schema(run, ACTIVITIES)["schema"]["properties"])


@pytest.mark.parametrize("size", [3, 10_000])
def test_batches_of_json_lines_hold_the_very_records(
    size: int, everywhere: dict[str, Any], run_tap: RunTap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TapOffgridflowAzure, "started_at", TapOffgridflowAzure(config={}).started_at)
    batch_config = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": tmp_path.as_uri()},
        "batch_size": size,
    }
    plain = run_tap(everywhere, STREAMS)
    batched = run_tap(everywhere | {"batch_config": batch_config}, STREAMS)
    assert batched.exit_code == 0, batched.stderr
    rows = batch_rows(batched, tmp_path)
    assert rows.keys() == STREAMS
    for stream in STREAMS:
        assert rows[stream] == plain.records(stream)
        assert not batched.records(stream)
    assert batched.state == plain.state
