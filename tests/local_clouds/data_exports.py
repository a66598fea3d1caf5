"""Stand-ins for the two services that know an account's exports: Data Exports, and Cost and Usage Reports."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.local_clouds.loopback import LoopbackServer, QuietHandler

if TYPE_CHECKING:
    from collections.abc import Sequence
    from http.server import BaseHTTPRequestHandler

#: What begins the names of operations, by service.
_EXPORTS = "AWSBillingAndCostManagementDataExports."
_REPORTS = "AWSOrigamiServiceGatewayService."
_JSON = {"Content-Type": "application/x-amz-json-1.1"}
#: The one size of pages that the report service takes.
_REPORTS_OF_A_PAGE = 5
_LAST_DELIVERY = {"lastDelivery": "20261102T060000Z", "lastStatus": "SUCCESS"}


@dataclass(frozen=True, slots=True)
class DataExport:
    """An export: its name, the query that makes it, where it is delivered, and whether that happened yet."""

    name: str
    query: str
    bucket: str
    prefix: str = "exports"
    delivered: bool = True

    @property
    def arn(self) -> str:
        return f"arn:aws:bcm-data-exports:us-east-1:111122223333:export/{self.name}-0001"


@dataclass(frozen=True, slots=True)
class LegacyReport:
    """A cost and usage report: its name, where it is delivered, and whether that happened yet."""

    name: str
    bucket: str
    prefix: str = "reports"
    delivered: bool = True


@dataclass
class _Refusal:
    status: int
    code: str
    times: int


@dataclass
class _Account:
    exports: Sequence[DataExport] = ()
    reports: Sequence[LegacyReport] = ()
    page_size: int = 2
    refusals: dict[str, _Refusal] = field(default_factory=dict)
    broken_off: dict[str, int] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    signed_for: set[str] = field(default_factory=set)


class DataExportsServer(LoopbackServer):
    """Both services of one account at one address, as a context manager.

    Attributes:
        account: What there is, how many exports a page has, the operations that were asked for, and the
            regions that requests were signed for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.account = _Account()

    def refuse(self, operation: str, code: str, status: int = 400, times: int = 1_000) -> None:
        """Let an operation fail so often."""
        self.account.refusals[operation] = _Refusal(status, code, times)

    def break_off(self, operation: str, times: int = 1_000) -> None:
        """Let answers of an operation end in the middle so often."""
        self.account.broken_off[operation] = times

    def handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:  # noqa: N802 - the name is given by http.server
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                target = self.headers.get("X-Amz-Target", "")
                server.account.signed_for.add(_region(self.headers.get("Authorization", "")))
                status, answer = server.answer(target, json.loads(body or b"{}"))
                content = json.dumps(answer).encode()
                operation = target.rpartition(".")[2]
                if left := server.account.broken_off.get(operation, 0):
                    server.account.broken_off[operation] = left - 1
                    content = content[: len(content) // 2]
                self.send_whole(status, _JSON, content)

        return Handler

    def answer(self, target: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body of one answer."""
        service, _, operation = target.rpartition(".")
        self.account.asked.append(operation)
        refusal = self.account.refusals.get(operation)
        if refusal and refusal.times > 0:
            refusal.times -= 1
            return refusal.status, {"__type": refusal.code, "message": f"Not this: {operation}."}
        known = {
            f"{_EXPORTS}ListExports": self._list_exports,
            f"{_EXPORTS}GetExport": self._get_export,
            f"{_REPORTS}DescribeReportDefinitions": self._describe_reports,
        }
        if f"{service}.{operation}" not in known:
            return 400, {"__type": "UnknownOperationException"}
        return known[target](request)

    def _list_exports(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        entries = [
            {
                "ExportArn": export.arn,
                "ExportName": export.name,
                "ExportStatus": {"StatusCode": "HEALTHY", **_refreshed(export)},
            }
            for export in self.account.exports
        ]
        return 200, _page("Exports", entries, request, self.account.page_size)

    def _get_export(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        for export in self.account.exports:
            if export.arn == request.get("ExportArn"):
                return 200, {"Export": _definition(export)}
        return 400, {"__type": "ResourceNotFoundException", "message": "No such export."}

    def _describe_reports(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if request.get("MaxResults", _REPORTS_OF_A_PAGE) != _REPORTS_OF_A_PAGE:
            return 400, {"__type": "ValidationException", "message": "MaxResults must be 5."}
        entries = [
            {
                "ReportName": report.name,
                "TimeUnit": "HOURLY",
                "Format": "textORcsv",
                "Compression": "GZIP",
                "AdditionalSchemaElements": ["RESOURCES"],
                "S3Bucket": report.bucket,
                "S3Prefix": report.prefix,
                "S3Region": "us-east-1",
                "ReportStatus": _LAST_DELIVERY if report.delivered else {},
            }
            for report in self.account.reports
        ]
        return 200, _page("ReportDefinitions", entries, request, _REPORTS_OF_A_PAGE)


def _region(authorization: str) -> str:
    """Of ``Credential=<key>/<day>/<region>/<service>/aws4_request``."""
    _, _, scope = authorization.partition("Credential=")
    return scope.split("/")[2] if scope else "unsigned"


def _page(name: str, entries: list[Any], request: dict[str, Any], size: int) -> dict[str, Any]:
    start = int(request.get("NextToken") or 0)
    more = {"NextToken": str(start + size)} if start + size < len(entries) else {}
    return {name: entries[start : start + size], **more}


def _refreshed(export: DataExport) -> dict[str, str]:
    return {"LastRefreshedAt": "2026-11-02T06:00:00.000Z"} if export.delivered else {}


def _definition(export: DataExport) -> dict[str, Any]:
    place = {
        "S3Bucket": export.bucket,
        "S3Prefix": export.prefix,
        "S3Region": "us-east-1",
        "S3OutputConfigurations": {
            "OutputType": "CUSTOM",
            "Format": "PARQUET",
            "Compression": "PARQUET",
            "Overwrite": "CREATE_NEW_REPORT",
        },
    }
    return {
        "ExportArn": export.arn,
        "Name": export.name,
        "DataQuery": {"QueryStatement": export.query},
        "DestinationConfigurations": {"S3Destination": place},
        "RefreshCadence": {"Frequency": "SYNCHRONOUS"},
    }
