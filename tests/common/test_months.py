"""Months: their texts, and their first instants."""

from __future__ import annotations

from datetime import UTC, date

import pytest

from offgridflow_common.months import MONTH, floor, month_of, month_start


@pytest.mark.parametrize("month", ["2024-02", "2025-12", "1999-01"])
def test_a_month_and_its_first_instant_are_each_others(month: str) -> None:
    start = month_start(month)
    assert (start.day, start.hour, start.tzinfo) == (1, 0, UTC)
    assert month_of(start) == month_of(date(start.year, start.month, 28)) == month
    assert floor(start.replace(day=28, hour=23, second=59, microsecond=1), MONTH) == start


@pytest.mark.parametrize("month", ["2024-13", "2024", "2024-2", "2024-00", "24-01", ""])
def test_what_is_not_a_month_is_refused(month: str) -> None:
    with pytest.raises(ValueError, match=r"isoformat|month must be in"):
        month_start(month)
