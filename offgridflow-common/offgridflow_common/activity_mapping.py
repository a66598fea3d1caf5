"""From facts in a provider's words to activities: services, regions, and whose they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from offgridflow_common.activity import finish
from offgridflow_common.regions import UNKNOWN_LOCATION, RegionMapper
from offgridflow_common.services import ServiceMapper

if TYPE_CHECKING:
    import logging

    from offgridflow_common.regions import Region
    from offgridflow_common.settings import CommonSettings

#: How activities spell the region of what has no place.
_GLOBAL_REGION = "global"


@dataclass(frozen=True, slots=True)
class ActivityMapping:
    """What turns a provider's words into OffGridFlow's, and whose activities they are."""

    provider: str
    regions: RegionMapper
    services: ServiceMapper
    org_id: str | None
    workspace_id: str | None

    @classmethod
    def of(cls, provider: str, settings: CommonSettings) -> ActivityMapping:
        """The mapping that the settings ask for."""
        return cls(
            provider=provider,
            regions=RegionMapper(provider, settings.mapping_overrides_path),
            services=ServiceMapper(provider, settings.mapping_overrides_path),
            org_id=settings.org_id,
            workspace_id=settings.workspace_id,
        )

    def report(self, logger: logging.Logger) -> None:
        """Warn once of all that could not be mapped."""
        self.regions.report(logger)
        self.services.report(logger)


def activities(facts: pl.DataFrame, mapping: ActivityMapping) -> pl.DataFrame:
    """Complete facts with what their services and regions mean, and make activities of them.

    Args:
        facts: As :func:`offgridflow_common.activity.finish` takes them, with ``service_code``,
            ``usage_type`` and ``region`` in the provider's words, and ``resource_type`` where that tells
            more. ``service_category`` and ``service_name``, where the source has them, stay as they are.
        mapping: The mappers.
    """
    named = _with_services(_with_regions(facts, mapping), mapping)
    return finish(
        named.with_columns(provider=pl.lit(mapping.provider)),
        org_id=mapping.org_id,
        workspace_id=mapping.workspace_id,
    )


def empty_text_as_null() -> pl.Expr:
    """All columns of text, with null in place of empty text; to be used before facts are summed.

    Sources write the one or the other where nothing is given, even side by side.
    """
    text = pl.col(pl.String)
    return pl.when(text != "").then(text).name.keep()


def with_region_ids(facts: pl.DataFrame, mapping: ActivityMapping) -> pl.DataFrame:
    """The facts with every spelling of a region replaced by its id; to be done before they are summed."""
    ids = {text: _region_id(mapping.regions.lookup(text), text) for text in facts["region"].unique()}
    return facts.with_columns(pl.Series("region", [ids[text] for text in facts["region"]], dtype=pl.String))


def _with_services(facts: pl.DataFrame, mapping: ActivityMapping) -> pl.DataFrame:
    keys = [name for name in ("service_code", "usage_type", "resource_type") if name in facts.columns]
    pairs = facts.select(keys).unique()
    services = [mapping.services.lookup(*pair) for pair in pairs.iter_rows()]
    found = pairs.with_columns(
        pl.Series("found_name", [service.service_name for service in services], dtype=pl.String),
        pl.Series("found_category", [service.service_category for service in services], dtype=pl.String),
        pl.Series("category", [service.category for service in services], dtype=pl.String),
    )
    joined = facts.join(found, on=keys, nulls_equal=True, how="left", maintain_order="left")
    given = facts.columns
    return joined.with_columns(
        service_name=_first(given, "service_name", "found_name"),
        service_category=_first(given, "service_category", "found_category"),
    )


def _with_regions(facts: pl.DataFrame, mapping: ActivityMapping) -> pl.DataFrame:
    names = facts.select("region").unique()
    regions = [mapping.regions.lookup(name) for name in names["region"]]
    found = names.with_columns(
        pl.Series("found_region", list(map(_region_id, regions, names["region"])), dtype=pl.String),
        pl.Series(
            "location", [place.location if place else UNKNOWN_LOCATION for place in regions], dtype=pl.String
        ),
        pl.Series("country", [place.country if place else None for place in regions], dtype=pl.String),
    )
    joined = facts.join(found, on="region", nulls_equal=True, how="left", maintain_order="left")
    return joined.with_columns(region=pl.col("found_region"))


def _first(given: list[str], name: str, found: str) -> pl.Expr:
    return pl.coalesce(name, found) if name in given else pl.col(found)


def _region_id(region: Region | None, text: str | None) -> str | None:
    """The region's id; ``global`` for what has no place; what is unknown stays as it was given."""
    if region is None:
        return text or None
    return _GLOBAL_REGION if region.status == "global" and region.country is None else region.region_id
