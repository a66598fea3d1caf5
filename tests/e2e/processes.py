"""Asks whether processes are still there."""

from __future__ import annotations

import os
import time

_LIMIT_SECONDS = 20.0


def group_ends(group: int) -> bool:
    """Whether no process of a group is left, allowing the system a moment to bury them."""
    end = time.monotonic() + _LIMIT_SECONDS
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False
