"""Manifests as JSON: what should be there is, or one error says what is missing and where."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from offgridflow_common.errors import ContractBroken

if TYPE_CHECKING:
    from collections.abc import Mapping


def parse_manifest(content: bytes, where: str) -> dict[str, Any]:
    """The object that a manifest is.

    Args:
        content: The file, with or without a byte order mark.
        where: Its address for messages.

    Raises:
        ContractBroken: It is no JSON object.
    """
    try:
        manifest = json.loads(content.removeprefix(b"\xef\xbb\xbf"))
    except ValueError as error:
        raise broken_manifest(where, f"no JSON ({error})") from error
    if not isinstance(manifest, dict):
        raise broken_manifest(where, "no JSON object")
    return manifest


def text_of(manifest: Mapping[str, Any], name: str, where: str) -> str:
    """A text that must be there."""
    value = manifest.get(name)
    if not isinstance(value, str) or not value:
        raise broken_manifest(where, f"no {name}")
    return value


def texts_of(manifest: Mapping[str, Any], name: str, where: str) -> list[str]:
    """A list of texts that must be there, and may be empty."""
    values = manifest.get(name)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise broken_manifest(where, f"no list {name}")
    return values


def broken_manifest(where: str, got: str) -> ContractBroken:
    """The error of a manifest that cannot be understood."""
    return ContractBroken(
        asked=f"reading the manifest {where}", got=got, do="have the period delivered again"
    )
