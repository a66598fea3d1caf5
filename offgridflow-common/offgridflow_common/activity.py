"""The activity: OffGridFlow's one schema for what any cloud reports, with ids that never change."""

from __future__ import annotations

import csv
import uuid
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import polars as pl

from offgridflow_common.columns import Column, Kind, polars_schema
from offgridflow_common.errors import ContractBroken

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

#: Sums over emissions: location based = location_based + both; market based = market_based + both.
LOCATION_BASED, MARKET_BASED, BOTH = "location_based", "market_based", "both"

#: What an activity is: both are as the provider reports them. The third type, `estimate`, is for figures of
#: our own, of which there are none yet.
EMISSIONS, USAGE = "emissions", "usage"

ACTIVITY_COLUMNS = (
    Column("id", Kind.STRING, "UUIDv5 of `idempotency_key`.", required=True),
    Column("idempotency_key", Kind.STRING, "The stable business parts of the fact.", required=True),
    Column("source", Kind.STRING, "Where it was read.", required=True),
    Column("provider", Kind.STRING, "The cloud, as in the tables of regions and services.", required=True),
    Column(
        "activity_type",
        Kind.STRING,
        "`emissions`, or `usage`: of services, and of water. `estimate` is reserved.",
        required=True,
    ),
    Column("category", Kind.STRING, "OffGridFlow's category; `cloud_other` if unknown.", required=True),
    Column("service_code", Kind.STRING, "The provider's code of the service."),
    Column("service_name", Kind.STRING, "Name of the service."),
    Column("service_category", Kind.STRING, "FOCUS service category."),
    Column("account_id", Kind.STRING, "Account or subscription that used it."),
    Column("region", Kind.STRING, "The provider's region id, `global`, or null if there is none."),
    Column("location", Kind.STRING, "OffGridFlow's region family; `GLOBAL` if unknown.", required=True),
    Column("country", Kind.STRING, "ISO 3166-1 alpha-3 code."),
    Column("period_start", Kind.TIMESTAMP, "Inclusive.", required=True),
    Column("period_end", Kind.TIMESTAMP, "Exclusive.", required=True),
    Column("quantity", Kind.NUMBER, "In `unit`; never negative.", required=True),
    Column(
        "unit",
        Kind.STRING,
        "`kgCO2e`, `m3`, or the unit of the usage, in one spelling: `Hours`, `GB-Months`.",
    ),
    Column("scope", Kind.INTEGER, "GHG Protocol scope, 1 to 3, of emissions."),
    Column("accounting_method", Kind.STRING, "`location_based`, `market_based`, or `both` where they agree."),
    Column("cost", Kind.NUMBER, "Cost of the same line items as their source bills it, in `currency`."),
    Column("currency", Kind.STRING, "ISO 4217 code."),
    Column("data_quality", Kind.STRING, "`measured`, `estimated` or `default`.", required=True),
    Column("model_version", Kind.STRING, "Version of the provider's emission model."),
    Column("org_id", Kind.STRING, "From the setting `org_id`."),
    Column("workspace_id", Kind.STRING, "From the setting `workspace_id`."),
    Column(
        "external_id",
        Kind.STRING,
        "The activities that a newer import replaces as a whole: those of one account's period.",
    ),
    Column(
        "import_batch_id",
        Kind.STRING,
        "The import that wrote it; sorts by time. Of each `external_id` only the newest is current.",
    ),
    Column("metadata", Kind.STRING_MAP, "More of what the provider said, as text."),
)

#: The namespace of all activity ids.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://offgridflow.example/activities")

#: How the columns begin that become members of ``metadata``.
_METADATA = "metadata."

