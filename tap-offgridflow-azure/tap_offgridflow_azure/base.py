"""The Azure tap as its streams see it: what was asked for, and whom it asks."""

from __future__ import annotations

import abc
from functools import cached_property
from typing import TYPE_CHECKING

from offgridflow_common.regions import RegionMapper
from offgridflow_common.singer.export_tap import ExportTap
from tap_offgridflow_azure.apis.carbon import CarbonReports
from tap_offgridflow_azure.apis.subscriptions import Subscriptions
from tap_offgridflow_azure.config_schema import CONFIG_SCHEMA
from tap_offgridflow_azure.settings import AzureSettings, parse

if TYPE_CHECKING:
    from tap_offgridflow_azure.client import AzureClient


class AzureTap(ExportTap, abc.ABC):
    """A run of the Azure tap."""

    name = "tap-offgridflow-azure"
    config_jsonschema = CONFIG_SCHEMA
    first_pause = 30.0

    @cached_property
    def settings(self) -> AzureSettings:
        """The settings, parsed once."""
        return parse(self.config, self.started_at, self.wrong_settings)

    @cached_property
    def client(self) -> AzureClient:
        """Asks Azure, within the limits of the settings."""
        from tap_offgridflow_azure.client import AzureClient  # noqa: PLC0415 - its SDK takes time to load

        return AzureClient(self.settings, self.pipeline)

    @cached_property
    def regions(self) -> RegionMapper:
        """Finds regions by their names."""
        return RegionMapper("azure", self.settings.mapping_overrides_path)

    @cached_property
    def carbon_reports(self) -> CarbonReports:
        """The reports of Carbon Optimization, and whom they were denied in this run."""
        return CarbonReports(self.client, self.settings.carbon_category, self.regions, self.started_at)

    @cached_property
    def subscriptions(self) -> Subscriptions:
        """The subscriptions that are read, discovered once where the settings do not name them."""
        return Subscriptions(self.client, self.settings)
