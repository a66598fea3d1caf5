"""Reading the files of BATCH messages."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from tests.driving import Run


def batch_rows(run: Run, root: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of all BATCH files, by stream."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for message in run.messages:
        if message["type"] == "BATCH":
            assert message["encoding"] == {"format": "jsonl", "compression": "gzip"}
            for url in message["manifest"]:
                path = Path(unquote(urlsplit(url).path))
                assert path.is_relative_to(root)
                lines = gzip.decompress(path.read_bytes()).splitlines()
                rows.setdefault(message["stream"], []).extend(map(json.loads, lines))
    return rows
