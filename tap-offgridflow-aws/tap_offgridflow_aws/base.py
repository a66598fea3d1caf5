"""The AWS tap as its streams see it: what was asked for, and whom it asks."""

from __future__ import annotations

import abc
from functools import cached_property
from typing import TYPE_CHECKING

from offgridflow_common.singer.export_tap import ExportTap
from tap_offgridflow_aws.settings import CONFIG_SCHEMA, AwsSettings, parse

if TYPE_CHECKING:
    from tap_offgridflow_aws.client import AwsClient


class AwsTap(ExportTap, abc.ABC):
    """A run of the AWS tap."""

    name = "tap-offgridflow-aws"
    config_jsonschema = CONFIG_SCHEMA

    @cached_property
    def settings(self) -> AwsSettings:
        """The settings, parsed once."""
        return parse(self.config, self.started_at, self.wrong_settings)

    @cached_property
    def client(self) -> AwsClient:
        """Asks AWS, within the limits of the settings."""
        from tap_offgridflow_aws.client import AwsClient  # noqa: PLC0415 - boto3 takes time to load, and folders need none

        return AwsClient(self.settings, self.pipeline)
