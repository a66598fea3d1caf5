"""The reference tables in `data/`: their kinds, how they are read, and how what they lack is counted.

Sources and licences of the tables: `data/SOURCES.md`.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from io import StringIO
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import logging
    from collections.abc import Mapping

Row = dict[str, str]
"""A row by column name; the column `key` holds the row's key, whatever the table calls it."""


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A kind of table.

    Attributes:
        file: Its name in `data/`.
        columns: Its columns beside the provider and the key.
        required: The columns without which a row means nothing.
        key: The column with the key; "" is the first, which each provider may name after its own term.
    """

    file: str
    columns: tuple[str, ...]
    required: tuple[str, ...]
    key: str = ""


_CATEGORIES: Final = ("focus_service_category", "focus_service_subcategory", "offgridflow_category")
_SERVICE: Final = ("service_name", *_CATEGORIES)
_SERVICE_REQUIRED: Final = ("service_name", "focus_service_category", "offgridflow_category")
_REGION: Final = (
    "partition region_name aliases country_iso2 country_iso3 subdivision city grid_zone egrid_subregion "
    "offgridflow_location pue pue_source status"
)

TABLES: Final[Mapping[str, TableSpec]] = MappingProxyType(
    {
        "region": TableSpec(
            "regions.csv", tuple(_REGION.split()), ("offgridflow_location",), key="region_id"
        ),
        "service": TableSpec("{provider}_services.csv", _SERVICE, _SERVICE_REQUIRED),
        "resource_type": TableSpec("{provider}_resource_types.csv", _SERVICE, _SERVICE_REQUIRED),
        "usage_type_rule": TableSpec(
            "{provider}_usage_type_rules.csv",
            ("product_code", "field", "regex", *_CATEGORIES),
            ("product_code", "regex", "focus_service_category", "offgridflow_category"),
        ),
    },
)
"""The tables by their kind. A provider need not have all of them."""


def fold(text: str) -> str:
    """Return `text` as keys are compared: trimmed, blanks collapsed, case folded."""
    return " ".join(text.split()).casefold()


def packaged(kind: str, provider: str) -> tuple[Row, ...]:
    """Return a provider's rows of a kind as shipped, in the table's order; none if it has no such table."""
    table = TABLES[kind]
    return tuple(
        row
        for row in _rows(table.file.format(provider=provider), table.key)
        if row.get("provider", provider) == provider
    )


def providers() -> frozenset[str]:
    """Return the providers that the tables know."""
    regions = TABLES["region"]
    return frozenset(row["provider"] for row in _rows(regions.file, regions.key))


def vocabulary(column: str) -> frozenset[str]:
    """Return the values that the tables of all providers have in a column."""
    return frozenset(
        row[column]
        for spec in TABLES.values()
        for provider in providers()
        for row in _rows(spec.file.format(provider=provider), spec.key)
        if column in row
    )


@cache
def _rows(name: str, key: str) -> tuple[Row, ...]:
    file = files("offgridflow_common") / "data" / name
    if not file.is_file():
        return ()
    reader = csv.DictReader(StringIO(file.read_text(encoding="utf-8")), strict=True)
    key = key or (reader.fieldnames or [""])[0]
    return tuple({**row, "key": row[key]} for row in reader)


class UnknownValues:
    """Values no table knows: counted always, named once. Thread-safe.

    Args:
        what: What the values are, in the plural, such as "aws regions".
        become: What they are mapped to, for the warning.
    """

    MAX_NAMES: Final = 20
    MAX_LENGTH: Final = 80

    def __init__(self, what: str, become: str) -> None:
        self._counts: Counter[str] = Counter()
        self._what = what
        self._become = become
        self._named: set[str] = set()
        self._lock = Lock()

    @property
    def counts(self) -> Counter[str]:
        """How often each value was counted, as of now."""
        with self._lock:
            return Counter(self._counts)

    def add(self, value: str) -> None:
        """Count a value."""
        with self._lock:
            self._counts[value] += 1

    def report(self, logger: logging.Logger) -> None:
        """Warn, in one line, of the values that no earlier report named."""
        with self._lock:
            new = [value for value in self._counts if value not in self._named]
            self._named.update(new)
        if not new:
            return
        names = [repr(value[: self.MAX_LENGTH]) for value in new[: self.MAX_NAMES]]
        if len(new) > self.MAX_NAMES:
            names.append(f"and {len(new) - self.MAX_NAMES} more")
        logger.warning(
            "%d unknown %s were mapped to %s: %s. Add them to the file of mapping_overrides_path",
            *(len(new), self._what, self._become, ", ".join(names)),
        )
