"""The folders of data exports: which month and which model version one is of.

AWS has written the names of partitions in both cases, even within one export.
"""

from __future__ import annotations

import re

_PERIOD = re.compile(r"(?:billing_period|usage_period)=(\d{4}-(?:0[1-9]|1[0-2]))(?!\d)", re.IGNORECASE)
_VERSION = re.compile(r"(?:carbon_)?model_version=([^/]+)", re.IGNORECASE)


def period_of(partition: str) -> str | None:
    """The billing or usage period, ``YYYY-MM``, of a path such as ``BILLING_PERIOD=2026-09/``."""
    match = _PERIOD.search(partition)
    return match[1] if match else None


def model_version_of(partition: str) -> str | None:
    """The model version of a path such as ``carbon_model_version=v3.0.0/usage_period=2026-09/``."""
    match = _VERSION.search(partition)
    return match[1] if match else None


def in_both_cases(path: str) -> tuple[str, str]:
    """A path, and as AWS would have spelt it at another time."""
    return path, _PERIOD.sub(lambda match: match[0].swapcase(), path)
