"""The faults of Blob Storage, and the proxy in front of Azurite that lets a test have them."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from tests.local_clouds.azurite import ACCOUNT
from tests.local_clouds.fault_proxy import Fault, FaultProxy

if TYPE_CHECKING:
    from tests.local_clouds.azurite import Azurite

NO_ROLE = Fault(
    status=403,
    code="AuthorizationPermissionMismatch",
    message="This request is not authorized to perform this operation using this permission.",
)
NO_ACCESS = Fault(
    status=403,
    code="AuthorizationFailure",
    message="This request is not authorized to perform this operation.",
)
NOT_AUTHENTICATED = Fault(
    status=401, code="InvalidAuthenticationInfo", message="Server failed to authenticate the request."
)
SERVER_BUSY = Fault(status=503, code="ServerBusy", message="The server is busy.")
TIMED_OUT = Fault(status=500, code="OperationTimedOut", message="Operation could not be completed in time.")
BLOB_NOT_FOUND = Fault(status=404, code="BlobNotFound", message="The specified blob does not exist.")


class BlobFaultProxy(FaultProxy):
    """The proxy, as a context manager; containers are its buckets, and blobs its keys.

    Args:
        azurite: What it stands in front of, and whose certificate it has.
    """

    def __init__(self, azurite: Azurite) -> None:
        authority = azurite.authority
        trust = ssl.create_default_context(cafile=authority.ca_file)
        super().__init__(azurite.url, authority.server_context, trust)

    @property
    def account_url(self) -> str:
        """Of the one account, with its name in the path."""
        return f"{self.url}/{ACCOUNT}"

    def locate(self, path: str) -> tuple[str, str]:
        _, _, name = path[1:].partition("/")
        container, _, blob = name.partition("/")
        return container, blob

    def error_headers(self, code: str, request_id: str) -> dict[str, str]:
        return {"x-ms-request-id": request_id, "x-ms-error-code": code}
