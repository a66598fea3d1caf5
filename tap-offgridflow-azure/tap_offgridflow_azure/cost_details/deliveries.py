"""Cost details reports as deliveries of an export: one of each month, made when it is opened.

Azure does not say whether a month has changed, so the moment of a reading stands for its version. A month of
the lookback is read again on another day; an older one once, after it has settled. Each report that is made
is a delivery of its own: what went out of one that was not read to its end never becomes current.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from offgridflow_common.exports.delivery import Delivery, Export, Manifest
from offgridflow_common.exports.storage import ObjectInfo
from offgridflow_common.months import MONTH, add_months, floor, month_start, periods
from tap_offgridflow_azure.apis.cost_query import SETTLING
from tap_offgridflow_azure.cost_details.files import ReportFiles
from tap_offgridflow_azure.cost_details.reports import CostReports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from offgridflow_common.months import Period
    from tap_offgridflow_azure.client import AzureClient
    from tap_offgridflow_azure.settings import AzureSettings

#: The types of exports that reports stand in for, by metric.
REPORT_TYPES = {"ActualCost": "actual_report", "AmortizedCost": "amortized_report"}

#: The stream that reads reports.
_READER = "cost_details"

#: Reports exist for this month and so many before it.
_MONTHS_BACK = 12


class ReportLayout:
    """Lists the months of a scope without asking anybody, and has a report made for each that is opened.

    Args:
        client: Asks Azure.
        settings: The metric and the lookback.
        started_at: When the run began.
        state: The tap's state: which versions of which months were read.
    """

    def __init__(
        self, client: AzureClient, settings: AzureSettings, started_at: datetime, state: Mapping[str, Any]
    ) -> None:
        self._metric = settings.cost_metric
        self._reports = CostReports(client, settings.cost_metric)
        self._files = ReportFiles(client)
        self._lookback_months = settings.lookback_months
        self._now = started_at
        # Two runs may begin in one second, and the second one must not go on where the first one ended.
        self._version = f"{started_at.isoformat()}/{client.clock.now().timestamp():.6f}"
        self._state = state
        self._made: dict[str, Delivery] = {}

    def export(self, scope: str) -> Export:
        """The reports of a scope, as an export."""
        name = f"{scope.lower()} {self._metric}"
        return Export(name=name, type=REPORT_TYPES[self._metric], store=self._files, prefix=scope)

    def manifests(self, export: Export) -> Iterator[Manifest]:
        """A manifest for each month that has reports, oldest month first."""
        known = self._versions_read(export)
        this_month = floor(self._now, MONTH)
        for month in periods(add_months(this_month, -_MONTHS_BACK), self._now, MONTH):
            version = known.get(month.label)
            if version is None or not self._is_read(month, version):
                version = self._new_version(export, month)
            info = ObjectInfo(
                key=f"{export.prefix}/{month.label}", size=0, etag=version, modified=_moment(version)
            )
            yield Manifest(export, month.label, info)

    def open(self, manifest: Manifest) -> Delivery:
        """Have the report of a month made, or take the one that was made before in this run.

        Raises:
            OffGridFlowError: It was not made; the message says why.
        """
        delivery_id = _delivery_id(manifest.export, manifest.period, manifest.info.etag)
        if delivery_id not in self._made or self._files.are_spent(delivery_id):
            first = month_start(manifest.period)
            last = min(add_months(first, 1) - timedelta(days=1), self._now)
            report = self._reports.make(manifest.export.prefix, first.date(), last.date())
            self._made[delivery_id] = Delivery(
                manifest=manifest,
                delivery_id=delivery_id,
                columns=None,
                files=self._files.keep(delivery_id, report, f"{manifest.info.key}/{delivery_id}"),
            )
        return self._made[delivery_id]

    def is_known_newest(self, _manifest: Manifest) -> bool:
        """Never: listing the months asks nobody, so there is no cheaper look."""
        return False

    def _versions_read(self, export: Export) -> dict[str, str]:
        """The version of each month whose rows were read to their end.

        What `deliveries` has told does not count: where rows are to be read again, and only its bookmark is
        left, a report that is made now is another one.
        """
        stream = self._state.get("bookmarks", {}).get(_READER, {})
        return {
            entry["context"]["billing_period"]: entry["manifest_etag"]
            for entry in stream.get("partitions", ())
            if entry["context"].get("export") == export.name and "manifest_etag" in entry
        }

    def _is_read(self, month: Period, version: str) -> bool:
        """Whether a month that was read as this version needs no reading now."""
        read_at = _moment(version)
        is_old = month.start < add_months(floor(self._now, MONTH), -self._lookback_months)
        return read_at.date() == self._now.date() or (is_old and read_at >= month.end + SETTLING)

    def _new_version(self, export: Export, month: Period) -> str:
        """The version of this run; another one where the files of the report are not to be had any more."""
        version, number = self._version, 0
        while self._files.are_spent(_delivery_id(export, month.label, version)):
            number += 1
            version = f"{self._version}/{number}"
        return version


def _delivery_id(export: Export, month: str, version: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"{export.name}/{month}/{version}"))


def _moment(version: str) -> datetime:
    return datetime.fromisoformat(version.partition("/")[0]).astimezone(UTC)
