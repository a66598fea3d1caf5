"""Cost details reports: asked for, waited for, then a few files behind links that work for an hour."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from offgridflow_common.errors import (
    BadRequestError,
    DeadlineExceeded,
    NotFoundError,
    OffGridFlowError,
    UnknownError,
)
from offgridflow_common.months import utc_moment
from offgridflow_common.retry import parse_retry_after
from tap_offgridflow_azure.apis.fields import Fields

if TYPE_CHECKING:
    from datetime import date, datetime

    from offgridflow_common.responses import Response
    from tap_offgridflow_azure.client import AzureClient

_VERSION = {"api-version": "2025-03-01"}

#: Seconds until a report is looked for again where Azure does not say, and until it is given up on.
_WAIT = 30.0
_PATIENCE = 3600.0

_EXPORT_INSTEAD = "create an export of its cost and list it in exports"


@dataclass(frozen=True, slots=True)
class ReportBlob:
    """A file of a report.

    Attributes:
        link: Where it is, with its own authorization in it: to be kept out of all messages.
        size: Bytes.
    """

    link: str
    size: int


@dataclass(frozen=True, slots=True)
class Report:
    """A report that is ready.

    Attributes:
        blobs: Its files, each with a header of its own; none where there is no cost.
        good_until: When the links stop working (aware, UTC), where Azure tells.
    """

    blobs: tuple[ReportBlob, ...] = ()
    good_until: datetime | None = None


class CostReports:
    """Has cost details reports made.

    Args:
        client: Asks Azure.
        metric: Which cost, in the words of the API.
    """

    def __init__(self, client: AzureClient, metric: str) -> None:
        self._client = client
        self._metric = metric

    def make(self, scope: str, first: date, last: date) -> Report:
        """The report of some days of a month; this may take minutes.

        Raises:
            BadRequestError, NotFoundError: There are no reports of this scope, or not of these days.
            UnknownError: Azure failed to make it.
            DeadlineExceeded: It is not ready after an hour.
        """
        about = f"{first} to {last}"
        body = {"metric": self._metric, "timePeriod": {"start": f"{first}", "end": f"{last}"}}
        path = f"{scope}/providers/Microsoft.CostManagement/generateCostDetailsReport"
        try:
            answer = self._client.costs.request("POST", path, params=_VERSION, json=body, about=about)
        except (BadRequestError, NotFoundError) as error:
            raise _no_reports(error) from error
        return self._ready(answer, about)

    def _ready(self, answer: Response, about: str) -> Report:
        """What an answer says at last, after asking again wherever it says to ask."""
        clock = self._client.clock
        deadline = clock.monotonic() + _PATIENCE
        place = answer.headers.get("Location")
        while True:
            if answer.status == HTTPStatus.NO_CONTENT:
                return Report()
            if answer.status != HTTPStatus.ACCEPTED and (report := _report(answer)):
                return report
            # A new place may come with every answer, and the old one is gone then.
            place = answer.headers.get("Location") or place
            if not place:
                raise Fields({}, answer.asked).broken(f"HTTP {answer.status} without a place to ask again")
            wait = parse_retry_after(answer.headers.get("Retry-After", ""), clock.now()) or _WAIT
            if clock.monotonic() + wait > deadline:
                raise DeadlineExceeded(
                    asked=answer.asked,
                    got=f"no report after {_PATIENCE / 60:g} minutes",
                    do=f"run again later; if it stays so, {_EXPORT_INSTEAD}",
                )
            self._client.wait(wait)
            answer = self._client.costs.request("GET", place, about=about)


def _report(answer: Response) -> Report | None:
    """The report that an answer of 200 holds; None while it is being made."""
    content = Fields(answer.json(), answer.asked)
    status = content.key("status").lower()
    if status == "nodatafound":
        return Report()
    if status == "failed":
        raise UnknownError(
            asked=answer.asked,
            got=f"Azure failed to make the report: {_reason(content)}",
            do=f"run again later; if it stays so, {_EXPORT_INSTEAD}",
        )
    if status != "completed":
        return None
    manifest = content.object("manifest")
    blobs = tuple(_blob(Fields(blob, answer.asked)) for blob in manifest.rows("blobs"))
    count = manifest.number("blobCount")
    if count is not None and count != len(blobs):
        raise content.broken(f"{len(blobs)} files where the manifest counts {count:g}")
    return Report(blobs, _moment(content))


def _blob(blob: Fields) -> ReportBlob:
    size = blob.number("byteCount")
    if size is None:
        raise blob.broken("a file without byteCount")
    return ReportBlob(link=blob.key("blobLink"), size=int(size))


def _moment(content: Fields) -> datetime | None:
    text = content.text("validTill")
    if not text:
        return None
    try:
        # Seven digits of a second are one more than a moment here has.
        return utc_moment(text)
    except (ValueError, OverflowError) as error:
        raise content.broken(f"'{text}' in place of a time in validTill") from error


def _reason(content: Fields) -> str:
    errors = content.objects("error")
    return "; ".join(f"{error.text('code')} {error.text('message')}" for error in errors) or "no reason given"


def _no_reports(error: OffGridFlowError) -> OffGridFlowError:
    return type(error)(
        asked=error.asked,
        got=error.got,
        do=f"{_EXPORT_INSTEAD}: reports exist for Enterprise and Microsoft Customer Agreements, of billing "
        "accounts and subscriptions, for the last 13 months; cost_scopes says which are asked for, and "
        "start_date from when on, where an agreement began later",
        code=error.code,
        request_id=error.request_id,
    )
