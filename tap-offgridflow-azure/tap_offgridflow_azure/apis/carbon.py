"""What the Carbon Optimization API reports, and how its rows become columns."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

from offgridflow_common.columns import Column, Kind
from offgridflow_common.errors import PermissionDenied
from offgridflow_common.months import MONTH, Period, add_months, floor, periods
from offgridflow_common.pagination import Page
from offgridflow_common.wording import listed
from tap_offgridflow_azure.apis.fields import Fields
from tap_offgridflow_azure.apis.pages import distinct_pages, numbered, unnumbered_schema

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from offgridflow_common.regions import RegionMapper
    from tap_offgridflow_azure.client import AzureClient

#: Names the report in activities and in their state.
SOURCE = "azure_carbon_optimization"

#: The API adds up the scopes that one report asks for, so each is asked for by itself.
SCOPES = ("Scope1", "Scope2", "Scope3")

UNIT = "kgCO2e"

_PROVIDER = "providers/Microsoft.Carbon"
_VERSION = {"api-version": "2025-04-01"}

#: Rows of a page at most; a report may also end here, whole or not.
MOST_ROWS = 5000

#: The API keeps so many months; a month is there from this day of the next one on.
_MONTHS_KEPT = 12
_PUBLISHED_ON_DAY = 19

#: Subscriptions of one report at most, where its rows say which one they belong to. The API takes no more.
_TOGETHER = 100
_NAMES_SUBSCRIPTION = frozenset({"Resource", "ResourceGroup", "Subscription"})

COLUMNS = (
    Column("period_start", Kind.TIMESTAMP, "Inclusive.", required=True),
    Column("period_end", Kind.TIMESTAMP, "Exclusive.", required=True),
    Column("carbon_scope", Kind.STRING, "`Scope1`, `Scope2` (market based) or `Scope3`.", required=True),
    Column("category_type", Kind.STRING, "What a row is about: `carbon_category`.", required=True),
    Column("subscription_id", Kind.STRING, "Subscription id, in lower case.", required=True),
    Column("item_id", Kind.STRING, "Id of the item, else its name, in lower case.", required=True),
    Column("item_number", Kind.INTEGER, "1; counts on where rows share an item.", required=True),
    Column("item_name", Kind.STRING, "As reported."),
    Column("resource_id", Kind.STRING, "As reported."),
    Column("resource_group", Kind.STRING, "As reported."),
    Column("resource_group_url", Kind.STRING, "As reported."),
    Column("resource_type", Kind.STRING, "As reported, such as `microsoft.compute/virtualmachines`."),
    Column("location", Kind.STRING, "As reported, such as `east us`."),
    Column("region", Kind.STRING, "Region id of the location, such as `eastus`; null if it is unknown."),
    Column("latest_month_emissions", Kind.NUMBER, f"Of the month, in {UNIT}."),
    Column("previous_month_emissions", Kind.NUMBER, f"Of the month before, in {UNIT}."),
    Column("month_over_month_emissions_change_ratio", Kind.NUMBER, "Change as part of the month before."),
    Column("monthly_emissions_change_value", Kind.NUMBER, f"Change in {UNIT}."),
    Column("emissions_unit", Kind.STRING, f"`{UNIT}`."),
    Column("data_type", Kind.STRING, "Kind of row, as the API names it."),
    Column("extra", Kind.STRING_MAP, "Fields that this version does not know, as text."),
    Column("retrieved_at", Kind.TIMESTAMP, "When it was read.", required=True),
)
#: What tells rows apart, as far as it does.
KEY = ("period_start", "carbon_scope", "category_type", "subscription_id", "item_id")
_SCHEMA = unnumbered_schema(COLUMNS)


def computed_months(now: datetime) -> list[Period]:
    """The months that should be available at a moment, oldest first."""
    published = 1 if now.day >= _PUBLISHED_ON_DAY else 2
    end = add_months(floor(now, MONTH), 1 - published)
    return list(periods(add_months(end, -_MONTHS_KEPT), end, MONTH))


@dataclass(frozen=True, slots=True)
class ReportRequest:
    """What one report is about: a month, a scope and a category of some subscriptions."""

    month: Period
    scope: str
    category: str
    subscriptions: tuple[str, ...]

    @property
    def body(self) -> dict[str, Any]:
        """The report as the API wants it asked for; items are sorted by what does not change meanwhile."""
        day = self.month.start.date().isoformat()
        return {
            "reportType": "ItemDetailsReport",
            "categoryType": self.category,
            "carbonScopeList": [self.scope],
            "subscriptionList": list(self.subscriptions),
            # A range of several months would make each value the sum of all of them.
            "dateRange": {"start": day, "end": day},
            "orderBy": "ItemName",
            "sortDirection": "Asc",
            "pageSize": MOST_ROWS,
        }

    def __str__(self) -> str:
        return f"{self.scope} emissions of {self.month.label} of {listed(self.subscriptions)}"


class CarbonReports:
    """Item details by month, scope and subscription.

    Args:
        client: Asks Azure.
        category: What a row is about, in the API's words.
        regions: Finds regions by their names.
        retrieved_at: When the run began.

    Attributes:
        denied: The subscriptions that denied access, each with the reason that the API gives.
        answered: The months of which there was a report.
        truncated: The reports that the API ended before all rows were there; each is of one subscription.
    """

    def __init__(
        self, client: AzureClient, category: str, regions: RegionMapper, retrieved_at: datetime
    ) -> None:
        self._client = client
        self._category = category
        self._regions = regions
        self._retrieved_at = retrieved_at
        self._most_together = _TOGETHER if category in _NAMES_SUBSCRIPTION else 1
        #: How often a report had too many rows, and its subscriptions were asked for in two groups.
        self._parted = 0
        self.denied: dict[str, str] = {}
        self.answered: set[Period] = set()
        self.truncated: list[ReportRequest] = []

    @cached_property
    def months(self) -> list[Period] | None:
        """The months that the API has, oldest first; None if it may not be asked for them."""
        path = f"{_PROVIDER}/queryCarbonEmissionDataAvailableDateRange"
        try:
            answer = self._client.arm.request("POST", path, params=_VERSION)
        except PermissionDenied:
            return None
        fields = Fields(answer.json(), answer.asked)
        first, last = (_day(fields, name) for name in ("startDate", "endDate"))
        months = list(periods(first, add_months(floor(last, MONTH), 1), MONTH))
        if not months:
            raise fields.broken("an end before its start")
        return months

    def emissions(self, month: Period, subscriptions: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The rows of a month as :data:`COLUMNS`, of each subscription all or none.

        Who has denied access is not asked again.

        Raises:
            ContractBroken: The answer cannot be trusted; the message says why.
        """
        together, left = self._most_together, subscriptions
        while left:
            group, left = left[:together], left[together:]
            parted = self._parted
            reports = list(self._of_scopes(month, group))
            # Those that follow may have as many rows; but one large subscription is no reason to ask for all
            # others in small groups.
            is_large = self._parted > parted
            together = max(1, together // 2) if is_large else min(2 * together, self._most_together)
            if reports:
                is_whole = ~pl.col("subscription_id").is_in(sorted(self.incomplete(month)))
                yield numbered(pl.concat(reports).filter(is_whole), KEY, COLUMNS)

    def incomplete(self, month: Period) -> set[str]:
        """The subscriptions of which not all of a month could be read, as far as is known."""
        truncated = {request.subscriptions[0] for request in self.truncated if request.month == month}
        return truncated | self.denied.keys()

    def _of_scopes(self, month: Period, subscriptions: Sequence[str]) -> Iterator[pl.DataFrame]:
        for scope in SCOPES:
            if allowed := tuple(one for one in subscriptions if one not in self.denied):
                yield self._complete_report(ReportRequest(month, scope, self._category, allowed))

    def _complete_report(self, request: ReportRequest) -> pl.DataFrame:
        """All rows; where a report may be truncated, its subscriptions are asked for in smaller groups."""
        rows = self._report(request)
        if rows.height != MOST_ROWS:
            return rows
        asked = request.subscriptions
        if len(asked) > 1:
            self._parted += 1
            halves = (asked[: len(asked) // 2], asked[len(asked) // 2 :])
            return pl.concat(
                self._complete_report(ReportRequest(request.month, request.scope, request.category, half))
                for half in halves
            )
        self._compare(request, rows)
        return rows

    def _compare(self, request: ReportRequest, rows: pl.DataFrame) -> None:
        """Note a report as truncated if its rows do not add up to what the subscription has in all."""
        whole = ReportRequest(request.month, request.scope, "Subscription", request.subscriptions)
        expected, got = (_total(report) for report in (self._report(whole), rows))
        if not math.isclose(expected, got, rel_tol=1e-6) and request not in self.truncated:
            self.truncated.append(request)

    def _report(self, request: ReportRequest) -> pl.DataFrame:
        def fetch(token: str | None) -> Page[dict[str, Any]]:
            body = request.body | ({"skipToken": token} if token else {})
            path = f"{_PROVIDER}/carbonEmissionReports"
            answer = self._client.arm.request("POST", path, params=_VERSION, json=body, about=request)
            content = Fields(answer.json(), answer.asked)
            self.answered.add(request.month)
            self._note_denied(content.objects("subscriptionAccessDecisionList"))
            return Page(items=content.rows("value"), next_token=content.text("skipToken"))

        pages = distinct_pages(self._client.pager, fetch, str(request))
        return pl.concat(pl.DataFrame(self._rows(page, request), schema=_SCHEMA) for page in pages)

    def _note_denied(self, decisions: list[Fields]) -> None:
        for decision in decisions:
            if (decision.text("decision") or "").lower() != "allowed":
                reason = decision.text("denialReason") or "no reason given"
                self.denied[decision.key("subscriptionId").lower()] = " ".join(reason.split())

    def _rows(self, page: Sequence[object], request: ReportRequest) -> Iterator[dict[str, Any]]:
        asked = str(request)
        for row in page:
            yield self._row(Fields(row, asked), request)

    def _row(self, row: Fields, request: ReportRequest) -> dict[str, Any]:
        name, resource, group = (row.text(field) for field in ("itemName", "resourceId", "resourceGroupUrl"))
        item = resource or group or name
        if not item:
            raise row.broken("an item without id and name")
        location = row.text("location")
        place = name if request.category == "Location" else location
        region = self._regions.lookup(place)
        return {
            "period_start": request.month.start,
            "period_end": request.month.end,
            "carbon_scope": request.scope,
            "category_type": _category(row, request),
            "subscription_id": _subscription(row, name, request),
            "item_id": item.lower(),
            "item_name": name,
            "resource_id": resource,
            "resource_group": row.text("resourceGroup"),
            "resource_group_url": group,
            "resource_type": row.text("resourceType"),
            "location": location,
            "region": region and region.region_id,
            "latest_month_emissions": row.number("latestMonthEmissions"),
            "previous_month_emissions": row.number("previousMonthEmissions"),
            "month_over_month_emissions_change_ratio": row.number("monthOverMonthEmissionsChangeRatio"),
            "monthly_emissions_change_value": row.number("monthlyEmissionsChangeValue"),
            "emissions_unit": UNIT,
            "data_type": row.text("dataType"),
            "extra": row.extra(),
            "retrieved_at": self._retrieved_at,
        }


def _category(row: Fields, request: ReportRequest) -> str:
    given = row.text("categoryType") or request.category
    if given.lower() != request.category.lower():
        raise row.broken(f"a row of the category {given}")
    return request.category


def _total(rows: pl.DataFrame) -> float:
    return math.fsum(rows["latest_month_emissions"].drop_nulls())


def _subscription(row: Fields, name: str | None, request: ReportRequest) -> str:
    """Whose row it is; rows that do not say belong to the one subscription that was asked for."""
    given = row.text("subscriptionId") or (name if request.category == "Subscription" else None)
    if given is None and len(request.subscriptions) == 1:
        return request.subscriptions[0]
    if given is None or given.lower() not in request.subscriptions:
        raise row.broken(f"a row of the subscription {given}, which was not asked for")
    return given.lower()


def _day(fields: Fields, name: str) -> datetime:
    text = fields.key(name)
    try:
        return datetime.combine(date.fromisoformat(text[:10]), time(), tzinfo=UTC)
    except ValueError as error:
        raise fields.broken(f"'{text}' in place of a date in {name}") from error
