"""Settings that every tap has: their JSON schema, and the frozen dataclass they become once, at the edge."""

from __future__ import annotations

import difflib
import math
import tempfile
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from singer_sdk import typing as th
from singer_sdk.exceptions import ConfigValidationError

from offgridflow_common.months import MONTH, floor, utc_moment
from offgridflow_common.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from singer_sdk.plugin_base import PluginBase

_GIBIBYTE = 1024**3


@dataclass(frozen=True, slots=True)
class RequestDefaults:
    """How a provider wants to be asked, unless the user says otherwise.

    Attributes:
        rate_limit_per_second: Requests a second in the long run.
        rate_limit_capacity: Requests that may be sent in one burst.
        request_timeout_seconds: Seconds to wait for a connection or for the next bytes.
    """

    rate_limit_per_second: float
    rate_limit_capacity: int
    request_timeout_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonSettings:
    """The settings all taps share, parsed. Times are aware and in UTC."""

    org_id: str | None
    workspace_id: str | None
    start: datetime | None
    end: datetime
    lookback_months: int
    activity_grain: str
    rate_limit_per_second: float
    rate_limit_capacity: int
    max_attempts: int
    request_timeout_seconds: float
    max_pages: int
    spool_dir: Path
    spool_max_bytes: int
    mapping_overrides_path: Path | None


def common_properties(defaults: RequestDefaults) -> list[th.Property[Any]]:
    """The shared settings as properties of a tap's configuration schema."""
    return [
        th.Property("org_id", th.StringType, description="Copied into every activity."),
        th.Property("workspace_id", th.StringType, description="Copied into every activity."),
        th.Property(
            "start_date",
            th.StringType,
            description="First day wanted, `2025-01-01` or a date-time; rounded down to the month. "
            "Default: as far back as each stream goes.",
        ),
        th.Property(
            "end_date",
            th.StringType,
            description="First day no longer wanted (exclusive); of a month that it lies in, all is read. "
            "Default: now.",
        ),
        th.Property(
            "lookback_months",
            th.IntegerType(minimum=0, maximum=120),
            default=3,
            description="Months that are read again although they were read before, from sources that "
            "do not say what they changed.",
        ),
        th.Property(
            "activity_grain",
            th.StringType,
            default="month",
            allowed_values=["month", "day"],
            description="The period that one usage activity covers.",
        ),
        th.Property(
            "rate_limit_per_second",
            th.NumberType(exclusive_minimum=0, maximum=1000),
            default=defaults.rate_limit_per_second,
            description="Requests to APIs a second in the long run; storage has its own limit, 200 a second.",
        ),
        th.Property(
            "rate_limit_capacity",
            th.IntegerType(minimum=1, maximum=10_000),
            default=defaults.rate_limit_capacity,
            description="Requests that may be sent to APIs in one burst.",
        ),
        th.Property(
            "max_attempts",
            th.IntegerType(minimum=1, maximum=20),
            default=5,
            description="How often a request is sent at most, the first time included.",
        ),
        th.Property(
            "request_timeout_seconds",
            th.IntegerType(minimum=1, maximum=600),
            default=defaults.request_timeout_seconds,
            description="Seconds to wait for a connection or for the next bytes of an answer.",
        ),
        th.Property(
            "max_pages",
            th.IntegerType(minimum=1, maximum=1_000_000),
            default=10_000,
            description="Pages of one query at most; more is an error, never a silent end.",
        ),
        th.Property(
            "spool_dir",
            th.StringType,
            description="Folder in which export files are kept while they are read. "
            "Default: the system's folder for temporary files.",
        ),
        th.Property(
            "spool_max_bytes",
            th.IntegerType(minimum=1024**2),
            default=10 * _GIBIBYTE,
            description="Bytes that the spool may take on disk.",
        ),
        th.Property(
            "mapping_overrides_path",
            th.StringType,
            description="CSV file that adds or replaces rows of the region and service tables.",
        ),
    ]


