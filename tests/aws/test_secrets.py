"""No secret leaves the tap: whatever is planted in its settings is in no output of any kind of run."""

from __future__ import annotations

import base64
import json
import os
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from click.testing import CliRunner
from moto.sts.models import sts_backends
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from singer_sdk.exceptions import ConfigValidationError

from offgridflow_common.observability import Telemetry
from offgridflow_common.redaction import REDACTED
from tap_offgridflow_aws.reports import Report
from tap_offgridflow_aws.tap import TapOffgridflowAws
from tests.aws.driving import catalog, command, run_process
from tests.local_clouds.sustainability import demo_emissions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run
    from tests.local_clouds.sustainability import SustainabilityServer

CARBON = "carbon_emissions"
SECRETS = {
    "aws_access_key_id": "AKIAPLANTEDKEYID0001",
    "aws_secret_access_key": 'planted/Secret+access="key"\\of the user',
    "aws_session_token": "planted//Session+token/of/the/user==",
}
EXTERNAL_ID = "planted-external=id"
PASSWORD = "planted-password-of-a-url"
STRUCTURED = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"structured": {"()": "singer_sdk.logging.StructuredFormatter"}},
    "handlers": {"default": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"level": "DEBUG", "handlers": ["default"]},
}


def forms(secret: str) -> set[str]:
    """How a secret looks as it is, in a URL, in JSON and in base64."""
    coded = base64.b64encode(secret.encode()).decode().rstrip("=")
    return {secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], coded[:-1]}


def assert_hidden(texts: Iterable[str], secrets: Iterable[str]) -> None:
    whole = "\n".join(texts)
    shown = {secret for secret in secrets for form in forms(secret) if form in whole}
    places = {secret: whole[max(0, (at := whole.find(secret)) - 200) : at + 20] for secret in shown}
    assert not shown, places


@pytest.fixture
def config(tap_config: Config, sustainability: SustainabilityServer) -> dict[str, Any]:
    months = demo_emissions(["2026-01"], ["111122223333"], ["us-east-1"], ["AmazonEC2"], 1)
    sustainability.set_months(months)
    return tap_config(start_date="2026-01-01", end_date="2026-02-01") | SECRETS


@pytest.fixture
def structured(tmp_path: Path) -> dict[str, str]:
    """Variables that make the SDK log in JSON, at its most talkative."""
    path = tmp_path / "logging.json"
    path.write_text(json.dumps(STRUCTURED))
    return {"SINGER_SDK_LOG_CONFIG": str(path)}


@pytest.fixture
def run_debug(tmp_path: Path) -> Callable[..., Run]:
    """Run the real command at its most talkative."""

    def run(config: dict[str, Any], *options: str, **variables: str) -> Run:
        line = command(tmp_path, config, None, catalog([CARBON]))
        if options:
            line = [*line[: line.index("--catalog")], *options]
        return run_process(line, os.environ | {"LOGLEVEL": "DEBUG"} | variables)

    return run


def echo(server: SustainabilityServer, *secrets: str) -> None:
    """Let the service repeat secrets in its error, as they are, quoted and in headers."""
    spelled = " ".join(f"{s} {quote(s, safe='')} {json.dumps(s)}" for s in secrets)
    headers = f"Authorization: AWS4-HMAC-SHA256 Credential={SECRETS['aws_access_key_id']}/20260101/us-east-1"
    message = f"The request was refused: {spelled} {headers}, Signature=0123456789abcdef0123"
    server.fail_next(1, 400, "ValidationException", message, {"x-echo": secrets[0]})


def test_a_good_run_at_its_most_talkative_shows_none(
    config: dict[str, Any], run_debug: Callable[..., Run]
) -> None:
    run = run_debug(config)
    assert run.exit_code == 0, run.stderr
    assert "DEBUG" in run.stderr
    assert REDACTED in run.stderr
    assert run.records(CARBON)
    assert_hidden([run.stderr, run.stdout.decode()], SECRETS.values())


