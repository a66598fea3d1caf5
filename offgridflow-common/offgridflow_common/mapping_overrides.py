"""The user's own rows for the reference tables: the CSV file of `mapping_overrides_path`.

It has the columns `kind`, `provider` and `key`, and any columns of the tables it adds to:

| kind | key | table |
|---|---|---|
| `region` | region id | `regions.csv` |
| `service` | service code | `<provider>_services.csv` |
| `resource_type` | resource type | `<provider>_resource_types.csv` |
| `usage_type_rule` | priority, the lowest is tried first | `<provider>_usage_type_rules.csv` |

A row with a known key replaces the cells it fills and leaves the others; its aliases are added to those
known. Any other row is new. So this file teaches a new region and changes the category of a service:

    kind,provider,key,aliases,country_iso3,offgridflow_location,offgridflow_category
    region,aws,xx-new-1,XXN1;New Region,DEU,EU-CENTRAL,
    service,aws,AmazonLightsail,,,,cloud_compute_containers
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from offgridflow_common.errors import ConfigError
from offgridflow_common.reference_data import (
    TABLES,
    Row,
    fold,
    packaged,
    providers,
    vocabulary,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

_HEADER: Final = ("kind", "provider", "key")
_COLUMNS: Final = (*_HEADER, *dict.fromkeys(name for spec in TABLES.values() for name in spec.columns))


@dataclass(frozen=True, slots=True)
class _Check:
    expected: str
    accepts: Callable[[str], object]


def _one_of(values: Iterable[str]) -> _Check:
    allowed = frozenset(values)
    return _Check("one of " + ", ".join(sorted(allowed)), allowed.__contains__)


def _compiles(text: str) -> bool:
    try:
        re.compile(text)
    except re.error:
        return False
    return True


# ServiceCategory of FOCUS 1.2.
_SERVICE_CATEGORIES: Final = (
    "AI and Machine Learning",
    "Analytics",
    "Business Applications",
    "Compute",
    "Databases",
    "Developer Tools",
    "Identity",
    "Integration",
    "Internet of Things",
    "Management and Governance",
    "Media",
    "Migration",
    "Mobile",
    "Multicloud",
    "Networking",
    "Other",
    "Security",
    "Storage",
    "Web",
)
_ANY: Final = _Check("a value", bool)
_PRIORITY: Final = _Check("a whole number, the rule's priority", re.compile(r"0|[1-9]\d{0,8}").fullmatch)


@cache
def _checks() -> Mapping[str, _Check]:
    """Return what the cells of a column must be, for the columns that cannot be just anything."""
    two, three = re.compile("[A-Z]{2}"), re.compile("[A-Z]{3}")
    return {
        "kind": _one_of(TABLES),
        "provider": _one_of(providers()),
        "country_iso2": _Check("an ISO 3166-1 code of two letters, such as DE", two.fullmatch),
        "country_iso3": _Check("an ISO 3166-1 code of three letters, such as DEU", three.fullmatch),
        "field": _one_of(["usage_type"]),
        "focus_service_category": _one_of(_SERVICE_CATEGORIES),
        "offgridflow_category": _one_of(vocabulary("offgridflow_category")),
        "offgridflow_location": _one_of(vocabulary("offgridflow_location")),
        "pue": _Check("a number from 1 up, such as 1.2", re.compile(r"[1-9]\d?(\.\d+)?").fullmatch),
        "regex": _Check("a regular expression of Python", _compiles),
    }


def rows_of(kind: str, provider: str, overrides: Path | None = None) -> list[Row]:
    """Return a provider's rows of a kind, the user's included.

    Args:
        kind: A key of `reference_data.TABLES`.
        provider: The provider, as the tables spell it.
        overrides: The user's file, if there is one; it is checked whole, whatever the kind.

    Returns:
        The rows, those the user changed or added last.

    Raises:
        ConfigError: The user's file cannot be used; it names the line, the column and what was expected.
    """
    rows = {fold(row["key"]): row for row in packaged(kind, provider)}
    for line in _read(overrides) if overrides else ():
        own = line.row
        if (own["kind"], own["provider"]) == (kind, provider):
            key = fold(own["key"])
            row = _merged(rows.pop(key, {}), own)
            for column in TABLES[kind].required:
                if not row.get(column):
                    raise line.problem(column, f"a value, because this {kind} is new")
            rows[key] = row
    return list(rows.values())


def _merged(known: Row, own: Row) -> Row:
    row = {**known, **{column: text for column, text in own.items() if text}}
    if known:
        row["key"] = known["key"]
    if known.get("aliases") and own.get("aliases"):
        row["aliases"] = f"{known['aliases']};{own['aliases']}"
    # A subcategory belongs to one category, so it does not outlive it.
    if own.get("focus_service_category") and not own.get("focus_service_subcategory"):
        row["focus_service_subcategory"] = f"Other ({own['focus_service_category']})"
    return row


@dataclass(frozen=True, slots=True)
class _Line:
    path: Path
    number: int
    row: Row

    def problem(self, column: str, expected: str) -> ConfigError:
        given = f"{self.row[column]!r}" if self.row.get(column) else "nothing"
        return _problem(self.path, f"line {self.number}, column {column}: {given}", f"Expected {expected}")


def _problem(path: Path, got: str, do: str) -> ConfigError:
    return ConfigError(asked=f"Read the file of mapping_overrides_path, {path}", got=got, do=do)


def _read(path: Path) -> Iterator[_Line]:
    """Yield the lines of the user's file, each checked by itself and against those before."""
    first: dict[tuple[str, str, str], int] = {}
    for line in _lines(path):
        _check(line)
        row = line.row
        same = first.setdefault((row["kind"], row["provider"], fold(row["key"])), line.number)
        if same != line.number:
            raise line.problem("key", f"each {row['kind']} once, but it is in line {same} too")
        yield line


