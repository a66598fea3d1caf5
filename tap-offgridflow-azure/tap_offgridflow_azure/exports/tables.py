"""The tables that Azure's exports and reports of cost hold."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from functools import cache
from importlib import resources

from offgridflow_common.columns import Column, Kind, read_columns, squashed
from offgridflow_common.exports.focus import focus_table
from offgridflow_common.exports.table import Table
from tap_offgridflow_azure.exports.spellings import month_first, with_braces

_PACKAGE, _COST_COLUMNS = "tap_offgridflow_azure", "data/cost_details_columns.csv"

#: Headers in another language have the name in brackets: ``Ressourcengruppe (ResourceGroup)``.
_LOCALIZED = re.compile(r".*\((\w+)\)\s*")

#: Rows of both metrics are in one table and must be told apart: together they count twice.
_METRIC = Column(
    "metric", Kind.STRING, "`ActualCost` or `AmortizedCost`: never add the two up.", required=True
)


@cache
def _names() -> dict[str, str]:
    """The columns by all spellings of their names: agreements call them differently."""
    text = resources.files(_PACKAGE).joinpath(_COST_COLUMNS).read_text("utf-8")
    return {
        squashed(spelling): row["name"]
        for row in csv.DictReader(text.splitlines())
        for spelling in (row["name"], *row["aliases"].split(";"))
        if spelling
    }


def cost_name(header: str) -> str:
    """A header of cost details, of any agreement and language, under the name of the stream."""
    localized = _LOCALIZED.fullmatch(header)
    spellings = (header, localized[1]) if localized else (header,)
    found = (_names().get(squashed(spelling.replace(" ", ""))) for spelling in spellings)
    return next((name for name in found if name), header)


_COST_DETAILS = read_columns(_PACKAGE, _COST_COLUMNS)
_COST = Table(
    columns=(_METRIC, *_COST_DETAILS),
    required=frozenset({"cost_in_billing_currency", "date"}),
    rename=cost_name,
    # Enterprise agreements write dates as the United States do, and tags without braces.
    prepare={
        **{column.name: month_first for column in _COST_DETAILS if column.kind is Kind.TIMESTAMP},
        "tags": with_braces,
    },
)

#: Cost as it was billed, and with purchases spread over their term.
ACTUAL_COST = replace(_COST, constants={"metric": "ActualCost"})
AMORTIZED_COST = replace(_COST, constants={"metric": "AmortizedCost"})

#: FOCUS 1.0, 1.0r2 and 1.2; tags may lack their braces there, too.
FOCUS = replace(focus_table(read_columns(_PACKAGE, "data/focus_columns.csv")), prepare={"tags": with_braces})

#: What each type of export holds.
BY_EXPORT_TYPE = {"focus": FOCUS, "actual": ACTUAL_COST, "amortized": AMORTIZED_COST}
