from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from tests.local_clouds.sustainability import (
    EMISSIONS_TYPES,
    SourceRow,
    SustainabilityServer,
    demo_emissions,
    demo_water,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = json.loads((Path(__file__).parent / "data/sustainability_api_examples.json").read_text("utf-8"))
ACCOUNTS = ("111122223333", "012345678901")
REGIONS = ("us-east-1", "eu-central-1")
SERVICES = ("AmazonEC2", "AmazonCloudFront", "Other")
ALL_DIMENSIONS = ["USAGE_ACCOUNT_ID", "REGION", "SERVICE"]
SUMMER = {"Start": datetime(2026, 7, 1, tzinfo=UTC), "End": datetime(2026, 9, 1, tzinfo=UTC)}
MONTHS = ("2026-06", "2026-07", "2026-08")
CARBON = "get_estimated_carbon_emissions"
WATER = "get_estimated_water_allocation"


@pytest.fixture
def server() -> Iterator[SustainabilityServer]:
    with SustainabilityServer() as running:
        running.set_months(demo_emissions(MONTHS, ACCOUNTS, REGIONS, SERVICES, 7))
        running.set_years(demo_water((2024, 2025), ACCOUNTS, REGIONS, SERVICES, 7))
        yield running


def connect(
    server: SustainabilityServer,
    attempts: int = 1,
    signature: Any = None,
    read_timeout: float = 60,
    **options: Any,
) -> Any:
    settings: dict[str, Any] = {
        "region_name": "us-east-1",
        "aws_access_key_id": "AKIAIOSFODNN7EXAMPLE",
        "aws_secret_access_key": "local",
    }
    retries = {"mode": "standard", "total_max_attempts": attempts}
    config = Config(
        retries=retries,
        read_timeout=read_timeout,
        parameter_validation=False,
        signature_version=signature,
    )
    return boto3.client("sustainability", endpoint_url=server.url, config=config, **(settings | options))


def refusal(client: Any, operation: str = CARBON, **request: Any) -> tuple[int, str]:
    with pytest.raises(ClientError) as caught:
        getattr(client, operation)(**request)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def members(value: Any) -> Any:
    """The shape of an answer: names at every level, of the first entry of a list."""
    if isinstance(value, dict):
        return {name: members(item) for name, item in value.items() if name != "NextToken"}
    return [members(item) for item in value[:1]] if isinstance(value, list) else type(value)


@pytest.mark.parametrize("operation", [name for name in EXAMPLES if name.startswith("Get")])
def test_every_documented_request_gets_an_answer_of_the_documented_shape(
    server: SustainabilityServer, operation: str
) -> None:
    example = EXAMPLES[operation]
    method = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in operation).lstrip("_")
    client = connect(server)
    raw: list[bytes] = []
    client.meta.events.register("before-parse", lambda response_dict, **_: raw.append(response_dict["body"]))
    parsed = getattr(client, method)(**example["request"])
    assert parsed["Results"]
    assert members(json.loads(raw[0])) == members(example["pages"][0])
    assert server.requests[-1].operation == operation
    assert server.requests[-1].body == example["request"]


@pytest.mark.parametrize("name", ["filtered_request", "fiscal_request"])
def test_the_other_documented_requests_are_accepted(server: SustainabilityServer, name: str) -> None:
    results = connect(server).get_estimated_carbon_emissions(**EXAMPLES[name])["Results"]
    assert results
    if name == "filtered_request":
        assert {row["DimensionsValues"]["REGION"] for row in results} == {"eu-central-1"}
    else:
        period = {name: moment.astimezone(UTC) for name, moment in results[0]["TimePeriod"].items()}
        assert period == SUMMER


