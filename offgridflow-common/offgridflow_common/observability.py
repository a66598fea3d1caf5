"""What a run tells about itself: spans, metrics and log fields.

Spans nest as sync > stream > partition > request; the five metrics carry the attributes `connector`,
`stream` and `error_class`. Everything goes through the OpenTelemetry API, which does nothing until
`Telemetry.configure` has installed the SDK's providers, and that happens only where the `otel` extra is
installed and the standard `OTEL_*` variables name an OTLP endpoint.
"""

from __future__ import annotations

import logging
import os
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from opentelemetry import metrics, trace

from offgridflow_common.classification import classify
from offgridflow_common.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from offgridflow_common.errors import ErrorClass

logger = logging.getLogger(__name__)

_SCOPE: Final = "offgridflow_common"
_NO_ERROR: Final = "none"
# The SDK's default buckets are made for milliseconds; these span a request to a large month.
_SECONDS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_ITEMS: Final = (1, 10, 100, 1_000, 10_000, 50_000, 100_000, 500_000, 1_000_000)

_log_fields: ContextVar[Mapping[str, object] | None] = ContextVar("offgridflow_log_fields", default=None)


class Telemetry:
    """The spans and metrics of one connector.

    Args:
        connector: The tap's name; an attribute of every span and metric.
        tracer_provider: Where spans go; default: the process-wide one, also if it is installed later.
        meter_provider: Where metrics go; default as above.
    """

    def __init__(
        self,
        connector: str,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self.connector = connector
        self._tracer = trace.get_tracer(_SCOPE, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_SCOPE, meter_provider=meter_provider)
        self._successes = meter.create_counter("ingestion_success_total", "1", "Partitions ingested whole")
        self._failures = meter.create_counter("ingestion_failure_total", "1", "Partitions that failed")
        self._items = meter.create_counter("ingestion_items_total", "1", "Records ingested")
        self._latency = meter.create_histogram(
            "ingestion_latency_seconds",
            "s",
            "Time a partition took, failed or not",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._batch_size = meter.create_histogram(
            "ingestion_batch_size", "1", "Records in a batch", explicit_bucket_boundaries_advisory=_ITEMS
        )

    @contextmanager
    def span(self, name: str, /, **attributes: object) -> Iterator[None]:
        """Open a span below the current one for the length of a `with` block.

        An exception that leaves the block is recorded by type and redacted message, and its class becomes
        the attribute `error_class`; tracebacks are not recorded, as they can quote secrets.

        Args:
            name: `sync`, `stream`, `partition` or `request`.
            **attributes: Redacted; None is left out, objects other than numbers are shown as text.
        """
        with self._tracer.start_as_current_span(
            name, record_exception=False, set_status_on_exception=False
        ) as span:
            if span.is_recording():
                span.set_attributes(_attributes({"connector": self.connector, **attributes}))
            try:
                yield
            except Exception as error:
                if span.is_recording():
                    _record_error(span, error)
                raise

    def success(self, stream: str, items: int, seconds: float, largest_block: int) -> None:
        """Count a partition that was ingested whole.

        Args:
            stream: The stream's name.
            items: Records it gave.
            seconds: Time it took.
            largest_block: Records of its largest block.
        """
        labels = self._labels(stream, _NO_ERROR)
        self._successes.add(1, labels)
        self._items.add(items, labels)
        self._latency.record(seconds, labels)
        self._batch_size.record(largest_block, labels)

    def failure(self, stream: str, error_class: ErrorClass, seconds: float) -> None:
        """Count a partition that failed after `seconds`."""
        labels = self._labels(stream, error_class.value)
        self._failures.add(1, labels)
        self._latency.record(seconds, labels)

    def _labels(self, stream: str, error_class: str) -> dict[str, str]:
        return {"connector": self.connector, "stream": stream, "error_class": error_class}

    @staticmethod
    def configure(service_name: str = "offgridflow") -> Callable[[], None]:
        """Export over OTLP/HTTP if the standard `OTEL_*` variables ask for it; else do nothing.

        Args:
            service_name: The resource's `service.name` where the variables give none.

        Returns:
            Flushes and ends the export; call it at the end of the run, more than once if you like.
        """
        wanted = {signal for signal in ("TRACES", "METRICS") if _export_wanted(signal)}
        if not wanted:
            return ExitStack().close
        try:
            # Imported here because it needs the extra, and its imports are slow.
            from offgridflow_common.otlp import install  # noqa: PLC0415
        except ImportError as error:
            logger.warning(
                "OTEL_EXPORTER_OTLP_* asks for export, but %s is not installed: install the extra `otel`, "
                "or set OTEL_SDK_DISABLED=true",
                error.name,
            )
            return ExitStack().close
        return install(wanted, service_name)

    @staticmethod
    @contextmanager
    def log_context(**fields: object) -> Iterator[None]:
        """Add fields to every log line of this thread inside a `with` block.

        Blocks nest. Structured formatters show the fields as extras; the SDK's formatter shows one of the
        name `stream_name` in a place of its own.
        """
        outer = _log_fields.get()
        _log_fields.set({**(outer or {}), **fields})
        try:
            yield
        finally:
            # Not reset(token): a generator may be closed in another context than it was opened in.
            _log_fields.set(outer)


class LogContextFilter(logging.Filter):
    """Adds the fields of `Telemetry.log_context` to log records; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields that the record does not have by itself."""
        for key, value in (_log_fields.get() or {}).items():
            record.__dict__.setdefault(key, value)
        return True


def install_log_context() -> None:
    """Put a `LogContextFilter` on each handler of the root logger that has none yet."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(present, LogContextFilter) for present in handler.filters):
            handler.addFilter(LogContextFilter())


def _attributes(attributes: Mapping[str, object]) -> dict[str, str | bool | int | float]:
    return {
        key: value if isinstance(value, bool | int | float) else redact(str(value))
        for key, value in attributes.items()
        if value is not None
    }


def _record_error(span: trace.Span, error: Exception) -> None:
    message = redact(str(error))
    span.set_attribute("error_class", classify(error).value)
    span.add_event("exception", {"exception.type": type(error).__qualname__, "exception.message": message})
    span.set_status(trace.Status(trace.StatusCode.ERROR, f"{type(error).__name__}: {message}"))


def _export_wanted(signal: str) -> bool:
    """Whether the standard variables ask for an OTLP export of TRACES or METRICS that we can do."""

    def variable(general: str, own: str) -> str:
        return (os.environ.get(own) or os.environ.get(general) or "").strip()

    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if not variable("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"):
        return False
    # Of the exporters the standard knows, "console" would write into the Singer messages on stdout.
    if os.environ.get(f"OTEL_{signal}_EXPORTER", "").strip() not in ("", "otlp"):
        return False
    protocol = variable("OTEL_EXPORTER_OTLP_PROTOCOL", f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL")
    if protocol not in ("", "http/protobuf"):
        logger.warning("%s are not exported: OTLP protocol %s; use http/protobuf", signal.lower(), protocol)
        return False
    return True
