"""Results that are given out page by page, each rest bound to the request that it belongs to."""

from __future__ import annotations

import base64
import json
import threading
import uuid
from typing import TYPE_CHECKING, Any

from tests.local_clouds.azure_errors import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable


class Pages:
    """The rests of results, by the tokens that stand for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rests: dict[str, tuple[str, list[Any]]] = {}

    def page(
        self, asked: Any, token: str | None, size: int, compute: Callable[[], list[Any]]
    ) -> tuple[list[Any], str | None]:
        """One page and the token of the next.

        Args:
            asked: The request without its token; all pages must be asked for with the same.
            token: Of a page before; None or an empty one for the first page.
            size: The most rows.
            compute: Makes all rows, for the first page.

        Raises:
            Refused: If the token is unknown or belongs to another request.
        """
        fingerprint = json.dumps(asked, sort_keys=True)
        if not token:
            rows = compute()
        else:
            with self._lock:
                bound_to, rows = self._rests.get(token, ("", []))
            if bound_to != fingerprint:
                raise bad_request("The skip token is invalid or belongs to another request")
        if len(rows) <= size:
            return rows, None
        following = base64.b64encode(uuid.uuid4().bytes).decode()
        with self._lock:
            self._rests[following] = (fingerprint, rows[size:])
        return rows[:size], following

    def expire(self) -> None:
        """Forget every token given out so far."""
        with self._lock:
            self._rests.clear()
