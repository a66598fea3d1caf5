"""Activities of emissions that a provider reports: a fact per scope and method, in kgCO2e."""

from __future__ import annotations

import polars as pl

from offgridflow_common.activity import EMISSIONS, normalise_unit
from offgridflow_common.activity_mapping import ActivityMapping, activities
from offgridflow_common.errors import ContractBroken

_KILOGRAMS = "kgCO2e"


def scope_facts(rows: pl.DataFrame, value: str, unit: pl.Expr, scope: int, method: str) -> pl.DataFrame:
    """The values of one scope and method, in kgCO2e. Zero is a value, null is none.

    Args:
        rows: What was reported.
        value: The column with the values.
        unit: Their unit, in the provider's words.
        scope: The GHG Protocol scope, 1 to 3.
        method: The accounting method, in the words of activities.

    Raises:
        ContractBroken: A unit is none of mass of CO2 equivalents.
    """
    given = rows.with_columns(given_unit=unit.fill_null("no unit")).filter(pl.col(value).is_not_null())
    units = {text: normalise_unit(text) for text in given["given_unit"].unique()}
    if wrong := sorted(text for text, known in units.items() if known.name != _KILOGRAMS):
        raise ContractBroken(
            asked="making activities of emissions, in mass of CO2 equivalents",
            got=f"values in {', '.join(wrong)}",
            do="look for a newer version of the tap; nothing of the period counts as read",
        )
    factor = pl.Series([units[text].factor for text in given["given_unit"]], dtype=pl.Float64)
    return given.with_columns(
        (pl.col(value) * factor).round_sig_figs(15).alias("quantity"),
        unit=pl.lit(_KILOGRAMS),
        scope=pl.lit(scope),
        accounting_method=pl.lit(method),
    )


def reported_emissions(facts: pl.DataFrame, mapping: ActivityMapping) -> pl.DataFrame:
    """Activities of emission facts, which replace each other by account and month.

    Args:
        facts: From :func:`scope_facts`, with ``source``, ``account_id``, ``region``, ``service_code``,
            ``period_start``, ``period_end`` and ``import_batch_id``.
        mapping: The mappers.
    """
    return activities(
        facts.with_columns(
            subject=pl.lit("emissions"),
            activity_type=pl.lit(EMISSIONS),
            usage_type=pl.lit(None, dtype=pl.String),
            data_quality=pl.lit("estimated"),
            external_id=pl.format("{}/{}", "account_id", pl.col("period_start").dt.strftime("%Y-%m")),
        ),
        mapping,
    )
