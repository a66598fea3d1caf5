"""The stream of what the Carbon Optimization API reports: emissions by month, scope and subscription."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from offgridflow_common.errors import BadRequestError, ContractBroken, NotFoundError, PermissionDenied
from offgridflow_common.months import Period, add_months, iso_text
from offgridflow_common.singer.partition import Partition
from offgridflow_common.wording import listed
from tap_offgridflow_azure.apis.carbon import COLUMNS, KEY, MOST_ROWS, SOURCE, computed_months
from tap_offgridflow_azure.streams.regional import RegionalStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from logging import Logger

    import polars as pl

    from offgridflow_common.singer.bookmarks import Bookmarks
    from offgridflow_common.singer.shared_reports import Share
    from tap_offgridflow_azure.base import AzureTap

#: So many subscriptions are named in a message.
_NAMES_SHOWN = 100


def carbon_partitions(
    tap: AzureTap,
    bookmarks: Bookmarks,
    share: Share,
    logger: Logger,
    shape: Callable[[pl.DataFrame], Iterable[pl.DataFrame]],
) -> Iterator[Partition]:
    """A partition for each month that the API has, and then an error if not all of it could be read.

    Values are restated, so every month is read each time. What is remembered of a subscription, the newest
    month that is out, only shows what was missed when months leave the API.

    Args:
        tap: Its window, its subscriptions, its client and its beginning.
        bookmarks: Where it is remembered what was read.
        share: Keeps the reports for another stream, or takes them from there.
        logger: Logs what could not be read.
        shape: Makes rows of the stream of the report's rows, in one frame or several.

    Raises:
        PermissionDenied: Subscriptions denied access, and the settings want to know.
        ContractBroken: The API ended reports before all rows were there.
    """
    reading = _Reading(tap, bookmarks, logger)
    for month in reading.months():
        label = f"{SOURCE} {month.label}"

        def blocks(month: Period = month, label: str = label) -> Iterator[pl.DataFrame]:
            for rows in share(label, partial(reading.emissions, month)):
                yield from shape(rows)

        def acknowledge(rows: int, month: Period = month) -> None:
            reading.remember(month, rows)

        yield Partition(label=label, blocks=blocks, acknowledge=acknowledge)
    reading.conclude()


class _Reading:
    """Which months to read, what was read, and what could not be."""

    def __init__(self, tap: AzureTap, bookmarks: Bookmarks, logger: Logger) -> None:
        self._tap = tap
        self._reports = tap.carbon_reports
        self._bookmarks = bookmarks
        self._logger = logger
        self._computed: list[Period] = []

    def months(self) -> list[Period]:
        """The months to read, oldest first: those that the API has, within the window."""
        available = self._reports.months
        if available is None:
            available = self._computed = computed_months(self._tap.started_at)
            self._logger.info(
                "which months there are may not be asked; reading those that should be there, %s to %s",
                available[0].label,
                available[-1].label,
            )
        self._warn_of_gaps(available[0])
        settings = self._tap.settings
        start = settings.start or available[0].start
        wanted = [month for month in available if start <= month.start < settings.end]
        if not wanted:
            self._logger.info(
                "no month of the window is there; those that are: %s to %s",
                available[0].label,
                available[-1].label,
            )
        return wanted

    def emissions(self, month: Period) -> Iterator[pl.DataFrame]:
        """The rows of a month; none where it was computed, as the first or the last, and is not there."""
        try:
            yield from self._reports.emissions(month, self._tap.subscriptions.ids)
        except (BadRequestError, NotFoundError) as error:
            may_be_absent = month in (*self._computed[:1], *self._computed[-1:])
            if month in self._reports.answered or not may_be_absent:
                raise
            self._logger.warning("%s should be there and is not, it is left out: %s", month.label, error)

    def remember(self, month: Period, rows: int) -> None:
        """Remember that a month is out, of all that could be read whole."""
        if not rows and self._computed:
            return
        incomplete = self._reports.incomplete(month)
        for subscription in self._tap.subscriptions.ids:
            context = _context(subscription)
            newest = self._bookmarks.get(context).get("replication_key_value", "")
            if subscription not in incomplete and newest < iso_text(month.start):
                values = {"replication_key": "period_start", "replication_key_value": iso_text(month.start)}
                self._bookmarks.set(context, values)

    def conclude(self) -> None:
        """Report what could not be read, now that all else is out."""
        truncated, denied = self._reports.truncated, self._reports.denied
        for request in truncated:
            self._logger.error("%s: rows are missing, the API ends each report after %d", request, MOST_ROWS)
        if denied:
            self._report(denied)
        if truncated:
            raise ContractBroken(
                asked="reading emissions",
                got=f"{len(truncated)} reports whose rows are not all there",
                do="set carbon_category to ResourceGroup, which has fewer rows; all else is out",
            )

    def _report(self, denied: Mapping[str, str]) -> None:
        subscriptions = self._tap.subscriptions
        reasons = [f"{subscriptions.label(one)}: {reason}" for one, reason in denied.items()]
        error = PermissionDenied(
            asked=f"reading emissions of {len(subscriptions.ids)} subscriptions",
            got=f"{len(denied)} denied access: {listed(reasons, most=_NAMES_SHOWN, separator='; ')}",
            do="grant Carbon Optimization Reader on them, or set fail_on_denied to false; the others are out",
        )
        if self._tap.settings.fail_on_denied:
            raise error
        self._logger.warning("%s", error)

    def _warn_of_gaps(self, oldest: Period) -> None:
        """Warn of months that left the API before they were read."""
        start = self._tap.settings.start
        if start and start >= oldest.start:
            return
        before = iso_text(add_months(oldest.start, -1))
        newest = {one: self._bookmarks.get(_context(one)) for one in self._tap.subscriptions.ids}
        lost = [one for one, known in newest.items() if known and known["replication_key_value"] < before]
        if lost:
            self._logger.warning(
                "months before %s are gone from the API and were not read of %s",
                oldest.label,
                listed(lost, most=_NAMES_SHOWN),
            )


def _context(subscription: str) -> dict[str, str]:
    return {"source": SOURCE, "subscription_id": subscription}


class CarbonEmissionsStream(RegionalStream):
    """Emissions by month, scope, subscription and item of `carbon_category`, in kgCO2e as reported."""

    name = "carbon_emissions"
    columns = COLUMNS
    primary_keys = (*KEY, "item_number")
    replication_key = "period_start"

    def feeds(self) -> Iterable[Callable[[], Iterator[Partition]]]:
        """All months that the API has."""
        return (self._pending,)

    def _pending(self) -> Iterator[Partition]:
        yield from carbon_partitions(
            self.tap,
            self.bookmarks,
            self.tap.shared_reports.keep,
            self.logger,
            lambda rows: [rows.select(self.wanted)],
        )
