"""The Microsoft.Carbon stand-in, as Azure's own client and a plain one meet it."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.mgmt.carbonoptimization.models import DateRange, ItemDetailsQueryFilter

from tests.local_clouds.azure_carbon import Emission

if TYPE_CHECKING:
    import requests

    from tests.local_clouds.azure import LocalAzure

ONE, TWO = (f"aaaaaaaa-0000-0000-0000-00000000000{number}" for number in (1, 2))
SCOPES = ("Scope1", "Scope2", "Scope3")
REPORTS = "/providers/Microsoft.Carbon/carbonEmissionReports?api-version=2025-04-01"
VM, STORE = "microsoft.compute/virtualmachines", "microsoft.storage/storageaccounts"


def emission(month: str, resource: str, scope1: str, scope3: str = "0") -> Emission:
    """Of a resource given as `subscription type name location`."""
    subscription, kind, name, location = resource.split(maxsplit=3)
    return Emission(
        month, subscription, "Web-RG", name, kind, location, scope1=Decimal(scope1), scope3=Decimal(scope3)
    )


EMISSIONS = [
    emission("2026-09", f"{ONE} {VM} vm1 east us", "0.1", "1.5"),
    emission("2026-10", f"{ONE} {VM} vm1 east us", "0.2", "1.123456789"),
    emission("2026-10", f"{ONE} {VM} vm2 west europe", "0.3"),
    emission("2026-10", f"{ONE} {STORE} store west europe", "0.004"),
    emission("2026-10", f"{TWO} {VM} vm1 east us", "5"),
]


@pytest.fixture(autouse=True)
def published(azure: LocalAzure) -> None:
    azure.carbon.publish(EMISSIONS)


def asked(category: str = "Resource", **other: Any) -> dict[str, Any]:
    return {
        "reportType": "ItemDetailsReport",
        "dateRange": {"start": "2026-10-01", "end": "2026-10-01"},
        "subscriptionList": [ONE],
        "carbonScopeList": ["Scope1"],
        "categoryType": category,
        "orderBy": "ItemName",
        "sortDirection": "Asc",
        "pageSize": 5000,
    } | other


def report(azure: LocalAzure, http: requests.Session, **body: Any) -> Any:
    answer = http.post(azure.arm.url + REPORTS, json=asked(**body))
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text, parse_float=Decimal)


@pytest.mark.parametrize(
    "category", ["Resource", "ResourceGroup", "ResourceType", "Location", "Subscription"]
)
def test_the_official_client_reads_every_category(carbon_client: Any, category: str) -> None:
    month = date(2026, 10, 1)
    answer = carbon_client.query_carbon_emission_reports(
        ItemDetailsQueryFilter(
            date_range=DateRange(start=month, end=month),
            subscription_list=[ONE, TWO],
            carbon_scope_list=list(SCOPES),
            category_type=category,
            order_by="LatestMonthEmissions",
            sort_direction="Desc",
            page_size=100,
        )
    )
    rows = answer.value
    amounts = [row.latest_month_emissions for row in rows]
    assert amounts == sorted(amounts, reverse=True)
    assert sum(amounts) == pytest.approx(6.627456789)
    assert len({row.item_name for row in rows}) == {"Resource": 3, "ResourceGroup": 1}.get(category, 2)
    assert {type(row).__name__ for row in rows} <= {
        "CarbonEmissionItemDetailData",
        "ResourceCarbonEmissionItemDetailData",
        "ResourceGroupCarbonEmissionItemDetailData",
    }
    assert [decision.decision for decision in answer.subscription_access_decision_list] == ["Allowed"] * 2


def test_the_official_client_reads_the_available_months(carbon_client: Any) -> None:
    answer = carbon_client.query_carbon_emission_data_available_date_range()
    assert (answer.start_date, answer.end_date) == ("2026-09-01", "2026-10-01")


def test_a_report_sums_exactly_the_scopes_asked_for(azure: LocalAzure, http: requests.Session) -> None:
    def latest(*scopes: str) -> Decimal:
        rows = report(azure, http, carbonScopeList=list(scopes))["value"]
        return next(row["latestMonthEmissions"] for row in rows if row["itemName"] == "vm1")

    assert latest("Scope1") == Decimal("0.2")
    assert latest("Scope2") == 0
    assert latest("Scope1", "Scope3") == Decimal("1.323456789")
    assert azure.carbon.total("2026-10", ONE, "Scope1") == Decimal("0.504")


def test_a_row_compares_with_the_month_before(azure: LocalAzure, http: requests.Session) -> None:
    store, vm1, vm2 = report(azure, http)["value"]
    assert vm1 == {
        "dataType": "ResourceItemDetailsData",
        "latestMonthEmissions": Decimal("0.2"),
        "previousMonthEmissions": Decimal("0.1"),
        "monthOverMonthEmissionsChangeRatio": Decimal("1.0"),
        "monthlyEmissionsChangeValue": Decimal("0.1"),
        "itemName": "vm1",
        "resourceGroup": "Web-RG",
        "resourceId": f"/subscriptions/{ONE}/resourceGroups/Web-RG/providers/{VM}/vm1",
        "subscriptionId": ONE,
        "resourceType": VM,
        "location": "east us",
        "categoryType": "Resource",
    }
    assert "monthOverMonthEmissionsChangeRatio" not in store
    assert vm2["previousMonthEmissions"] == 0


@pytest.mark.parametrize("end", [{}, {"skipToken": None}, {"skipToken": ""}])
def test_pages_are_posted_again_with_the_token(
    azure: LocalAzure, http: requests.Session, end: dict[str, Any]
) -> None:
    azure.carbon.last_page = end
    first = report(azure, http, pageSize=2)
    second = report(azure, http, pageSize=2, skipToken=first["skipToken"])
    assert [row["itemName"] for row in first["value"] + second["value"]] == ["store", "vm1", "vm2"]
    assert {name: second[name] for name in second if name == "skipToken"} == end
    other = asked(category="Location", pageSize=2, skipToken=first["skipToken"])
    assert http.post(azure.arm.url + REPORTS, json=other).status_code == 400


def test_pages_can_be_smaller_than_asked(azure: LocalAzure, http: requests.Session) -> None:
    azure.carbon.most_rows = 1
    first = report(azure, http)
    assert len(first["value"]) == 1
    assert len(report(azure, http, skipToken=first["skipToken"])["value"]) == 1


def test_denied_subscriptions_are_told_in_a_good_answer(azure: LocalAzure, http: requests.Session) -> None:
    azure.carbon.denied = {TWO: None}
    answer = report(azure, http, subscriptionList=[ONE, TWO])
    assert len(answer["value"]) == 3
    assert answer["subscriptionAccessDecisionList"] == [
        {"subscriptionId": ONE, "decision": "Allowed"},
        {"subscriptionId": TWO, "decision": "Denied"},
    ]
    azure.carbon.denied = {ONE: "Carbon Optimization Reader permisison required"}
    answer = report(azure, http)
    assert answer["value"] == []
    assert answer["subscriptionAccessDecisionList"][0]["denialReason"]


def test_optional_fields_can_be_absent_and_rows_capped(azure: LocalAzure, http: requests.Session) -> None:
    azure.carbon.omit_optional, azure.carbon.row_cap = True, 2
    first = report(azure, http, pageSize=1)
    second = report(azure, http, pageSize=1, skipToken=first["skipToken"])
    assert "skipToken" not in second
    assert not {"location", "resourceType", "monthlyEmissionsChangeValue"} & second["value"][0].keys()


def test_filters_select(azure: LocalAzure, http: requests.Session) -> None:
    filters = {
        "locationList": ["west europe"],
        "resourceTypeList": [VM],
        "resourceGroupUrlList": [f"/subscriptions/{ONE}/resourcegroups/web-rg"],
    }
    assert [row["itemName"] for row in report(azure, http, **filters)["value"]] == ["vm2"]


def test_restated_and_withdrawn_months_change(azure: LocalAzure, http: requests.Session) -> None:
    azure.carbon.publish([emission("2026-10", f"{ONE} {VM} vm1 east us", "9")])
    assert [row["latestMonthEmissions"] for row in report(azure, http)["value"]] == [9]
    azure.carbon.withdraw("2026-10")
    assert http.post(azure.arm.url + REPORTS, json=asked()).status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"subscriptionList": [ONE.upper()]},
        {"subscriptionList": []},
        {"subscriptionList": [f"aaaaaaaa-0000-0000-0000-{number:012}" for number in range(101)]},
        {"carbonScopeList": ["Scope4"]},
        {"carbonScopeList": []},
        {"dateRange": {"start": "2026-09-01", "end": "2026-10-01"}},
        {"dateRange": {"start": "2026-10-02", "end": "2026-10-02"}},
        {"dateRange": {"start": "2026-11-01", "end": "2026-11-01"}},
        {"dateRange": {"start": "2026-08-01", "end": "2026-08-01"}},
        {"dateRange": None},
        {"pageSize": 0},
        {"pageSize": 5001},
        {"orderBy": "Name"},
        {"sortDirection": None},
        {"categoryType": "Meter"},
        {"reportType": "TopItemsReport"},
        {"skipToken": "dGVzdA=="},
        {"locationList": ["East US"]},
        {"top": 1},
    ],
)
def test_requests_that_the_interface_does_not_describe_are_refused(
    azure: LocalAzure, http: requests.Session, wrong: dict[str, Any]
) -> None:
    answer = http.post(azure.arm.url + REPORTS, json=asked() | wrong)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")


def test_the_official_client_understands_refusals(azure: LocalAzure, carbon_client: Any) -> None:
    azure.arm.forbid("carbon_range")
    with pytest.raises(HttpResponseError) as caught:
        carbon_client.query_carbon_emission_data_available_date_range()
    assert (caught.value.status_code, caught.value.error.code) == (403, "AuthorizationFailed")
    azure.arm.allow("carbon_range")
    assert carbon_client.query_carbon_emission_data_available_date_range().start_date == "2026-09-01"
