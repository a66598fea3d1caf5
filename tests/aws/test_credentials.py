"""Who the tap is to AWS: from its settings to what boto3 signs with, and what STS is asked."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from moto.core.exceptions import AccessDeniedError
from moto.core.utils import utcnow
from moto.sts.models import STSBackend, sts_backends
from singer_sdk.exceptions import ConfigValidationError

from tap_offgridflow_aws.tap import TapOffgridflowAws
from tests.local_clouds.aws import month_range

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from moto.sts.models import AssumedRole

    from tests.aws.conftest import Config, RunTap
    from tests.aws.driving import Run
    from tests.local_clouds.sustainability import Recorded, SustainabilityServer

CARBON = "carbon_emissions"
WINDOW = {"start_date": "2026-01-01", "end_date": "2026-02-01"}
KEYS = {"aws_access_key_id": "AKIAOFTHESETTINGS000", "aws_secret_access_key": "of-the-settings"}


@pytest.fixture
def no_keys(tap_config: Config) -> Callable[..., dict[str, Any]]:
    """Configurations of one month without any credentials."""

    def make(**settings: Any) -> dict[str, Any]:
        config = tap_config(**WINDOW)
        return {name: value for name, value in config.items() if name not in KEYS} | settings

    return make


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's own configuration, with a profile `billing`."""
    path = tmp_path / "aws-config"
    path.write_text(
        "[default]\nregion = eu-west-3\n"
        "[profile billing]\nregion = eu-north-1\n"
        "aws_access_key_id = AKIAOFTHEPROFILE0000\naws_secret_access_key = of-the-profile\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials in AWS's own variables."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAOFTHEENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-environment")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "token-of-the-environment")


def only_request(server: SustainabilityServer) -> Recorded:
    (request,) = server.requests
    return request


def boto(config: dict[str, Any], service: str) -> Any:
    return TapOffgridflowAws(config=config).client._client(service)


@pytest.mark.usefixtures("environment", "profile")
@pytest.mark.parametrize("token", [None, "token-of-the-settings"])
def test_keys_of_the_settings_come_first(
    token: str | None,
    no_keys: Callable[..., dict[str, Any]],
    sustainability: SustainabilityServer,
    run_tap: RunTap,
) -> None:
    config = no_keys(**KEYS, **({"aws_session_token": token} if token else {}))
    assert run_tap(config, select=[CARBON]).exit_code == 0
    request = only_request(sustainability)
    assert request.access_key == "AKIAOFTHESETTINGS000"
    assert request.headers.get("X-Amz-Security-Token") == token


@pytest.mark.usefixtures("profile")
def test_a_profile_gives_its_keys_and_its_region(
    no_keys: Callable[..., dict[str, Any]], sustainability: SustainabilityServer, run_tap: RunTap
) -> None:
    config = no_keys(aws_profile="billing")
    assert run_tap(config, select=[CARBON]).exit_code == 0
    assert only_request(sustainability).access_key == "AKIAOFTHEPROFILE0000"
    assert boto(config, "s3").meta.region_name == "eu-north-1"


@pytest.mark.usefixtures("profile")
def test_endpoints_of_a_profile_hold_for_a_role_too(
    no_keys: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    with (tmp_path / "aws-config").open("a") as file:
        file.write("endpoint_url = https://aws.corp.example\n")
    role = "arn:aws:iam::111122223333:role/reader"
    config = no_keys(aws_profile="billing", aws_assume_role_arn=role, aws_endpoint_urls={})
    client = boto(config, "s3")
    assert client.meta.endpoint_url == "https://aws.corp.example"
    assert client.meta.region_name == "eu-north-1"


@pytest.mark.usefixtures("environment")
def test_without_credentials_in_the_settings_those_of_the_surroundings_count(
    no_keys: Callable[..., dict[str, Any]], sustainability: SustainabilityServer, run_tap: RunTap
) -> None:
    assert run_tap(no_keys(), select=[CARBON]).exit_code == 0
    request = only_request(sustainability)
    assert request.access_key == "AKIAOFTHEENVIRONMENT"
    assert request.headers["X-Amz-Security-Token"] == "token-of-the-environment"


@pytest.mark.parametrize(
    ("settings", "named"),
    [({}, "NoCredentialsError"), ({"aws_profile": "nobody"}, "(nobody) could not be found")],
)
def test_missing_credentials_are_an_error_of_the_class_auth_and_nothing_is_sent(
    settings: dict[str, str],
    named: str,
    *,
    no_keys: Callable[..., dict[str, Any]],
    sustainability: SustainabilityServer,
    run_tap: RunTap,
) -> None:
    run = run_tap(no_keys(**settings), select=[CARBON])
    assert run.exit_code == 1
    assert "carbon_emissions (auth)" in run.stderr
    assert named in run.stderr
    assert "check aws_access_key_id, aws_secret_access_key" in run.stderr
    assert not sustainability.requests


@pytest.mark.usefixtures("profile")
@pytest.mark.parametrize(
    ("settings", "variable", "region"),
    [
        ({"aws_default_region": "ap-south-1"}, "eu-south-1", "ap-south-1"),
        ({}, "eu-south-1", "eu-south-1"),
        ({}, None, "eu-west-3"),
    ],
)
def test_the_region_of_the_buckets_comes_from_the_settings_or_the_surroundings(
    settings: dict[str, str],
    variable: str | None,
    region: str,
    *,
    tap_config: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if variable:
        monkeypatch.setenv("AWS_DEFAULT_REGION", variable)
    assert boto(tap_config(**settings), "s3").meta.region_name == region
    assert boto(tap_config(**settings), "sustainability").meta.region_name == "us-east-1"


class TestRole:
    """An assumed role, by way of STS."""

    @pytest.fixture
    def arn(self) -> str:
        """A role in an account of the test's own."""
        return f"arn:aws:iam::{uuid.uuid4().int % 10**12:012}:role/billing/reader"

    @pytest.fixture
    def assumed(self, arn: str) -> list[AssumedRole]:
        """What STS gave out for the role so far; it grows."""
        return sts_backends[arn.split(":")[4]]["aws"].assumed_roles

    @pytest.fixture
    def run_role(
        self, no_keys: Callable[..., dict[str, Any]], run_tap: RunTap, arn: str
    ) -> Callable[..., Run]:
        def run(**settings: Any) -> Run:
            config = no_keys(**({"aws_assume_role_arn": arn} | KEYS | settings))
            return run_tap(config, select=[CARBON])

        return run

    @pytest.mark.parametrize(
        ("settings", "external_id", "session_name"),
        [
            ({}, None, "tap-offgridflow-aws"),
            ({"aws_external_id": "ex-7f", "aws_role_session_name": "me@work"}, "ex-7f", "me@work"),
        ],
    )
    def test_sts_is_asked_for_what_the_settings_say(
        self,
        settings: dict[str, str],
        external_id: str | None,
        session_name: str,
        *,
        arn: str,
        assumed: list[AssumedRole],
        run_role: Callable[..., Run],
        sustainability: SustainabilityServer,
    ) -> None:
        assert run_role(**settings).exit_code == 0
        (role,) = assumed
        assert (role.role_arn, role.external_id, role.session_name) == (arn, external_id, session_name)
        request = only_request(sustainability)
        assert request.access_key == role.access_key_id
        assert request.headers["X-Amz-Security-Token"] == role.session_token

    @pytest.mark.usefixtures("environment")
    def test_the_surroundings_may_give_the_credentials_that_assume_it(
        self, arn: str, assumed: list[AssumedRole], no_keys: Callable[..., dict[str, Any]], run_tap: RunTap
    ) -> None:
        assert run_tap(no_keys(aws_assume_role_arn=arn), select=[CARBON]).exit_code == 0
        assert len(assumed) == 1

    def test_without_credentials_it_cannot_be_assumed(
        self, arn: str, assumed: list[AssumedRole], no_keys: Callable[..., dict[str, Any]], run_tap: RunTap
    ) -> None:
        run = run_tap(no_keys(aws_assume_role_arn=arn), select=[CARBON])
        assert run.exit_code == 1
        assert "NoCredentialsError" in run.stderr
        assert not assumed

    def test_one_session_serves_all_services(
        self, assumed: list[AssumedRole], run_role: Callable[..., Run], bucket: str
    ) -> None:
        config = {"exports": [{"type": "cur2", "url": f"s3://{bucket}/exports/none"}]}
        run_role(**config)
        assert len(assumed) == 1

    def test_its_credentials_refresh_by_themselves_while_the_run_goes_on(
        self,
        assumed: list[AssumedRole],
        run_role: Callable[..., Run],
        sustainability: SustainabilityServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        assume = STSBackend.assume_role

        def assume_briefly(backend: STSBackend, **asked: Any) -> AssumedRole:
            role = assume(backend, **asked)
            if not assumed[1:]:
                role.expiration = utcnow() + timedelta(seconds=60)
            return role

        monkeypatch.setattr(STSBackend, "assume_role", assume_briefly)
        run = run_role(aws_external_id="ex-7f", end_date="2026-05-01")
        assert run.exit_code == 0
        first, second = assumed
        keys = [request.access_key for request in sustainability.requests]
        assert keys == [first.access_key_id] + [second.access_key_id] * 3
        assert second.external_id == "ex-7f"
        assert [
            request.body["TimePeriod"]["Start"][:7] for request in sustainability.requests
        ] == month_range("2026-01", "2026-04")

    def test_a_refusal_of_sts_names_what_is_missing(
        self,
        run_role: Callable[..., Run],
        sustainability: SustainabilityServer,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def refuse(_backend: STSBackend, **_asked: Any) -> AssumedRole:
            raise AccessDeniedError("arn:aws:iam::111122223333:user/tap", "this")

        monkeypatch.setattr(STSBackend, "assume_role", refuse)
        run = run_role()
        assert run.exit_code == 1
        assert "carbon_emissions (auth)" in run.stderr
        assert "allow sts:AssumeRole" in run.stderr
        assert not sustainability.requests


def test_each_service_has_its_own_endpoint(tap_config: Config) -> None:
    urls = {"s3": "http://127.0.0.1:1", "sts": "https://sts.example.com"}
    config = tap_config(aws_endpoint_urls=urls)
    assert boto(config, "s3").meta.endpoint_url == urls["s3"]
    assert boto(config, "sts").meta.endpoint_url == urls["sts"]
    assert boto(config, "sustainability").meta.endpoint_url.endswith(".amazonaws.com")


@pytest.mark.parametrize(
    "url",
    [
        "http://s3.example.com",
        "http://10.0.0.1:4566",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@example.com/",
        "http://127.0.0.1\\@example.com/",
        "HTTP://example.com",
        "http://0.0.0.0:4566",
        "ftp://127.0.0.1",
        "127.0.0.1:4566",
        "https://[::1",
        "https://host:99999",
        "https://host?q",
        "",
    ],
)
def test_plain_http_leaves_this_machine_never(url: str, tap_config: Config) -> None:
    with pytest.raises(ConfigValidationError, match="aws_endpoint_urls must"):
        TapOffgridflowAws(config=tap_config(aws_endpoint_urls={"sustainability": url}))


@pytest.mark.parametrize(
    "url", ["http://localhost:4566", "http://[::1]:4566", "http://127.8.9.1", "https://vpce.example.com"]
)
def test_loopback_and_https_are_good(url: str, tap_config: Config) -> None:
    assert TapOffgridflowAws(config=tap_config(aws_endpoint_urls={"s3": url})).settings.endpoint_urls


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SUSTAINABILITY"])
def test_plain_http_is_refused_in_the_surroundings_too(
    variable: str, tap_config: Config, run_tap: RunTap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "http://192.0.2.1:9")
    config = tap_config(**WINDOW, aws_endpoint_urls={}, max_attempts=1, request_timeout_seconds=1)
    run = run_tap(config, select=[CARBON])
    assert run.exit_code == 1
    assert "must be https outside of loopback" in run.stderr


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "half a pair of keys": ({"aws_secret_access_key": ""}, "must be set together"),
    "a token without keys": (
        dict.fromkeys(KEYS, "") | {"aws_session_token": "t"},
        "aws_session_token must come",
    ),
    "a role that is none": ({"aws_assume_role_arn": "reader"}, "aws_assume_role_arn must look like"),
    "an external id without a role": ({"aws_external_id": "ex-7f"}, "aws_external_id must come with"),
    "a session name that STS refuses": ({"aws_role_session_name": "a b"}, "aws_role_session_name must be"),
    "plain http": ({"aws_endpoint_urls": {"s3": "http://example.com"}}, "aws_endpoint_urls must be https"),
    "an export nowhere": ({"exports": [{"type": "cur2", "url": "s3://bucket"}]}, "the url of an export must"),
    "a bad date": ({"start_date": "yesterday"}, "start_date must be a date"),
    "a window without days": (
        {"start_date": "2026-02-01", "end_date": "2026-02-01"},
        "must be before end_date",
    ),
    "no folder": ({"spool_dir": "/does/not/exist"}, "spool_dir must be an existing folder"),
    "an unknown setting": ({"aws_acess_key_id": "x"}, "did you mean 'aws_access_key_id'?"),
    "an endpoint of an unknown service": (
        {"aws_endpoint_urls": {"S3": "https://s3.example.com"}},
        "unknown setting 'aws_endpoint_urls.S3': did you mean 'aws_endpoint_urls.s3'?",
    ),
}


@pytest.mark.parametrize(("settings", "message"), WRONG.values(), ids=WRONG)
def test_settings_that_do_not_go_together_are_refused(
    settings: dict[str, Any], message: str, tap_config: Config
) -> None:
    with pytest.raises(ConfigValidationError, match=message.replace("?", r"\?")):
        TapOffgridflowAws(config=tap_config(**settings))


def test_all_that_is_wrong_is_said_at_once(tap_config: Config) -> None:
    apart = {
        "a token without keys",
        "an external id without a role",
        "a window without days",
        "an endpoint of an unknown service",
    }
    together = [name for name in WRONG if name not in apart]
    settings: dict[str, Any] = {}
    for name in together:
        settings |= WRONG[name][0]
    with pytest.raises(ConfigValidationError) as caught:
        TapOffgridflowAws(config=tap_config(**settings))
    text = "\n".join(caught.value.errors)
    assert [name for name in together if WRONG[name][1] not in text] == []
