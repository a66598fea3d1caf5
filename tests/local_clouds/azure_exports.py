"""Publishing made-up runs of Azure's cost exports: data files first, then the manifest that names them."""

from __future__ import annotations

import calendar
import json
import tempfile
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from tests.local_clouds.azure_cost_files import EXTENSIONS, US_DATE, write_part
from tests.local_clouds.exports import PublishedDelivery

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from azure.storage.blob import ContainerClient

    from tests.local_clouds.azure_cost_files import Form
    from tests.local_clouds.exports import Store

    Part = bytes | pl.DataFrame | Iterable[pl.DataFrame]

#: Where runs lie, as templates: with the run's id, its time, both or neither, and the days before the export.
BY_RUN = "{directory}/{export}/{days}/{run}"
BY_TIME_AND_RUN = "{directory}/{export}/{days}/{time}/{run}"
BY_TIME = "{directory}/{export}/{days}/{time}"
DAYS_FIRST = "{directory}/{days}/{export}/{run}"
BY_DAYS = "{directory}/{export}/{days}"
UNDATED = "{directory}/{export}/{run}"
LAYOUTS = (BY_RUN, BY_TIME_AND_RUN, BY_TIME, DAYS_FIRST, BY_DAYS, UNDATED)

_COMPRESSIONS = {"csv": "None", "gz": "Gzip", "parquet": "Snappy"}

SCOPE = "/providers/Microsoft.Billing/billingAccounts/1234567"


class ContainerStore:
    """A container of Blob Storage, through a client of azure-storage-blob."""

    def __init__(self, client: ContainerClient) -> None:
        self._client = client
        self.bucket = client.container_name

    def put(self, key: str, data: bytes | Path) -> None:
        """Put a blob, over the one of its name; a file is streamed."""
        if isinstance(data, bytes):
            self._client.upload_blob(key, data, overwrite=True)
            return
        with data.open("rb") as body:
            self._client.upload_blob(key, body, overwrite=True)

    def get(self, key: str) -> bytes:
        """What a blob holds, as it is stored."""
        content: bytes = self._client.download_blob(key, decompress=False).readall()
        return content

    def keys(self, prefix: str) -> list[str]:
        """All blobs below the prefix."""
        return sorted(self._client.list_blob_names(name_starts_with=prefix))

    def delete(self, key: str) -> None:
        """Remove a blob."""
        self._client.delete_blob(key)


