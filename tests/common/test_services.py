"""Codes, usage types and resource types to categories: rules first, then the code, then the resource type."""

from __future__ import annotations

import csv
import logging
import threading
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from offgridflow_common import services
from offgridflow_common.services import Service, ServiceMapper

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOGGER = logging.getLogger("test.services")
DATA = files("offgridflow_common") / "data"


def rows(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader((DATA / name).read_text(encoding="utf-8").splitlines()))


def service(row: dict[str, str], key: str) -> Service:
    return Service(
        service_code=row[key],
        service_name=row["service_name"],
        service_category=row["focus_service_category"],
        service_subcategory=row["focus_service_subcategory"],
        category=row["offgridflow_category"],
    )


@pytest.mark.parametrize(
    ("provider", "key", "count"), [("aws", "product_code", 239), ("azure", "meter_category", 116)]
)
def test_every_service_code_is_found_whatever_its_case_and_blanks(
    provider: str, key: str, count: int
) -> None:
    table = rows(f"{provider}_services.csv")
    assert len(table) == count
    mapper = ServiceMapper(provider)
    for row in table:
        for text in (row[key], row[key].upper(), f" {row[key].lower()} ", row[key].replace(" ", "  ")):
            assert mapper.lookup(text) == service(row, key)
    assert not mapper.unknown


def test_every_resource_type_is_found_where_there_is_no_meter_category() -> None:
    table = rows("azure_resource_types.csv")
    assert len(table) == 330
    mapper = ServiceMapper("azure")
    for row in table:
        for text in (row["resource_type"], row["resource_type"].upper()):
            assert mapper.lookup("", resource_type=text) == service(row, "resource_type")
            assert mapper.lookup(None, None, text) == service(row, "resource_type")
    assert not mapper.unknown


def test_the_meter_category_goes_before_the_resource_type() -> None:
    found = ServiceMapper("azure").lookup("Bandwidth", resource_type="microsoft.compute/virtualmachines")
    assert (found.service_code, found.category) == ("Bandwidth", "data_transfer")


def test_a_new_meter_category_keeps_its_code_and_takes_the_resource_types_category() -> None:
    mapper = ServiceMapper("azure")
    found = mapper.lookup(" Brand New Meters ", resource_type="Microsoft.Compute/virtualMachines")
    assert (found.service_code, found.category) == ("Brand New Meters", "cloud_compute")
    assert not mapper.unknown


@pytest.mark.parametrize(
    ("code", "usage_type", "category", "subcategory"),
    [
        ("AmazonEC2", "BoxUsage:m5.large", "cloud_compute", "Virtual Machines"),
        ("AmazonEC2", "EUC1-SpotUsage:c5.xlarge", "cloud_compute", "Virtual Machines"),
        ("AmazonEC2", "EUC1-EBS:VolumeUsage.gp3", "cloud_storage", "Block Storage"),
        ("AmazonEC2", "EBS:SnapshotUsage", "cloud_storage", "Block Storage"),
        ("AmazonEC2", "EUW1-NatGateway-Hours", "cloud_network", "Network Infrastructure"),
        ("AmazonEC2", "LoadBalancerUsage", "cloud_network", "Application Networking"),
        ("AmazonEC2", "EUC1-DataTransfer-Out-Bytes", "data_transfer", "Network Connectivity"),
        ("AmazonS3", "USE1-USW2-AWS-Out-Bytes", "data_transfer", "Network Connectivity"),
        ("AmazonS3", "EUC1-TimedStorage-ByteHrs", "cloud_storage", "Object Storage"),
        ("AmazonECS", "EUC1-Fargate-vCPU-Hours:perCPU", "cloud_compute_containers", "Containers"),
        ("AmazonEKS", "EUC1-AmazonEKS-Hours:perCluster", "cloud_compute_kubernetes", "Containers"),
        ("AmazonRDS", "EUC1-InstanceUsage:db.t3.micro", "cloud_database", "Relational Databases"),
        ("AmazonCloudFront", "EU-DataTransfer-Out-Bytes", "cloud_cdn", "Content Delivery"),
        ("amazonec2 ", "BoxUsage:m5.large", "cloud_compute", "Virtual Machines"),
    ],
)
def test_the_first_rule_that_fits_the_usage_type_gives_the_category(
    code: str, usage_type: str, category: str, subcategory: str
) -> None:
    found = ServiceMapper("aws").lookup(code, usage_type)
    assert (found.category, found.service_subcategory) == (category, subcategory)
    assert found.service_name == ServiceMapper("aws").lookup(code).service_name


def test_a_usage_type_no_rule_fits_leaves_the_category_of_the_service() -> None:
    mapper = ServiceMapper("aws")
    assert mapper.lookup("AWSLambda", "Lambda-GB-Second") == mapper.lookup("AWSLambda")
    assert mapper.lookup("AmazonEC2", "") == mapper.lookup("AmazonEC2", None) == mapper.lookup("AmazonEC2")


def test_a_rule_for_one_service_does_not_fit_another() -> None:
    assert (
        ServiceMapper("aws").lookup("AWSLambda", "BoxUsage:m5.large").category == "cloud_compute_serverless"
    )


def test_an_unknown_service_is_other_and_counted() -> None:
    mapper = ServiceMapper("aws")
    for _ in range(3):
        assert mapper.lookup(" 4kxyz ", "Marketplace-Hours") == Service(
            "4kxyz", "4kxyz", "Other", "Other (Other)", "cloud_other"
        )
    assert mapper.unknown == {"4kxyz": 3}


