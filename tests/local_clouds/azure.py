"""Azure on loopback: the token service, Azure Resource Manager and what is behind it, Cloud for
Sustainability, managed identities, and if asked for, Azurite behind a proxy that breaks answers on request.

`python -m tests.local_clouds.azure --seed 1` runs it as a process of its own. It prints one line of JSON
(settings of a tap, and how to reach Blob Storage) and serves until its standard input closes or it is
terminated, so it cannot outlive the process that started it with a pipe. Lines of JSON on its input publish
more emissions and costs, such as `{"seed": 2, "months": ["2026-11"]}`; `{}` changes nothing. Each is answered
by a line with the numbers of requests served so far.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from tests.local_clouds import azure_demo
from tests.local_clouds.azure_arm import ArmServer
from tests.local_clouds.azure_carbon import CarbonReports
from tests.local_clouds.azure_cost_csv import cost_details_csv
from tests.local_clouds.azure_cost_details import CostDetails
from tests.local_clouds.azure_cost_query import Cost, CostQueries
from tests.local_clouds.azure_cost_scopes import CostScopes
from tests.local_clouds.azure_discovery import Discovery
from tests.local_clouds.azure_sas import SasStore
from tests.local_clouds.azure_tls import LocalAuthority
from tests.local_clouds.azure_tokens import ARM_AUDIENCE, TokenLedger
from tests.local_clouds.azurite import ACCOUNT, Azurite
from tests.local_clouds.blob_proxy import BlobFaultProxy
from tests.local_clouds.entra import EntraServer
from tests.local_clouds.managed_identity import ManagedIdentityServer
from tests.local_clouds.mcfs import ENROLLMENT, INSTANCE, ImpactServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager


class LocalAzure:
    """All stand-ins together, as a context manager.

    Args:
        authority: Whose certificate they have; None for one of their own.
        azurite: One that runs, to share it; its authority counts.
        start_azurite: Whether to start one if none is given.
        arm_audience: What tokens for Azure Resource Manager must be for.
        now: Seconds since 1970, for the lifetime of tokens.

    Attributes:
        tokens: All access tokens: lets them expire, and demands claims.
        entra: Where an application signs in.
        identity: Where a managed identity does.
        arm: Azure Resource Manager: all its requests and faults.
        discovery: Its subscriptions and management groups.
        carbon: Its emissions.
        scopes: Its scopes of cost.
        queries: Its cost queries.
        details: Its cost details reports.
        downloads: Where the files of those reports are.
        impact: Cloud for Sustainability.
        azurite: Blob Storage, or None.
        blobs: The way to it that taps go: all its requests and faults; only with Azurite.
    """

    authority: LocalAuthority
    entra: EntraServer
    identity: ManagedIdentityServer
    arm: ArmServer
    downloads: SasStore
    impact: ImpactServer
    azurite: Azurite | None
    blobs: BlobFaultProxy
    _stack: ExitStack

    def __init__(
        self,
        *,
        authority: LocalAuthority | None = None,
        azurite: Azurite | None = None,
        start_azurite: bool = False,
        arm_audience: str = ARM_AUDIENCE,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._given_authority = azurite.authority if azurite else authority
        self._start_azurite = start_azurite
        self._arm_audience = arm_audience
        self.azurite = azurite
        self._costs: dict[str, list[Cost]] = {}
        self._emissions: dict[str, list[Any]] = {}
        self.tokens = TokenLedger(now)
        self.discovery = Discovery()
        self.carbon = CarbonReports()
        self.scopes = CostScopes()
        self.queries = CostQueries(self.scopes)
        self.details = CostDetails(self.scopes, self._keep, lambda: datetime.fromtimestamp(now(), UTC))

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack.enter_context)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def _start(self, enter: Callable[[AbstractContextManager[Any]], Any]) -> None:
        self.authority = self._given_authority or LocalAuthority(
            Path(enter(TemporaryDirectory(prefix="local-azure-")))
        )
        tls = self.authority.server_context
        self.entra = enter(EntraServer(tls, self.tokens))
        self.identity = enter(ManagedIdentityServer(self.tokens))
        self.downloads = enter(SasStore(tls))
        self.impact = enter(ImpactServer(tls, self.tokens))
        parts = (self.discovery, self.carbon, self.queries, self.details)
        self.arm = enter(ArmServer(tls, self.tokens, parts, audience=self._arm_audience))
        if self._start_azurite and not self.azurite:
            self.azurite = enter(Azurite(self.authority))
        if self.azurite:
            self.blobs = enter(BlobFaultProxy(self.azurite))

    @property
    def settings(self) -> dict[str, str]:
        """What a tap needs to sign in here, by the names of its settings."""
        return {
            "tenant_id": self.entra.tenant,
            "client_id": self.entra.client,
            "client_secret": self.entra.secret,
            "authority_url": self.entra.url,
            "arm_endpoint_url": self.arm.url,
            "ca_bundle": str(self.authority.ca_file),
        }

    @property
    def impact_settings(self) -> dict[str, str]:
        """What a tap needs besides to read Cloud for Sustainability."""
        return {
            "impact_endpoint_url": self.impact.api_url,
            "impact_instance_id": INSTANCE,
            "impact_enrollment_id": ENROLLMENT,
            "impact_subscription_key": self.impact.key,
        }

    def seed(self, seed: int, months: Sequence[str]) -> None:
        """Publish or restate the made-up tenant's emissions and costs of months (`YYYY-MM`)."""
        self._be_demo_tenant()
        emissions = {month: azure_demo.demo_emissions(seed, [month]) for month in months}
        self._emissions |= emissions
        for rows in emissions.values():
            self.carbon.publish(rows)
        self.impact.publish(azure_demo.demo_impact(_joined(self._emissions)))
        costs = {month: azure_demo.demo_costs(seed, [month]) for month in months}
        self._costs |= costs
        self.queries.publish(_joined(self._costs))
        for month, bill in costs.items():
            self._publish_reports(month, bill)
        self.details.open_period = max(self._costs)

    def _keep(self, content: bytes) -> str:
        return self.downloads.put(content)

    def _be_demo_tenant(self) -> None:
        self.discovery.subscriptions = list(azure_demo.SUBSCRIPTIONS)
        self.discovery.groups = list(azure_demo.GROUPS)
        self.scopes.subscriptions = {one.id for one in azure_demo.SUBSCRIPTIONS}
        for scope in (azure_demo.BILLING_ACCOUNT, azure_demo.MANAGEMENT_GROUP):
            self.scopes.wider[scope.lower()] = self.scopes.subscriptions

    def _publish_reports(self, month: str, costs: Sequence[Cost]) -> None:
        for subscription in self.scopes.subscriptions:
            rows = [cost for cost in costs if cost.subscription == subscription]
            for metric in ("ActualCost", "AmortizedCost"):
                files = cost_details_csv(rows, metric, rows_per_blob=100)
                self.details.publish(f"subscriptions/{subscription}", month, metric, files)


