"""The user's own mapping file: what is wrong with it is said by line and column; and the shipped tables."""

from __future__ import annotations

import csv
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from offgridflow_common import mapping_overrides, reference_data
from offgridflow_common.errors import ConfigError
from offgridflow_common.mapping_overrides import rows_of
from offgridflow_common.reference_data import TABLES, packaged, providers, vocabulary
from offgridflow_common.regions import RegionMapper
from offgridflow_common.services import ServiceMapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DATA = files("offgridflow_common") / "data"
HEADER = "kind,provider,key,offgridflow_location,country_iso3,offgridflow_category,regex,pue,aliases\n"


@pytest.fixture
def own(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def write(text: str | bytes) -> Path:
        path = tmp_path / "own.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: there is no column kind. Expected the columns kind, provider, key"),
        ("kind;provider;key\nregion;aws;x\n", "line 1: there is no column kind. Expected the columns kind"),
        ("kind,provider\n", "line 1: there is no column key"),
        (
            "kind,provider,key,locaton\n",
            "line 1: the column 'locaton' is unknown. Expected columns out of kind",
        ),
        ("kind,provider,key,pue,PUE\n", "line 1: the column pue occurs twice. Keep one of them"),
        (
            HEADER + "city,aws,x,MENA\n",
            "line 2, column kind: 'city'. Expected one of region, resource_type, se",
        ),
        (HEADER + "region,asw,x,MENA\n", "line 2, column provider: 'asw'. Expected one of aws, azure"),
        (HEADER + "region,aws,,MENA\n", "line 2, column key: nothing. Expected a value"),
        (
            HEADER + "region,aws,mars-1\n",
            "line 2, column offgridflow_location: nothing. Expected a value, beca",
        ),
        (
            HEADER + "\n \nregion,aws,x,EU-EAST\n",
            "line 4, column offgridflow_location: 'EU-EAST'. Expected one",
        ),
        (
            HEADER + "region,aws,x,MENA,DE\n",
            "line 2, column country_iso3: 'DE'. Expected an ISO 3166-1 code of",
        ),
        (
            HEADER + "region,aws,x,MENA,deu\n",
            "line 2, column country_iso3: 'deu'. Expected an ISO 3166-1 code",
        ),
        (HEADER + 'region,aws,x,MENA,,,,"1,2"\n', "line 2, column pue: '1,2'. Expected a number from 1 up"),
        (HEADER + "region,aws,x,MENA,,,,0.9\n", "line 2, column pue: '0.9'. Expected a number from 1 up"),
        (
            HEADER + "region,aws,x,MENA,,cloud_cdn\n",
            "line 2, column offgridflow_category: 'cloud_cdn'. Expected",
        ),
        (
            HEADER + "service,aws,AmazonEC2,,,clowd\n",
            "line 2, column offgridflow_category: 'clowd'. Expected one",
        ),
        (
            HEADER + "usage_type_rule,aws,60,,,,(\n",
            "line 2, column regex: '('. Expected a regular expression",
        ),
        (HEADER + "usage_type_rule,aws,first\n", "line 2, column key: 'first'. Expected a whole number"),
        (
            HEADER + "service,aws,NewOne,,,cloud_cdn\n",
            "line 2, column service_name: nothing. Expected a value",
        ),
        (HEADER + "region,aws,x,MENA,,,,,a,b\n", "line 2: 10 cells. Expected 9, as in the header"),
        (
            HEADER + "region,aws,x,MENA\nregion,azure,x,MENA\nregion,AWS, X ,MENA\n",
            "line 4, column key: 'X'. Expected each region once, but it is in line 2 too",
        ),
        (
            HEADER + 'region,aws,"x,MENA\n',
            "after line 1: unexpected end of data. Expected a readable CSV file",
        ),
        (HEADER.encode() + b"region,aws,\xff,MENA\n", "Expected a readable CSV file in UTF-8"),
    ],
)
def test_a_mistake_is_told_by_line_and_column(
    text: str | bytes, said: str, own: Callable[[str | bytes], Path]
) -> None:
    path = own(text)
    with pytest.raises(ConfigError) as caught:
        [row for kind in TABLES for row in rows_of(kind, "aws", path)]
    assert str(caught.value).startswith(f"Read the file of mapping_overrides_path, {path}: ")
    assert said in str(caught.value)


def test_both_mappers_check_the_whole_file(own: Callable[[str | bytes], Path]) -> None:
    path = own(HEADER + "region,azure,x,NOWHERE\n")
    for mapper in (RegionMapper, ServiceMapper):
        with pytest.raises(ConfigError, match="NOWHERE"):
            mapper("aws", path)


