"""Rows of exports as they are delivered: cost and usage, FOCUS, and the carbon export."""

from __future__ import annotations

from typing import ClassVar

from offgridflow_common.singer.line_items import LineItemStream
from tap_offgridflow_aws.exports.tables import CARBON_EXPORT, CUR2, FOCUS, LEGACY_CUR


class CostAndUsageStream(LineItemStream):
    """Line items of CUR 2.0 and of legacy CUR, both in the columns of CUR 2.0."""

    name = "cost_and_usage"
    tables: ClassVar = {"cur2": CUR2, "cur": LEGACY_CUR}


class FocusCostsStream(LineItemStream):
    """Rows of FOCUS exports."""

    name = "focus_costs"
    tables: ClassVar = {"focus": FOCUS}


class CarbonExportStream(LineItemStream):
    """Rows of the carbon export, of every version of AWS's model."""

    name = "carbon_export"
    tables: ClassVar = {"carbon": CARBON_EXPORT}
    selected_by_default = True
