"""Answers of an API, and what error answers say, whatever their shape."""

from __future__ import annotations

import json as jsonlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from offgridflow_common.errors import ContractBroken
from offgridflow_common.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT_CHARS: Final = 500  # shown of what a provider says
_REQUEST_ID: Final = ("request-id", "requestid")  # ends of the names of headers

#: Code, message and request id of an error answer; None for what it does not say.
Description: TypeAlias = tuple[str | None, str | None, str | None]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer.

    Attributes:
        asked: What was asked, for messages.
        status: The HTTP status.
        headers: The headers; names are found in any case.
        body: The body, freed from its content encoding.
    """

    asked: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def json(self) -> Any:  # noqa: ANN401 - the shape is the provider's; who asked has to check it
        """Parse the body.

        Raises:
            ContractBroken: If it is not JSON.
        """
        try:
            return jsonlib.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise ContractBroken(
                asked=self.asked,
                got=f"HTTP {self.status} with {len(self.body)} bytes that are not JSON",
                do="Check that the address is the provider's API and not a proxy or a login page.",
            ) from error


def describe_json(response: Response) -> Description:
    """Find code, message and request id in an error answer of a common shape; never raises.

    The shapes are `{"error": {"code", "message"}}`, the same in a list or without the envelope, and OAuth's
    `{"error", "error_description"}`. The request id is in a header whose name ends in "request-id".
    """
    request_id = next((v for k, v in response.headers.items() if k.lower().endswith(_REQUEST_ID)), None)
    try:
        content = _fields(jsonlib.loads(response.body))
    except (ValueError, RecursionError):
        return None, None, request_id
    error = content.get("error", content)
    if isinstance(error, str):
        return error, _text(content.get("error_description")), request_id
    fields = _fields(error)
    return _text(fields.get("code")), _text(fields.get("message")), request_id


def _fields(value: object) -> dict[str, object]:
    """Return an object's fields, by names in lower case; of a list, those of its first object."""
    if isinstance(value, list):
        value = value[0] if value else None
    return {key.lower(): field for key, field in value.items()} if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) else None


def plain(text: str) -> str:
    """Return a provider's text fit for one line of a log: redacted first, then shortened."""
    line = " ".join("".join(char if char.isprintable() else " " for char in redact(text)).split())
    return line if len(line) <= _TEXT_CHARS else f"{line[:_TEXT_CHARS]}..."