def _joined(months: Mapping[str, Sequence[Any]]) -> list[Any]:
    return [row for month in sorted(months) for row in months[month]]


def _say(answer: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _obey(azure: LocalAzure, lines: Iterable[str]) -> None:
    """Answer commands, one JSON object a line, until the input ends."""
    services = {name: getattr(azure, name) for name in ("entra", "arm", "downloads", "impact")}
    if azure.azurite:
        services["blobs"] = azure.blobs
    for line in lines:
        command = json.loads(line)
        if "seed" in command:
            azure.seed(**command)
        _say({"requests": {name: len(service.requests) for name, service in services.items()}})


def _blob_storage(azure: LocalAzure, azurite: Azurite) -> dict[str, str]:
    return {
        "account_url": azure.blobs.account_url,
        "account_name": ACCOUNT,
        "account_key": azurite.account_key,
        "container": azurite.create_container(),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the stand-ins until standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m tests.local_clouds.azure", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the made-up emissions and costs")
    parser.add_argument("--first-month", default="2025-11", help="first month with data")
    parser.add_argument("--last-month", default="2026-10", help="last month with data")
    parser.add_argument("--deny-carbon", action="store_true", help="to the last of the three subscriptions")
    parser.add_argument("--no-blobs", action="store_true", help="leave out Blob Storage, which needs Node.js")
    options = parser.parse_args(arguments)
    for end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(end, lambda *_: sys.exit(0))
    with LocalAzure(start_azurite=not options.no_blobs) as azure:
        azure.seed(options.seed, azure_demo.month_range(options.first_month, options.last_month))
        if options.deny_carbon:
            azure.carbon.denied = {azure_demo.SUBSCRIPTIONS[-1].id: None}
        blobs = _blob_storage(azure, azure.azurite) if azure.azurite else None
        _say({"settings": azure.settings, "impact_settings": azure.impact_settings, "blobs": blobs})
        _obey(azure, sys.stdin)


if __name__ == "__main__":
    main()
