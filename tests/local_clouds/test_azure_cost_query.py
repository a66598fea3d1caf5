"""The Cost Management query stand-in, as Azure's own client and a plain one meet it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError

from tests.local_clouds.azure_cost_query import DATE_STYLES, Cost
from tests.local_clouds.azure_errors import COSTS, THROTTLES, VIEW_CHARGES_OFF, throttled, until
from tests.local_clouds.azure_qpu import QpuMeter

if TYPE_CHECKING:
    import requests

    from tests.local_clouds.azure import LocalAzure

ONE, TWO = (f"aaaaaaaa-0000-0000-0000-00000000000{number}" for number in (1, 2))
ACCOUNT = "providers/Microsoft.Billing/billingAccounts/1234567"
MANY_DIGITS = Decimal("1.12345678901234567890")
FIRST = date(2026, 9, 1)
SERVICE = {"type": "Dimension", "name": "ServiceName"}


def cost(day: int, service: str, amount: str, subscription: str = ONE, **other: Any) -> Cost:
    dimensions = {"ServiceName": service, "ResourceLocation": "US East", "ResourceId": "/x"}
    return Cost(FIRST + timedelta(day - 1), subscription, Decimal(amount), dimensions=dimensions, **other)


COSTS_OF_SEPTEMBER = [
    cost(1, "Storage", "1", resource_group="Web", tags={"env": "Prod"}),
    cost(1, "Storage", "0.5", amortized=Decimal(3)),
    cost(1, "Compute", str(MANY_DIGITS)),
    cost(2, "Storage", "2", quantity=Decimal(7)),
    cost(31, "Storage", "4", currency="EUR"),
    cost(2, "Storage", "8", TWO),
]


@pytest.fixture(autouse=True)
def published(azure: LocalAzure) -> None:
    azure.queries.publish(COSTS_OF_SEPTEMBER)
    azure.scopes.subscriptions = {ONE, TWO}
    azure.scopes.wider[ACCOUNT.lower()] = {ONE, TWO}


def asked(start: str = "2026-09-01", end: str = "2026-09-30", **data: Any) -> dict[str, Any]:
    dataset = {
        "granularity": "Daily",
        "aggregation": {"totalCost": {"name": "Cost", "function": "Sum"}},
        "grouping": [SERVICE],
    } | data
    period = {"from": f"{start}T00:00:00Z", "to": f"{end}T23:59:59Z"}
    return {"type": "ActualCost", "timeframe": "Custom", "timePeriod": period, "dataset": dataset}


def url_of(azure: LocalAzure, scope: str = f"subscriptions/{ONE}") -> str:
    path = f"/{scope}/providers/Microsoft.CostManagement/query"
    return f"{azure.arm.url}{path}?api-version=2025-03-01"


def table(azure: LocalAzure, http: requests.Session, **body: Any) -> list[dict[str, Any]]:
    answer = http.post(url_of(azure), json=asked(**body))
    assert answer.status_code == 200, answer.text
    properties = json.loads(answer.text, parse_float=Decimal)["properties"]
    names = [column["name"] for column in properties["columns"]]
    return [dict(zip(names, row, strict=True)) for row in properties["rows"]]


def test_the_official_client_reads_daily_costs(cost_client: Any) -> None:
    answer = cost_client.query.usage(f"subscriptions/{ONE}", asked(), headers={"ClientType": "tests"})
    assert [(column.name, column.type) for column in answer.columns] == [
        ("Cost", "Number"),
        ("UsageDate", "Number"),
        ("ServiceName", "String"),
        ("Currency", "String"),
    ]
    assert answer.rows == [
        [float(MANY_DIGITS), 20260901, "Compute", "USD"],
        [1.5, 20260901, "Storage", "USD"],
        [2, 20260902, "Storage", "USD"],
    ]
    assert answer.next_link is None


def test_numbers_keep_their_digits(azure: LocalAzure, http: requests.Session) -> None:
    assert table(azure, http)[0]["Cost"] == MANY_DIGITS


def test_metrics_measures_and_currencies_are_told_apart(azure: LocalAzure, http: requests.Session) -> None:
    measures = {
        "cost": {"name": "Cost", "function": "Sum"},
        "used": {"name": "UsageQuantity", "function": "Sum"},
    }
    body = asked(end="2026-10-01", granularity="Monthly", aggregation=measures, grouping=[])
    answer = http.post(url_of(azure), json=body | {"type": "AmortizedCost"}).json()["properties"]
    assert [column["name"] for column in answer["columns"]] == [
        "Cost", "UsageQuantity", "BillingMonth", "Currency",
    ]  # fmt: skip
    assert [row[1:] for row in answer["rows"]] == [
        [10, "2026-09-01T00:00:00", "USD"],
        [1, "2026-10-01T00:00:00", "EUR"],
    ]
    assert answer["rows"][0][0] == pytest.approx(7.1234567890)


def test_columns_come_in_the_order_of_the_test(azure: LocalAzure, http: requests.Session) -> None:
    usual = table(azure, http)
    azure.queries.column_order = ["Currency", "ServiceName"]
    changed = table(azure, http)
    assert list(changed[0]) == ["Currency", "ServiceName", "Cost", "UsageDate"]
    assert changed == usual


@pytest.mark.parametrize("style", DATE_STYLES)
def test_dates_come_in_the_style_of_the_test(azure: LocalAzure, http: requests.Session, style: str) -> None:
    azure.queries.day_style = style
    expected = {
        "number": 20260901,
        "datetime": "2026-09-01T00:00:00",
        "DateTime": "2026-09-01T00:00:00Z",
        "date": "2026-09-01",
        "text": "20260901",
    }
    assert table(azure, http)[0]["UsageDate"] == expected[style]


@pytest.mark.parametrize("published_links", [False, True])
def test_links_are_posted_with_the_same_body(
    azure: LocalAzure, http: requests.Session, *, published_links: bool
) -> None:
    azure.queries.most_rows, azure.queries.published_links = 2, published_links
    first = http.post(url_of(azure) + "&$top=5000", json=asked()).json()["properties"]
    link = first["nextLink"]
    assert ("/Query?api-version=2021-10-01" in link) == published_links
    assert "$top=5000" in link
    for body in (None, {}, asked(grouping=[])):
        refused = http.post(link, json=body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "BadRequest")
    assert "Dataset is invalid or not supplied" in http.post(link).json()["error"]["message"]
    assert http.get(link).status_code == 404
    second = http.post(link, json=asked()).json()["properties"]
    assert second["nextLink"] is None
    assert [len(page["rows"]) for page in (first, second)] == [2, 1]
    azure.queries.expire_links()
    assert http.post(link, json=asked()).status_code == 400


def test_pages_hold_a_thousand_rows_unless_asked(azure: LocalAzure, http: requests.Session) -> None:
    azure.queries.publish([cost(1, f"Service {number:04}", "1") for number in range(1001)])
    for query, expected in (("", 1000), ("&$top=5000", 1001), ("&$top=7", 7)):
        rows = http.post(url_of(azure) + query, json=asked()).json()["properties"]["rows"]
        assert len(rows) == expected


def test_filters_tags_and_resource_groups_select(azure: LocalAzure, http: requests.Session) -> None:
    production = {"tags": {"name": "env", "operator": "In", "values": ["prod"]}}
    compute = {"dimensions": {"name": "ServiceName", "operator": "In", "values": ["Compute"]}}
    assert [row["Cost"] for row in table(azure, http, filter=production)] == [1]
    assert len(table(azure, http, filter={"or": [production, compute]})) == 2
    assert table(azure, http, filter={"and": [production, compute]}) == []
    tags = table(azure, http, grouping=[{"type": "TagKey", "name": "env"}], granularity="None")
    assert [(row["TagKey"], row["TagValue"]) for row in tags] == [("env", ""), ("env", "Prod")]
    group = http.post(url_of(azure, f"subscriptions/{ONE}/resourceGroups/WEB"), json=asked()).json()
    assert [row[0] for row in group["properties"]["rows"]] == [1]


def test_wider_scopes_hold_their_subscriptions(azure: LocalAzure, http: requests.Session) -> None:
    by_subscription = [{"type": "Dimension", "name": "SubscriptionId"}]
    body = asked(grouping=by_subscription, granularity="None")
    answer = http.post(url_of(azure, ACCOUNT), json=body).json()["properties"]
    assert [row[1] for row in answer["rows"]] == [ONE, TWO]
    resources = asked(grouping=[{"type": "Dimension", "name": "ResourceId"}])
    assert http.post(url_of(azure, ACCOUNT), json=resources).status_code == 400
    assert http.post(url_of(azure), json=resources).status_code == 200
    for unknown in ("subscriptions/nope", "providers/Microsoft.Billing/billingAccounts/9"):
        assert http.post(url_of(azure, unknown), json=asked()).status_code == 404


def test_an_empty_result_is_empty_or_absent(
    azure: LocalAzure, http: requests.Session, cost_client: Any
) -> None:
    assert table(azure, http, start="2026-01-01", end="2026-01-31") == []
    azure.queries.no_content = True
    scope, empty = f"subscriptions/{ONE}", asked("2026-01-01", "2026-01-31")
    assert cost_client.query.usage(scope, empty, headers={"ClientType": "tests"}) is None
    assert azure.arm.requests[-1].status == 204


def test_ranges_can_be_shortened_in_silence(azure: LocalAzure, http: requests.Session) -> None:
    azure.queries.shorten = lambda start, end: (max(start, end - timedelta(0)), end)
    assert [row["UsageDate"] for row in table(azure, http, end="2026-09-02")] == [20260902]


def test_calls_at_once_are_counted(azure: LocalAzure, http: requests.Session) -> None:
    for _ in range(3):
        http.post(url_of(azure), json=asked())
    assert azure.arm.at_once("costs") == 1
    azure.arm.delay_next(0.2, 2, operation="query")
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(http.post, url_of(azure), json=asked()) for _ in range(2)]
    assert [answer.result().status_code for answer in answers] == [200, 200]
    assert azure.arm.at_once("costs") == 2


def test_calls_without_a_client_type_are_throttled(cost_client: Any) -> None:
    with pytest.raises(HttpResponseError) as caught:
        cost_client.query.usage(f"subscriptions/{ONE}", asked())
    assert caught.value.status_code == 429
    assert f"{COSTS}-clienttype-retry-after" in caught.value.response.headers


@pytest.mark.parametrize("kind", THROTTLES)
def test_throttled_calls_say_how_long_to_wait(azure: LocalAzure, http: requests.Session, kind: str) -> None:
    headers, _ = THROTTLES[kind]
    azure.arm.fail_next(throttled(headers), operation="query")
    answer = http.post(url_of(azure), json=asked())
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "429")
    assert {name: answer.headers.get(name) for name in headers} == headers
    assert http.post(url_of(azure), json=asked()).status_code == 200


def test_a_throttled_call_can_name_a_moment(azure: LocalAzure, http: requests.Session) -> None:
    azure.arm.fail_next(throttled(until(datetime(2026, 9, 1, 12, 30, tzinfo=UTC))))
    answer = http.post(url_of(azure), json=asked())
    assert answer.headers["Retry-After"] == "Tue, 01 Sep 2026 12:30:00 GMT"


def test_the_quota_counts_months_in_three_windows(azure: LocalAzure, http: requests.Session) -> None:
    now = 0.0
    azure.queries.quota = QpuMeter(lambda: now)
    year = asked("2025-10-01", "2026-09-30")
    first = http.post(url_of(azure), json=year)
    assert first.headers[f"{COSTS}-qpu-consumed"] == "12"
    left = first.headers[f"{COSTS}-qpu-remaining"]
    assert left == "QueriesPerHour:588,QueriesPerMin:48,QueriesPer10Sec:0"
    refused = http.post(url_of(azure), json=year)
    assert (refused.status_code, refused.headers[f"{COSTS}-qpu-retry-after"]) == (429, "10.000")
    now = 10.0
    assert http.post(url_of(azure), json=year).status_code == 200


def test_switched_off_charges_are_told_as_401(azure: LocalAzure, cost_client: Any) -> None:
    azure.arm.fail_next(VIEW_CHARGES_OFF, operation="query")
    with pytest.raises(HttpResponseError) as caught:
        cost_client.query.usage(f"subscriptions/{ONE}", asked(), headers={"ClientType": "tests"})
    assert (caught.value.status_code, caught.value.error.code) == (401, "Unauthorized")


@pytest.mark.parametrize(
    "wrong",
    [
        asked() | {"type": "Costs"},
        asked() | {"timeframe": "Custom", "timePeriod": None},
        asked("2026-09-02", "2026-09-01"),
        asked("2025-09-01", "2026-09-30"),
        asked(granularity="Hourly"),
        asked(aggregation={}),
        asked(aggregation={"cost": {"name": "Cost", "function": "Max"}}),
        asked(grouping=[SERVICE] * 3),
        asked(filter={"and": [{"tags": {"name": "env", "operator": "In", "values": ["a"]}}]}),
        asked(filter={"dimensions": {"name": "ServiceName", "operator": "Contains", "values": ["a"]}}),
    ],
)
def test_queries_that_the_interface_does_not_describe_are_refused(
    azure: LocalAzure, http: requests.Session, wrong: dict[str, Any]
) -> None:
    answer = http.post(url_of(azure), json=wrong)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")
