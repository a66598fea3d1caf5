"""The Cost Management query part of the Azure Resource Manager stand-in."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from tests.local_clouds.azure_arm import Route
from tests.local_clouds.azure_cost_rules import check_query, passes, period
from tests.local_clouds.azure_errors import COSTS, bad_request, throttled
from tests.local_clouds.azure_messages import Reply, Request
from tests.local_clouds.azure_pages import Pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import date

    from tests.local_clouds.azure_cost_scopes import CostScopes
    from tests.local_clouds.azure_qpu import QpuMeter

DEFAULT_ROWS = 1000
MOST_ROWS = 5000
_NOTHING = "00000000-0000-0000-0000-000000000001"


@dataclass(frozen=True, slots=True)
class Cost:
    """What one thing cost on one day; `dimensions` by their names in the interface, such as `ServiceName`."""

    day: date
    subscription: str
    cost: Decimal
    resource_group: str = "rg"
    currency: str = "USD"
    amortized: Decimal | None = None
    quantity: Decimal = Decimal(1)
    dimensions: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def dimension(self, name: str) -> str:
        own = {
            "SubscriptionId": self.subscription,
            "ResourceGroup": self.resource_group,
            "ResourceGroupName": self.resource_group,
        }
        return own.get(name) or self.dimensions.get(name, "")

    def measure(self, name: str, metric: str) -> Decimal:
        """The value of an aggregation's column; costs are in one currency only, so that USD is no other."""
        if name == "UsageQuantity":
            return self.quantity
        spread = metric == "AmortizedCost" and self.amortized is not None
        return self.amortized if spread and self.amortized is not None else self.cost


#: How the first column of a time can look: type of the column, and value.
DATE_STYLES: Mapping[str, tuple[str, Callable[[date], Any]]] = {
    "number": ("Number", lambda day: int(f"{day:%Y%m%d}")),
    "datetime": ("Datetime", lambda day: f"{day.isoformat()}T00:00:00"),
    "DateTime": ("DateTime", lambda day: f"{day.isoformat()}T00:00:00Z"),
    "date": ("Datetime", lambda day: day.isoformat()),
    "text": ("String", lambda day: f"{day:%Y%m%d}"),
}


class CostQueries:
    """Operation `query`, of the family `costs`.

    Attributes:
        column_order: Names of columns that come first; the others follow in the usual order.
        day_style: One of `DATE_STYLES` for `UsageDate`.
        month_style: The same for `BillingMonth`.
        most_rows: Of a page, whatever is asked for.
        published_links: Whether links carry another version and another case, as published ones do.
        no_content: Whether an empty result is a 204 without a body.
        shorten: Silently reads another range than the one asked for.
        client_type_needed: Whether calls without the header `ClientType` are throttled.
        quota: Counts query units and says what is left; None says nothing and admits all.
        headers: Of every 200.
    """

    def __init__(self, scopes: CostScopes) -> None:
        self._scopes = scopes
        self._costs: list[Cost] = []
        self._pages = Pages()
        self.column_order: Sequence[str] = ()
        self.day_style = "number"
        self.month_style = "datetime"
        self.most_rows = MOST_ROWS
        self.published_links = False
        self.no_content = False
        self.shorten: Callable[[date, date], tuple[date, date]] | None = None
        self.client_type_needed = True
        self.quota: QpuMeter | None = None
        self.headers: Mapping[str, str] = {}

    def publish(self, costs: Iterable[Cost]) -> None:
        """Replace all costs."""
        self._costs = list(costs)

    def expire_links(self) -> None:
        """Forget the rests of all results."""
        self._pages.expire()

    def routes(self) -> Iterable[Route]:
        path = "/(?P<scope>.+)/providers/Microsoft\\.CostManagement/query"
        yield Route("query", "POST", path, "Microsoft.CostManagement/query/action", self._query, "costs")

    def _query(self, request: Request, groups: Mapping[str, str]) -> Reply:
        if self.client_type_needed and not request.headers["ClientType"]:
            return throttled({f"{COSTS}-clienttype-retry-after": "60"})
        check_query(request.json)
        subscriptions, group = self._scopes.resolve(groups["scope"])
        if group is None and len(subscriptions) > 1:
            _refuse_resources(request.json)
        start, end = period(request.json)
        spent = self.quota.spend(start, end) if self.quota else {}
        if self.shorten:
            start, end = self.shorten(start, end)
        costs = [
            cost
            for cost in self._costs
            if cost.subscription in subscriptions
            and group in (None, cost.resource_group.lower())
            and start <= cost.day <= end
        ]
        return self._page(request, groups["scope"], _Table(self, request.json, costs), spent)

    def _page(self, request: Request, scope: str, table: _Table, spent: Mapping[str, str]) -> Reply:
        headers = {**self.headers, **spent}
        if self.no_content and not table.rows:
            return Reply(204, None, headers)
        top = int(request.query.get("$top", DEFAULT_ROWS))
        asked = [scope.lower(), request.json]
        size = min(top, self.most_rows, MOST_ROWS)
        rows, token = self._pages.page(asked, request.query.get("$skiptoken"), size, lambda: table.rows)
        base = f"/{scope}/providers/Microsoft.CostManagement"
        body = {
            "id": f"{base}/Query/{_NOTHING}",
            "name": _NOTHING,
            "type": "microsoft.costmanagement/Query",
            "properties": {
                "nextLink": token and self._link(request, base, token),
                "columns": [{"name": name, "type": kind} for name, kind in table.columns],
                "rows": rows,
            },
        }
        return Reply(200, body, headers)

    def _link(self, request: Request, base: str, token: str) -> str:
        query = {"api-version": request.query["api-version"], "$top": request.query.get("$top")}
        name = "query"
        if self.published_links:
            name, query["api-version"] = "Query", "2021-10-01"
        query["$skiptoken"] = token
        return f"{request.origin}{base}/{name}?" + urlencode(
            {name: value for name, value in query.items() if value is not None}, safe="$"
        )


