"""The stream of subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offgridflow_common.singer.partition import Partition
from offgridflow_common.singer.streams import OffGridFlowStream
from tap_offgridflow_azure.apis.subscriptions import COLUMNS, frame
from tap_offgridflow_azure.base import AzureTap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import polars as pl


class SubscriptionsStream(OffGridFlowStream[AzureTap]):
    """Subscriptions that are read, with their names and states as far as the tap may see them."""

    name = "subscriptions"
    columns = COLUMNS
    primary_keys = ("subscription_id",)
    replication_key = None

    def feeds(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """All of them, each time."""
        return (self._all,)

    def _all(self) -> Iterator[Partition]:
        yield Partition(label="subscriptions", blocks=self._blocks, acknowledge=lambda _: None)

    def _blocks(self) -> Iterator[pl.DataFrame]:
        yield frame(self.tap.subscriptions.all(), self.tap.started_at).select(self.wanted)
