"""The cost details reports stand-in, as Azure's own client and a plain one meet it."""

from __future__ import annotations

import csv
import io
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.local_clouds.azure_cost_csv import BYTE_ORDER_MARK, columns, cost_details_csv
from tests.local_clouds.azure_cost_query import Cost
from tests.local_clouds.azure_errors import NOT_ACCEPTABLE

if TYPE_CHECKING:
    from tests.local_clouds.azure import LocalAzure

ONE = "aaaaaaaa-0000-0000-0000-000000000001"
SCOPE = f"subscriptions/{ONE}"
ACCOUNT = "providers/Microsoft.Billing/billingAccounts/1234567"
SEPTEMBER = {"start": "2026-09-01", "end": "2026-09-30"}
ACTUAL = {"metric": "ActualCost", "timePeriod": SEPTEMBER}
COSTS = [
    Cost(
        date(2026, 9, day),
        ONE,
        Decimal("1.10"),
        amortized=Decimal(2),
        dimensions={"ServiceName": "Storage", "ResourceId": "/a/b"},
        tags={"env": "prod", "team": "a"},
    )
    for day in (1, 2, 3)
]
FILES = cost_details_csv(COSTS, rows_per_blob=2)


@pytest.fixture(autouse=True)
def published(azure: LocalAzure) -> None:
    azure.scopes.subscriptions = {ONE}
    azure.scopes.wider = {ACCOUNT.lower(): {ONE}, "providers/microsoft.management/managementgroups/g": {ONE}}
    azure.details.publish(SCOPE, "2026-09", "ActualCost", FILES)


def create(azure: LocalAzure, http: requests.Session, body: Any, scope: str = SCOPE) -> requests.Response:
    path = f"/{scope}/providers/Microsoft.CostManagement/generateCostDetailsReport"
    return http.post(f"{azure.arm.url}{path}?api-version=2025-03-01", json=body)


def result(http: requests.Session, answer: requests.Response) -> dict[str, Any]:
    """Follow the places of a report to its end."""
    for _ in range(10):
        if answer.status_code == 200 and answer.json()["status"] != "InProgress":
            return dict(answer.json())
        answer = http.get(answer.headers.get("Location") or answer.url)
    raise AssertionError("the report did not get ready")


