"""The tap's command line, and loaders that take what it writes."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path


def messages_of_the_tap(
    folder: Path,
    config: Mapping[str, Any],
    streams: Collection[str],
    deselect: Collection[str] = (),
) -> bytes:
    """What the tap writes to its output.

    Args:
        folder: For its files.
        config: Its settings.
        streams: Those that are selected.
        deselect: Properties that are not.
    """
    (folder / "config.json").write_text(json.dumps(config))
    tap = (sys.executable, "-m", "tap_offgridflow_aws", "--config", folder / "config.json")
    found = subprocess.run([*tap, "--discover"], capture_output=True, check=True)
    catalog = json.loads(found.stdout)
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            name = entry["breadcrumb"][-1] if entry["breadcrumb"] else None
            entry["metadata"]["selected"] = stream["stream"] in streams and name not in deselect
    (folder / "catalog.json").write_text(json.dumps(catalog))
    done = subprocess.run([*tap, "--catalog", folder / "catalog.json"], capture_output=True, check=True)
    return done.stdout


def pipe(loader: Path, config: Mapping[str, Any], messages: bytes, folder: Path) -> None:
    """Let a loader load messages to its end."""
    settings = folder / "loader.json"
    settings.write_text(json.dumps(config))
    done = subprocess.run(
        [loader, "--config", settings], input=messages, capture_output=True, cwd=folder, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