def test_an_unknown_service_whose_usage_type_a_rule_knows_is_mapped_and_not_counted() -> None:
    mapper = ServiceMapper("aws")
    found = mapper.lookup("4kxyz", "EUC1-DataTransfer-Out-Bytes")
    assert (found.service_code, found.service_name, found.category) == ("4kxyz", "4kxyz", "data_transfer")
    assert not mapper.unknown


def test_nothing_to_look_up_is_other_and_not_counted() -> None:
    mapper = ServiceMapper("aws")
    for blank in (None, "", "  "):
        assert mapper.lookup(blank, blank, blank) == Service("", "")
    assert not mapper.unknown


def test_unknown_values_are_counted_under_what_was_given() -> None:
    mapper = ServiceMapper("azure")
    mapper.lookup("", "some usage")
    mapper.lookup("", resource_type="acme.cloud/things")
    assert mapper.unknown == {"some usage": 1, "acme.cloud/things": 1}


def test_unknown_services_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    mapper = ServiceMapper("azure")
    mapper.lookup("Time Travel")
    mapper.report(LOGGER)
    mapper.report(LOGGER)
    (message,) = caplog.messages
    assert message.startswith("1 unknown azure services were mapped to cloud_other: 'Time Travel'. ")


def test_a_provider_without_services_is_refused() -> None:
    with pytest.raises(ValueError, match="no services of the provider 'nimbus'"):
        ServiceMapper("nimbus")


def test_a_second_lookup_is_only_a_dict_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    mapper = ServiceMapper("aws")
    asked = [("AmazonEC2", "BoxUsage:m5.large"), ("4kxyz", "")]
    first = [mapper.lookup(*one) for one in asked]

    def never(_: str) -> str:
        raise AssertionError

    monkeypatch.setattr(services, "fold", never)
    assert [mapper.lookup(*one) for one in asked] == first
    assert mapper.unknown == {"4kxyz": 2}


def test_threads_get_the_same_answers() -> None:
    mapper = ServiceMapper("aws")
    found: list[set[str]] = []

    def work() -> None:
        found.append({mapper.lookup("AmazonEC2", f"BoxUsage:m{n % 50}.large").category for n in range(2000)})

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{"cloud_compute"}] * 8


# -- the user's own rows ------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "own.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_the_user_can_add_a_service(own: Callable[[str], Path]) -> None:
    path = own(
        "kind,provider,key,service_name,focus_service_category,offgridflow_category\n"
        "service,aws,AmazonWarp,Amazon Warp Drive,Mobile,data_transfer\n"
    )
    assert ServiceMapper("aws", path).lookup("amazonwarp") == Service(
        "AmazonWarp", "Amazon Warp Drive", "Mobile", "Other (Mobile)", "data_transfer"
    )


def test_the_user_can_change_one_cell_of_a_service(own: Callable[[str], Path]) -> None:
    path = own("kind,provider,key,offgridflow_category\nservice,aws,awslambda,cloud_compute\n")
    before, after = ServiceMapper("aws").lookup("AWSLambda"), ServiceMapper("aws", path).lookup("AWSLambda")
    assert (before.category, after.category) == ("cloud_compute_serverless", "cloud_compute")
    assert (after.service_code, after.service_name) == ("AWSLambda", before.service_name)
    assert after.service_subcategory == before.service_subcategory == "Serverless Compute"


def test_a_changed_service_category_does_not_keep_the_old_subcategory(own: Callable[[str], Path]) -> None:
    path = own("kind,provider,key,focus_service_category\nservice,azure,Bandwidth,Web\n")
    found = ServiceMapper("azure", path).lookup("Bandwidth")
    assert (found.service_category, found.service_subcategory) == ("Web", "Other (Web)")


def test_the_user_can_add_a_resource_type(own: Callable[[str], Path]) -> None:
    path = own(
        "kind,provider,key,service_name,focus_service_category,focus_service_subcategory,offgridflow_category\n"
        "resource_type,azure,acme.cloud/things,Acme Things,Storage,File Storage,cloud_storage\n"
    )
    assert ServiceMapper("azure", path).lookup("", resource_type="Acme.Cloud/Things") == Service(
        "acme.cloud/things", "Acme Things", "Storage", "File Storage", "cloud_storage"
    )


RULES = "kind,provider,key,product_code,regex,focus_service_category,offgridflow_category\n"


def test_a_rule_of_the_users_goes_by_its_priority(own: Callable[[str], Path]) -> None:
    first = ServiceMapper(
        "aws", own(RULES + "usage_type_rule,aws,5,AmazonEC2,BoxUsage,Compute,cloud_other\n")
    )
    assert first.lookup("AmazonEC2", "BoxUsage:m5.large").category == "cloud_other"
    last = ServiceMapper(
        "aws", own(RULES + "usage_type_rule,aws,999,AmazonEC2,BoxUsage,Compute,cloud_other\n")
    )
    assert last.lookup("AmazonEC2", "BoxUsage:m5.large").category == "cloud_compute"


def test_a_rule_of_the_users_replaces_the_one_of_its_priority(own: Callable[[str], Path]) -> None:
    mapper = ServiceMapper("aws", own(RULES + "usage_type_rule,aws,60,,,,cloud_compute_containers\n"))
    assert mapper.lookup("AmazonEC2", "BoxUsage:m5.large").category == "cloud_compute_containers"


def test_a_provider_without_rules_can_be_given_some(own: Callable[[str], Path]) -> None:
    mapper = ServiceMapper(
        "azure", own(RULES + "usage_type_rule,azure,1,*,^Egress,Networking,data_transfer\n")
    )
    assert mapper.lookup("Storage", "Egress GB").category == "data_transfer"
    assert mapper.lookup("Storage", "LRS").category == "cloud_storage"
