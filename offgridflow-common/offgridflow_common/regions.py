"""Regions: from any spelling a provider uses to country, grid zone and OffGridFlow location."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from offgridflow_common.mapping_overrides import rows_of
from offgridflow_common.reference_data import Row, UnknownValues, fold

if TYPE_CHECKING:
    import logging
    from collections import Counter
    from pathlib import Path

UNKNOWN_LOCATION: Final = "GLOBAL"
"""The OffGridFlow location of what has no known region."""


@dataclass(frozen=True, slots=True)
class Region:
    """A region, or a place that a provider reports like one.

    Attributes:
        region_id: The provider's id.
        region_name: The provider's name for people.
        location: OffGridFlow's region family, such as EU-CENTRAL.
        country: ISO 3166-1 alpha-3; None where there is no single country.
        subdivision: ISO 3166-2, where known.
        grid_zone: The electricity grid it draws from; `data/SOURCES.md` says how zones are named.
        egrid_subregion: EPA's eGRID subregion, in the United States.
        pue: Power usage effectiveness, where published.
        status: active, announced, retired, global ...; `data/SOURCES.md` has all.
    """

    region_id: str
    region_name: str
    location: str
    country: str | None = None
    subdivision: str | None = None
    grid_zone: str | None = None
    egrid_subregion: str | None = None
    pue: float | None = None
    status: str = "active"


class RegionMapper:
    """Finds a provider's regions by id, name or alias. Thread-safe.

    Args:
        provider: The provider, as the tables spell it.
        overrides: The user's CSV file of own rows; see `mapping_overrides`.

    Raises:
        ConfigError: The user's file cannot be used.
        ValueError: The tables know no regions of this provider.
    """

    def __init__(self, provider: str, overrides: Path | None = None) -> None:
        rows = rows_of("region", provider, overrides)
        if not rows:
            raise ValueError(f"no regions of the provider {provider!r}")
        # The user's rows come last, so their spellings win.
        self._by_spelling = {spelling: region for row in rows for spelling, region in _spellings(row)}
        self._by_text: dict[str, Region | None] = {}
        self._unknown = UnknownValues(f"{provider} regions", UNKNOWN_LOCATION)

    @property
    def unknown(self) -> Counter[str]:
        """The texts no region was found for, and how often each was looked up."""
        return self._unknown.counts

    def lookup(self, text: str | None) -> Region | None:
        """Return the region that `text` names, whatever its case and blanks.

        None is returned for a text that is unknown, which is counted, and for no text, which is not.
        """
        if not text:
            return None
        try:
            region = self._by_text[text]
        except KeyError:
            region = self._by_text[text] = self._by_spelling.get(fold(text))
        if region is None and (name := text.strip()):
            self._unknown.add(name)
        return region

    def report(self, logger: logging.Logger) -> None:
        """Warn of unknown regions, each named once, in one line."""
        self._unknown.report(logger)


def _spellings(row: Row) -> list[tuple[str, Region]]:
    region = _region(row)
    texts = (region.region_id, region.region_name, *row.get("aliases", "").split(";"))
    return [(fold(text), region) for text in texts if text.strip()]


def _region(row: Row) -> Region:
    def optional(column: str) -> str | None:
        return row.get(column) or None

    pue = optional("pue")
    return Region(
        region_id=row["key"],
        region_name=row.get("region_name") or row["key"],
        location=row["offgridflow_location"],
        country=optional("country_iso3"),
        subdivision=optional("subdivision"),
        grid_zone=optional("grid_zone"),
        egrid_subregion=optional("egrid_subregion"),
        pue=None if pue is None else float(pue),
        status=row.get("status") or "active",
    )
