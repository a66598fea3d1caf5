"""Line items of cost and usage, in the columns of CUR 2.0."""

from __future__ import annotations

from offgridflow_common.singer.exports import LineItemStream
from tap_offgridflow_aws.tables import CUR2


class CostAndUsageStream(LineItemStream):
    """A row for each line item of each new delivery."""

    name = "cost_and_usage"
    export_types = frozenset({"cur2"})
    table = CUR2
