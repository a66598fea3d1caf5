"""Azure on loopback: the token service, Azure Resource Manager and what is behind it."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Self

from tests.local_clouds.azure_arm import ArmServer
from tests.local_clouds.azure_carbon import CarbonReports
from tests.local_clouds.azure_cost_query import CostQueries
from tests.local_clouds.azure_cost_scopes import CostScopes
from tests.local_clouds.azure_discovery import Discovery
from tests.local_clouds.azure_tls import LocalAuthority
from tests.local_clouds.azure_tokens import ARM_AUDIENCE, TokenLedger
from tests.local_clouds.entra import EntraServer

if TYPE_CHECKING:
    from collections.abc import Callable


class LocalAzure:
    """All stand-ins together, as a context manager.

    Args:
        authority: Whose certificate they have; None for one of their own.
        arm_audience: What tokens for Azure Resource Manager must be for.
        now: Seconds since 1970, for the lifetime of tokens.
    """

    authority: LocalAuthority
    entra: EntraServer
    arm: ArmServer

    def __init__(
        self,
        *,
        authority: LocalAuthority | None = None,
        arm_audience: str = ARM_AUDIENCE,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._given_authority = authority
        self._arm_audience = arm_audience
        self._stack = ExitStack()
        self.tokens = TokenLedger(now)
        self.discovery = Discovery()
        self.carbon = CarbonReports()
        self.scopes = CostScopes()
        self.queries = CostQueries(self.scopes)

    def __enter__(self) -> Self:
        self.authority = self._given_authority or LocalAuthority(
            Path(self._stack.enter_context(TemporaryDirectory(prefix="local-azure-")))
        )
        tls = self.authority.server_context
        self.entra = self._stack.enter_context(EntraServer(tls, self.tokens))
        parts = (self.discovery, self.carbon, self.queries)
        self.arm = self._stack.enter_context(ArmServer(tls, self.tokens, parts, audience=self._arm_audience))
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

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
