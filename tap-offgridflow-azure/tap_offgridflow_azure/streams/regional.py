"""The base of streams whose rows name regions."""

from __future__ import annotations

import abc
from functools import cached_property

from offgridflow_common.regions import RegionMapper
from offgridflow_common.singer.streams import OffGridFlowStream
from tap_offgridflow_azure.base import AzureTap


class RegionalStream(OffGridFlowStream[AzureTap], abc.ABC):
    """A stream whose rows name regions."""

    @cached_property
    def regions(self) -> RegionMapper:
        """Finds regions by their names."""
        return RegionMapper("azure", self.tap.settings.mapping_overrides_path)

    def conclude(self) -> None:
        """Warn of the regions that are not known."""
        self.regions.report(self.logger)
