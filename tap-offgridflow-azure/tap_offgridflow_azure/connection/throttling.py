"""Cost Management's limits: one call at a time, and the pauses that its answers ask for."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

from offgridflow_common.http import ApiClient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offgridflow_common.pipeline import RequestPipeline
    from offgridflow_common.responses import Response

_PREFIX = "x-ms-ratelimit-microsoft.costmanagement"

#: Where an answer says how long to wait; it may have several of these, or none, and the longest counts.
_RETRY_AFTER_HEADERS = (
    "Retry-After",
    *(f"{_PREFIX}-{bucket}-retry-after" for bucket in ("qpu", "entity", "tenant", "client", "clienttype")),
    "x-ms-ratelimit-microsoft.consumption-retry-after",
)

#: Query units that are left, such as ``QueriesPerHour:597,QueriesPerMin:57,QueriesPer10Sec:9``.
_UNITS_LEFT = f"{_PREFIX}-qpu-remaining"
_WINDOW = re.compile(r"QueriesPer(Hour|Min|10Sec):(\d+)")
#: Seconds until units come back: of an hour some do long before it is over.
_PAUSES = {"10Sec": 10.0, "Min": 60.0, "Hour": 300.0}


class CostManagementClient(ApiClient):
    """An API client that sends one call at a time and slows down before it is told to."""

    def __init__(self, *, pipeline: RequestPipeline, **options: Any) -> None:  # noqa: ANN401 - those of ApiClient
        """Create the client.

        Args:
            pipeline: Of these calls alone: its pauses hold up nobody else.
            **options: As :class:`~offgridflow_common.http.ApiClient` takes them.
        """
        super().__init__(pipeline=pipeline, retry_after_headers=_RETRY_AFTER_HEADERS, **options)
        self._own_pipeline = pipeline
        self._turn = threading.Lock()

    def request(self, method: str, url_or_path: str, **options: Any) -> Response:  # noqa: ANN401 - those of ApiClient
        """Ask when it is this call's turn."""
        with self._turn:
            response = super().request(method, url_or_path, **options)
            if pause := pause_after(response.headers):
                self._own_pipeline.pause(pause)
            return response


def pause_after(headers: Mapping[str, str]) -> float:
    """Seconds to send nothing, because the units of a window are used up; 0 while there are some."""
    windows = _WINDOW.findall(headers.get(_UNITS_LEFT, ""))
    return max((_PAUSES[window] for window, left in windows if int(left) < 1), default=0.0)
