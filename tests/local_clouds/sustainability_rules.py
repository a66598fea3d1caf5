"""The rules of the Sustainability service: which requests it accepts, and how it refuses the others.

Requests are checked against botocore's own model of the service (required members, types, enums, ranges).
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session

if TYPE_CHECKING:
    from collections.abc import Container

REGION = "us-east-1"
SERVICE = "sustainability"
_SCOPE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/\d{8}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request,"
    r"\s*SignedHeaders=[^,]+,\s*Signature=[0-9a-f]{64}$"
)


class ServiceError(Exception):
    """An error answer: HTTP status, code for the `x-amzn-errortype` header, message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def authorize(header: str | None, accepted_keys: Container[str] | None) -> str:
    """The access key id of a request signed for this service in its one region."""
    if not header:
        raise ServiceError(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    found = _SCOPE.match(header)
    if not found:
        raise ServiceError(403, "IncompleteSignatureException", "Authorization header is not SigV4")
    for part, expected in (("region", REGION), ("service", SERVICE)):
        if found[part] != expected:
            message = f"Credential should be scoped to {part} {expected}, not '{found[part]}'."
            raise ServiceError(403, "InvalidSignatureException", message)
    if accepted_keys is not None and found["key"] not in accepted_keys:
        message = "The security token included in the request is invalid."
        raise ServiceError(403, "UnrecognizedClientException", message)
    return found["key"]


def parse_body(raw: bytes) -> Any:
    """The JSON of a request."""
    try:
        return json.loads(raw)
    except ValueError:
        raise ServiceError(400, "SerializationException", "the body is not JSON") from None


def invalid(message: str) -> ServiceError:
    """The service's answer to a request it cannot accept."""
    return ServiceError(400, "ValidationException", message)


@cache
def operations() -> dict[str, Any]:
    """Operation model by request path, from botocore's description of the service."""
    model = botocore.session.get_session().get_service_model(SERVICE)
    found = (model.operation_model(name) for name in model.operation_names)
    return {operation.http["requestUri"]: operation for operation in found}


def check_request(operation: str, body: Any) -> None:
    """Raise `ValidationException` where a body breaks the model of its operation."""
    shape = next(model.input_shape for model in operations().values() if model.name == operation)
    _check(shape, body, "request")


def _check(shape: Any, value: Any, where: str) -> None:
    check = {"structure": _check_structure, "list": _check_list, "map": _check_map}.get(
        shape.type_name, _check_scalar
    )
    check(shape, value, where)


def _check_structure(shape: Any, value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise invalid(f"{where} must be an object")
    for name in shape.required_members:
        if value.get(name) is None:
            raise invalid(f"Value at '{where}.{name}' failed to satisfy constraint: Member must not be null")
    for name, member in shape.members.items():
        if value.get(name) is not None:
            _check(member, value[name], f"{where}.{name}")


def _check_list(shape: Any, value: Any, where: str) -> None:
    if not isinstance(value, list):
        raise invalid(f"{where} must be a list")
    for item in value:
        _check(shape.member, item, where)


def _check_map(shape: Any, value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise invalid(f"{where} must be an object")
    for key, item in value.items():
        _check(shape.key, key, where)
        _check(shape.value, item, f"{where}.{key}")


def _check_scalar(shape: Any, value: Any, where: str) -> None:
    if shape.type_name == "timestamp":
        parse_time(value)
        return
    expected = {"string": str, "integer": int}[shape.type_name]
    if not isinstance(value, expected) or isinstance(value, bool):
        raise invalid(f"{where} must be of type {shape.type_name}")
    if (enum := shape.metadata.get("enum")) and value not in enum:
        raise invalid(f"Value '{value}' at '{where}' failed to satisfy constraint: one of {enum}")
    size = len(value) if isinstance(value, str) else value
    low, high = shape.metadata.get("min", size), shape.metadata.get("max", size)
    if not low <= size <= high:
        raise invalid(f"Value at '{where}' failed to satisfy constraint: between {low} and {high}")


def parse_time(value: Any) -> datetime:
    """A timestamp as clients send it: ISO 8601 text or seconds since 1970."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value, UTC)
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise invalid(f"{value!r} is not a timestamp") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