@pytest.mark.parametrize("size", [1, 4, 5000])
def test_the_paginator_meets_every_row_once(server: SustainabilityServer, size: int) -> None:
    pages = (
        connect(server)
        .get_paginator(CARBON)
        .paginate(TimePeriod=SUMMER, GroupBy=ALL_DIMENSIONS, PaginationConfig={"PageSize": size})
    )
    keys = [
        (row["TimePeriod"]["Start"], *row["DimensionsValues"].values())
        for page in pages
        for row in page["Results"]
    ]
    assert len(keys) == len(set(keys)) == 2 * len(ACCOUNTS) * (2 * len(REGIONS) + 1)


def test_pages_hold_a_thousand_rows_unless_asked(server: SustainabilityServer) -> None:
    rows = [
        SourceRow(f"{number:012}", "us-east-1", "Other", dict.fromkeys(EMISSIONS_TYPES, Decimal(1)))
        for number in range(1001)
    ]
    server.set_month("2026-07", rows)
    page = connect(server).get_estimated_carbon_emissions(TimePeriod=SUMMER, GroupBy=["USAGE_ACCOUNT_ID"])
    assert len(page["Results"]) == 1000
    assert page["NextToken"]


def test_a_month_counts_only_if_its_first_instant_is_in_the_range(server: SustainabilityServer) -> None:
    def months(start: datetime, end: datetime) -> list[int]:
        period = {"Start": start, "End": end}
        results = connect(server).get_estimated_carbon_emissions(TimePeriod=period)["Results"]
        return [row["TimePeriod"]["Start"].astimezone(UTC).month for row in results]

    assert months(datetime(2026, 7, 2, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC)) == []
    assert months(datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC)) == [7]
    assert months(datetime(2026, 6, 2, tzinfo=UTC), datetime(2026, 8, 1, 0, 0, 1, tzinfo=UTC)) == [7, 8]
    assert months(datetime(2025, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)) == [6, 7, 8]


def test_a_year_of_water_counts_only_if_new_year_is_in_the_range(server: SustainabilityServer) -> None:
    period = {"Start": datetime(2024, 4, 1, tzinfo=UTC), "End": datetime(2025, 4, 1, tzinfo=UTC)}
    (year,) = connect(server).get_estimated_water_allocation(TimePeriod=period)["Results"]
    assert year["TimePeriod"]["Start"].astimezone(UTC) == datetime(2025, 1, 1, tzinfo=UTC)
    assert year["TimePeriod"]["End"].astimezone(UTC) == datetime(2026, 1, 1, tzinfo=UTC)
    assert year["AllocationValues"]["TOTAL_WATER_WITHDRAWALS"]["Unit"] == "m3"


def test_only_the_totals_come_unless_asked(server: SustainabilityServer) -> None:
    first = connect(server).get_estimated_carbon_emissions(TimePeriod=SUMMER)["Results"][0]
    assert set(first["EmissionsValues"]) == set(EMISSIONS_TYPES[:2])
    assert first["DimensionsValues"] == {}


def test_groups_and_years_are_sums_of_their_months(server: SustainabilityServer) -> None:
    rows = [row for month in demo_emissions(MONTHS, ACCOUNTS, REGIONS, SERVICES, 7).values() for row in month]
    period = {"Start": datetime(2026, 1, 1, tzinfo=UTC), "End": datetime(2027, 1, 1, tzinfo=UTC)}
    results = connect(server).get_estimated_carbon_emissions(
        TimePeriod=period,
        GroupBy=["REGION"],
        EmissionsTypes=[EMISSIONS_TYPES[2]],
        Granularity="YEARLY_CALENDAR",
    )["Results"]
    got = {
        row["DimensionsValues"]["REGION"]: row["EmissionsValues"][EMISSIONS_TYPES[2]]["Value"]
        for row in results
    }
    for region in (*REGIONS, "Global"):
        assert got[region] == float(
            sum(row.values[EMISSIONS_TYPES[2]] for row in rows if row.region == region)
        )


