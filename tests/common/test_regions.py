"""Every region of the tables with all its spellings, and what happens with those that are in none."""

from __future__ import annotations

import csv
import logging
import threading
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from offgridflow_common import regions
from offgridflow_common.regions import Region, RegionMapper

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOGGER = logging.getLogger("test.regions")
DATA = files("offgridflow_common") / "data"
ROWS = list(csv.DictReader((DATA / "regions.csv").read_text(encoding="utf-8").splitlines()))
PROVIDERS = sorted({row["provider"] for row in ROWS})


def spellings(row: dict[str, str]) -> list[str]:
    return [row["region_id"], row["region_name"], *filter(None, row["aliases"].split(";"))]


def variants(text: str) -> list[str]:
    return [text, text.upper(), text.lower(), f"  {text}\t", text.replace(" ", "  ")]


def test_the_table_is_the_one_that_was_collected() -> None:
    counts = {provider: sum(row["provider"] == provider for row in ROWS) for provider in PROVIDERS}
    assert counts == {"aws": 55, "azure": 129}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_region_is_found_by_every_spelling(provider: str) -> None:
    mapper = RegionMapper(provider)
    wrong = [
        (row["region_id"], text, found and found.region_id)
        for row in ROWS
        if row["provider"] == provider
        for spelling in spellings(row)
        for text in variants(spelling)
        if (found := mapper.lookup(text)) is None or found.region_id != row["region_id"]
    ]
    assert wrong == []
    assert not mapper.unknown


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_region_has_the_values_of_its_row(provider: str) -> None:
    mapper = RegionMapper(provider)
    for row in (row for row in ROWS if row["provider"] == provider):
        assert mapper.lookup(row["region_id"]) == Region(
            region_id=row["region_id"],
            region_name=row["region_name"],
            location=row["offgridflow_location"],
            country=row["country_iso3"] or None,
            subdivision=row["subdivision"] or None,
            grid_zone=row["grid_zone"] or None,
            egrid_subregion=row["egrid_subregion"] or None,
            pue=float(row["pue"]) if row["pue"] else None,
            status=row["status"],
        )


@pytest.mark.parametrize(
    ("provider", "text"),
    [
        *(("aws", text) for text in ("global", "Global", "aws-global", "NoRegion", "no region", "Any")),
        *(("azure", text) for text in ("global", "Global", "unassigned", "Unknown", "All Regions")),
    ],
)
def test_what_has_no_region_is_global_and_has_no_country(provider: str, text: str) -> None:
    mapper = RegionMapper(provider)
    found = mapper.lookup(text)
    assert found is not None
    assert (found.location, found.country, found.status) == ("GLOBAL", None, "global")
    assert not mapper.unknown


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("text", [None, "", "  ", "\t\n"])
def test_no_text_is_no_region_and_not_counted_as_unknown(provider: str, text: str | None) -> None:
    mapper = RegionMapper(provider)
    assert mapper.lookup(text) is None
    assert not mapper.unknown


@pytest.mark.parametrize("text", ["eu-central", "eu-central-1a", "xx-nowhere-1", "Frankfurt-ish", "-", "1"])
def test_what_merely_resembles_a_region_is_unknown(text: str) -> None:
    mapper = RegionMapper("aws")
    assert mapper.lookup(text) is None
    assert mapper.lookup(f" {text} ") is None
    assert mapper.unknown == {text: 2}


def test_a_region_of_another_provider_is_unknown() -> None:
    assert RegionMapper("aws").lookup("westeurope") is None
    assert RegionMapper("azure").lookup("eu-central-1") is None


def test_a_provider_without_regions_is_refused() -> None:
    with pytest.raises(ValueError, match="no regions of the provider 'nimbus'"):
        RegionMapper("nimbus")


