"""Driving the AWS tap in tests."""

from __future__ import annotations

from tap_offgridflow_aws.tap import TapOffgridflowAws
from tests.driving import SECONDS, Driver, Message, Run, State

__all__ = [
    "EXPORT_STREAMS",
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

LINE_ITEMS = "cost_and_usage"
#: What reads exports.
EXPORT_STREAMS = (LINE_ITEMS, "activities", "deliveries")

_DRIVER = Driver(TapOffgridflowAws, "tap_offgridflow_aws", LINE_ITEMS)

catalog = _DRIVER.catalog
command = _DRIVER.command
run_here = _DRIVER.run_here
run_process = _DRIVER.run_process