def test_an_assumed_role_shows_neither_its_external_id_nor_what_it_got(
    config: dict[str, Any], run_debug: Callable[..., Run], structured: dict[str, str]
) -> None:
    account = f"{uuid.uuid4().int % 10**12:012}"
    role = {"aws_assume_role_arn": f"arn:aws:iam::{account}:role/reader", "aws_external_id": EXTERNAL_ID}
    run = run_debug(config | role, **structured)
    assert run.exit_code == 0, run.stderr
    (assumed,) = sts_backends[account]["aws"].assumed_roles
    got = [assumed.access_key_id, assumed.secret_access_key, assumed.session_token]
    assert_hidden([run.stderr, run.stdout.decode()], [*SECRETS.values(), EXTERNAL_ID, *got])


def test_credentials_of_the_surroundings_are_as_secret(
    config: dict[str, Any], run_debug: Callable[..., Run]
) -> None:
    given = {name.upper(): value for name, value in SECRETS.items()}
    config = {name: value for name, value in config.items() if name not in SECRETS}
    run = run_debug(config, **given)
    assert run.exit_code == 0, run.stderr
    assert_hidden([run.stderr, run.stdout.decode()], SECRETS.values())


@pytest.mark.parametrize("options", [(), ("--test",)], ids=["a run", "a dry run"])
def test_errors_of_the_service_that_repeat_them_show_none(
    options: tuple[str, ...],
    config: dict[str, Any],
    sustainability: SustainabilityServer,
    run_debug: Callable[..., Run],
    structured: dict[str, str],
) -> None:
    echo(sustainability, *SECRETS.values())
    run = run_debug(config, *options, **(structured if options else {}))
    assert run.exit_code == 1
    assert "The request was refused" in run.stderr
    assert_hidden([run.stderr, run.stdout.decode()], [*SECRETS.values(), "0123456789abcdef0123"])


