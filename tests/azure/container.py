"""An export in Blob Storage, and the tap that reads it through the proxy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from azure.storage.blob import ContentSettings

from tests.azure.shelf import PERIOD, made
from tests.azure.truth import cost_rows, wrong_values
from tests.local_clouds.azure_exports import ContainerStore, publish_azure

if TYPE_CHECKING:
    from pathlib import Path

    from azure.storage.blob import ContainerClient

    from tests.azure.conftest import Config, RunTap
    from tests.driving import Run, State
    from tests.local_clouds.azure import LocalAzure
    from tests.local_clouds.exports import PublishedDelivery

LINES = "cost_details"
STREAMS = (LINES, "deliveries")
FIRST = datetime(2026, 10, 3, 4, 12, tzinfo=UTC)


class Container:
    """An export in a container of its own, and the tap that reads it through the proxy."""

    def __init__(self, azure: LocalAzure, client: ContainerClient, config: Config, run_tap: RunTap) -> None:
        self.azure = azure
        self.store = ContainerStore(client)
        self._client = client
        self._config = config
        self._run_tap = run_tap
        self.runs = 0

    def deliver(
        self, rows: int = 5, *, parts: int = 2, period: str = PERIOD, **options: Any
    ) -> PublishedDelivery:
        """Let the export run; each run has rows of its own and is submitted a day after the one before."""
        self.runs += 1
        given: dict[str, Any] = {
            "export": "daily",
            "run_id": f"00000000-0000-4000-8000-{self.runs:012}",
            "submitted_at": FIRST + timedelta(days=self.runs),
        }
        data = [made("actual", rows, 100 * self.runs + number, period) for number in range(parts)]
        return publish_azure(self.store, period=period, parts=data, **(given | options))

    def encode(self, key: str) -> None:
        """Let a blob say of itself that it is gzipped."""
        settings = ContentSettings(content_encoding="gzip")
        self._client.get_blob_client(key).set_http_headers(settings)

    def run(self, folder: str = "/cost/daily", state: State | None = None) -> Run:
        """Run the tap over a folder; requests of runs before are forgotten."""
        self.azure.blobs.clear_requests()
        url = f"{self.azure.blobs.account_url}/{self.store.bucket}{folder}"
        config = self._config(
            exports=[{"name": "daily", "type": "actual", "url": url}], end_date="2026-12-01"
        )
        return self._run_tap(config, STREAMS, state)

    def read(self, folder: str = "/cost/daily", state: State | None = None) -> Run:
        """Run the tap, which must succeed."""
        run = self.run(folder, state)
        assert run.exit_code == 0, run.stderr
        return run

    def asked(self) -> dict[str, int]:
        """How many listings, manifests and data files were asked for."""
        keys = [request.key for request in self.azure.blobs.requests if request.method == "GET"]
        manifests = [key for key in keys if key and key.endswith("manifest.json")]
        return {
            "listings": keys.count(None),
            "manifests": len(manifests),
            "files": len(keys) - keys.count(None) - len(manifests),
        }

    def is_only(self, run: Run, delivery: PublishedDelivery, tmp_path: Path) -> bool:
        """Whether all rows of this delivery are out, and of no other one counts any."""
        (told,) = run.records("deliveries")
        lines = [row for row in run.records(LINES) if row["delivery_id"] == told["delivery_id"]]
        rows = []
        for key in delivery.data_keys:
            path = tmp_path / key.rpartition("/")[2]
            path.write_bytes(self.store.get(key))
            rows += cost_rows(path)
        assert wrong_values(lines, rows) == []
        return told["delivery_id"].startswith(delivery.execution_id) and told["rows"] == delivery.rows
