"""Lets the tap run as ``python -m tap_offgridflow_aws``."""

from __future__ import annotations

from tap_offgridflow_aws.tap import TapOffgridflowAws

TapOffgridflowAws.cli()
