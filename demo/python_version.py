"""Whether this Python can run the demo. It needs nothing but itself, so it can be asked before any set-up."""

from __future__ import annotations

import sys

OLDEST, NEWEST = (3, 11), (3, 13)


def complaint(major: int, minor: int) -> str | None:
    """What to say to a person whose Python cannot run the demo; None if it can.

    Args:
        major: As in ``sys.version_info``.
        minor: The same.
    """
    if OLDEST <= (major, minor) <= NEWEST:
        return None
    return (
        "The demo runs on Python 3.11, 3.12 and 3.13 (its DuckDB loader has no build for others), "
        f"and this is {major}.{minor}. Call: make clean demo PYTHON=python3.12"
    )


if __name__ == "__main__":
    sys.exit(complaint(*sys.version_info[:2]))
