"""The base of streams whose rows name regions."""

from __future__ import annotations

import abc

from offgridflow_common.singer.streams import OffGridFlowStream
from tap_offgridflow_azure.base import AzureTap


class RegionalStream(OffGridFlowStream[AzureTap], abc.ABC):
    """A stream whose rows name regions."""

    def conclude(self) -> None:
        """Warn of the regions that are not known."""
        self.tap.regions.report(self.logger)
