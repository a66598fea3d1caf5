"""Settings in variables of the environment, named after plugin and setting: ``TAP_TINY_ORG_ID``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from offgridflow_common.settings import unknown_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The SDK's own variable of a plugin. Those of Meltano go on with another underscore.
_LOG_LEVEL = "LOGLEVEL"

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


def settings_in(
    environment: Mapping[str, str], prefix: str, properties: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], list[str]]:
    """The settings that variables have, and what is wrong with others. An empty variable is none.

    Args:
        environment: The variables.
        prefix: What their names begin with.
        properties: The schema of each setting.

    Returns:
        The values by setting, of the types that the schemas ask for, but not checked further; and a message
        for each variable that cannot be read.
    """
    found: dict[str, Any] = {}
    errors = []
    for name, schema in properties.items():
        variable = f"{prefix}{name.upper()}"
        if not (text := environment.get(variable, "").strip()):
            continue
        try:
            found[name] = _value(text, schema)
        except ValueError:
            kinds = " or ".join(kind for kind in _kinds(schema) if kind != "null")
            shown = "something else" if schema.get("secret") else f"'{text}'"
            errors.append(f"{variable} must be {kinds}, as JSON writes it, got {shown}")
    return found, errors


def unknown_variables(
    environment: Mapping[str, str], prefix: str, properties: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """A message for each variable that begins like those of settings and names none.

    Args:
        environment: The variables.
        prefix: What the names of settings begin with.
        properties: The settings.
    """
    known = [f"{prefix}{name}" for name in (*map(str.upper, properties), _LOG_LEVEL)]
    given = {
        name: text
        for name, text in environment.items()
        if text.strip() and name.startswith(prefix) and not name.startswith(f"{prefix}_")
    }
    return unknown_settings(given, known)


def _value(text: str, schema: Mapping[str, Any]) -> object:
    kinds = _kinds(schema)
    if "string" in kinds:
        return text
    if "boolean" in kinds:
        if text.lower() not in _TRUE | _FALSE:
            raise ValueError(text)
        return text.lower() in _TRUE
    if "array" in kinds and "string" in _kinds(schema.get("items", {})) and not text.startswith("["):
        return [item.strip() for item in text.split(",")]
    return json.loads(text)


def _kinds(schema: Mapping[str, Any]) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)
