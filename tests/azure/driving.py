"""Driving the Azure tap in tests."""

from __future__ import annotations

from tap_offgridflow_azure.tap import TapOffgridflowAzure
from tests.driving import SECONDS, Driver, Message, Run, State

__all__ = [
    "LINE_ITEMS",
    "SECONDS",
    "Message",
    "Run",
    "State",
    "catalog",
    "command",
    "run_here",
    "run_process",
]

LINE_ITEMS = "cost_details"

_DRIVER = Driver(TapOffgridflowAzure, "tap_offgridflow_azure", LINE_ITEMS)

catalog = _DRIVER.catalog
command = _DRIVER.command
run_here = _DRIVER.run_here
run_process = _DRIVER.run_process