@pytest.mark.parametrize(
    "change",
    [
        {"TimePeriod": {"Start": "2026-07-01T00:00:00Z"}},
        {"TimePeriod": {"Start": "yesterday", "End": "2026-07-01T00:00:00Z"}},
        {"TimePeriod": {"Start": SUMMER["End"], "End": SUMMER["Start"]}},
        {"Granularity": "DAILY"},
        {"GroupBy": ["COUNTRY"]},
        {"EmissionsTypes": ["TOTAL"]},
        {"MaxResults": 0},
        {"MaxResults": 5001},
        {"NextToken": "AAMA-unknown"},
        {"FilterBy": {"Dimensions": {"COUNTRY": ["DEU"]}}},
        {"GranularityConfiguration": {"FiscalYearStartMonth": 13}},
    ],
    ids=str,
)
def test_a_request_that_breaks_the_contract_is_refused(
    server: SustainabilityServer, change: dict[str, Any]
) -> None:
    client = connect(server)
    if "yesterday" in str(change):
        # boto3 itself refuses such text, so put it into the request on its way out.
        body = json.dumps(change).encode()
        client.meta.events.register("before-sign", lambda request, **_: setattr(request, "data", body))
        change = {}
    assert refusal(client, **({"TimePeriod": SUMMER} | change)) == (400, "ValidationException")


def test_water_has_no_months(server: SustainabilityServer) -> None:
    asked = {"TimePeriod": SUMMER, "Granularity": "MONTHLY"}
    assert refusal(connect(server), WATER, **asked) == (400, "ValidationException")


def test_a_token_serves_its_own_request_only_and_as_often_as_asked(server: SustainabilityServer) -> None:
    client = connect(server)
    asked = {"TimePeriod": SUMMER, "GroupBy": ALL_DIMENSIONS, "MaxResults": 3}
    token = client.get_estimated_carbon_emissions(**asked)["NextToken"]
    again = [client.get_estimated_carbon_emissions(**asked, NextToken=token)["Results"] for _ in range(2)]
    assert again[0] == again[1]
    assert refusal(client, **(asked | {"MaxResults": 4, "NextToken": token})) == (400, "ValidationException")
    server.expire_tokens()
    assert refusal(client, **asked, NextToken=token) == (400, "ValidationException")


def test_requests_must_be_signed_for_the_one_region_by_a_known_key(server: SustainabilityServer) -> None:
    assert refusal(connect(server, region_name="eu-west-1"), TimePeriod=SUMMER) == (
        403,
        "InvalidSignatureException",
    )
    server.accepted_keys = {"another"}
    assert refusal(connect(server), TimePeriod=SUMMER) == (403, "UnrecognizedClientException")
    unsigned = connect(server, signature=UNSIGNED)
    assert refusal(unsigned, TimePeriod=SUMMER) == (403, "MissingAuthenticationTokenException")


@pytest.mark.parametrize("error", EXAMPLES["errors"], ids=lambda error: error["headers"]["x-amzn-errortype"])
def test_errors_reach_boto3_with_their_code(server: SustainabilityServer, error: dict[str, Any]) -> None:
    code = error["headers"]["x-amzn-errortype"]
    server.fail_next(1, error["status"], code, "because", {"Retry-After": "3"})
    with pytest.raises(ClientError) as caught:
        connect(server).get_estimated_carbon_emissions(TimePeriod=SUMMER)
    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["Error"]["Message"]) == (code, "because")
    assert answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "3"
    assert isinstance(caught.value, getattr(connect(server).exceptions, code))
    assert server.requests[-1].code == code


def test_botocores_retries_meet_the_next_answer(server: SustainabilityServer) -> None:
    server.fail_next(2, 500, "InternalServerException")
    connect(server, attempts=3).get_estimated_carbon_emissions(TimePeriod=SUMMER)
    assert [request.status for request in server.requests] == [500, 500, 200]


