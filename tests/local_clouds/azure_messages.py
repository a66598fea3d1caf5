"""Requests and replies of the stand-ins of Azure's HTTP services."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from http.client import HTTPMessage

# Marks decimals within JSON while it is made; no text has it.
_NUMBER = "\ue000"


def exact_json(value: Any) -> str:
    """JSON in which decimals keep all their digits."""
    text = json.dumps(value, default=lambda number: f"{_NUMBER}{number}{_NUMBER}", ensure_ascii=False)
    return re.sub(f'"{_NUMBER}([^"]*?){_NUMBER}"', r"\1", text)


@dataclass(frozen=True)
class Request:
    """One request: `origin` is scheme, host and port of the server, `path` is decoded."""

    origin: str
    method: str
    target: str
    headers: HTTPMessage = field(repr=False)
    body: bytes = field(repr=False)

    @cached_property
    def path(self) -> str:
        return unquote(urlsplit(self.target).path)

    @cached_property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @cached_property
    def json(self) -> Any:
        """The body as JSON; None if there is none, or if it is something else."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: `body` is JSON, or text or bytes to be sent as they are, or None for nothing."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        if self.body is None:
            return b""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else exact_json(self.body)).encode()

    @property
    def code(self) -> str | None:
        """The code of an error, as far as the body has one."""
        found = self.body if isinstance(self.body, dict) else {}
        error = found.get("error", found)
        if isinstance(error, list):
            error = error[0] if error else {}
        return error.get("code") if isinstance(error, dict) else str(error)


class Refused(Exception):  # noqa: N818 - it is an answer, and says so
    """Ends the making of an answer with this one."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"HTTP {reply.status} {reply.code}")
        self.reply = reply