def download(azure: LocalAzure, link: str, **headers: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(link, headers=headers, verify=str(azure.authority.ca_file), timeout=5)


def test_the_official_client_waits_for_a_report(azure: LocalAzure, cost_client: Any) -> None:
    azure.details.retry_after, azure.details.waits = "0", 2
    poller = cost_client.generate_cost_details_report.begin_create_operation(
        SCOPE, ACTUAL, headers={"ClientType": "tests"}, polling_interval=0
    )
    report = poller.result(timeout=10)
    assert report.status == "Completed"
    assert [blob.byte_count for blob in report.manifest.blobs] == [len(content) for content in FILES]
    assert (report.manifest.blob_count, report.manifest.byte_count) == (2, sum(map(len, FILES)))
    assert report.manifest.request_context.request_scope == SCOPE
    assert report.valid_till - datetime.now(UTC) > timedelta(minutes=59)
    assert [seen.status for seen in azure.arm.asked("poll_report")] == [202, 202, 200]


def test_files_are_fetched_elsewhere_without_authorization(azure: LocalAzure, http: requests.Session) -> None:
    report = result(http, create(azure, http, ACTUAL))
    links = [blob["blobLink"] for blob in report["manifest"]["blobs"]]
    assert {urlsplit(link).netloc for link in links} == {urlsplit(azure.downloads.url).netloc}
    assert [download(azure, link).content for link in links] == FILES
    ranged = download(azure, links[0], Range="bytes=3-9")
    assert (ranged.status_code, ranged.content) == (206, FILES[0][3:10])
    for link in links:
        for refused in (
            download(azure, link, Authorization="Bearer anything"),
            download(azure, link.replace("sig=", "sig=0")),
        ):
            assert (refused.status_code, refused.headers["x-ms-error-code"]) == (403, "AuthenticationFailed")
    azure.downloads.expire_all()
    assert download(azure, links[0]).status_code == 403


def test_records_hide_signatures(azure: LocalAzure, http: requests.Session) -> None:
    link = result(http, create(azure, http, ACTUAL))["manifest"]["blobs"][0]["blobLink"]
    download(azure, link)
    (seen,) = azure.downloads.asked("download")
    assert link.rpartition("sig=")[2] not in repr(seen)
    assert seen.query["sig"] == "***"


@pytest.mark.parametrize("moves", [False, True])
def test_places_to_ask_at_can_change(azure: LocalAzure, http: requests.Session, *, moves: bool) -> None:
    azure.details.moves, azure.details.waits = moves, 3
    created = create(azure, http, ACTUAL)
    assert (created.status_code, created.content) == (202, b"")
    assert created.headers["Retry-After"] == "60"
    first = created.headers["Location"]
    second = http.get(first).headers["Location"]
    assert (first != second) == moves
    assert http.get(first).status_code == (404 if moves else 202)
    assert "costDetailsOperationResults/" in first
    assert ("costDetailsOperationStatus/" in second) == moves
    assert result(http, http.get(second))["status"] == "Completed"


def test_waiting_can_be_told_by_a_status(azure: LocalAzure, http: requests.Session) -> None:
    azure.details.waits_with_200, azure.details.waits, azure.details.retry_after = True, 1, None
    created = create(azure, http, ACTUAL)
    assert "Retry-After" not in created.headers
    waiting = http.get(created.headers["Location"])
    assert (waiting.status_code, waiting.json()["status"]) == (200, "InProgress")
    assert result(http, waiting)["status"] == "Completed"


def test_a_report_can_be_ready_at_once(azure: LocalAzure, http: requests.Session) -> None:
    azure.details.waits = None
    answer = create(azure, http, ACTUAL)
    assert (answer.status_code, answer.json()["status"]) == (200, "Completed")


def test_the_absence_of_data_is_told_in_two_ways(azure: LocalAzure, http: requests.Session) -> None:
    body = {"metric": "AmortizedCost", "billingPeriod": "202609"}
    assert result(http, create(azure, http, body))["status"] == "NoDataFound"
    azure.details.no_data = "204"
    assert create(azure, http, body).status_code == 204


def test_a_report_can_fail(azure: LocalAzure, http: requests.Session, cost_client: Any) -> None:
    azure.details.failure = ("InternalServerError", "It broke.")
    failed = result(http, create(azure, http, ACTUAL))
    assert (failed["status"], failed["error"]["code"]) == ("Failed", "InternalServerError")
    azure.arm.fail_next(NOT_ACCEPTABLE, operation="create_report")
    assert create(azure, http, ACTUAL).status_code == 406
    assert create(azure, http, ACTUAL).status_code == 202
    azure.details.waits = None
    report = cost_client.generate_cost_details_report.begin_create_operation(SCOPE, ACTUAL).result(timeout=10)
    assert report.error.code == "InternalServerError"


@pytest.mark.parametrize(
    "period", [{"timePeriod": SEPTEMBER}, {"billingPeriod": "202609"}, {"invoiceId": "M1"}, {}]
)
def test_reports_are_asked_for_by_each_kind_of_period(
    azure: LocalAzure, http: requests.Session, period: dict[str, Any]
) -> None:
    azure.details.publish(ACCOUNT, "M1", "AmortizedCost", FILES[:1])
    azure.details.publish(ACCOUNT, "2026-09", "AmortizedCost", FILES[:1])
    azure.details.open_period = "2026-09"
    answer = create(azure, http, {"metric": "AmortizedCost"} | period, ACCOUNT)
    assert result(http, answer)["manifest"]["blobCount"] == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "metric"),
        ({"metric": "Usage"}, "metric"),
        (ACTUAL | {"billingPeriod": "202609"}, "either timePeriod or invoiceId or billingPeriod"),
        (ACTUAL | {"timePeriod": {"start": "2026-09-01", "end": "2026-10-01"}}, "1 months"),
        (ACTUAL | {"timePeriod": {"start": "2026-09-15", "end": "2026-10-20"}}, "1 months"),
        (ACTUAL | {"timePeriod": {"start": "2026-09-02", "end": "2026-09-01"}}, "after start"),
        (ACTUAL | {"timePeriod": {"start": "2025-01-01", "end": "2025-01-31"}}, "must be after 2025-08-01"),
        (ACTUAL | {"timePeriod": {"start": "September"}}, "start and end"),
    ],
)
def test_requests_that_the_interface_does_not_describe_are_refused(
    azure: LocalAzure, http: requests.Session, body: Any, message: str
) -> None:
    azure.details.first_day = date(2025, 8, 1)
    answer = create(azure, http, body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "scope",
    [
        f"{SCOPE}/resourceGroups/rg",
        "providers/Microsoft.Management/managementGroups/g",
        "subscriptions/aaaaaaaa-0000-0000-0000-000000000009",
    ],
)
def test_other_scopes_have_no_reports(azure: LocalAzure, http: requests.Session, scope: str) -> None:
    assert create(azure, http, ACTUAL, scope).status_code == 404


def test_unknown_reports_are_not_found(azure: LocalAzure, http: requests.Session) -> None:
    location = create(azure, http, ACTUAL).headers["Location"]
    assert http.get(location.replace("Results/", "Results/0")).status_code == 404
    assert http.get(location.replace(ONE, ONE[:-1] + "2")).status_code == 404


@pytest.mark.parametrize(
    ("agreement", "cost_column", "date_column", "tags"),
    [
        ("ea", "Cost", "Date", '"env": "prod", "team": "a"'),
        ("mca", "costInBillingCurrency", "date", '{"env": "prod", "team": "a"}'),
    ],
)
def test_files_look_like_those_of_the_agreement(
    agreement: str, cost_column: str, date_column: str, tags: str
) -> None:
    files = cost_details_csv(COSTS, "AmortizedCost", agreement=agreement, rows_per_blob=2)
    assert len(files) == 2
    for content, lines in zip(files, (2, 1), strict=True):
        text = content.decode()
        assert text.startswith(BYTE_ORDER_MARK)
        rows = list(csv.DictReader(io.StringIO(text.removeprefix(BYTE_ORDER_MARK))))
        assert len(rows) == lines
        assert tuple(rows[0]) == columns(agreement)
        assert {row[cost_column] for row in rows} == {"2"}
        assert {row["tags" if agreement == "mca" else "Tags"] for row in rows} == {tags}
        assert all(row[date_column].startswith("09/0") for row in rows)
