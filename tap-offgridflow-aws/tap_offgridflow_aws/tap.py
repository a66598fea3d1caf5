"""The AWS tap."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from offgridflow_common.exports.delivery import Deliveries, Export
from offgridflow_common.exports.storage import FolderStore
from offgridflow_common.settings import month_of
from offgridflow_common.singer.deliveries import DeliveriesStream
from offgridflow_common.singer.tap import OffGridFlowTap
from tap_offgridflow_aws.buckets import S3BatchStore, S3Store
from tap_offgridflow_aws.client import AwsClient
from tap_offgridflow_aws.discovery import discover_exports
from tap_offgridflow_aws.manifests import AwsLayout
from tap_offgridflow_aws.settings import CONFIG_SCHEMA, AwsSettings, ExportSetting, parse
from tap_offgridflow_aws.streams.activities import AwsActivitiesStream
from tap_offgridflow_aws.streams.carbon import CarbonEmissionsStream, WaterAllocationStream
from tap_offgridflow_aws.streams.line_items import CarbonExportStream, CostAndUsageStream, FocusCostsStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from singer_sdk.helpers._batch import StorageTarget
    from singer_sdk.streams import Stream

    from offgridflow_common.exports.storage import ObjectStore
    from offgridflow_common.singer.batch import BatchStore


class TapOffgridflowAws(OffGridFlowTap):
    """What AWS reports about carbon, water, cost and usage."""

    name = "tap-offgridflow-aws"
    config_jsonschema = CONFIG_SCHEMA

    def parse_settings(self) -> AwsSettings:
        """The settings of this tap, made of its configuration."""
        return parse(self.config, self.started_at, self.unknown_settings)

    @cached_property
    def settings(self) -> AwsSettings:
        """The settings, parsed once."""
        return self.parse_settings()

    @cached_property
    def client(self) -> AwsClient:
        """Asks AWS, within the limits of the settings."""
        return AwsClient(self.settings, self.pipeline)

    @cached_property
    def deliveries(self) -> Deliveries:
        """The deliveries of the configured exports within the window."""
        settings = self.settings
        exports = settings.exports
        if settings.discover_exports:
            listed = {export.url for export in exports} | {export.name for export in exports}
            found = discover_exports(self.client, self.logger)
            exports += tuple(export for export in found if not {export.url, export.name} & listed)
        return Deliveries(
            tuple(self._export(setting) for setting in exports),
            AwsLayout(),
            start=month_of(settings.start) if settings.start else None,
            end=settings.end,
        )

    def discover_streams(self) -> Sequence[Stream]:
        """All streams; neither credentials nor a network are needed to know them."""
        return [
            AwsActivitiesStream(self, self),
            CarbonEmissionsStream(self, self),
            CarbonExportStream(self, self),
            CostAndUsageStream(self, self),
            DeliveriesStream(self, self),
            FocusCostsStream(self, self),
            WaterAllocationStream(self, self),
        ]

    def batch_store(self, storage: StorageTarget) -> BatchStore:
        """Where BATCH files go: to a bucket with the tap's own credentials, else wherever the SDK can."""
        if storage.root.startswith("s3://"):
            return S3BatchStore(self.client, storage.root)
        return super().batch_store(storage)

    def _export(self, setting: ExportSetting) -> Export:
        store: ObjectStore
        if folder := FolderStore.of_url(setting.url):
            store, prefix = folder
        else:
            parts = urlsplit(setting.url)
            # One slash parts bucket and key; a key may begin with a slash of its own.
            store, prefix = S3Store(self.client, parts.netloc, setting), parts.path.removeprefix("/")
        return Export(name=setting.name, type=setting.type, store=store, prefix=prefix)
