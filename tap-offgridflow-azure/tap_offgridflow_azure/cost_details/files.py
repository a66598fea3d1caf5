"""The files of cost details reports as an object store."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from offgridflow_common.errors import NotFoundError, PermissionDenied, SourceChanged
from offgridflow_common.exports.storage import ObjectInfo

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_offgridflow_azure.client import AzureClient
    from tap_offgridflow_azure.cost_details.reports import Report


class ReportFiles:
    """The files of the reports that were made in this run; their links never leave it.

    Args:
        client: Asks Azure.
    """

    def __init__(self, client: AzureClient) -> None:
        self._client = client
        self._reports: dict[str, Report] = {}
        self._spent: set[str] = set()
        self._numbers = itertools.count(1)

    def keep(self, name: str, report: Report, folder: str) -> tuple[ObjectInfo, ...]:
        """The files of a report, which can be had from now on.

        Args:
            name: Names the report; one of the same name is forgotten.
            report: The report.
            folder: What the keys of its files begin with.
        """
        self._reports[name] = report
        self._spent.discard(name)
        now = self._client.clock.now()
        # Two reports of one name are never mixed up, not even in the spool.
        etag = f"{name}/{next(self._numbers)}"
        return tuple(
            ObjectInfo(key=f"{folder}/{number}.csv", size=blob.size, etag=etag, modified=now)
            for number, blob in enumerate(report.blobs, start=1)
        )

    def are_spent(self, name: str) -> bool:
        """Whether the files of a report cannot be had any more."""
        return name in self._spent

    def uri(self, key: str) -> str:
        """What people call a file: the scope, the month, the report and the number."""
        return f"cost details of {key}"

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Nothing: reports are made, not found."""
        del prefix
        return iter(())

    def read(self, info: ObjectInfo) -> bytes:
        """Nothing here is small enough to be read at once."""
        raise NotFoundError(
            asked=f"reading {self.uri(info.key)}", got="the file of a report", do="download it"
        )

    def local_path(self, info: ObjectInfo) -> None:
        """Nothing of a report lies on local disk."""
        del info

    def download(self, info: ObjectInfo, target: Path) -> None:
        """Fetch a file by its link, which carries its own authorization: no token goes there.

        Raises:
            SourceChanged: The link is too old, or the file is not the one that was announced.
        """
        name = info.etag.partition("/")[0]
        report = self._reports[name]
        number = int(info.key.rpartition("/")[2].partition(".")[0])
        asked = f"reading {self.uri(info.key)}"
        try:
            self._client.arm.request(
                "GET", report.blobs[number - 1].link, anonymous=True, about=self.uri(info.key), into=target
            )
        except (NotFoundError, PermissionDenied) as error:
            if report.good_until and self._client.clock.now() < report.good_until:
                raise
            self._spent.add(name)
            raise SourceChanged(asked=asked, got=error.got, do="another report is made") from error
        if (size := target.stat().st_size) != info.size:
            self._spent.add(name)
            raise SourceChanged(
                asked=asked,
                got=f"{size:,} bytes where the report said {info.size:,}",
                do="another report is made",
            )
