"""URLs in settings: what they name, and whether they name anything."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def url_parts(url: str) -> SplitResult:
    """The parts of a URL; all are empty where it cannot be taken apart or its port is none."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return urlsplit("")
    return parts


def is_folder_url(url: str) -> bool:
    """Whether a URL names a folder on this machine: ``file:///folder``."""
    parts = url_parts(url)
    is_local = parts.scheme == "file" and parts.netloc in {"", "localhost"}
    is_path = parts.path.startswith("/") and not parts.query and not parts.fragment
    return is_local and is_path and bool(parts.path.strip("/"))


def is_endpoint_url(url: str, *schemes: str) -> bool:
    """Whether a URL names a server of one of the schemes, or a path there, and nothing else."""
    parts = url_parts(url)
    return parts.scheme in schemes and bool(parts.hostname) and not parts.query and not parts.fragment
