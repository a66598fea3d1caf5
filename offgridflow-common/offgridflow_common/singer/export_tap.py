"""The base of taps that read exports: where these come from, and where their files are kept meanwhile."""

from __future__ import annotations

import abc
from functools import cached_property
from typing import TYPE_CHECKING

from offgridflow_common.exports.spool import Spool
from offgridflow_common.singer.shared_reports import SharedReports
from offgridflow_common.singer.tap import OffGridFlowTap

if TYPE_CHECKING:
    from offgridflow_common.exports.delivery import Deliveries


class ExportTap(OffGridFlowTap, abc.ABC):
    """A tap some of whose streams are read from exports."""

    @property
    @abc.abstractmethod
    def deliveries(self) -> Deliveries:
        """The deliveries of all configured exports."""

    @cached_property
    def spool(self) -> Spool:
        """Where export files are kept while they are read; removed at the end of the run."""
        return self.resources.enter_context(Spool(self.settings.spool_dir, self.settings.spool_max_bytes))

    @cached_property
    def shared_reports(self) -> SharedReports:
        """What an API reported to other streams, if activities, which come after them, are selected, too."""
        return SharedReports() if self.streams["activities"].selected else SharedReports(max_bytes=0)
