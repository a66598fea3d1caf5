"""Rows of exports and of cost details reports as they are delivered."""

from __future__ import annotations

from typing import ClassVar

from offgridflow_common.singer.line_items import LineItemStream
from tap_offgridflow_azure.cost_details.deliveries import REPORT_TYPES
from tap_offgridflow_azure.exports.tables import ACTUAL_COST, AMORTIZED_COST, FOCUS


class CostDetailsStream(LineItemStream):
    """Line items of actual and amortized cost, in the same columns whatever the agreement."""

    name = "cost_details"
    tables: ClassVar = {
        "actual": ACTUAL_COST,
        "amortized": AMORTIZED_COST,
        REPORT_TYPES["ActualCost"]: ACTUAL_COST,
        REPORT_TYPES["AmortizedCost"]: AMORTIZED_COST,
    }


class FocusCostsStream(LineItemStream):
    """Rows of FOCUS exports."""

    name = "focus_costs"
    tables: ClassVar = {"focus": FOCUS}
