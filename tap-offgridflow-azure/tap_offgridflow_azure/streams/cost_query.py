"""The stream of costs that Cost Management answers to queries: by day, scope, service and location."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from offgridflow_common.errors import TransientError
from offgridflow_common.months import MONTH, Period, add_months, ceiling, floor, iso_text
from offgridflow_common.singer.partition import Partition
from offgridflow_common.singer.periods import History, VersionedPeriods
from tap_offgridflow_azure.apis.cost_query import COLUMNS, KEY, SETTLING, CostQueries, Days
from tap_offgridflow_azure.streams.regional import RegionalStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import polars as pl

    from tap_offgridflow_azure.base import AzureTap

#: Months before this one that are read where the settings name no start, and at most.
_MONTHS_BACK = 13
_MOST_MONTHS_BACK = 36

#: What a tenant is answered, where each query is of one month.
_QUERIES_AN_HOUR = 600

#: When the last run began that read all months of a scope, or the end of its window.
_READ_AT = "read_at"

#: The first month that had not settled when it was last read, and lies before the window of later runs.
_LEFT_FROM = "left_from"

#: After so many scopes in a row without an answer the service is down: trying the others would take as long
#: again, one after the other. One alone may have too much to answer in time.
_MOST_UNANSWERED = 2


class CostQueryStream(RegionalStream):
    """Cost by day, scope, service and location, as queries of Cost Management answer it."""

    name = "cost_query"
    columns = COLUMNS
    primary_keys = (*KEY, "item_number")
    replication_key = "usage_date"

    def __init__(self, tap: AzureTap) -> None:
        """Create the stream.

        Args:
            tap: The tap it belongs to.
        """
        super().__init__(tap)
        self._is_unanswered = False

    def feeds(self) -> Iterator[Callable[[], Iterator[Partition]]]:
        """Each scope by itself: one that is denied, or never answered, keeps no other from being read."""
        settings = self.tap.settings
        if settings.start and settings.start < self._start:
            self.logger.warning("cost goes back to %s only, not to start_date", self._start.date())
        scopes = settings.cost_scopes or [f"subscriptions/{one}" for one in self.tap.subscriptions.ids]
        queries = len(scopes) * (settings.lookback_months + 1)
        if queries > _QUERIES_AN_HOUR:
            self.logger.warning(
                "%s scopes are some %s queries a run, and Cost Management answers %s an hour: name a billing "
                "account or a management group in cost_scopes, which is one scope",
                f"{len(scopes):,}",
                f"{queries:,}",
                _QUERIES_AN_HOUR,
            )
        # A run that is ended before it is through leaves other scopes out than the one before.
        return self._feeds_of(sorted(scopes, key=self._last_read))

    def _last_read(self, scope: str) -> str:
        return str(self.bookmarks.get(self._context(scope)).get(_READ_AT) or "")

    def _context(self, scope: str) -> dict[str, str]:
        return {"scope": scope.lower(), "cost_metric": self.tap.settings.cost_metric}

    def _feeds_of(self, scopes: Iterable[str]) -> Iterator[Callable[[], Iterator[Partition]]]:
        unanswered = 0
        for scope in scopes:
            if unanswered == _MOST_UNANSWERED:
                self.logger.warning("Cost Management does not answer: %s and what follows is left", scope)
                break
            self._is_unanswered = False
            yield partial(self._pending_of, scope)
            unanswered = unanswered + 1 if self._is_unanswered else 0

    @cached_property
    def _queries(self) -> CostQueries:
        tap = self.tap
        return CostQueries(tap.client, tap.settings.cost_metric, tap.regions, tap.started_at, self.logger)

    def _pending_of(self, scope: str) -> Iterator[Partition]:
        """The months of a scope that are new or may have changed."""
        settings = self.tap.settings
        context = self._context(scope)
        known = self.bookmarks.get(context)
        unsettled_from = self._unsettled_from(known)
        is_left = unsettled_from is not None and unsettled_from < self._start
        plan = VersionedPeriods(
            History(
                start=self._start,
                end=self._end,
                months=MONTH,
                lookback_months=settings.lookback_months,
                unsettled_from=unsettled_from,
            ),
            known,
            partial(self.bookmarks.set, context),
            self.replication_key,
        )
        for month in plan.pending():

            def acknowledge(rows: int, month: Period = month) -> None:
                # No cost in a month that is over is an answer, too.
                is_over = month.end <= self.tap.started_at
                plan.acknowledge(month, rows or int(is_over), set())

            yield Partition(
                label=f"{scope} {month.label}",
                blocks=partial(self._blocks, scope, month),
                acknowledge=acknowledge,
            )
        # Only now: a run that ends before leaves months as they were when all of them were last read.
        left_from = iso_text(unsettled_from) if unsettled_from and is_left else None
        self.bookmarks.set(context, {_READ_AT: iso_text(self._end), _LEFT_FROM: left_from})

    def _unsettled_from(self, known: Mapping[str, Any]) -> datetime | None:
        """The first month that had not settled when all months of a scope were last read; None before that.

        Where it is not remembered, the newest month was read after it had begun, and so were those before it.
        """
        text = known.get(_READ_AT) or known.get("replication_key_value")
        if text is None:
            return None
        read_at = min(datetime.fromisoformat(text), self.tap.started_at)
        unsettled_from = floor(read_at - SETTLING, MONTH)
        left_from = known.get(_LEFT_FROM)
        return min(unsettled_from, datetime.fromisoformat(left_from)) if left_from else unsettled_from

    def _blocks(self, scope: str, month: Period) -> Iterator[pl.DataFrame]:
        end = min(month.end, self._end)
        days = Days(month.start.date(), (end - timedelta(microseconds=1)).date())
        try:
            # Held until all have come: what is out of a month replaces what was read of it before.
            answers = list(self._queries.costs(scope, days))
        except TransientError:
            self._is_unanswered = True
            raise
        for rows in answers:
            yield rows.select(self.wanted)

    @cached_property
    def _end(self) -> datetime:
        """The end of the window's last month, or now: what is read of a month replaces all of it."""
        return min(ceiling(self.tap.settings.end, MONTH), self.tap.started_at)

    @cached_property
    def _start(self) -> datetime:
        this_month = floor(self.tap.started_at, MONTH)
        start = self.tap.settings.start or add_months(this_month, -_MONTHS_BACK)
        return max(start, add_months(this_month, -_MOST_MONTHS_BACK))
