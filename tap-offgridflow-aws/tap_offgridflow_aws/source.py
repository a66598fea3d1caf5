"""What the streams need of a run: the tap gives it to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from offgridflow_common.singer.reading import ExportSource

if TYPE_CHECKING:
    from datetime import datetime

    from tap_offgridflow_aws.client import AwsClient
    from tap_offgridflow_aws.settings import AwsSettings


class AwsSource(ExportSource, Protocol):
    """A run of the AWS tap: what it was asked for, and whom it asks."""

    @property
    def settings(self) -> AwsSettings:
        """The settings, parsed once."""
        ...

    @property
    def client(self) -> AwsClient:
        """Asks AWS, within the limits of the settings."""
        ...

    @property
    def started_at(self) -> datetime:
        """When the run began (aware, UTC): the moment that all its rows share."""
        ...
