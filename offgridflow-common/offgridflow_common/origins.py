"""Origins: where a request may go. Tokens leave only for the configured one; plain http only for loopback."""

from __future__ import annotations

import ipaddress
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import requests

from offgridflow_common.errors import BadRequestError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_PORTS: Final[Mapping[str, int]] = MappingProxyType({"http": 80, "https": 443})


def has_scheme(url: str) -> bool:
    """Whether a URL is absolute."""
    return re.match(r"[a-z][a-z0-9+.-]*://", url, re.IGNORECASE) is not None


def prepare(method: str, url: str, **parts: Any) -> requests.PreparedRequest:  # noqa: ANN401 - requests' own
    """Return the request as it will be sent, so that what is checked is what is sent."""
    try:
        return requests.Request(method, url, **parts).prepare()
    except (requests.RequestException, ValueError) as error:
        address = url.partition("?")[0].rpartition("@")[2]
        raise refusal(f"{method} {address}", f"it is not a valid request ({type(error).__name__})") from error


def origin(prepared: requests.PreparedRequest) -> tuple[str, str, int]:
    """Return scheme, host and port as the transport will read them.

    Raises:
        BadRequestError: If nothing may be sent there by anybody.
    """
    url = urlsplit(prepared.url or "")
    scheme, host = url.scheme.lower(), url.hostname or ""
    if scheme not in _PORTS:
        raise refusal(request_label(prepared), "it is not an https address")
    if "@" in url.netloc:
        raise refusal(request_label(prepared), "it has a user in it")
    if scheme == "http" and not is_loopback(host):
        raise refusal(request_label(prepared), "it is plain http, which is for this machine only")
    return scheme, host, _PORTS[scheme] if url.port is None else url.port


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def base_origin(base_url: str) -> tuple[str, str, int]:
    """The origin of a configured base URL.

    Raises:
        ConfigError: It is not an https URL (http on loopback) without user, query and fragment.
    """
    try:
        if "?" in base_url or "#" in base_url:
            raise refusal(base_url.partition("?")[0], "it has a query or a fragment")
        return origin(prepare("GET", base_url))
    except BadRequestError as error:
        raise ConfigError(
            asked="use the configured base URL",
            got=error.got,
            do="Set an https URL such as https://api.example.com/v1.",
        ) from error


def request_label(prepared: requests.PreparedRequest) -> str:
    """What is asked, without user and query, where secrets may be."""
    url = urlsplit(prepared.url or "")
    return f"{prepared.method} {url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"


def refusal(asked: str, got: str) -> BadRequestError:
    """The error of a request that is not sent."""
    return BadRequestError(
        asked=asked,
        got=got,
        do="Check the configured address; if that is right, the provider points to where no token may go.",
    )