@pytest.mark.parametrize("name", ["missing.csv", ""])
def test_a_file_that_cannot_be_read_is_an_error_of_the_settings(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Expected a readable CSV file"):
        rows_of("region", "aws", tmp_path / name)


def test_a_file_as_a_spreadsheet_writes_it_is_read(own: Callable[[str | bytes], Path]) -> None:
    text = 'Kind, PROVIDER ,key,aliases,offgridflow_location\r\n Region,"AWS",mars-1,"a;b",MENA\r\n,,,,\r\n'
    path = own(b"\xef\xbb\xbf" + text.encode())
    assert rows_of("region", "aws", path)[-1] == {
        "kind": "region",
        "provider": "aws",
        "key": "mars-1",
        "aliases": "a;b",
        "offgridflow_location": "MENA",
    }


def test_a_header_alone_changes_nothing(own: Callable[[str | bytes], Path]) -> None:
    assert rows_of("region", "aws", own(HEADER)) == list(packaged("region", "aws"))


def test_the_tables_of_the_package_are_never_changed(own: Callable[[str | bytes], Path]) -> None:
    before = [dict(row) for row in packaged("region", "aws")]
    rows_of("region", "aws", own(HEADER + "region,aws,eu-central-1,MENA,,,,,Mainhattan\n"))
    assert [dict(row) for row in packaged("region", "aws")] == before


def test_the_example_in_the_documentation_works(own: Callable[[str | bytes], Path]) -> None:
    text = (mapping_overrides.__doc__ or "").split("    kind,", 1)[1]
    path = own("kind," + "\n".join(line.strip() for line in text.splitlines()))
    found = RegionMapper("aws", path).lookup("New Region")
    assert found is not None
    assert (found.region_id, found.country) == ("xx-new-1", "DEU")
    assert ServiceMapper("aws", path).lookup("AmazonLightsail").category == "cloud_compute_containers"


# -- the shipped tables -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TABLES)
def test_the_columns_a_user_can_set_are_those_of_the_tables(kind: str) -> None:
    spec = TABLES[kind]
    for provider in providers():
        file = DATA / spec.file.format(provider=provider)
        if file.is_file():
            header = next(csv.reader(file.read_text(encoding="utf-8").splitlines()))
            key = spec.key or header[0]
            assert tuple(name for name in header if name not in ("provider", key)) == spec.columns


def test_the_shipped_rows_would_pass_the_checks_of_the_users_file() -> None:
    failed = [
        (kind, row["key"], column, row[column])
        for kind, spec in TABLES.items()
        for provider in providers()
        for row in packaged(kind, provider)
        for column in spec.columns
        if row[column] and column in mapping_overrides._checks()
        if not mapping_overrides._checks()[column].accepts(row[column])
    ]
    assert failed == []


def test_the_vocabularies_are_those_of_offgridflow() -> None:
    assert vocabulary("offgridflow_category") == {
        *(
            "cloud_compute",
            "cloud_compute_serverless",
            "cloud_compute_kubernetes",
            "cloud_compute_containers",
        ),
        *("cloud_database", "cloud_storage", "cloud_cdn", "cloud_network", "cloud_data", "data_transfer"),
        *("data_processing", "data_warehouse", "cloud_other"),
    }
    assert vocabulary("offgridflow_location") == {
        *("US-EAST", "US-WEST", "US-CENTRAL", "US-AVERAGE", "CANADA", "EU-WEST", "EU-CENTRAL", "EU-NORTH"),
        *("EU-SOUTH", "EU-AVERAGE", "ASIA-PACIFIC", "LATAM", "MENA", "AFRICA", "GLOBAL"),
    }


def test_every_shipped_table_has_its_source_and_licence_written_down() -> None:
    sources = (DATA / "SOURCES.md").read_text(encoding="utf-8")
    names = [file.name for file in DATA.iterdir() if file.name.endswith(".csv")]
    assert len(names) >= 5
    assert [name for name in names if f"\n## {name}\n" not in sources] == []


# -- a third cloud ------------------------------------------------------------------------------------------


@pytest.fixture
def nimbus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The shipped regions with one of a new provider, and a table of its services; nothing else."""
    data = tmp_path / "data"
    data.mkdir()
    regions = (DATA / "regions.csv").read_text(encoding="utf-8")
    (data / "regions.csv").write_text(
        regions + "nimbus,nimbus,north1,North 1,N1,IS,ISL,,,IS,,EU-NORTH,,,active\n", encoding="utf-8"
    )
    (data / "nimbus_services.csv").write_text(
        "sku_family,service_name,focus_service_category,focus_service_subcategory,offgridflow_category\n"
        "vm,Nimbus Machines,Compute,Virtual Machines,cloud_compute\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(reference_data, "files", lambda _: tmp_path)
    caches = (reference_data._rows, mapping_overrides._checks)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.mark.usefixtures("nimbus")
def test_a_third_cloud_is_rows_in_tables_and_no_code(own: Callable[[str | bytes], Path]) -> None:
    path = own(
        "kind,provider,key,country_iso3,offgridflow_location,service_name,focus_service_category,"
        "offgridflow_category\nregion,nimbus,south1,NZL,ASIA-PACIFIC\n"
        "service,nimbus,bucket,,,Nimbus Buckets,Storage,cloud_compute\n"
    )
    regions, services = RegionMapper("nimbus", path), ServiceMapper("nimbus", path)
    found = [regions.lookup("N1"), regions.lookup("south1")]
    assert [region and region.country for region in found] == ["ISL", "NZL"]
    assert services.lookup("VM", "anything").service_name == "Nimbus Machines"
    assert services.lookup("bucket").service_category == "Storage"
