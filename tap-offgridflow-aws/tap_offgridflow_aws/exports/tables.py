"""The tables that AWS exports hold."""

from __future__ import annotations

import re
from functools import cache

from offgridflow_common.columns import read_columns, squashed
from offgridflow_common.exports.focus import focus_table
from offgridflow_common.exports.table import Fold, Table

_COLUMNS = read_columns("tap_offgridflow_aws", "data/cur2_columns.csv")
_NAMES = frozenset(column.name for column in _COLUMNS)

#: Over-long legacy names have lost underscores, and AWS spells `SavingsPlanArn` in two ways.
_BY_SQUASHED_NAME = {squashed(name): name for name in _NAMES}

#: An export's query may leave columns out; without these a line item means nothing.
_REQUIRED = frozenset(
    {
        "line_item_product_code",
        "line_item_unblended_cost",
        "line_item_usage_account_id",
        "line_item_usage_start_date",
    }
)

#: What CUR 2.0 keeps in maps and legacy CUR in columns of their own, which differ from month to month.
_FOLDS = (
    Fold("product", "product_"),
    Fold("resource_tags", "resource_tags_"),
    Fold("cost_category", "cost_category_"),
    Fold("discount", "discount_"),
)
_MAPS = frozenset(fold.column for fold in _FOLDS)


def cur_name(header: str) -> str:
    """A legacy CUR header as AWS names the column in Parquet: ``line_item_usage_type``."""
    separated = re.sub(r"([A-Z])", r"_\1", header).lower()
    return re.sub(r"[^a-z0-9]+", "_", separated).strip("_")


@cache
def legacy_name(header: str) -> str:
    """A legacy CUR column, of CSV or Parquet, under its name in CUR 2.0.

    Of a name without Latin letters the rule leaves nothing, or the ``user`` before it: it stays a member
    under its own name.
    """
    category, _, own = header.partition("/")
    is_nameless = own and not cur_name(own.rpartition(":")[2])
    name = header if header in _NAMES else cur_name(category if is_nameless else header)
    known = _BY_SQUASHED_NAME.get(squashed(name))
    if known in _MAPS:
        return f"{known}_{own or header}"
    return known or _with_prefix(name)


def _with_prefix(name: str) -> str:
    """An over-long name loses underscores from the left, those of its category first."""
    for fold in _FOLDS:
        letters = r"_?".join(squashed(fold.prefix))
        if match := re.match(rf"{letters}_?", name):
            return fold.prefix + name[match.end() :]
    return name


#: CUR 2.0.
CUR2 = Table(columns=_COLUMNS, required=_REQUIRED)

#: Legacy CUR, in the columns of CUR 2.0.
LEGACY_CUR = Table(columns=_COLUMNS, required=_REQUIRED, rename=legacy_name, folds=_FOLDS)

#: FOCUS 1.0 and 1.2.
FOCUS = focus_table(read_columns("tap_offgridflow_aws", "data/focus_columns.csv"))

#: The carbon export; older exports lack the columns of scopes.
CARBON_EXPORT = Table(
    columns=read_columns("tap_offgridflow_aws", "data/carbon_export_columns.csv"),
    required=frozenset({"usage_account_id", "usage_period_start"}),
)

#: What each type of export holds.
BY_EXPORT_TYPE = {"cur2": CUR2, "cur": LEGACY_CUR, "focus": FOCUS, "carbon": CARBON_EXPORT}
