"""The AWS tap."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from offgridflow_common.errors import OffGridFlowError
from offgridflow_common.exports.delivery import Deliveries
from offgridflow_common.months import month_of
from offgridflow_common.singer.deliveries import DeliveriesStream
from tap_offgridflow_aws.base import AwsTap
from tap_offgridflow_aws.exports.buckets import S3BatchStore, open_export
from tap_offgridflow_aws.exports.discovery import discover_exports
from tap_offgridflow_aws.exports.manifests import AwsLayout
from tap_offgridflow_aws.streams.activities import AwsActivitiesStream
from tap_offgridflow_aws.streams.carbon import CarbonEmissionsStream, WaterAllocationStream
from tap_offgridflow_aws.streams.line_items import CarbonExportStream, CostAndUsageStream, FocusCostsStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from singer_sdk.helpers._batch import StorageTarget
    from singer_sdk.streams import Stream

    from offgridflow_common.singer.batch import BatchStore
    from tap_offgridflow_aws.settings import ExportSetting


class TapOffgridflowAws(AwsTap):
    """What AWS reports about carbon, water, cost and usage."""

    @cached_property
    def deliveries(self) -> Deliveries:
        """The deliveries of the configured exports within the window."""
        settings = self.settings
        exports = settings.exports
        if settings.discover_exports:
            if isinstance(self._discovered, OffGridFlowError):
                raise self._discovered
            exports += self._discovered
        start = month_of(settings.start) if settings.start else None
        return Deliveries(
            tuple(open_export(lambda: self.client, setting) for setting in exports),
            AwsLayout(since=start, until=settings.end),
            start=start,
            end=settings.end,
        )

    @cached_property
    def _discovered(self) -> tuple[ExportSetting, ...] | OffGridFlowError:
        """The exports of the account, or why they cannot be known: that is asked once, not by each stream."""
        try:
            return discover_exports(self.client, self.settings.exports, self.logger)
        except OffGridFlowError as error:
            return error

    def discover_streams(self) -> Sequence[Stream]:
        """All streams; neither credentials nor a network are needed to know them."""
        return [
            AwsActivitiesStream(self),
            CarbonEmissionsStream(self),
            CarbonExportStream(self),
            CostAndUsageStream(self),
            DeliveriesStream(self),
            FocusCostsStream(self),
            WaterAllocationStream(self),
        ]

    def batch_store(self, storage: StorageTarget) -> BatchStore:
        """Where BATCH files go: to a bucket with the tap's own credentials, else wherever the SDK can."""
        if storage.root.startswith("s3://"):
            return S3BatchStore(self.client, storage.root)
        return super().batch_store(storage)
