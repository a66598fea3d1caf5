"""Export of spans and metrics over OTLP/HTTP: the only importer of the OpenTelemetry SDK (extra `otel`).

Endpoints, headers, timeouts, sampling, batching and the resource are read from the standard `OTEL_*`
variables by the SDK itself.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


def install(signals: Collection[str], service_name: str) -> Callable[[], None]:
    """Install the SDK's providers, except where the process has one already.

    Args:
        signals: `TRACES`, `METRICS` or both.
        service_name: The resource's `service.name`, where the variables give none.

    Returns:
        Flushes and shuts down what was installed here; calling it again does nothing.
    """
    resource = _resource(service_name)
    ends = ExitStack()
    if "METRICS" in signals and not isinstance(metrics.get_meter_provider(), MeterProvider):
        meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())], resource)
        metrics.set_meter_provider(meters)
        ends.callback(meters.shutdown)
    if "TRACES" in signals and not isinstance(trace.get_tracer_provider(), TracerProvider):
        tracers = TracerProvider(resource=resource)
        tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        trace.set_tracer_provider(tracers)
        ends.callback(tracers.shutdown)
    return ends.close


def _resource(service_name: str) -> Resource:
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return resource.merge(Resource({SERVICE_NAME: service_name}))
    return resource
