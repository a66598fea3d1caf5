"""Which item details reports the Microsoft.Carbon stand-in accepts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.local_clouds.azure_errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_SUBSCRIPTIONS = 100
MOST_ROWS = 5000
_SUBSCRIPTION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FIRST_OF_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])-01")
_CHOICES = {
    "reportType": ("ItemDetailsReport",),
    "categoryType": ("Subscription", "ResourceGroup", "Location", "Resource", "ResourceType"),
    "orderBy": (
        "ItemName",
        "LatestMonthEmissions",
        "PreviousMonthEmissions",
        "MonthOverMonthEmissionsChangeRatio",
        "MonthlyEmissionsChangeValue",
        "ResourceGroup",
    ),
    "sortDirection": ("Asc", "Desc"),
}
_LISTS = {
    "subscriptionList": _SUBSCRIPTION,
    "carbonScopeList": re.compile("Scope[123]"),
    "resourceGroupUrlList": re.compile(r"/subscriptions/[^/A-Z]+/resourcegroups/[^/A-Z]+"),
    "resourceTypeList": re.compile(r"[^/A-Z]+/[^A-Z]+"),
    "locationList": re.compile(r"[^A-Z]+"),
}
_FIELDS = {*_CHOICES, *_LISTS, "dateRange", "pageSize", "skipToken"}


def check_request(body: Any) -> None:
    """Raise `Refused` where a body is none that the interface describes."""
    if not isinstance(body, dict):
        raise bad_request("The request body is not JSON")
    for name in body:
        if name not in _FIELDS:
            raise bad_request(f"Could not find member '{name}'")
    for name, choices in _CHOICES.items():
        if body.get(name) not in choices:
            raise bad_request(f"{name} must be one of {', '.join(choices)}")
    for name, pattern in _LISTS.items():
        _check_list(name, body.get(name), pattern)
    if not 1 <= len(body["subscriptionList"] or ()) <= MOST_SUBSCRIPTIONS:
        raise bad_request(f"subscriptionList must hold 1 to {MOST_SUBSCRIPTIONS} subscriptions")
    size = body.get("pageSize")
    if not isinstance(size, int) or not 1 <= size <= MOST_ROWS:
        raise bad_request(f"pageSize must be 1 to {MOST_ROWS}")


def _check_list(name: str, values: Any, pattern: re.Pattern[str]) -> None:
    needed = name in ("subscriptionList", "carbonScopeList")
    if values is None and not needed:
        return
    if not isinstance(values, list) or (needed and not values):
        raise bad_request(f"{name} must be a list")
    for value in values:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise bad_request(f"{name}: '{value}' is not valid, values must be in lower case")


def check_window(body: Mapping[str, Any], first: str, last: str) -> None:
    """Raise `Refused` where the months asked for are none of `first` to `last` (`YYYY-MM`)."""
    asked = body.get("dateRange")
    dates = [asked.get(edge) for edge in ("start", "end")] if isinstance(asked, dict) else [None]
    if not all(isinstance(date, str) and _FIRST_OF_MONTH.fullmatch(date) for date in dates):
        raise bad_request("dateRange must have a start and an end, each the first day of a month")
    start, end = dates
    if start != end:
        raise bad_request("ItemDetailsReport: the start and the end of dateRange must be the same month")
    if not first <= start[:7] <= last:
        raise bad_request(f"dateRange must lie within {first}-01 and {last}-01")