def _check(line: _Line) -> None:
    for column in _HEADER:
        check = _checks().get(column, _ANY)
        if not check.accepts(line.row[column]):
            raise line.problem(column, check.expected)
    kind = line.row["kind"]
    if kind == "usage_type_rule" and not _PRIORITY.accepts(line.row["key"]):
        raise line.problem("key", _PRIORITY.expected)
    columns = TABLES[kind].columns
    for column in (column for column, text in line.row.items() if text and column not in _HEADER):
        if column not in columns:
            raise line.problem(column, f"nothing, as a {kind} has only {', '.join(columns)}")
        check = _checks().get(column, _ANY)
        if not check.accepts(line.row[column]):
            raise line.problem(column, check.expected)


def _lines(path: Path) -> Iterator[_Line]:
    lines = _cells(path)
    number, texts = next(lines, (1, []))
    header = _header(path, number, texts)
    for number, texts in lines:
        if any(texts[len(header) :]):
            got = f"line {number}: {len(texts)} cells"
            raise _problem(path, got, f"Expected {len(header)}, as in the header")
        row = dict.fromkeys(header, "") | dict(zip(header, texts, strict=False))
        row["kind"], row["provider"] = row["kind"].casefold(), row["provider"].casefold()
        yield _Line(path, number, row)


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the trimmed cells of each line that is not blank, with its number."""
    number = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                number = reader.line_num
                if any(texts := [cell.strip() for cell in cells]):
                    yield number, texts
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        got = f"after line {number}: {error}"
        raise _problem(path, got, "Expected a readable CSV file in UTF-8, separated by commas") from error


def _header(path: Path, number: int, texts: list[str]) -> list[str]:
    header = [text.casefold() for text in texts]
    for column in _HEADER:
        if column not in header:
            got = f"line {number}: there is no column {column}"
            raise _problem(
                path, got, "Expected the columns kind, provider, key and more, separated by commas"
            )
    for column in header:
        if column not in _COLUMNS:
            got = f"line {number}: the column {column!r} is unknown"
            raise _problem(path, got, "Expected columns out of " + ", ".join(_COLUMNS))
        if header.count(column) > 1:
            raise _problem(path, f"line {number}: the column {column} occurs twice", "Keep one of them")
    return header
