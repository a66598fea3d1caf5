"""FOCUS, the FinOps Open Cost and Usage Specification: one table for the exports of all providers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offgridflow_common.columns import read_columns, squashed
from offgridflow_common.exports.table import Table

if TYPE_CHECKING:
    from offgridflow_common.columns import Column

#: The columns of FOCUS 1.0 and 1.2, in snake_case.
_FOCUS_COLUMNS = read_columns("offgridflow_common", "data/focus_columns.csv")

#: Without these a row means nothing.
_REQUIRED = frozenset({"billed_cost", "billing_currency", "charge_category", "charge_period_start"})


def focus_table(provider_columns: tuple[Column, ...]) -> Table:
    """The table of a provider's FOCUS exports.

    Files spell the names in PascalCase, or in lower case where a catalog has been over them; either is
    found.

    Args:
        provider_columns: The provider's own columns, which begin with ``x_``.
    """
    columns = (*_FOCUS_COLUMNS, *provider_columns)
    names = {squashed(column.name): column.name for column in columns}
    return Table(columns=columns, required=_REQUIRED, rename=lambda name: names.get(squashed(name), name))
