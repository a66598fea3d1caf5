"""What the streams of Azure's interfaces have in common."""

from __future__ import annotations

import abc
from functools import cached_property
from typing import TYPE_CHECKING

from offgridflow_common.regions import RegionMapper
from offgridflow_common.singer.streams import OffGridFlowStream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from offgridflow_common.singer.streams import Partition
    from offgridflow_common.singer.tap import OffGridFlowTap
    from tap_offgridflow_azure.source import AzureSource


class AzureStream(OffGridFlowStream, abc.ABC):
    """A stream of what one of Azure's interfaces answers."""

    def __init__(self, tap: OffGridFlowTap, source: AzureSource) -> None:
        """Create the stream.

        Args:
            tap: The tap it belongs to.
            source: The run that it is part of.
        """
        super().__init__(tap)
        self.source = source


class RegionalStream(AzureStream, abc.ABC):
    """A stream whose rows name regions."""

    @cached_property
    def regions(self) -> RegionMapper:
        """Tells regions by their names."""
        return RegionMapper("azure", self.source.settings.mapping_overrides_path)

    def unknown_regions(self) -> Iterator[Partition]:
        """The last feed, which reads nothing: warns of the regions that are not known."""
        self.regions.report(self.logger)
        return iter(())