def test_unknown_regions_are_named_once_in_one_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    mapper = RegionMapper("aws")
    for text in ("mars-1", "moon-1", "moon-1"):
        mapper.lookup(text)
    mapper.report(LOGGER)
    mapper.lookup("moon-1")
    mapper.report(LOGGER)
    mapper.lookup("venus-1")
    mapper.report(LOGGER)
    assert caplog.messages == [
        f"{what}. Add them to the file of mapping_overrides_path"
        for what in (
            "2 unknown aws regions were mapped to GLOBAL: 'mars-1', 'moon-1'",
            "1 unknown aws regions were mapped to GLOBAL: 'venus-1'",
        )
    ]
    assert mapper.unknown == {"moon-1": 3, "mars-1": 1, "venus-1": 1}


def test_of_many_unknown_regions_twenty_are_named(caplog: pytest.LogCaptureFixture) -> None:
    mapper = RegionMapper("aws")
    for number in range(25):
        mapper.lookup(f"mars-{number}" + "x" * 1000)
    mapper.report(LOGGER)
    (message,) = caplog.messages
    assert message.startswith("25 unknown aws regions")
    assert message.count("'mars-") == 20
    assert ", and 5 more. " in message
    assert len(message) < 2500


def test_nothing_unknown_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    mapper = RegionMapper("aws")
    mapper.lookup("eu-central-1")
    mapper.report(LOGGER)
    assert caplog.messages == []


def test_a_second_lookup_is_only_a_dict_hit(monkeypatch: pytest.MonkeyPatch) -> None:
    mapper = RegionMapper("aws")
    first = [mapper.lookup(text) for text in (" EU (Frankfurt)", "mars-1")]

    def never(_: str) -> str:
        raise AssertionError

    monkeypatch.setattr(regions, "fold", never)
    assert [mapper.lookup(text) for text in (" EU (Frankfurt)", "mars-1")] == first
    assert mapper.unknown == {"mars-1": 2}


def test_threads_lose_no_unknown_region() -> None:
    mapper = RegionMapper("aws")

    def work() -> None:
        for number in range(2000):
            mapper.lookup(f"mars-{number % 7}")

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(mapper.unknown.values()) == 16_000


# -- the user's own rows ------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "own.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_new_region_needs_no_release(own: Callable[[str], Path]) -> None:
    path = own(
        "kind,provider,key,region_name,aliases,country_iso3,grid_zone,offgridflow_location,pue\n"
        "region,aws,mars-north-1,Mars (North),MAN1; Olympus,DEU,DE,EU-CENTRAL,1.05\n"
    )
    mapper = RegionMapper("aws", path)
    expected = Region("mars-north-1", "Mars (North)", "EU-CENTRAL", "DEU", grid_zone="DE", pue=1.05)
    for text in ("MARS-north-1", "mars (north)", "man1", "Olympus"):
        assert mapper.lookup(text) == expected
    assert RegionMapper("azure", path).lookup("mars-north-1") is None


def test_a_new_region_needs_nothing_but_its_location(own: Callable[[str], Path]) -> None:
    mapper = RegionMapper("aws", own("kind,provider,key,offgridflow_location\nregion,aws,mars-1,MENA\n"))
    assert mapper.lookup("mars-1") == Region("mars-1", "mars-1", "MENA")


def test_a_row_of_the_users_changes_only_the_cells_it_fills(own: Callable[[str], Path]) -> None:
    before = RegionMapper("aws").lookup("eu-central-1")
    path = own("kind,provider,key,aliases,grid_zone,pue\nregion,aws,EU-Central-1,Mainhattan,DE-X,\n")
    mapper = RegionMapper("aws", path)
    after = mapper.lookup("Mainhattan")
    assert before is not None
    assert after is not None
    assert (after.grid_zone, before.grid_zone) == ("DE-X", "DE")
    assert (after.region_id, after.country, after.pue) == (before.region_id, before.country, before.pue)
    for text in ("eu-central-1", "EUC1", "EU (Frankfurt)", "Europe (Frankfurt)"):
        assert mapper.lookup(text) == after


def test_an_alias_of_the_users_wins_over_the_table(own: Callable[[str], Path]) -> None:
    path = own("kind,provider,key,aliases,offgridflow_location\nregion,aws,mars-1,EUC1,MENA\n")
    found = RegionMapper("aws", path).lookup("EUC1")
    assert found is not None
    assert found.region_id == "mars-1"
