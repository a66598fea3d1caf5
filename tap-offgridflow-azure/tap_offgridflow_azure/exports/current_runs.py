"""Which runs of an export are current: of each month one, so that no day counts twice, or not at all."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from offgridflow_common.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, datetime

    from offgridflow_common.exports.delivery import Export
    from tap_offgridflow_azure.exports.runs import Run


def current_runs(export: Export, runs: Iterable[Run]) -> list[Run]:
    """The run of each month that was submitted last, oldest month first.

    A run counts for the month of its first day, also where it covers several. Of runs that begin on different
    days of a month, those that begin first count, as long as the others have no other days.

    Raises:
        ConfigError: Days would count twice, or not at all.
    """
    months: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        months[run.month].append(run)
    current = {month: _newest(months[month]) for month in sorted(months)}
    _refuse_days_counted_twice(export, current.values())
    _refuse_days_left_out(export, current, months)
    return list(current.values())


def _newest(runs: Sequence[Run]) -> Run:
    begin = min(run.first for run in runs)
    return max((run for run in runs if run.first == begin), key=_order)


def _order(run: Run) -> tuple[datetime, datetime, str]:
    return run.submitted_at, run.info.modified, run.delivery_id


def _refuse_days_counted_twice(export: Export, current: Iterable[Run]) -> None:
    for earlier, later in pairwise(current):
        # A run that ends on the day on which the next begins most likely covers only up to the day before.
        if later.first < earlier.last:
            raise _not_whole(export, "runs of the same days", (earlier, later))


def _refuse_days_left_out(
    export: Export, current: Mapping[str, Run], months: Mapping[str, Sequence[Run]]
) -> None:
    covered = {month for run in current.values() for month in _months(run)}
    days = {day for run in current.values() for day in _days(run)}
    for month, newest in current.items():
        for run in months[month]:
            if _has_days_beyond(run, newest) or _months(run) - covered:
                raise _not_whole(export, "runs of parts of what they cover together", (newest, run))
            if _has_passed(_days(run) - days, newest):
                raise _shortened(export, newest, run)


def _has_passed(days: set[date], newest: Run) -> bool:
    """Whether any of these days had passed when the newest run was submitted.

    Some manifests name the end of the month as the last day while the month is under way.
    """
    return bool(days) and min(days) < newest.submitted_at.date()


def _has_days_beyond(run: Run, newest: Run) -> bool:
    """Whether days of a run are in no other: as where each run is of a week."""
    return run.first > newest.first and run.last > newest.last


def _days(run: Run) -> set[date]:
    return {run.first + timedelta(days=number) for number in range((run.last - run.first).days + 1)}


def _months(run: Run) -> set[int]:
    return set(range(_ordinal(run.first), _ordinal(run.last) + 1))


def _ordinal(day: date) -> int:
    return day.year * 12 + day.month


def _not_whole(export: Export, what: str, runs: Iterable[Run]) -> ConfigError:
    return ConfigError(
        asked=f"looking for the manifests of export '{export.name}' at {export.uri}",
        got=f"{what}: {', '.join(f'{run.first} to {run.last}' for run in runs)}",
        do="export whole months one by one, or a month to date, and remove the folders of other runs",
    )


def _shortened(export: Export, newest: Run, longer: Run) -> ConfigError:
    return ConfigError(
        asked=f"looking for the manifests of export '{export.name}' at {export.uri}",
        got=f"a run of fewer days than one before it: {newest.first} to {newest.last}, "
        f"{longer.first} to {longer.last}",
        do=f"remove the folder of {export.store.uri(newest.info.key)}, or export the whole month again",
    )
