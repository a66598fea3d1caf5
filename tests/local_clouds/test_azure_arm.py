"""Discovery and what all operations of Azure Resource Manager have in common: versions, roles, faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.local_clouds import azure_errors
from tests.local_clouds.azure_discovery import SUBSCRIPTION_TYPES, ManagementGroup, Subscription

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local_clouds.azure import LocalAzure

IDS = [f"aaaaaaaa-0000-0000-0000-00000000000{number}" for number in range(5)]
SUBSCRIPTIONS = "/subscriptions?api-version=2022-12-01"
DESCENDANTS = "/providers/Microsoft.Management/managementGroups/Root/descendants?api-version=2020-05-01"


def pages(azure: LocalAzure, http: requests.Session, path: str) -> Iterator[list[dict[str, Any]]]:
    link = azure.arm.url + path
    while link:
        answer = http.get(link)
        assert answer.status_code == 200, answer.text
        yield answer.json()["value"]
        link = answer.json().get("nextLink")


def refusal(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.parametrize(("size", "expected"), [(2, [2, 2, 1]), (5, [5]), (100, [5])])
def test_subscriptions_are_listed_page_by_page(
    azure: LocalAzure, http: requests.Session, size: int, expected: list[int]
) -> None:
    azure.discovery.subscriptions = [Subscription(one, f"Name {one[-1]}", "Disabled") for one in IDS]
    azure.discovery.page_size = size
    found = list(pages(azure, http, SUBSCRIPTIONS))
    assert [len(page) for page in found] == expected
    assert [entry["subscriptionId"] for page in found for entry in page] == IDS
    assert found[0][0]["displayName"] == "Name 0"
    assert found[0][0]["state"] == "Disabled"


def test_no_role_at_all_is_an_empty_list(azure: LocalAzure, http: requests.Session) -> None:
    assert list(pages(azure, http, SUBSCRIPTIONS)) == [[]]


def test_descendants_of_all_levels_come_in_both_spellings(azure: LocalAzure, http: requests.Session) -> None:
    inner = ManagementGroup("inner", [IDS[2]])
    root = ManagementGroup("root", [IDS[0], ManagementGroup("child", [IDS[1], inner]), IDS[3]])
    azure.discovery.groups = [root]
    azure.discovery.page_size = 2
    entries = [entry for page in pages(azure, http, DESCENDANTS) for entry in page]
    subscriptions = [entry for entry in entries if entry["id"].startswith("/subscriptions/")]
    assert [entry["name"] for entry in subscriptions] == IDS[:4]
    assert {entry["type"] for entry in subscriptions} == set(SUBSCRIPTION_TYPES)
    assert [entry["name"] for entry in entries if entry not in subscriptions] == ["child", "inner"]
    unknown = azure.arm.url + DESCENDANTS.replace("Root", "other")
    assert refusal(http.get(unknown)) == (404, "NotFound")


def test_a_version_is_needed(azure: LocalAzure, http: requests.Session) -> None:
    url = f"{azure.arm.url}/subscriptions"
    assert refusal(http.get(url)) == (400, "MissingApiVersionParameter")
    assert refusal(http.get(f"{url}?api-version=latest")) == (400, "InvalidApiVersionParameter")


def test_forbidden_operations_name_the_action_until_they_are_allowed(
    azure: LocalAzure, http: requests.Session
) -> None:
    azure.arm.forbid("subscriptions")
    answer = http.get(azure.arm.url + SUBSCRIPTIONS)
    assert refusal(answer) == (403, "AuthorizationFailed")
    assert "'Microsoft.Resources/subscriptions/read'" in answer.json()["error"]["message"]
    azure.arm.allow("subscriptions")
    assert http.get(azure.arm.url + SUBSCRIPTIONS).status_code == 200


def test_every_answer_has_the_ids_of_its_request(azure: LocalAzure, http: requests.Session) -> None:
    azure.arm.fail_next(azure_errors.BAD_GATEWAY_HTML)
    answers = [http.get(azure.arm.url + SUBSCRIPTIONS) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [502, 200]
    for name in ("x-ms-request-id", "x-ms-correlation-request-id"):
        assert len({answer.headers[name] for answer in answers}) == 2


def test_faults_hit_their_operation_after_the_skipped_ones(azure: LocalAzure, http: requests.Session) -> None:
    azure.arm.fail_next(azure_errors.unavailable("7"), 2, operation="subscriptions", skip=1)
    azure.arm.fail_next(azure_errors.GATEWAY_TIMEOUT, operation="descendants")
    answers = [http.get(azure.arm.url + SUBSCRIPTIONS) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 503, 503, 200]
    assert answers[1].headers["Retry-After"] == "7"
    azure.arm.clear_faults()
    assert refusal(http.get(azure.arm.url + DESCENDANTS)) == (404, "NotFound")
    assert [seen.status for seen in azure.arm.asked("subscriptions")] == [200, 503, 503, 200]
    azure.arm.clear_requests()
    assert azure.arm.requests == []


def test_good_answers_can_be_altered(azure: LocalAzure, http: requests.Session) -> None:
    azure.arm.alter("subscriptions", lambda body: body.update(other=1))
    assert http.get(azure.arm.url + SUBSCRIPTIONS).json() == {"value": [], "other": 1}
    azure.arm.alter("subscriptions", lambda _: [])
    assert http.get(azure.arm.url + SUBSCRIPTIONS).json() == []
    azure.arm.clear_faults()
    assert http.get(azure.arm.url + SUBSCRIPTIONS).json() == {"value": []}


def test_connections_break_on_request(azure: LocalAzure, http: requests.Session) -> None:
    azure.discovery.subscriptions = [Subscription(one, "Name") for one in IDS]
    url = azure.arm.url + SUBSCRIPTIONS
    azure.arm.reset_next()
    with pytest.raises(requests.ConnectionError, match="aborted"):
        http.get(azure.arm.url + SUBSCRIPTIONS)
    azure.arm.truncate_next()
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        http.get(azure.arm.url + SUBSCRIPTIONS)
    azure.arm.delay_next(0.5)
    with pytest.raises(requests.ReadTimeout):
        http.get(azure.arm.url + SUBSCRIPTIONS, timeout=0.05)
    with azure.arm.refusing(), pytest.raises(requests.ConnectionError, match="refused"):
        http.get(url)
    assert http.get(azure.arm.url + SUBSCRIPTIONS).status_code == 200
    assert [seen.status for seen in azure.arm.requests][:2] == [None, 200]


def test_a_mistake_of_the_stand_in_is_told(azure: LocalAzure, http: requests.Session) -> None:
    azure.discovery.page_size = None  # type: ignore[assignment]
    answer = http.get(azure.arm.url + SUBSCRIPTIONS)
    assert answer.status_code == 500
    assert "the stand-in failed" in answer.text


def test_error_bodies_come_in_every_shape() -> None:
    shapes = (azure_errors.ERROR_AS_LIST, azure_errors.ERROR_FLAT, azure_errors.ERROR_WITH_DETAILS)
    assert [shape.code for shape in shapes] == ["BadRequest"] * 3
    assert azure_errors.BAD_GATEWAY_HTML.code is None
