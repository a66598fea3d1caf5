"""What the Sustainability API reports, and how its rows become columns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import polars as pl

from offgridflow_common.columns import Column, Kind, polars_schema
from offgridflow_common.errors import ContractBroken
from offgridflow_common.months import MONTH, YEAR, Period

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tap_offgridflow_aws.client import AwsClient

#: Emissions go back to this month, water to this year.
EMISSIONS_BEGIN = datetime(2022, 1, 1, tzinfo=UTC)
WATER_BEGINS = datetime(2023, 1, 1, tzinfo=UTC)

#: Rows that are held as objects of Python at once.
_ROWS_AT_ONCE = 10_000

#: All that can be asked for; without naming them only the two totals come back.
_EMISSIONS_TYPES = (
    "TOTAL_LBM_CARBON_EMISSIONS",
    "TOTAL_MBM_CARBON_EMISSIONS",
    "TOTAL_SCOPE_1_CARBON_EMISSIONS",
    "TOTAL_SCOPE_2_LBM_CARBON_EMISSIONS",
    "TOTAL_SCOPE_2_MBM_CARBON_EMISSIONS",
    "TOTAL_SCOPE_3_LBM_CARBON_EMISSIONS",
    "TOTAL_SCOPE_3_MBM_CARBON_EMISSIONS",
)
_ALLOCATION_TYPES = ("TOTAL_WATER_WITHDRAWALS",)

_KEYS = (
    Column("period_start", Kind.TIMESTAMP, "Inclusive.", required=True),
    Column("period_end", Kind.TIMESTAMP, "Exclusive.", required=True),
    Column("account_id", Kind.STRING, "Usage account, 12 digits.", required=True),
    Column("region", Kind.STRING, "Region id; `Global` for global services.", required=True),
    Column("service", Kind.STRING, "Product code; `Other` for all that is not broken out.", required=True),
    Column("model_version", Kind.STRING, "Version of AWS's model.", required=True),
)
_UNKNOWN_VALUES = Column("extra", Kind.NUMBER_MAP, "Values of types that this version does not know.")
_RETRIEVED_AT = Column("retrieved_at", Kind.TIMESTAMP, "When it was read.", required=True)


@dataclass(frozen=True, slots=True)
class Report:
    """One report of the API.

    Attributes:
        source: Names it in activities and in their state.
        begin: How far it goes back.
        months: The length of its periods.
        operation: The API operation that gives it.
        parameters: What it takes beside period, grouping and paging.
        values: The member of a result row that holds its values.
        types: The types of values, in the API's spelling; their lower case names the columns.
        unit: The unit of all values.
        unit_column: The column that holds the unit.
    """

    source: str
    begin: datetime
    months: int
    operation: str
    parameters: Mapping[str, Any]
    values: str
    types: tuple[str, ...]
    unit: str
    unit_column: str

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns of the report's stream."""
        values = tuple(Column(kind.lower(), Kind.NUMBER, f"In {self.unit}.") for kind in self.types)
        unit = Column(self.unit_column, Kind.STRING, f"`{self.unit}`.")
        return (*_KEYS, *values, unit, _UNKNOWN_VALUES, _RETRIEVED_AT)

    def read(self, client: AwsClient, period: Period, retrieved_at: datetime) -> pl.DataFrame:
        """What the API reports for a period, as rows of :attr:`columns`.

        Raises:
            OffGridFlowError: AWS refused, or did not answer.
            ContractBroken: A row lacks a part of its key, or is in another unit.
        """
        results = client.sustainability(self.operation, period, self.parameters)
        rows = (self._row(result, retrieved_at) for result in results)
        schema = polars_schema(self.columns)
        frames = [pl.DataFrame(schema=schema)]
        # As objects of Python, 200,000 rows take 300 MB, and 25 MB in columns.
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            frames.append(pl.DataFrame(some, schema=schema))
        return pl.concat(frames)

    def _row(self, result: Mapping[str, Any], retrieved_at: datetime) -> dict[str, Any]:
        try:
            return self._values_of(result, retrieved_at)
        except KeyError as error:
            raise self._broken(f"a row without {error.args[0]}") from error

    def _values_of(self, result: Mapping[str, Any], retrieved_at: datetime) -> dict[str, Any]:
        dimensions = result.get("DimensionsValues") or {}
        missing = [name for name in ("USAGE_ACCOUNT_ID", "REGION", "SERVICE") if not dimensions.get(name)]
        if missing:
            raise self._broken(f"a row without {' and '.join(missing)}")
        values = result[self.values]
        for kind, value in values.items():
            if value["Unit"] != self.unit:
                raise self._broken(f"{kind} in {value['Unit']}, expected {self.unit}")
        known = {kind.lower(): values[kind]["Value"] for kind in self.types if kind in values}
        unknown = {kind.lower(): value["Value"] for kind, value in values.items() if kind not in self.types}
        return {
            "period_start": result["TimePeriod"]["Start"].astimezone(UTC),
            "period_end": result["TimePeriod"]["End"].astimezone(UTC),
            "account_id": dimensions["USAGE_ACCOUNT_ID"],
            "region": dimensions["REGION"],
            "service": dimensions["SERVICE"],
            "model_version": result["ModelVersion"],
            **known,
            self.unit_column: self.unit,
            "extra": unknown or None,
            "retrieved_at": retrieved_at,
        }

    def _broken(self, got: str) -> ContractBroken:
        return ContractBroken(
            asked=f"reading {self.source}",
            got=got,
            do="look for a newer version of the tap; nothing of the period counts as read",
        )


EMISSIONS = Report(
    source="aws_sustainability_emissions",
    begin=EMISSIONS_BEGIN,
    months=MONTH,
    operation="GetEstimatedCarbonEmissions",
    parameters={"EmissionsTypes": _EMISSIONS_TYPES, "Granularity": "MONTHLY"},
    values="EmissionsValues",
    types=_EMISSIONS_TYPES,
    unit="MTCO2e",
    unit_column="emissions_unit",
)
WATER = Report(
    source="aws_sustainability_water",
    begin=WATER_BEGINS,
    months=YEAR,
    operation="GetEstimatedWaterAllocation",
    parameters={"AllocationTypes": _ALLOCATION_TYPES, "Granularity": "YEARLY_CALENDAR"},
    values="AllocationValues",
    types=_ALLOCATION_TYPES,
    unit="m3",
    unit_column="allocation_unit",
)
