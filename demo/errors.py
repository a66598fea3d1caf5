"""What the demo tells a person when a step fails."""

from __future__ import annotations


class DemoError(Exception):
    """A step failed; the text says which, why, and where more can be read."""
