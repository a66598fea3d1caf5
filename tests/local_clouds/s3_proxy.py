"""The faults of S3, and the proxy in front of its emulator that lets a test have them."""

from __future__ import annotations

from tests.local_clouds.fault_proxy import RESET, Fault, FaultProxy, call_first, delay, truncate

__all__ = [
    "ACCESS_DENIED",
    "CLOCK_SKEW",
    "EXPIRED_TOKEN",
    "INTERNAL_ERROR",
    "RESET",
    "SLOW_DOWN",
    "Fault",
    "S3FaultProxy",
    "call_first",
    "delay",
    "redirect_to",
    "truncate",
]

ACCESS_DENIED = Fault(status=403, code="AccessDenied", message="Access Denied")
SLOW_DOWN = Fault(status=503, code="SlowDown", message="Please reduce your request rate.")
INTERNAL_ERROR = Fault(status=500, code="InternalError", message="We encountered an internal error.")
EXPIRED_TOKEN = Fault(status=400, code="ExpiredToken", message="The provided token has expired.")
CLOCK_SKEW = Fault(
    status=403,
    code="RequestTimeTooSkewed",
    message="The difference between the request time and the current time is too large.",
)


def redirect_to(region: str) -> Fault:
    """S3's answer to a request that reached the wrong region."""
    message = "The bucket you are attempting to access must be addressed using the specified endpoint."
    return Fault(
        status=301, code="PermanentRedirect", message=message, headers={"x-amz-bucket-region": region}
    )


class S3FaultProxy(FaultProxy):
    """The proxy, as a context manager."""

    def locate(self, path: str) -> tuple[str, str]:
        bucket, _, key = path[1:].partition("/")
        return bucket, key

    def error_headers(self, code: str, request_id: str) -> dict[str, str]:  # noqa: ARG002 - S3 says it in XML only
        return {"x-amz-request-id": request_id}
