"""The Microsoft.Carbon part of the Azure Resource Manager stand-in: the available months and item details."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.local_clouds.azure_arm import Route
from tests.local_clouds.azure_carbon_rules import MOST_ROWS, check_request, check_window
from tests.local_clouds.azure_errors import arm_error
from tests.local_clouds.azure_messages import Reply, Request
from tests.local_clouds.azure_pages import Pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

SCOPES = ("Scope1", "Scope2", "Scope3")


@dataclass(frozen=True, slots=True)
class Emission:
    """The emissions of one resource in one month (`YYYY-MM`), in kgCO2e by scope; location as `east us`."""

    month: str
    subscription: str
    resource_group: str
    name: str
    resource_type: str
    location: str
    scope1: Decimal = Decimal(0)
    scope2: Decimal = Decimal(0)
    scope3: Decimal = Decimal(0)

    @property
    def resource_group_url(self) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"

    @property
    def resource_id(self) -> str:
        return f"{self.resource_group_url}/providers/{self.resource_type}/{self.name}"

    def sum(self, scopes: Iterable[str]) -> Decimal:
        """Of the scopes, by their names in the interface."""
        return sum((getattr(self, scope.lower()) for scope in set(scopes)), Decimal(0))


@dataclass(frozen=True, slots=True)
class _Category:
    """What tells the items of a category apart, and how an item is described."""

    key: Callable[[Emission], str]
    data_type: str
    describe: Callable[[Emission], dict[str, str]]


_CATEGORIES = {
    "Resource": _Category(
        lambda row: row.resource_id.lower(),
        "ResourceItemDetailsData",
        lambda row: {
            "itemName": row.name,
            "resourceGroup": row.resource_group,
            "resourceId": row.resource_id,
            "subscriptionId": row.subscription,
            "resourceType": row.resource_type,
            "location": row.location,
        },
    ),
    "ResourceGroup": _Category(
        lambda row: row.resource_group_url.lower(),
        "ResourceGroupItemDetailsData",
        lambda row: {
            "itemName": row.resource_group,
            "resourceGroupUrl": row.resource_group_url,
            "subscriptionId": row.subscription,
        },
    ),
    "Subscription": _Category(
        lambda row: row.subscription, "ItemDetailsData", lambda row: {"itemName": row.subscription}
    ),
    "Location": _Category(
        lambda row: row.location, "ItemDetailsData", lambda row: {"itemName": row.location}
    ),
    "ResourceType": _Category(
        lambda row: row.resource_type, "ItemDetailsData", lambda row: {"itemName": row.resource_type}
    ),
}
_ORDER = {
    "ItemName": "itemName",
    "LatestMonthEmissions": "latestMonthEmissions",
    "PreviousMonthEmissions": "previousMonthEmissions",
    "MonthOverMonthEmissionsChangeRatio": "monthOverMonthEmissionsChangeRatio",
    "MonthlyEmissionsChangeValue": "monthlyEmissionsChangeValue",
    "ResourceGroup": "resourceGroup",
}
_OPTIONAL = ("monthOverMonthEmissionsChangeRatio", "monthlyEmissionsChangeValue", "location", "resourceType")


class CarbonReports:
    """Operations `carbon_range` and `carbon`.

    Attributes:
        available: First and last month (`YYYY-MM`); None takes them from the data.
        denied: Subscriptions that are not readable, with the reason where one is said.
        omit_optional: Whether to leave out every field that the interface does not promise.
        last_page: What the last page says in place of the token: nothing, null or an empty one.
        most_rows: Of a page, whatever is asked for.
        row_cap: After so many rows a report ends as if it were complete; None for no end.
    """

    def __init__(self) -> None:
        self._months: dict[str, list[Emission]] = {}
        self._pages = Pages()
        self.available: tuple[str, str] | None = None
        self.denied: dict[str, str | None] = {}
        self.omit_optional = False
        self.last_page: Mapping[str, Any] = {}
        self.most_rows = MOST_ROWS
        self.row_cap: int | None = None

    def publish(self, emissions: Iterable[Emission]) -> None:
        """Publish or restate whole months."""
        months: dict[str, list[Emission]] = defaultdict(list)
        for emission in emissions:
            months[emission.month].append(emission)
        self._months |= months

    def withdraw(self, month: str) -> None:
        """Make a month unpublished again."""
        self._months.pop(month, None)

    def total(self, month: str, subscription: str, scope: str) -> Decimal:
        """What a month's rows must add up to."""
        rows = self._months.get(month, ())
        return sum((row.sum([scope]) for row in rows if row.subscription == subscription), Decimal(0))

    def routes(self) -> Iterable[Route]:
        provider = "/providers/Microsoft\\.Carbon/"
        action = "Microsoft.Carbon/carbonEmissionReports/action"
        yield Route("carbon", "POST", f"{provider}carbonEmissionReports", action, self._report)
        name = "queryCarbonEmissionDataAvailableDateRange"
        yield Route("carbon_range", "POST", provider + name, f"Microsoft.Carbon/{name}/action", self._range)

    def _window(self) -> tuple[str, str]:
        return self.available or (min(self._months), max(self._months))

    def _range(self, *_: object) -> Reply:
        if not self.available and not self._months:
            return arm_error(404, "NotFound", "There are no emissions data.")
        start, end = self._window()
        return Reply(body={"startDate": f"{start}-01", "endDate": f"{end}-01"})

    def _report(self, request: Request, _: object) -> Reply:
        body = request.json
        check_request(body)
        check_window(body, *self._window())
        size, token = min(body["pageSize"], self.most_rows), body.get("skipToken")
        asked = {name: value for name, value in body.items() if name != "skipToken"}
        rows, token = self._pages.page(asked, token, size, lambda: self._rows(asked)[: self.row_cap])
        decisions = [self._decision(subscription) for subscription in body["subscriptionList"]]
        answer = {"value": rows, "subscriptionAccessDecisionList": decisions}
        return Reply(body=answer | ({"skipToken": token} if token else self.last_page))

    def _decision(self, subscription: str) -> dict[str, str]:
        if subscription not in self.denied:
            return {"subscriptionId": subscription, "decision": "Allowed"}
        reason = self.denied[subscription]
        decision = {"subscriptionId": subscription, "decision": "Denied"}
        return decision | ({"denialReason": reason} if reason else {})

    def _rows(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        category = _CATEGORIES[body["categoryType"]]
        month = body["dateRange"]["start"][:7]
        previous = self._sums(_month_before(month), category, body)
        items = self._sums(month, category, body)
        rows = [
            self._row(body["categoryType"], example, latest, previous.get(key, (None, Decimal(0)))[1])
            for key, (example, latest) in sorted(items.items())
        ]
        order = _ORDER[body["orderBy"]]
        rows.sort(
            key=lambda row: (row.get(order) is not None, row.get(order, 0)),
            reverse=body["sortDirection"] == "Desc",
        )
        return [_without(row, _OPTIONAL) for row in rows] if self.omit_optional else rows

    def _sums(
        self, month: str, category: _Category, body: Mapping[str, Any]
    ) -> dict[str, tuple[Emission, Decimal]]:
        sums: dict[str, tuple[Emission, Decimal]] = {}
        for row in self._months.get(month, ()):
            if row.subscription in self.denied or not _selected(row, body):
                continue
            first, amount = sums.get(category.key(row), (row, Decimal(0)))
            sums[category.key(row)] = first, amount + row.sum(body["carbonScopeList"])
        return sums

    @staticmethod
    def _row(category: str, example: Emission, latest: Decimal, previous: Decimal) -> dict[str, Any]:
        changed = latest - previous
        ratio = {"monthOverMonthEmissionsChangeRatio": float(changed / previous)} if previous else {}
        return {
            "dataType": _CATEGORIES[category].data_type,
            "latestMonthEmissions": latest,
            "previousMonthEmissions": previous,
            **ratio,
            "monthlyEmissionsChangeValue": changed,
            **_CATEGORIES[category].describe(example),
            "categoryType": category,
        }


def _selected(row: Emission, body: Mapping[str, Any]) -> bool:
    filters = {
        "subscriptionList": row.subscription,
        "resourceGroupUrlList": row.resource_group_url.lower(),
        "resourceTypeList": row.resource_type,
        "locationList": row.location,
    }
    return all(value in body[name] for name, value in filters.items() if body.get(name))


def _month_before(month: str) -> str:
    ordinal = int(month[:4]) * 12 + int(month[5:]) - 2
    return f"{ordinal // 12}-{ordinal % 12 + 1:02}"


def _without(row: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in set(names)}
