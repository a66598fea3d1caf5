"""The Azure tap."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from offgridflow_common.exports.delivery import Export
from offgridflow_common.exports.storage import FolderStore
from offgridflow_common.months import month_of
from offgridflow_common.singer.deliveries import DeliveriesStream
from tap_offgridflow_azure.base import AzureTap
from tap_offgridflow_azure.cost_details.deliveries import ReportLayout
from tap_offgridflow_azure.deliveries import AzureDeliveries
from tap_offgridflow_azure.exports.blobs import blob_store
from tap_offgridflow_azure.exports.manifests import AzureLayout
from tap_offgridflow_azure.streams.activities import AzureActivitiesStream
from tap_offgridflow_azure.streams.carbon import CarbonEmissionsStream
from tap_offgridflow_azure.streams.cost_query import CostQueryStream
from tap_offgridflow_azure.streams.impact import EmissionsImpactStream
from tap_offgridflow_azure.streams.line_items import CostDetailsStream, FocusCostsStream
from tap_offgridflow_azure.streams.subscriptions import SubscriptionsStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from singer_sdk.streams import Stream

    from tap_offgridflow_azure.settings import ExportSetting


class TapOffgridflowAzure(AzureTap):
    """What Azure reports about carbon, cost and usage."""

    @cached_property
    def deliveries(self) -> AzureDeliveries:
        """The deliveries of the configured exports and of reports within the window."""
        settings = self.settings
        start = month_of(settings.start) if settings.start else None
        return AzureDeliveries(
            tuple(self._export(setting) for setting in settings.exports),
            AzureLayout(start),
            lambda: self.reports,
            settings.cost_scopes,
            lambda: self.subscriptions.ids,
            start=start,
            end=settings.end,
        )

    @cached_property
    def reports(self) -> ReportLayout:
        """Has cost details reports made."""
        return ReportLayout(self.client, self.settings, self.started_at, self.state)

    def discover_streams(self) -> Sequence[Stream]:
        """All streams; neither credentials nor a network are needed to know them."""
        return [
            AzureActivitiesStream(self),
            CarbonEmissionsStream(self),
            CostDetailsStream(self),
            CostQueryStream(self),
            DeliveriesStream(self),
            EmissionsImpactStream(self),
            FocusCostsStream(self),
            SubscriptionsStream(self),
        ]

    def _export(self, setting: ExportSetting) -> Export:
        store, prefix = FolderStore.of_url(setting.url) or blob_store(self.client, setting.url)
        return Export(name=setting.name, type=setting.type, store=store, prefix=prefix)
