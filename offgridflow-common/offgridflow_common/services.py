"""Services: from a provider's codes and usage types to FOCUS categories and OffGridFlow categories."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from offgridflow_common.mapping_overrides import rows_of
from offgridflow_common.reference_data import Row, UnknownValues, fold

if TYPE_CHECKING:
    import logging
    from collections import Counter
    from pathlib import Path

UNKNOWN_CATEGORY: Final = "cloud_other"
"""The OffGridFlow category of what is not known."""


@dataclass(frozen=True, slots=True)
class Service:
    """What a line of usage or emissions is about.

    Attributes:
        service_code: The provider's code, in the table's spelling where it is known.
        service_name: Its name for people; the code where it is unknown.
        service_category: FOCUS ServiceCategory.
        service_subcategory: FOCUS ServiceSubcategory.
        category: OffGridFlow's category.
    """

    service_code: str
    service_name: str
    service_category: str = "Other"
    service_subcategory: str = "Other (Other)"
    category: str = UNKNOWN_CATEGORY


@dataclass(frozen=True, slots=True)
class _Rule:
    """Gives the category of the usage types it fits, for one service (folded code) or all of them."""

    product_code: str
    usage_type: re.Pattern[str]
    categories: Service

    def fits(self, service_code: str, usage_type: str) -> bool:
        return self.product_code in ("*", service_code) and self.usage_type.search(usage_type) is not None


class ServiceMapper:
    """Finds a provider's services and their categories. Thread-safe.

    Args:
        provider: The provider, as the tables spell it.
        overrides: The user's CSV file of own rows; see `mapping_overrides`.

    Raises:
        ConfigError: The user's file cannot be used.
        ValueError: The tables know no services of this provider.
    """

    def __init__(self, provider: str, overrides: Path | None = None) -> None:
        self._services = _services(rows_of("service", provider, overrides))
        if not self._services:
            raise ValueError(f"no services of the provider {provider!r}")
        self._resource_types = _services(rows_of("resource_type", provider, overrides))
        rules = sorted(rows_of("usage_type_rule", provider, overrides), key=lambda row: int(row["key"]))
        self._rules = [_rule(row) for row in rules]
        self._seen: dict[tuple[str, str, str], tuple[Service, str | None]] = {}
        self._unknown = UnknownValues(f"{provider} services", UNKNOWN_CATEGORY)

    @property
    def unknown(self) -> Counter[str]:
        """The codes no table knows, and how often each was looked up."""
        return self._unknown.counts

    def lookup(
        self, service_code: str | None, usage_type: str | None = "", resource_type: str | None = ""
    ) -> Service:
        """Return the service, whatever the case and blanks of what is given.

        The categories come from the first rule that fits the usage type, else from the service code, else
        from the resource type. What none of them knows is `cloud_other`, and is counted unless empty.
        """
        asked = (service_code or "", usage_type or "", resource_type or "")
        try:
            service, unknown = self._seen[asked]
        except KeyError:
            service, unknown = self._seen[asked] = self._find(*asked)
        if unknown:
            self._unknown.add(unknown)
        return service

    def report(self, logger: logging.Logger) -> None:
        """Warn of unknown services, each named once, in one line."""
        self._unknown.report(logger)

    def _find(self, service_code: str, usage_type: str, resource_type: str) -> tuple[Service, str | None]:
        """Return the service, and the value to count as unknown if nothing knows it."""
        code = fold(service_code)
        by_code = self._services.get(code)
        known = by_code or self._resource_types.get(fold(resource_type))
        given = service_code.strip() or resource_type.strip()
        service = known or Service(given, given)
        if known and not by_code and code:
            service = replace(service, service_code=given)
        for rule in self._rules:
            if rule.fits(code, usage_type):
                return _with_categories(service, rule.categories), None
        return service, None if known else given or usage_type.strip() or None


def _services(rows: list[Row]) -> dict[str, Service]:
    return {fold(row["key"]): _service(row) for row in rows}


def _service(row: Row) -> Service:
    return Service(
        service_code=row["key"],
        service_name=row.get("service_name", ""),
        service_category=row["focus_service_category"],
        service_subcategory=row["focus_service_subcategory"],
        category=row["offgridflow_category"],
    )


def _rule(row: Row) -> _Rule:
    return _Rule(fold(row["product_code"]), re.compile(row["regex"]), _service(row))


def _with_categories(service: Service, other: Service) -> Service:
    return replace(
        service,
        service_category=other.service_category,
        service_subcategory=other.service_subcategory,
        category=other.category,
    )
