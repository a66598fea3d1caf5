"""The cost details part of the Azure Resource Manager stand-in: reports to ask for and to wait for."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.local_clouds.azure_arm import Route
from tests.local_clouds.azure_errors import arm_error, bad_request
from tests.local_clouds.azure_messages import Refused, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tests.local_clouds.azure_cost_scopes import CostScopes

_PROVIDER = "/(?P<scope>.+)/providers/Microsoft\\.CostManagement"
_METRICS = ("ActualCost", "AmortizedCost")
_PERIODS = ("timePeriod", "billingPeriod", "invoiceId")
_MOST_DAYS = 31


@dataclass(slots=True)
class _Report:
    """One report in the making: `waits` polls are left until it is ready."""

    scope: str
    body: Mapping[str, Any]
    blobs: Sequence[bytes]
    waits: int
    moves: int = 0


class CostDetails:
    """Operations `create_report` and `poll_report`, of the family `costs`.

    Args:
        scopes: What there is.
        link: Keeps a blob and returns the link to it.
        now: The present, for how long links are good.

    Attributes:
        waits: Polls until a report is ready; None answers the creation with it.
        retry_after: Of creation and polls; None says nothing.
        moves: Whether every poll brings a new place to ask at, and the old one is gone.
        waits_with_200: Whether polls that have to wait get a 200 with the status `InProgress`.
        no_data: How the absence of data is told: `204` or `NoDataFound`.
        failure: Code and message of reports that fail; None lets them succeed.
        first_day: Before it there are no reports.
        open_period: Key of the report that is asked for without a period.
    """

    def __init__(
        self,
        scopes: CostScopes,
        link: Callable[[bytes], str],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._scopes, self._link, self._now = scopes, link, now
        self._published: dict[tuple[str, str, str], Sequence[bytes]] = {}
        self._reports: dict[str, _Report] = {}
        self.waits: int | None = 1
        self.retry_after: str | None = "60"
        self.moves = False
        self.waits_with_200 = False
        self.no_data = "NoDataFound"
        self.failure: tuple[str, str] | None = None
        self.first_day: date | None = None
        self.open_period = ""

    def publish(self, scope: str, period: str, metric: str, blobs: Sequence[bytes]) -> None:
        """Publish or restate a report: one CSV file a blob, for a month (`YYYY-MM`) or an invoice."""
        self._published[scope.lower().strip("/"), period, metric] = blobs

    def routes(self) -> Iterable[Route]:
        action = "Microsoft.CostManagement/generateCostDetailsReport/action"
        path = f"{_PROVIDER}/generateCostDetailsReport"
        yield Route("create_report", "POST", path, action, self._create, "costs")
        path = f"{_PROVIDER}/costDetailsOperation(Results|Status)/(?P<id>[^/]+)"
        yield Route("poll_report", "GET", path, action, self._poll, "costs")

    def _create(self, request: Request, groups: Mapping[str, str]) -> Reply:
        scope, body = groups["scope"], request.json
        _, group = self._scopes.resolve(scope)
        if group is not None or "managementgroups" in scope.lower():
            raise Refused(arm_error(404, "NotFound", "Reports exist for subscriptions and billing accounts."))
        self._check(body)
        blobs = self._published.get((scope.lower(), self._period(body), body["metric"]), ())
        if not blobs and self.no_data == "204":
            return Reply(204)
        report = _Report(scope, body, blobs, self.waits or 0)
        if self.waits is None:
            return self._ready(str(uuid.uuid4()), report)
        return self._wait(request, str(uuid.uuid4()), report)

    def _poll(self, request: Request, groups: Mapping[str, str]) -> Reply:
        report = self._reports.get(groups["id"])
        if report is None or report.scope.lower() != groups["scope"].lower():
            return arm_error(404, "NotFound", f"There is no operation '{groups['id']}'.")
        if not report.waits:
            return self._ready(groups["id"], report)
        report.waits -= 1
        if self.waits_with_200:
            return Reply(body={"name": groups["id"], "status": "InProgress"}, headers=self._pause())
        identity = groups["id"]
        if self.moves:
            del self._reports[identity]
            identity = str(uuid.uuid4())
            report.moves += 1
        return self._wait(request, identity, report)

    def _wait(self, request: Request, identity: str, report: _Report) -> Reply:
        self._reports[identity] = report
        name = "Status" if report.moves % 2 else "Results"
        base = f"{request.origin}/{report.scope}/providers/Microsoft.CostManagement"
        version = request.query["api-version"]
        location = f"{base}/costDetailsOperation{name}/{identity}?api-version={version}"
        return Reply(202, None, {"Location": location, **self._pause()})

    def _pause(self) -> dict[str, str]:
        return {} if self.retry_after is None else {"Retry-After": self.retry_after}

    def _ready(self, identity: str, report: _Report) -> Reply:
        path = f"{report.scope}/providers/Microsoft.CostManagement/costDetailsOperationResults/{identity}"
        answer: dict[str, Any] = {"id": path, "name": identity, "manifest": None, "error": None}
        if self.failure:
            code, message = self.failure
            return Reply(body=answer | {"status": "Failed", "error": {"code": code, "message": message}})
        if not report.blobs:
            return Reply(body=answer | {"status": "NoDataFound"})
        # Storage times have seven digits after the second.
        until = f"{self._now() + timedelta(hours=1):%Y-%m-%dT%H:%M:%S.%f}0Z"
        done = {"status": "Completed", "manifest": self._manifest(report), "validTill": until}
        return Reply(body=answer | done)

    def _manifest(self, report: _Report) -> dict[str, Any]:
        return {
            "manifestVersion": "2025-03-01",
            "dataFormat": "Csv",
            "blobCount": len(report.blobs),
            "byteCount": sum(map(len, report.blobs)),
            "compressData": False,
            "requestContext": {"requestScope": report.scope, "requestBody": report.body},
            "blobs": [{"blobLink": self._link(blob), "byteCount": len(blob)} for blob in report.blobs],
        }

    def _period(self, body: Mapping[str, Any]) -> str:
        if "timePeriod" in body:
            return str(body["timePeriod"]["start"][:7])
        if "billingPeriod" in body:
            return f"{body['billingPeriod'][:4]}-{body['billingPeriod'][4:]}"
        return str(body.get("invoiceId", self.open_period))

    def _check(self, body: Any) -> None:
        if not isinstance(body, dict) or body.get("metric") not in _METRICS:
            raise bad_request(f"metric must be one of {', '.join(_METRICS)}")
        if sum(name in body for name in _PERIODS) > 1:
            message = "can only have either timePeriod or invoiceId or billingPeriod"
            raise bad_request(f"Invalid request payload: {message}")
        if "timePeriod" in body:
            self._check_days(body["timePeriod"])

    def _check_days(self, asked: Any) -> None:
        try:
            start, end = (date.fromisoformat(asked[edge]) for edge in ("start", "end"))
        except (KeyError, TypeError, ValueError):
            raise bad_request("timePeriod must have the dates start and end") from None
        if self.first_day and start < self.first_day:
            raise bad_request(f"Start date must be after {self.first_day}")
        if end < start:
            raise bad_request("End date must be after start date")
        if (end - start).days >= _MOST_DAYS or (start.day == 1 and end.month != start.month):
            raise bad_request("The maximum allowed date range is 1 months")