def test_faults_can_wait_for_an_operation_and_a_request(server: SustainabilityServer) -> None:
    client = connect(server)
    server.fail_next(1, 500, "InternalServerException", operation="GetEstimatedCarbonEmissions", skip=1)
    client.get_estimated_water_allocation(TimePeriod=SUMMER)
    client.get_estimated_carbon_emissions(TimePeriod=SUMMER)
    assert refusal(client, TimePeriod=SUMMER) == (500, "InternalServerException")


def test_connections_break_as_asked(server: SustainabilityServer) -> None:
    client = connect(server)
    server.reset_next()
    with pytest.raises(ConnectionClosedError):
        client.get_estimated_carbon_emissions(TimePeriod=SUMMER)
    server.html_next()
    assert refusal(client, TimePeriod=SUMMER) == (502, "502")
    server.delay_next(1, 1.0)
    with pytest.raises(ReadTimeoutError):
        connect(server, read_timeout=0.3).get_estimated_carbon_emissions(TimePeriod=SUMMER)
    server.truncate_next()
    # botocore takes JSON that ends too early for an answer without members: readers must insist on Results.
    assert "Results" not in client.get_estimated_carbon_emissions(TimePeriod=SUMMER)
    assert "Results" in client.get_estimated_carbon_emissions(TimePeriod=SUMMER)


def test_a_reset_is_a_real_one(server: SustainabilityServer) -> None:
    server.reset_next()
    with socket.create_connection((urlsplit(server.url).hostname, urlsplit(server.url).port)) as raw:
        raw.sendall(b"POST /v1/estimated-carbon-emissions HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        with pytest.raises(ConnectionResetError):
            raw.recv(1)


def test_the_throttle_admits_its_burst_and_then_its_rate() -> None:
    moment = [0.0]
    with SustainabilityServer(rate=2, capacity=3, now=lambda: moment[0]) as server:
        client = connect(server)
        for _ in range(3):
            client.get_estimated_carbon_emissions(TimePeriod=SUMMER)
        assert refusal(client, TimePeriod=SUMMER) == (429, "ThrottlingException")
        moment[0] = 0.5
        client.get_estimated_carbon_emissions(TimePeriod=SUMMER)
        assert refusal(client, TimePeriod=SUMMER) == (429, "ThrottlingException")


def test_months_that_were_not_set_are_absent_and_set_ones_can_change(server: SustainabilityServer) -> None:
    server.remove_month("2026-07")
    server.set_months(demo_emissions(["2026-08"], ACCOUNTS, REGIONS, SERVICES, 8, model_version="v3.1.0"))
    (row,) = connect(server).get_estimated_carbon_emissions(TimePeriod=SUMMER)["Results"]
    assert (row["TimePeriod"]["Start"].astimezone(UTC).month, row["ModelVersion"]) == (8, "v3.1.0")


def test_demo_emissions_add_up_exactly_and_repeat() -> None:
    months = demo_emissions(MONTHS, ACCOUNTS, REGIONS, SERVICES, 7)
    assert months == demo_emissions(MONTHS, ACCOUNTS, REGIONS, SERVICES, 7)
    assert months["2026-08"] == demo_emissions(["2026-08"], ACCOUNTS, REGIONS, SERVICES, 7)["2026-08"]
    assert months["2026-08"] != demo_emissions(["2026-08"], ACCOUNTS, REGIONS, SERVICES, 8)["2026-08"]
    rows = [row for month in months.values() for row in month]
    for row in rows:
        lbm, mbm, s1, s2_lbm, s2_mbm, s3_lbm, s3_mbm = (row.values[kind] for kind in EMISSIONS_TYPES)
        assert lbm == s1 + s2_lbm + s3_lbm
        assert mbm == s1 + s2_mbm + s3_mbm
        assert all(value.as_tuple().exponent == -6 for value in row.values.values())
        assert (row.region == "Global") == (row.service == "AmazonCloudFront")
    assert any(not any(row.values.values()) for row in rows)
    assert sum(not row.values[EMISSIONS_TYPES[4]] for row in rows) > len(rows) / 2
