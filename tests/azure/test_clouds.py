"""The three clouds: where the tap signs in, what it asks, and what its tokens are for."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tap_offgridflow_azure.connection.clouds import CLOUDS
from tests.azure.answers import ONE
from tests.azure.asking import VERSION, client_of, failure, subscriptions
from tests.local_clouds.azure import LocalAzure
from tests.local_clouds.azure_discovery import Subscription
from tests.local_clouds.azure_tokens import IMPACT_AUDIENCE
from tests.local_clouds.loopback import LoopbackServer, QuietHandler

if TYPE_CHECKING:
    from tests.azure.conftest import Config, Surround


@pytest.mark.parametrize("cloud", CLOUDS)
def test_each_cloud_has_tokens_of_its_own(cloud: str, tap_config: Config) -> None:
    audience = CLOUDS[cloud].arm_scope.removesuffix("/.default")
    with LocalAzure(arm_audience=audience) as azure:
        azure.discovery.subscriptions = [Subscription(ONE, "Shop")]
        config = tap_config(**azure.settings, azure_cloud=cloud)
        assert subscriptions(client_of(config)).status == 200
        assert azure.entra.asked("token")[0].body["scope"] == CLOUDS[cloud].arm_scope


class Tunnels(LoopbackServer):
    """A proxy that lets nobody through, and keeps whom they wanted to speak with."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted: list[str] = []

    def handler(self) -> type[QuietHandler]:
        proxy = self

        class Handler(QuietHandler):
            def do_CONNECT(self) -> None:  # noqa: N802 - the name is http.server's
                proxy.wanted.append(self.path)
                self.send_whole(403, {}, b"")

        return Handler


@pytest.mark.parametrize("cloud", CLOUDS)
def test_without_other_addresses_those_of_the_cloud_are_meant(
    cloud: str, tap_config: Config, surround: Surround
) -> None:
    places = ("arm_endpoint_url", "authority_url", "ca_bundle")
    config = {name: value for name, value in tap_config(azure_cloud=cloud).items() if name not in places}
    client = client_of(config | {"max_attempts": 1})
    with Tunnels() as proxy:
        surround({"HTTPS_PROXY": proxy.url, "https_proxy": proxy.url, "NO_PROXY": "", "no_proxy": ""})
        failure(lambda: subscriptions(client))
        failure(lambda: client.arm.request("GET", "/subscriptions", anonymous=True))
    hosts = [urlsplit(url).hostname for url in (CLOUDS[cloud].authority_url, CLOUDS[cloud].arm_url)]
    assert proxy.wanted == [f"{host}:443" for host in hosts]


def test_cloud_for_sustainability_has_tokens_of_its_own_and_a_key(
    azure: LocalAzure, tap_config: Config
) -> None:
    client = client_of(tap_config(**azure.impact_settings))
    settings = azure.impact_settings
    path = f"instances/{settings['impact_instance_id']}/enrollments/{settings['impact_enrollment_id']}"
    assert client.impact.request("GET", f"{path}/emissions").status == 200
    assert azure.entra.asked("token")[0].body["scope"] == f"{IMPACT_AUDIENCE}/.default"


def test_two_apis_of_one_audience_share_a_token(azure: LocalAzure, tap_config: Config) -> None:
    client = client_of(tap_config())
    subscriptions(client)
    client.costs.request("GET", "/subscriptions", params=VERSION)
    assert len(azure.entra.asked("token")) == 1
    assert [request.headers.get("clienttype") for request in azure.arm.requests] == [
        None,
        "tap-offgridflow-azure",
    ]