WRAPS: dict[str, Callable[[str], Any]] = {
    "a list": lambda secret: [secret],
    "an object": lambda secret: {"value": secret},
    "deep": lambda secret: [{"deep": [secret]}],
    "a number": lambda _: 987654321987,
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_a_secret_of_the_wrong_type_is_refused_and_not_shown_by_the_exception(
    wrap: Callable[[str], Any], config: dict[str, Any]
) -> None:
    wrong = {name: wrap(value) for name, value in SECRETS.items()}
    with pytest.raises(ConfigValidationError) as caught:
        TapOffgridflowAws(config=config | wrong)
    errors = caught.value.errors
    assert len([error for error in errors if "is not of type" in error]) == len(wrong)
    assert_hidden([str(caught.value), *errors], [*SECRETS.values(), "987654321987"])


def test_secrets_of_the_wrong_type_are_refused_and_not_shown_by_the_command(
    config: dict[str, Any], run_debug: Callable[..., Run]
) -> None:
    wraps = zip(SECRETS.items(), WRAPS.values(), strict=False)
    run = run_debug(config | {name: wrap(value) for (name, value), wrap in wraps})
    assert run.exit_code == 1
    assert run.stderr.count("is not of type") == len(SECRETS)
    assert_hidden([run.stderr, run.stdout.decode()], SECRETS.values())


def test_a_secret_under_a_misspelled_name_is_not_shown(config: dict[str, Any], run_tap: RunTap) -> None:
    run = run_tap(config | {"aws_secret_acess_key": "planted-in-vain"})
    assert run.exit_code == 1
    assert "did you mean 'aws_secret_access_key'" in run.stderr
    assert_hidden([run.stderr], ["planted-in-vain"])


def test_a_password_in_the_url_of_an_endpoint_is_not_shown(
    config: dict[str, Any], sustainability: SustainabilityServer, run_debug: Callable[..., Run]
) -> None:
    url = sustainability.url.replace("://", f"://user:{PASSWORD}@")
    run = run_debug(config | {"aws_endpoint_urls": {"sustainability": url}, "max_attempts": 1})
    assert run.exit_code == 0, run.stderr
    assert_hidden([run.stderr, run.stdout.decode()], [PASSWORD])


@pytest.mark.parametrize(
    ("settings", "secret"),
    [
        ({"aws_endpoint_urls": {"s3": f"http://user:{PASSWORD}@s3.example.com"}}, PASSWORD),
        ({"exports": [{"type": "cur2", "url": f"https://user:{PASSWORD}@bucket.example.com/x"}]}, PASSWORD),
        ({"aws_profile": "AKIAPLANTEDPROFILE01"}, "AKIAPLANTEDPROFILE01"),
        ({"aws_assume_role_arn": "ASIAPLANTEDROLEARN01"}, "ASIAPLANTEDROLEARN01"),
        ({"start_date": "AKIAPLANTEDSTARTDATE"}, "AKIAPLANTEDSTARTDATE"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_looks_like_a_secret_in_other_settings_is_not_shown(
    settings: dict[str, Any], secret: str, *, config: dict[str, Any], run_tap: RunTap
) -> None:
    given = {name: value for name, value in config.items() if name not in SECRETS}
    run = run_tap(given | settings, select=[CARBON])
    assert run.exit_code == 1
    assert REDACTED in run.stderr
    assert_hidden([run.stderr], [secret])


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """The spans of all runs of the test."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = Telemetry("tap-offgridflow-aws", tracer_provider=provider)
    monkeypatch.setattr(TapOffgridflowAws, "telemetry", telemetry)
    return exporter


def test_spans_records_and_state_hold_none(
    config: dict[str, Any],
    sustainability: SustainabilityServer,
    run_tap: RunTap,
    spans: InMemorySpanExporter,
) -> None:
    good = run_tap(config, select=[CARBON])
    echo(sustainability, *SECRETS.values())
    bad = run_tap(config, good.state, select=[CARBON])
    assert (good.exit_code, bad.exit_code) == (0, 1)
    shown = [span.to_json() for span in spans.get_finished_spans()]
    assert {json.loads(span)["name"] for span in shown} == {"sync", "stream", "partition", "request"}
    assert any("The request was refused" in span for span in shown)
    outputs = [json.dumps(good.messages), json.dumps(bad.messages), good.stderr, bad.stderr]
    assert_hidden([*shown, *outputs], SECRETS.values())


def test_an_unforeseen_error_shows_its_traceback_and_no_secret(
    config: dict[str, Any], run_tap: RunTap, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: Any) -> Any:
        secret = SECRETS["aws_secret_access_key"]
        raise RuntimeError(f"with {secret} and {SECRETS['aws_session_token']}") from KeyError(secret)

    monkeypatch.setattr(Report, "read", fail)
    run = run_tap(config, select=[CARBON])
    assert run.exit_code == 1
    assert "Traceback" in run.stderr
    assert "carbon_emissions (unknown)" in run.stderr
    assert_hidden([run.stderr, *(span.to_json() for span in spans.get_finished_spans())], SECRETS.values())


@pytest.mark.parametrize("form", ["json", "markdown"])
def test_about_shows_settings_and_not_their_values(form: str, config: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    variables = {f"TAP_OFFGRIDFLOW_AWS_{name.upper()}": value for name, value in SECRETS.items()}
    arguments = ["--config", str(path), "--config=ENV", "--about", f"--format={form}"]
    done = CliRunner().invoke(TapOffgridflowAws.cli, arguments, env=variables)
    assert done.exit_code == 0, done.output
    assert "aws_secret_access_key" in done.output
    assert_hidden([done.output], SECRETS.values())


def test_every_secret_setting_is_planted_here() -> None:
    properties = TapOffgridflowAws.config_jsonschema["properties"]
    marked = {name for name, schema in properties.items() if schema.get("secret")}
    assert marked == {*SECRETS, "aws_external_id"}
