"""Lets the tap run as ``python -m tap_offgridflow_azure``."""

from __future__ import annotations

from tap_offgridflow_azure.tap import TapOffgridflowAzure

TapOffgridflowAzure.cli()
