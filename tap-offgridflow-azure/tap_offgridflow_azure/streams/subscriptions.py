"""The stream of subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offgridflow_common.singer.streams import Partition
from tap_offgridflow_azure.streams.base import AzureStream
from tap_offgridflow_azure.subscriptions import COLUMNS, frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl


class SubscriptionsStream(AzureStream):
    """Subscriptions that are read, with their names and states as far as the tap may see them."""

    name = "subscriptions"
    columns = COLUMNS
    primary_keys = ("subscription_id",)
    replication_key = None

    def pending(self) -> Iterator[Partition]:
        """All of them, each time."""

        def blocks() -> Iterator[pl.DataFrame]:
            source = self.source
            yield frame(source.subscriptions.all(), source.started_at).select(self.wanted)

        yield Partition(label="subscriptions", blocks=blocks, acknowledge=lambda _: None)
