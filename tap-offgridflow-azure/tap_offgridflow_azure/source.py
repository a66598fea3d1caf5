"""What the streams need of a run: the tap gives it to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from offgridflow_common.singer.reading import ExportSource

if TYPE_CHECKING:
    from datetime import datetime

    from tap_offgridflow_azure.client import AzureClient
    from tap_offgridflow_azure.settings import AzureSettings
    from tap_offgridflow_azure.subscriptions import Subscriptions


class AzureSource(ExportSource, Protocol):
    """A run of the Azure tap: what it was asked for, and whom it asks."""

    @property
    def settings(self) -> AzureSettings:
        """The settings, parsed once."""
        ...

    @property
    def client(self) -> AzureClient:
        """Asks Azure, within the limits of the settings."""
        ...

    @property
    def subscriptions(self) -> Subscriptions:
        """The subscriptions that are read, discovered once where the settings do not name them."""
        ...

    @property
    def started_at(self) -> datetime:
        """When the run began (aware, UTC): the moment that all its rows share."""
        ...
