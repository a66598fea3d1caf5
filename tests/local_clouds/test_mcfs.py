"""The Cloud for Sustainability stand-in, as a plain client meets it; there is no official one."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from tests.local_clouds.azure_tokens import ARM_AUDIENCE, IMPACT_AUDIENCE
from tests.local_clouds.mcfs import ENROLLMENT, INSTANCE, KEY, ImpactRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from tests.local_clouds.azure import LocalAzure

ONE = "aaaaaaaa-0000-0000-0000-000000000001"
MONTHS = ("2026-07", "2026-08", "2026-09")
ROWS = [
    ImpactRow(month, ONE, f"Service {number:03}", number % 3 + 1, Decimal("0.000123") * number)
    for month in MONTHS
    for number in range(400)
]


@pytest.fixture(autouse=True)
def published(azure: LocalAzure, http: requests.Session) -> None:
    azure.impact.publish(ROWS)
    http.headers["Authorization"] = f"Bearer {azure.entra.token(IMPACT_AUDIENCE)}"
    http.headers["Ocp-Apim-Subscription-Key"] = KEY


def url_of(azure: LocalAzure, instance: str = INSTANCE, query: str = "") -> str:
    return f"{azure.impact.api_url}/instances/{instance}/enrollments/{ENROLLMENT}/emissions{query}"


def pages(http: requests.Session, link: str | None) -> Iterator[list[dict[str, Any]]]:
    while link:
        answer = http.get(link)
        assert answer.status_code == 200, answer.text
        body = json.loads(answer.text, parse_float=Decimal)
        yield body["value"]
        link = body.get("@odata.nextLink")


def test_every_row_comes_once_in_pages_of_at_most_a_thousand(
    azure: LocalAzure, http: requests.Session
) -> None:
    found = list(pages(http, url_of(azure)))
    assert [len(page) for page in found] == [1000, 200]
    assert [row for page in found for row in page] == [row.described() for row in ROWS]
    assert found[0][5] == {
        "dateKey": 20260701,
        "enrollmentId": ENROLLMENT,
        "orgName": "Contoso",
        "subscriptionId": ONE,
        "subscriptionName": "Name of 0001",
        "azureServiceName": "Service 005",
        "subService": "Azure Compute",
        "azureRegionName": "East US",
        "scope": "Scope 3",
        "scopeId": 3,
        "totalEmissions": Decimal("0.000615"),
    }


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("dateKey ge 20260801", {20260801, 20260901}),
        ("dateKey ge 20260701 and dateKey lt 20260901", {20260701, 20260801}),
        ("(dateKey eq 20260701)", {20260701}),
        ("dateKey gt 20260901", set()),
    ],
)
def test_a_filter_on_months_holds_on_every_page(
    azure: LocalAzure, http: requests.Session, condition: str, expected: set[int]
) -> None:
    azure.impact.page_size = 300
    found = [row for page in pages(http, url_of(azure, query=f"?$filter={condition}")) for row in page]
    assert {row["dateKey"] for row in found} == expected
    assert len(found) == 400 * len(expected)


def test_top_and_skip_cut(azure: LocalAzure, http: requests.Session) -> None:
    azure.impact.page_size = 2
    found = list(pages(http, url_of(azure, query="?$top=5&$skip=1")))
    assert [len(page) for page in found] == [2, 2, 1]
    assert found[0][0]["azureServiceName"] == "Service 001"


def test_rows_come_in_the_order_asked_for(azure: LocalAzure, http: requests.Session) -> None:
    query = "?$orderby=scopeId,dateKey,azureServiceName"
    found = [row for page in pages(http, url_of(azure, query=query)) for row in page]
    keys = [(row["scopeId"], row["dateKey"], row["azureServiceName"]) for row in found]
    assert keys == sorted(keys)
    assert len(keys) == len(ROWS)


@pytest.mark.parametrize("query", ["?$filter=scope eq 'Scope 1'", "?$orderby=price", "?$apply=aggregate()"])
def test_what_is_not_known_is_refused(azure: LocalAzure, http: requests.Session, query: str) -> None:
    assert http.get(url_of(azure, query=query)).status_code == 400


def test_both_headers_are_needed(azure: LocalAzure, http: requests.Session) -> None:
    good = dict(http.headers)
    wrong = [
        ({"Ocp-Apim-Subscription-Key": ""}, "missing subscription key"),
        ({"Ocp-Apim-Subscription-Key": "wrong"}, "invalid subscription key"),
        ({"Authorization": ""}, "Unauthorized"),
        ({"Authorization": f"Bearer {azure.entra.token(ARM_AUDIENCE)}"}, "Unauthorized"),
    ]
    for headers, message in wrong:
        http.headers.update(good | headers)
        answer = http.get(url_of(azure))
        assert answer.status_code == 401
        assert message in answer.json()["message"]
    http.headers.update(good | {"Ocp-Apim-Subscription-Key": ""})
    assert http.get(url_of(azure, query=f"?subscription-key={KEY}")).status_code == 200
    assert KEY not in repr(azure.impact.requests)


def test_other_instances_and_paths_are_refused(azure: LocalAzure, http: requests.Session) -> None:
    assert http.get(url_of(azure, instance="other")).status_code == 403
    assert http.get(f"{azure.impact.api_url}/other").status_code == 404