def parse_common(config: Mapping[str, Any], now: datetime, errors: Sequence[str] = ()) -> CommonSettings:
    """Turn a validated configuration into settings.

    Args:
        config: The tap's configuration, defaults filled in by the SDK.
        now: The end of the window where ``end_date`` is not set.
        errors: What the tap found wrong with its own settings; it is reported together with the rest.

    Raises:
        ConfigValidationError: A date cannot be read, the window is empty, or a path does not exist;
            all that is wrong is reported at once.
    """
    errors = list(errors)
    start = _moment(config, "start_date", errors)
    end = min(_moment(config, "end_date", errors) or now, now)
    if start and start >= end:
        errors.append(
            f"start_date must be before end_date, got {start.isoformat()} and {end.isoformat()}: "
            "end_date is exclusive and defaults to now"
        )
    spool_dir = Path(config.get("spool_dir") or tempfile.gettempdir())
    if not spool_dir.is_dir():
        errors.append(f"spool_dir must be an existing folder, got '{spool_dir}'")
    overrides = Path(config["mapping_overrides_path"]) if config.get("mapping_overrides_path") else None
    if overrides and not overrides.is_file():
        errors.append(f"mapping_overrides_path must be an existing CSV file, got '{overrides}'")
    if not math.isfinite(config["rate_limit_per_second"]):
        errors.append(f"rate_limit_per_second must be a number, got {config['rate_limit_per_second']}")
    raise_config_errors(errors)
    return CommonSettings(
        org_id=config.get("org_id"),
        workspace_id=config.get("workspace_id"),
        start=start and floor(start, MONTH),
        end=end,
        lookback_months=config["lookback_months"],
        activity_grain=config["activity_grain"],
        rate_limit_per_second=config["rate_limit_per_second"],
        rate_limit_capacity=config["rate_limit_capacity"],
        max_attempts=config["max_attempts"],
        request_timeout_seconds=config["request_timeout_seconds"],
        max_pages=config["max_pages"],
        spool_dir=spool_dir,
        spool_max_bytes=config["spool_max_bytes"],
        mapping_overrides_path=overrides,
    )


class NamedExport(Protocol):
    """An entry of a tap's setting ``exports``."""

    @property
    def name(self) -> str:
        """What rows and messages call the export."""
        ...


def export_name(entry: Mapping[str, Any]) -> str:
    """The name of an entry of the setting ``exports``: its own, or the last part of its ``url``."""
    name: str = (entry.get("name") or "").strip() or entry["url"].rstrip("/").rsplit("/", 1)[-1]
    return name


def same_name_errors(exports: Iterable[NamedExport]) -> list[str]:
    """A message for each name that several exports have."""
    names = [export.name for export in exports]
    return [
        f"exports must have different names, got '{name}' more than once: set their `name`"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]


def unknown_settings(config: Mapping[str, Any], known: Iterable[str]) -> list[str]:
    """A message for each setting that is not known, with the nearest name that is."""
    names = sorted(known)
    messages = []
    for name in sorted(set(config) - set(names)):
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else "see --about for the settings there are"
        messages.append(f"unknown setting '{name}': {hint}")
    return messages


def plain_values(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are set, with whole numbers as ``int``.

    The SDK reads files with decimals, and JSON may say ``1e3``, which its schema takes for an integer. A
    setting that is null is left out, so that its default counts.
    """
    return {
        name: _plain(value) if isinstance(value, Decimal | float) else value
        for name, value in config.items()
        if value is not None
    }


def _plain(value: Decimal | float) -> float:
    return int(value) if math.isfinite(value) and value % 1 == 0 else float(value)


def with_builtin_settings(plugin: type[PluginBase]) -> dict[str, Any]:
    """The schema of all settings of a plugin: its own, and those that the SDK gives to it."""
    schema = deepcopy(plugin.config_jsonschema)  # the SDK adds its own in place
    plugin.append_builtin_config(schema)
    return schema


def known_settings(plugin: type[PluginBase]) -> set[str]:
    """The names of the settings that a plugin knows."""
    return set(with_builtin_settings(plugin)["properties"])


def raise_config_errors(errors: list[str]) -> None:
    """Raise the SDK's configuration error, redacted, if there is anything to report."""
    if errors:
        shown = [redact(error) for error in errors]
        raise ConfigValidationError("Config validation failed: " + "; ".join(shown), errors=shown, schema={})


def _moment(config: Mapping[str, Any], name: str, errors: list[str]) -> datetime | None:
    text = config.get(name)
    if not text:
        return None
    try:
        return utc_moment(text)
    except (ValueError, OverflowError):
        errors.append(f"{name} must be a date like 2025-01-01 or 2025-01-01T00:00:00Z, got '{text}'")
        return None
