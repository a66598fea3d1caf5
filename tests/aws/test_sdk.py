"""The AWS tap as a tap of the Meltano SDK: its standard tests, its command line, catalogs, maps and BATCH."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from click.testing import CliRunner
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.testing import SuiteConfig

from tap_offgridflow_aws.tap import TapOffgridflowAws
from tests.aws import everything
from tests.aws.driving import catalog, command, run_here, run_process
from tests.batches import batch_rows
from tests.local_clouds.aws import LocalAws
from tests.local_clouds.exports import S3Store
from tests.local_clouds.sustainability import EMISSIONS_TYPES
from tests.standard import standard_tests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run
    from tests.local_clouds.sustainability import SustainabilityServer

CARBON, DELIVERIES, ACTIVITIES = "carbon_emissions", "deliveries", "activities"
STREAMS = {
    ACTIVITIES,
    CARBON,
    "carbon_export",
    "cost_and_usage",
    DELIVERIES,
    "focus_costs",
    "water_allocation",
}
LINE_ITEMS = {"cost_and_usage", "focus_costs"}
KEYS = ["period_start", "account_id", "region", "service"]

#: What the standard tests run with; the local clouds fill in where they are.
CONFIG: dict[str, Any] = {**LocalAws.credentials, "rate_limit_per_second": 1000}

TestStandard = standard_tests(
    TapOffgridflowAws,
    config=CONFIG,
    catalog=catalog(STREAMS),
    suite_config=SuiteConfig(max_records_limit=1000),
)


@pytest.fixture(scope="module", autouse=True)
def everywhere(local_aws: LocalAws) -> Iterator[dict[str, Any]]:
    """A configuration with which each stream has records."""
    bucket = local_aws.create_bucket()
    CONFIG.update(everything.publish(S3Store(local_aws.client("s3"), bucket), local_aws.sustainability))
    CONFIG.update(aws_endpoint_urls=local_aws.endpoint_urls)
    yield CONFIG
    for month in ("2026-08", everything.PERIOD):
        local_aws.sustainability.remove_month(month)


def cli(*arguments: str) -> str:
    done = CliRunner().invoke(TapOffgridflowAws.cli, arguments)
    assert done.exit_code == 0, done.output
    return done.stdout


class TestCommandLine:
    """What works before anything is set up."""

    OFFLINE = (
        "import socket, sys\n"
        "sys.modules['boto3'] = sys.modules['botocore'] = None  # they take time to load\n"
        "def refuse(*_, **__): raise SystemExit('the network was used')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from tap_offgridflow_aws.tap import TapOffgridflowAws\n"
        "TapOffgridflowAws.cli()\n"
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
        assert about["name"] == "tap-offgridflow-aws"
        settings = about["settings"]["properties"]
        assert {
            "aws_access_key_id",
            "exports",
            "start_date",
            "stream_maps",
            "batch_config",
        } <= settings.keys()
        markdown = cli("--about", "--format=markdown")
        assert [name for name in settings if f"| {name} |" not in markdown] == []
        for capability in ("catalog", "state", "discover", "stream-maps", "batch", "structured-logging"):
            assert capability in about["capabilities"]
            assert f"`{capability}`" in markdown

    def test_version_names_the_tap_and_the_sdk(self) -> None:
        assert cli("--version").startswith("tap-offgridflow-aws v0.")

    def test_settings_can_come_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TAP_OFFGRIDFLOW_AWS_LOOKBACK_MONTHS", "7")
        monkeypatch.setenv("TAP_OFFGRIDFLOW_AWS_AWS_ENDPOINT_URLS", '{"s3": "https://s3.example.com"}')
        settings = TapOffgridflowAws(config={}, parse_env_config=True).settings
        assert settings.lookback_months == 7
        assert settings.endpoint_urls == {"s3": "https://s3.example.com"}

    def test_variables_may_stand_in_a_file_of_the_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TAP_OFFGRIDFLOW_AWS_MAX_ATTEMPTS", "2")
        lines = ["TAP_OFFGRIDFLOW_AWS_RATE_LIMIT_PER_SECOND=0.5", "TAP_OFFGRIDFLOW_AWS_MAX_ATTEMPTS=3"]
        (tmp_path / ".env").write_text("\n".join(lines), encoding="utf-8")
        (tmp_path / "below").mkdir()
        monkeypatch.chdir(tmp_path / "below")
        monkeypatch.delenv("TAP_OFFGRIDFLOW_AWS_RATE_LIMIT_PER_SECOND", raising=False)
        with patch.dict(os.environ):
            settings = TapOffgridflowAws(config={}, parse_env_config=True).settings
        assert settings.rate_limit_per_second == 0.5
        assert settings.max_attempts == 2

    def test_a_variable_that_cannot_be_read_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TAP_OFFGRIDFLOW_AWS_LOOKBACK_MONTHS", "two")
        monkeypatch.setenv("TAP_OFFGRIDFLOW_AWS_EXPORTS", "s3://bucket/export")
        with pytest.raises(ConfigValidationError) as caught:
            TapOffgridflowAws(config={}, parse_env_config=True)
        assert len(caught.value.errors) == 2
        assert "TAP_OFFGRIDFLOW_AWS_LOOKBACK_MONTHS must be integer" in str(caught.value)
        assert "TAP_OFFGRIDFLOW_AWS_EXPORTS must be array" in str(caught.value)

    @pytest.mark.parametrize("rate", ["0.5", "5.0", "1e2"])
    def test_numbers_of_a_file_may_have_a_fraction(
        self, tmp_path: Path, everywhere: dict[str, Any], rate: str
    ) -> None:
        """The SDK makes decimals of them."""
        line = command(tmp_path, everywhere | {"rate_limit_per_second": 77.7}, None, catalog(["activities"]))
        text = (tmp_path / "config.json").read_text("utf-8")
        (tmp_path / "config.json").write_text(text.replace("77.7", rate), encoding="utf-8")
        run = run_process(line, os.environ)
        assert run.exit_code == 0, run.stderr


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

    @pytest.mark.parametrize("structured", [False, True])
    def test_it_fails_with_the_message_where_credentials_are_bad(
        self,
        structured: bool,  # noqa: FBT001 - a parameter of the test
        tmp_path: Path,
        tap_config: Config,
        sustainability: SustainabilityServer,
    ) -> None:
        sustainability.accepted_keys = set()
        variables = {}
        if structured:
            logs = tmp_path / "logging.json"
            logs.write_text(json.dumps(STRUCTURED))
            variables = {"SINGER_SDK_LOG_CONFIG": str(logs)}
        run = run_process(self.line(tmp_path, tap_config()), os.environ | variables)
        assert run.exit_code == 1
        assert "code=UnrecognizedClientException" in run.stderr
        assert "check aws_access_key_id" in run.stderr
        assert "RecursionError" not in run.stderr
        assert "Logging error" not in run.stderr

    @pytest.mark.parametrize("limit", [1, 5, 7])
    def test_a_limit_of_records_counts_for_a_stream_whatever_its_partitions_are(
        self, limit: int, everywhere: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        tap = TapOffgridflowAws(config=dict(everywhere), catalog=catalog([CARBON]))
        tap.run_sync_dry_run(limit, [tap.streams[CARBON]])
        out = [json.loads(line)["type"] for line in capsys.readouterr().out.splitlines()]
        assert out.count("RECORD") == limit


STRUCTURED = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"structured": {"()": "singer_sdk.logging.StructuredFormatter"}},
    "handlers": {"default": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"level": "INFO", "handlers": ["default"]},
}


def run_carbon(run_tap: RunTap, config: dict[str, Any], **settings: Any) -> Run:
    run = run_tap(config | settings, select=[CARBON])
    assert run.exit_code == 0, run.stderr
    return run


def schema(run: Run, stream: str = CARBON) -> dict[str, Any]:
    (message,) = (m for m in run.messages if m["type"] == "SCHEMA" and m["stream"] == stream)
    return dict(message)


class TestSelectionAndMaps:
    """Catalogs, stream maps and flattening do what they do in any SDK tap."""

    def test_what_is_deselected_disappears_and_keys_stay(
        self, everywhere: dict[str, Any], run_tap: RunTap
    ) -> None:
        unwanted = {CARBON: [name.lower() for name in EMISSIONS_TYPES[:5]] + ["extra", "retrieved_at"]}
        run = run_tap(everywhere, select=[CARBON], deselect=unwanted)
        left = [
            *KEYS,
            "period_end",
            "model_version",
            *(t.lower() for t in EMISSIONS_TYPES[5:]),
            "emissions_unit",
        ]
        assert set(schema(run)["schema"]["properties"]) == set(left)
        assert schema(run)["key_properties"] == KEYS
        assert {tuple(sorted(record)) for record in run.records(CARBON)} == {tuple(sorted(left))}

    def test_keys_cannot_be_deselected(self, everywhere: dict[str, Any]) -> None:
        selection = catalog([CARBON])
        for stream in selection["streams"]:
            for entry in stream["metadata"]:
                if entry["breadcrumb"]:
                    entry["metadata"]["selected"] = False
        run = run_here(everywhere, None, selection)
        assert {tuple(sorted(record)) for record in run.records(CARBON)} == {tuple(sorted(KEYS))}

    def test_a_map_renames_computes_hashes_and_drops(
        self, everywhere: dict[str, Any], run_tap: RunTap
    ) -> None:
        plain = run_carbon(run_tap, everywhere).records(CARBON)
        maps = {
            CARBON: {
                "model": "model_version",
                "model_version": "__NULL__",
                "account_hash": "md5(account_id)",
                "kg": "float(total_lbm_carbon_emissions) * 1000",
                "retrieved_at": "__NULL__",
            }
        }
        mapped = run_carbon(run_tap, everywhere, stream_maps=maps)
        left = schema(mapped)["schema"]["properties"]
        assert {"model", "account_hash", "kg"} <= left.keys()
        assert not {"model_version", "retrieved_at"} & left.keys()
        records = mapped.records(CARBON)
        assert len(records) == len(plain)
        for before, after in zip(plain, records, strict=True):
            dropped = {"model_version", "retrieved_at"}
            expected = {name: value for name, value in before.items() if name not in dropped} | {
                "model": before["model_version"],
                "account_hash": hashlib.md5(before["account_id"].encode()).hexdigest(),  # noqa: S324 - the SDK's
                "kg": before["total_lbm_carbon_emissions"] * 1000,
            }
            assert after == expected

    def test_a_map_filters_and_gives_the_stream_another_name(
        self, everywhere: dict[str, Any], run_tap: RunTap
    ) -> None:
        maps = {CARBON: {"__alias__": "co2", "__filter__": "region == 'Global'"}}
        run = run_carbon(run_tap, everywhere, stream_maps=maps)
        assert run.records(CARBON) == []
        assert {record["region"] for record in run.records("co2")} == {"Global"}
        assert schema(run, "co2")["key_properties"] == KEYS
        assert run.state == run_carbon(run_tap, everywhere).state

    def test_flattening_makes_columns_of_objects(self, everywhere: dict[str, Any], run_tap: RunTap) -> None:
        flat = {"flattening_enabled": True, "flattening_max_depth": 2}
        run = run_tap(everywhere | flat, select=[ACTIVITIES])
        plain = run_tap(everywhere, select=[ACTIVITIES])
        assert run.exit_code == 0, run.stderr
        records = run.records(ACTIVITIES)
        assert [record["id"] for record in records] == [record["id"] for record in plain.records(ACTIVITIES)]
        assert set(records[0]) <= set(schema(run, ACTIVITIES)["schema"]["properties"])


@pytest.mark.parametrize("size", [3, 10_000])
def test_batches_of_json_lines_hold_the_very_records(
    size: int, everywhere: dict[str, Any], run_tap: RunTap, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TapOffgridflowAws, "started_at", TapOffgridflowAws(config={}).started_at)
    batch_config = {
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "storage": {"root": tmp_path.as_uri()},
        "batch_size": size,
    }
    plain = run_tap(everywhere, select=STREAMS)
    batched = run_tap(everywhere | {"batch_config": batch_config}, select=STREAMS)
    assert batched.exit_code == 0, batched.stderr
    rows = batch_rows(batched, tmp_path)
    assert rows.keys() == STREAMS
    for stream in STREAMS:
        assert rows[stream] == plain.records(stream)
        assert not batched.records(stream)
    assert batched.state == plain.state
    assert max(len(gzip.decompress(path.read_bytes()).splitlines()) for path in tmp_path.glob("*.gz")) <= size
