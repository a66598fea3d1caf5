"""What the Sustainability stand-in knows and how it answers: selection, grouping, and made-up data."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

TOTALS = ("TOTAL_LBM_CARBON_EMISSIONS", "TOTAL_MBM_CARBON_EMISSIONS")
EMISSIONS_TYPES = (
    *TOTALS,
    "TOTAL_SCOPE_1_CARBON_EMISSIONS",
    "TOTAL_SCOPE_2_LBM_CARBON_EMISSIONS",
    "TOTAL_SCOPE_2_MBM_CARBON_EMISSIONS",
    "TOTAL_SCOPE_3_LBM_CARBON_EMISSIONS",
    "TOTAL_SCOPE_3_MBM_CARBON_EMISSIONS",
)
WATER_TYPES = ("TOTAL_WATER_WITHDRAWALS",)
SMALLEST = Decimal("0.000001")
MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class SourceRow:
    """Values of one account, region and service in one period: MTCO2e for carbon, m3 for water."""

    account: str
    region: str
    service: str
    values: Mapping[str, Decimal]
    model_version: str = "v3.0.1"

    def dimension(self, name: str) -> str:
        """The value of a dimension by its name in the interface."""
        return {"USAGE_ACCOUNT_ID": self.account, "REGION": self.region, "SERVICE": self.service}[name]

    def matches(self, dimensions: Mapping[str, Sequence[str]]) -> bool:
        """Whether the row passes a `FilterBy.Dimensions`."""
        return all(self.dimension(name) in allowed for name, allowed in dimensions.items())


@dataclass(frozen=True, slots=True)
class Measure:
    """One of the two families of operations: how its periods, types and members are called."""

    types: tuple[str, ...]
    default_types: tuple[str, ...]
    types_member: str
    values_member: str
    unit: str
    default_granularity: str
    months_per_period: int


CARBON = Measure(EMISSIONS_TYPES, TOTALS, "EmissionsTypes", "EmissionsValues", "MTCO2e", "MONTHLY", 1)
WATER = Measure(WATER_TYPES, WATER_TYPES, "AllocationTypes", "AllocationValues", "m3", "YEARLY_CALENDAR", 12)


def add_months(start: datetime, months: int) -> datetime:
    """The first instant of the month so many months away from a first of a month."""
    ordinal = start.year * 12 + start.month - 1 + months
    return start.replace(year=ordinal // 12, month=ordinal % 12 + 1)


def month_start(text: str) -> datetime:
    """First instant of `YYYY-MM` in UTC."""
    year, month = text.split("-")
    return datetime(int(year), int(month), 1, tzinfo=UTC)


def _bucket(start: datetime, granularity: str, fiscal_month: int) -> datetime:
    """First instant of the period of a granularity that a month belongs to."""
    size = {"M": 1, "Q": 3, "Y": 12}[granularity[0]]
    first = fiscal_month if granularity.endswith("FISCAL") else 1
    return add_months(start, -((start.month - first) % size))


@dataclass(slots=True)
class _Cell:
    """One result row while it is being summed."""

    start: datetime
    end: datetime
    dimensions: dict[str, str]
    model_version: str
    values: dict[str, Decimal] = field(default_factory=dict)

    def add(self, row: SourceRow, end: datetime, types: Iterable[str]) -> None:
        self.end = max(self.end, end)
        self.model_version = max(self.model_version, row.model_version, key=_version)
        for kind in types:
            self.values[kind] = self.values.get(kind, Decimal(0)) + row.values[kind]


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.removeprefix("v").split("-")[0].split("."))


def iso(moment: datetime) -> str:
    """The service's time text."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _amount(value: Decimal, unit: str) -> dict[str, Any]:
    return {"Value": float(value.quantize(SMALLEST)), "Unit": unit}


def selected(
    periods: Mapping[datetime, Sequence[SourceRow]], start: datetime, end: datetime
) -> Iterator[tuple[datetime, SourceRow]]:
    """Rows of the periods whose first instant lies in [start, end), oldest first."""
    for first in sorted(periods):
        if start <= first < end:
            yield from ((first, row) for row in periods[first])