def publish_azure(
    store: Store,
    *,
    export: str,
    period: str,
    parts: Sequence[Part],
    run_id: str,
    submitted_at: datetime,
    kind: str = "ActualCost",
    form: Form = "csv",
    forms: Sequence[Form] | None = None,
    time_format: str = US_DATE,
    directory: str = "cost",
    layout: str = BY_RUN,
    overwrite: bool = False,
    generation: Literal["2024-04-01", "2023"] = "2024-04-01",
    days: tuple[date, date] | None = None,
    resource_id: str | None = "",
    data_version: str = "2023-05-01",
    manifest_name: str = "manifest.json",
    run_info: dict[str, Any] | None = None,
) -> PublishedDelivery:
    """Publish one run of an export.

    Args:
        store: A folder or a container.
        export: Name of the export.
        period: The month, `YYYY-MM`.
        parts: A data file each: frames, or what the file shall hold.
        run_id: The id of the run.
        submitted_at: When it was submitted (aware).
        kind: What the export holds, in Azure's words.
        form: Of all data files.
        forms: Of each data file, where they differ.
        time_format: Of CSV.
        directory: The folder that exports are delivered to.
        layout: One of `LAYOUTS`, or another template.
        overwrite: Files of an earlier run that has the same folder are removed.
        generation: Of the manifest.
        days: First and last day, where they are not those of the month.
        resource_id: Of the export; empty for one of its name, None for none.
        data_version: Of the columns.
        manifest_name: Name of the manifest.
        run_info: Members of the manifest's `runInfo` that shall be others; None removes one.
    """
    year, month = (int(part) for part in period.split("-"))
    first, last = days or (date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1]))
    folder = layout.format(
        directory=directory,
        export=export,
        days=f"{first:%Y%m%d}-{last:%Y%m%d}",
        time=f"{submitted_at:%Y%m%d%H%M}",
        run=run_id,
    )
    blobs = list(_put_parts(store, folder, parts, forms or [form] * len(parts), time_format))
    names = [blob["blobName"] for blob in blobs]
    manifest_key = f"{folder}/{manifest_name}"
    if overwrite:
        for key in store.keys(f"{folder}/"):
            if key not in {*names, manifest_key}:
                store.delete(key)
    config = {
        "exportName": export,
        "resourceId": resource_id or f"{SCOPE}/providers/Microsoft.CostManagement/exports/{export}",
        "dataVersion": data_version,
        "apiVersion": "2023-07-01-preview",
        "type": kind,
        "timeFrame": "MonthToDate",
        "granularity": "Daily",
    }
    if resource_id is None:
        del config["resourceId"]
    run = {
        "executionType": "Scheduled",
        "submittedTime": f"{submitted_at:%Y-%m-%dT%H:%M:%S.%f}7Z",
        "runId": run_id,
        "startDate": f"{first}T00:00:00",
        "endDate": f"{last}T00:00:00" + ("Z" if generation == "2024-04-01" else ""),
    } | (run_info or {})
    run = {name: value for name, value in run.items() if value is not None}
    store.put(
        manifest_key, _manifest(generation, config, run, blobs, overwrite=overwrite, directory=directory)
    )
    return PublishedDelivery(
        manifest_key,
        tuple(names),
        run_id,
        sum(blob["dataRowCount"] for blob in blobs),
        sum(blob["byteCount"] for blob in blobs),
        submitted_at.astimezone(UTC),
    )


def _put_parts(
    store: Store, folder: str, parts: Sequence[Part], forms: Sequence[Form], time_format: str
) -> Iterator[dict[str, Any]]:
    for number, (part, form) in enumerate(zip(parts, forms, strict=True), start=1):
        key = f"{folder}/part_0_{number:04}.{EXTENSIONS[form]}"
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "part"
            if isinstance(part, bytes):
                path.write_bytes(part)
                rows = max(part.count(b"\n") - 1, 0)
            else:
                rows = write_part([part] if isinstance(part, pl.DataFrame) else part, path, form, time_format)
            store.put(key, path)
            yield {"blobName": key, "byteCount": path.stat().st_size, "dataRowCount": rows}


def _manifest(
    generation: str,
    config: dict[str, Any],
    run: dict[str, Any],
    blobs: list[dict[str, Any]],
    *,
    overwrite: bool,
    directory: str,
) -> bytes:
    delivery = {
        "partitionData": True,
        "dataOverwriteBehavior": "OverwritePreviousReport" if overwrite else "CreateNewReport",
        "fileFormat": "Parquet" if any(blob["blobName"].endswith("parquet") for blob in blobs) else "Csv",
        "compressionMode": _COMPRESSIONS[blobs[0]["blobName"].rpartition(".")[2]] if blobs else "None",
        "containerUri": "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/billing"
        "/providers/Microsoft.Storage/storageAccounts/examplebilling",
        "rootFolderPath": directory,
    }
    if generation != "2024-04-01":
        older = [{name: blob[name] for name in ("blobName", "byteCount")} for blob in blobs]
        return json.dumps({"exportConfig": config, "runInfo": run, "blobs": older}).encode()
    counts = {
        "manifestVersion": generation,
        "byteCount": sum(blob["byteCount"] for blob in blobs),
        "blobCount": len(blobs),
        "dataRowCount": sum(blob["dataRowCount"] for blob in blobs),
    }
    whole = counts | {"exportConfig": config, "deliveryConfig": delivery, "runInfo": run, "blobs": blobs}
    return json.dumps(whole, indent=1).encode()