#: What makes a fact the same fact, however often it is read or restated.
_IDENTITY = (
    "provider",
    "subject",
    "bill",
    "period_start",
    "period_end",
    "account_id",
    "region",
    "service_code",
    "detail",
    "unit",
    "currency",
    "scope",
    "accounting_method",
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit in the words of FOCUS, and what a quantity in the source's unit is multiplied by."""

    name: str
    factor: float


def normalise_unit(unit: str) -> Unit:
    """The unit to report in: emissions in kgCO2e, usage in FOCUS words; unknown units stay as they are."""
    return _units().get(unit.casefold()) or Unit(unit, 1.0)


def import_batch_id(retrieved_at: datetime, delivery_id: str | None = None) -> str:
    """The batch that activities belong to: batches sort by the run that made them.

    Args:
        retrieved_at: When the run began.
        delivery_id: What they were read from, if it was a delivery; it follows a ``/``.
    """
    run = f"{retrieved_at:%Y-%m-%dT%H:%M:%SZ}"
    return f"{run}/{delivery_id}" if delivery_id else run


def finish(facts: pl.DataFrame, *, org_id: str | None, workspace_id: str | None) -> pl.DataFrame:
    """Make activities of facts: ids, order and types of the schema, and a check.

    Args:
        facts: Columns of :data:`ACTIVITY_COLUMNS` in any order, missing ones being null; plus ``subject``,
            what kind of fact it is, whichever source it was read from; plus, where they are needed to tell
            facts apart, ``bill`` (who is billed, for which period) and ``detail`` (a usage type); plus any
            ``metadata.<key>`` columns of text, which together make up ``metadata``.
        org_id: Copied into each activity.
        workspace_id: Copied into each activity.

    Raises:
        ContractBroken: A quantity is negative or missing, a period ends before it begins, or two
            facts are the same.
    """
    owned = facts.with_columns(
        pl.lit(org_id, dtype=pl.String).alias("org_id"),
        pl.lit(workspace_id, dtype=pl.String).alias("workspace_id"),
    )
    text = pl.String()
    missing = {**polars_schema(ACTIVITY_COLUMNS), "detail": text, "bill": text}
    complete = owned.with_columns(
        pl.lit(None, dtype=dtype).alias(name) for name, dtype in missing.items() if name not in owned.columns
    ).with_columns(_idempotency_key(), _metadata(owned.columns))
    _check(complete)
    keys = complete["idempotency_key"]
    ids = pl.Series("id", [str(uuid.uuid5(_NAMESPACE, key)) for key in keys], dtype=pl.String)
    schema = polars_schema(ACTIVITY_COLUMNS)
    return complete.with_columns(ids).select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def _idempotency_key() -> pl.Expr:
    r"""The identifying parts joined by ``|``; a ``|`` or ``\`` in a part follows a ``\``; null is empty."""
    parts = [
        _key_part(name)
        .str.replace_all("\\", "\\\\", literal=True)
        .str.replace_all("|", "\\|", literal=True)
        .fill_null("")
        for name in _IDENTITY
    ]
    return pl.concat_str(parts, separator="|").alias("idempotency_key")


def _key_part(name: str) -> pl.Expr:
    if name.startswith("period_"):
        return pl.col(name).dt.strftime("%Y-%m-%d")
    return pl.col(name).cast(pl.String)


def _metadata(names: Sequence[str]) -> pl.Expr:
    """All ``metadata.<key>`` columns as one map; what is null is left out."""
    members = [
        pl.struct(key=pl.lit(name.removeprefix(_METADATA)), value=pl.col(name))
        for name in names
        if name.startswith(_METADATA)
    ]
    if not members:
        return pl.lit(None, dtype=Kind.STRING_MAP.dtype).alias("metadata")
    given = pl.element().struct.field("value").is_not_null()
    return pl.concat_list(members).list.filter(given).cast(Kind.STRING_MAP.dtype).alias("metadata")


def _check(facts: pl.DataFrame) -> None:
    rules = {
        "a quantity that is negative, missing or no number": ~(pl.col("quantity") >= 0).fill_null(value=False)
        | ~pl.col("quantity").is_finite(),
        "a period that does not end after it begins": ~(
            pl.col("period_end") > pl.col("period_start")
        ).fill_null(value=False),
        "the same fact twice": pl.col("idempotency_key").is_duplicated(),
    }
    for rule, broken in rules.items():
        offending: Sequence[str] = facts.filter(broken)["idempotency_key"].head(3).to_list()
        if offending:
            raise ContractBroken(
                asked="making activities",
                got=f"{rule}: {'; '.join(offending)}",
                do="report it with the rows of the source that it stands for",
            )


@cache
def _units() -> dict[str, Unit]:
    text = resources.files("offgridflow_common").joinpath("data/units.csv").read_text("utf-8")
    return {
        row["source_unit"].casefold(): Unit(row["unit"], float(row["factor"]))
        for row in csv.DictReader(text.splitlines())
    }