def query(
    periods: Mapping[datetime, Sequence[SourceRow]],
    measure: Measure,
    start: datetime,
    end: datetime,
    request: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """All result rows of a validated request, summed per period and group, in a stable order."""
    group_by = list(dict.fromkeys(request.get("GroupBy") or ()))
    types = tuple(dict.fromkeys(request.get(measure.types_member) or measure.default_types))
    granularity = request.get("Granularity") or measure.default_granularity
    fiscal = (request.get("GranularityConfiguration") or {}).get("FiscalYearStartMonth") or 1
    wanted = (request.get("FilterBy") or {}).get("Dimensions") or {}
    cells: dict[tuple[Any, ...], _Cell] = {}
    for first, row in selected(periods, start, end):
        if not row.matches(wanted):
            continue
        keys = {name: row.dimension(name) for name in group_by}
        until = add_months(first, measure.months_per_period)
        cell = cells.setdefault(
            (_bucket(first, granularity, fiscal), *keys.values()),
            _Cell(first, until, keys, row.model_version),
        )
        cell.add(row, until, types)
    return [
        {
            "TimePeriod": {"Start": iso(cell.start), "End": iso(cell.end)},
            "DimensionsValues": cell.dimensions,
            "ModelVersion": cell.model_version,
            measure.values_member: {
                kind: _amount(value, measure.unit) for kind, value in cell.values.items()
            },
        }
        for cell in (cells[key] for key in sorted(cells))
    ]


def dimension_values(
    periods: Mapping[datetime, Sequence[SourceRow]], start: datetime, end: datetime, dimensions: Sequence[str]
) -> list[dict[str, str]]:
    """The distinct values of each asked dimension in the range."""
    rows = [row for _, row in selected(periods, start, end)]
    return [
        {"Dimension": name, "Value": value}
        for name in dict.fromkeys(dimensions)
        for value in sorted({row.dimension(name) for row in rows})
    ]


GLOBAL_SERVICES = frozenset({"AmazonCloudFront", "AmazonRoute53", "AWSIAM"})


def _combinations(
    accounts: Sequence[str], regions: Sequence[str], services: Sequence[str]
) -> Iterator[tuple[str, str, str]]:
    for account in accounts:
        for service in services:
            for region in ("Global",) if service in GLOBAL_SERVICES else regions:
                yield account, region, service


def demo_emissions(
    months: Sequence[str],
    accounts: Sequence[str],
    regions: Sequence[str],
    services: Sequence[str],
    seed: int,
    *,
    model_version: str = "v3.0.1",
) -> dict[str, list[SourceRow]]:
    """Made-up monthly emissions in MTCO2e with 6 decimals, where the scopes add up to both totals exactly.

    A row depends on the seed, its month and its dimensions only, so a longer range repeats the shorter one.
    One row in ten is all zero; scope 2 by the market-based method is zero in nine rows of ten.
    """
    return {
        month: [
            SourceRow(
                *keys,
                values=_demo_values(_random(seed, month, *keys)),
                model_version=model_version,
            )
            for keys in _combinations(accounts, regions, services)
        ]
        for month in months
    }


def _random(*parts: object) -> random.Random:
    """Chance that is the same for the same parts."""
    return random.Random("/".join(map(str, parts)))


def _demo_values(rng: random.Random) -> dict[str, Decimal]:
    zero = rng.random() < 0.1
    scope_1, scope_2_lbm, scope_3_lbm = (
        0 if zero else int(rng.lognormvariate(mu, 1.0)) for mu in (3.5, 8.0, 7.5)
    )
    scope_2_mbm = int(scope_2_lbm * rng.uniform(0.1, 0.6)) if rng.random() < 0.1 else 0
    scope_3_mbm = int(scope_3_lbm * rng.uniform(0.7, 1.0))
    micro = (
        scope_1 + scope_2_lbm + scope_3_lbm,
        scope_1 + scope_2_mbm + scope_3_mbm,
        scope_1,
        scope_2_lbm,
        scope_2_mbm,
        scope_3_lbm,
        scope_3_mbm,
    )
    return {
        kind: (Decimal(value) / MICRO).quantize(SMALLEST)
        for kind, value in zip(EMISSIONS_TYPES, micro, strict=True)
    }


def demo_water(
    years: Sequence[int],
    accounts: Sequence[str],
    regions: Sequence[str],
    services: Sequence[str],
    seed: int,
    *,
    model_version: str = "v1.0.0",
) -> dict[int, list[SourceRow]]:
    """Made-up yearly water withdrawals in m3 with 6 decimals."""
    return {
        year: [
            SourceRow(
                *keys,
                values={
                    WATER_TYPES[0]: (
                        Decimal(int(_random(seed, year, *keys).lognormvariate(11, 1.2))) / MICRO
                    ).quantize(SMALLEST)
                },
                model_version=model_version,
            )
            for keys in _combinations(accounts, regions, services)
        ]
        for year in years
    }