class _Table:
    """The result of one query: columns as pairs of name and type, and rows."""

    def __init__(self, settings: CostQueries, body: Mapping[str, Any], costs: Iterable[Cost]) -> None:
        self._metric = body["type"]
        data = body["dataset"]
        self._measures = [entry["name"] for entry in data["aggregation"].values()]
        self._grouping = data.get("grouping", ())
        self._granularity = data.get("granularity", "None")
        style = settings.day_style if self._granularity == "Daily" else settings.month_style
        self._date_type, self._date_value = DATE_STYLES[style]
        chosen = (cost for cost in costs if passes(cost, data.get("filter")))
        usual = self._usual_columns()
        order = sorted(range(len(usual)), key=lambda at: (_place(usual[at][0], settings.column_order), at))
        self.columns = [usual[at] for at in order]
        self.rows = [[row[at] for at in order] for row in self._summed(chosen)]

    def _usual_columns(self) -> list[tuple[str, str]]:
        columns = [(name, "Number") for name in self._measures]
        if self._granularity != "None":
            name = "UsageDate" if self._granularity == "Daily" else "BillingMonth"
            columns.append((name, self._date_type))
        for entry in self._grouping:
            names = ["TagKey", "TagValue"] if entry["type"] == "TagKey" else [entry["name"]]
            columns += [(name, "String") for name in names]
        return [*columns, ("Currency", "String")]

    def _summed(self, costs: Iterable[Cost]) -> list[list[Any]]:
        sums: dict[tuple[Any, ...], list[Decimal]] = defaultdict(lambda: [Decimal(0)] * len(self._measures))
        for cost in costs:
            key = (*self._date(cost.day), *self._values(cost), cost.currency)
            values = (cost.measure(name, self._metric) for name in self._measures)
            sums[key] = [total + value for total, value in zip(sums[key], values, strict=True)]
        return [[*sums[key], *key] for key in sorted(sums)]

    def _date(self, day: date) -> list[Any]:
        if self._granularity == "None":
            return []
        return [self._date_value(day if self._granularity == "Daily" else day.replace(day=1))]

    def _values(self, cost: Cost) -> list[str]:
        values: list[str] = []
        for entry in self._grouping:
            name = entry["name"]
            values += [name, cost.tags.get(name, "")] if entry["type"] == "TagKey" else [cost.dimension(name)]
        return values


def _place(name: str, order: Sequence[str]) -> int:
    return order.index(name) if name in order else len(order)


def _refuse_resources(body: Mapping[str, Any]) -> None:
    if any(entry["name"] == "ResourceId" for entry in body["dataset"].get("grouping", ())):
        raise bad_request("Grouping by ResourceId is supported at subscription and resource group scope only")
