"""What Cost Management answers to queries, and how its rows become columns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from offgridflow_common.columns import Column, Kind
from offgridflow_common.pagination import Page
from tap_offgridflow_azure.apis.fields import UNASSIGNED, Fields
from tap_offgridflow_azure.apis.pages import distinct_pages, numbered, unnumbered_schema

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping, Sequence

    from offgridflow_common.regions import RegionMapper
    from tap_offgridflow_azure.client import AzureClient

_FIRST_PAGE: Mapping[str, str | int] = {"api-version": "2025-03-01", "$top": 5000}

#: What is asked for, by the names that the columns of the answer have, in lower case as their case varies.
_MEASURES = ("Cost", "CostUSD")
_GROUPS = ("ServiceName", "ResourceLocation")
_NEEDED = ("Cost", "UsageDate", *_GROUPS, "Currency")
_NAMES = {name.lower(): name for name in (*_MEASURES, *_NEEDED)}

#: A month still changes for so long after it has ended: invoices settle up to 72 hours later, and exports
#: deliver it once more until the fifth (Microsoft, "Tutorial: create and manage Cost Management exports").
SETTLING = timedelta(days=5)

#: The cost of so many days before today may still be missing, so that nothing follows from its absence.
_LATE_DAYS = 3

COLUMNS = (
    Column("scope", Kind.STRING, "The scope, such as `subscriptions/{id}`, in lower case.", required=True),
    Column("cost_metric", Kind.STRING, "`ActualCost` or `AmortizedCost`; never to be added.", required=True),
    Column("usage_date", Kind.TIMESTAMP, "The day, by its first instant.", required=True),
    Column("service_name", Kind.STRING, "As reported; `Unassigned` if there is none.", required=True),
    Column("resource_location", Kind.STRING, "As reported; `Unassigned` if there is none.", required=True),
    Column("currency", Kind.STRING, "Of `cost`, ISO 4217.", required=True),
    Column("item_number", Kind.INTEGER, "1; counts on where rows share all of the above.", required=True),
    Column("region", Kind.STRING, "Region id of the location, such as `eastus`; null if it is unknown."),
    Column("cost", Kind.NUMBER, "In `currency`."),
    Column("cost_usd", Kind.NUMBER, "The same in US dollars."),
    Column("extra", Kind.STRING_MAP, "Columns that this version does not know, as text."),
    Column("retrieved_at", Kind.TIMESTAMP, "When it was read.", required=True),
)
_SCHEMA = unnumbered_schema(COLUMNS)
#: What tells rows apart, as far as it does.
KEY = ("scope", "cost_metric", "usage_date", "service_name", "resource_location", "currency")


@dataclass(frozen=True, slots=True)
class Days:
    """Some days: the first and the last."""

    first: date
    last: date

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"


class CostQueries:
    """Costs of a scope by day, service and location.

    Args:
        client: Asks Azure.
        metric: Which cost, in the words of the API.
        regions: Finds regions by their names.
        retrieved_at: When the run began; nothing later is asked for.
        logger: Logs answers that left out days.
    """

    def __init__(
        self,
        client: AzureClient,
        metric: str,
        regions: RegionMapper,
        retrieved_at: datetime,
        logger: logging.Logger,
    ) -> None:
        self._client = client
        self._metric = metric
        self._regions = regions
        self._retrieved_at = retrieved_at
        self._logger = logger

    def costs(self, scope: str, days: Days) -> Iterator[pl.DataFrame]:
        """The rows of some days, at most 31, as :data:`COLUMNS`.

        An answer may silently be of fewer days than were asked for. So what lies before its first day and
        after its last one is asked for again, until nothing more comes.

        Raises:
            ContractBroken: The answer is of other days, or lacks a column; the message says which.
        """
        waiting = [days]
        while waiting:
            asked = waiting.pop()
            rows = self._rows(scope, asked)
            if rows.is_empty():
                continue
            if asked is not days:
                self._logger.warning(
                    "cost of %s: an answer left out %s; they were asked for again", scope, asked
                )
            yield numbered(rows, KEY, COLUMNS)
            waiting += self._left_out(asked, rows)

    def _left_out(self, asked: Days, rows: pl.DataFrame) -> Iterator[Days]:
        dates = [moment.date() for moment in rows["usage_date"].unique().sort()]
        one = timedelta(days=1)
        certain = min(asked.last, self._retrieved_at.date() - timedelta(days=_LATE_DAYS))
        if asked.first < dates[0]:
            yield Days(asked.first, dates[0] - one)
        if dates[-1] < certain:
            yield Days(dates[-1] + one, certain)

    def _rows(self, scope: str, days: Days) -> pl.DataFrame:
        question = f"cost of {scope} from {days}"

        def fetch(link: str | None) -> Page[dict[str, Any]]:
            path = f"{scope}/providers/Microsoft.CostManagement/query"
            # The link is followed as it is given, and the body goes with it once more.
            params = None if link else _FIRST_PAGE
            answer = self._client.costs.request(
                "POST", link or path, params=params, json=self._body(days), about=days
            )
            if not answer.body:
                return Page(items=[])
            table = Fields(answer.json(), answer.asked).object("properties")
            return Page(items=_named(table), next_token=table.text("nextLink"))

        pages = distinct_pages(self._client.pager, fetch, question)
        rows = [self._row(Fields(row, question), scope, days) for page in pages for row in page]
        return pl.DataFrame(rows, schema=_SCHEMA)

    def _body(self, days: Days) -> dict[str, Any]:
        end = datetime.combine(days.last, time(23, 59, 59), tzinfo=UTC)
        return {
            "type": self._metric,
            "timeframe": "Custom",
            "timePeriod": {
                "from": f"{days.first}T00:00:00Z",
                # Azure moves a range that reaches into the future to another year.
                "to": f"{min(end, self._retrieved_at):%Y-%m-%dT%H:%M:%SZ}",
            },
            "dataset": {
                "granularity": "Daily",
                "aggregation": {name: {"name": name, "function": "Sum"} for name in _MEASURES},
                "grouping": [{"type": "Dimension", "name": name} for name in _GROUPS],
            },
        }

    def _row(self, row: Fields, scope: str, days: Days) -> dict[str, Any]:
        day = _day(row)
        if not days.first <= day <= days.last:
            raise row.broken(f"a row of {day}")
        location = row.text("ResourceLocation") or UNASSIGNED
        region = self._regions.lookup(location)
        return {
            "scope": scope.lower(),
            "cost_metric": self._metric,
            "usage_date": datetime.combine(day, time(), tzinfo=UTC),
            "service_name": row.text("ServiceName") or UNASSIGNED,
            "resource_location": location,
            "currency": row.key("Currency"),
            "region": region and region.region_id,
            "cost": row.number("Cost"),
            "cost_usd": row.number("CostUSD"),
            "extra": row.extra(),
            "retrieved_at": self._retrieved_at,
        }


def _named(table: Fields) -> Sequence[dict[str, Any]]:
    """The rows of an answer by the names of its columns, whose order is never the same."""
    names = [column.key("name") for column in table.objects("columns")]
    names = [_NAMES.get(name.lower(), name) for name in names]
    if missing := [name for name in _NEEDED if name not in names]:
        raise table.broken(f"no column {', '.join(missing)}")
    rows = table.rows("rows")
    if any(not isinstance(row, list) or len(row) != len(names) for row in rows):
        raise table.broken(f"a row that does not have {len(names)} values, as there are columns")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _day(row: Fields) -> date:
    """The day of a row: a number or a text, ``20240115`` or ``2024-01-15`` with or without a time."""
    text = row.key("UsageDate")
    try:
        return date.fromisoformat(text[:10] if "-" in text else text[:8])
    except ValueError as error:
        raise row.broken(f"'{text}' in place of a day") from error
