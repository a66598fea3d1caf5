"""Spans, metrics, log fields and progress, up to the bytes an OTLP receiver gets."""

from __future__ import annotations

import itertools
import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from singer_sdk.logging import StructuredFormatter

from offgridflow_common import otlp
from offgridflow_common.errors import ErrorClass, Throttled
from offgridflow_common.observability import LogContextFilter, Telemetry, install_log_context
from offgridflow_common.progress import Progress
from offgridflow_common.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterator, Mapping

METRICS = {
    "ingestion_success_total",
    "ingestion_failure_total",
    "ingestion_items_total",
    "ingestion_latency_seconds",
    "ingestion_batch_size",
}
SECRET = "a-planted-secret-of-this-test"


# -- spans and metrics, in this process ---------------------------------------------------------------------


@dataclass
class Recorded:
    """A Telemetry whose spans and metrics stay in memory."""

    spans: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    def __post_init__(self) -> None:
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.telemetry = Telemetry("tap-x", tracer_provider=tracers, meter_provider=meters)

    def points(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        assert data is not None
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


def test_an_error_is_recorded_with_its_class_and_leaves_the_span(recorded: Recorded) -> None:
    with pytest.raises(Throttled), recorded.telemetry.span("request", operation="ListThings"):
        raise Throttled(asked="GET /things", got="429", do="wait")
    (span,) = recorded.spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes == {"connector": "tap-x", "operation": "ListThings", "error_class": "transient"}
    (event,) = span.events
    assert event.name == "exception"
    assert event.attributes is not None
    assert event.attributes["exception.type"] == "Throttled"
    assert "exception.stacktrace" not in event.attributes


def test_an_interrupt_ends_the_span_but_is_no_error(recorded: Recorded) -> None:
    with pytest.raises(KeyboardInterrupt), recorded.telemetry.span("sync"):
        raise KeyboardInterrupt
    (span,) = recorded.spans.get_finished_spans()
    assert span.status.status_code is StatusCode.UNSET
    assert span.end_time is not None


def test_no_secret_gets_into_a_span(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "offgridflow_common.observability.redact", lambda text: text.replace(SECRET, "[redacted]")
    )

    def work() -> None:
        with recorded.telemetry.span("request", url=f"https://x/?key={SECRET}", thing={"password": SECRET}):
            raise RuntimeError(f"could not send {SECRET}")

    with pytest.raises(RuntimeError):
        work()
    (finished,) = recorded.spans.get_finished_spans()
    assert SECRET not in finished.to_json()
    assert finished.to_json().count("[redacted]") == 4


def test_attributes_keep_numbers_and_leave_out_none(recorded: Recorded) -> None:
    with recorded.telemetry.span("partition", rows=3, ratio=0.5, whole=True, month=None, who={"a": 1}):
        pass
    (span,) = recorded.spans.get_finished_spans()
    assert span.attributes == {
        "connector": "tap-x",
        "rows": 3,
        "ratio": 0.5,
        "whole": True,
        "who": "{'a': 1}",
    }


def test_success_and_failure_are_counted_by_connector_stream_and_error_class(recorded: Recorded) -> None:
    recorded.telemetry.success("costs", items=10, seconds=2.0, largest_block=5)
    recorded.telemetry.success("costs", items=7, seconds=1.0, largest_block=7)
    recorded.telemetry.failure("costs", ErrorClass.AUTH, seconds=0.5)
    points = recorded.points()
    assert points.keys() == METRICS
    good = {"connector": "tap-x", "stream": "costs", "error_class": "none"}
    bad = good | {"error_class": "auth"}
    assert [(p.value, p.attributes) for p in points["ingestion_success_total"]] == [(2, good)]
    assert [(p.value, p.attributes) for p in points["ingestion_items_total"]] == [(17, good)]
    assert [(p.value, p.attributes) for p in points["ingestion_failure_total"]] == [(1, bad)]
    assert [(p.sum, p.count, p.attributes) for p in points["ingestion_batch_size"]] == [(12, 2, good)]
    latency = [(p.sum, p.count, p.attributes) for p in points["ingestion_latency_seconds"]]
    assert latency == [(3.0, 2, good), (0.5, 1, bad)]


# -- what is exported, and when -----------------------------------------------------------------------------


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Collection[str], str]]:
    """Calls of `otlp.install`, which does nothing; with an environment free of `OTEL_*`."""
    calls: list[tuple[Collection[str], str]] = []
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)

    def install(signals: Collection[str], service_name: str) -> Any:
        calls.append((signals, service_name))
        return calls.clear

    monkeypatch.setattr(otlp, "install", install)
    return calls


ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}


@pytest.mark.parametrize(
    ("environment", "signals"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, None),
        (ENDPOINT, {"TRACES", "METRICS"}),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://localhost:4318/v1/traces"}, {"TRACES"}),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://localhost:4318/v1/metrics"}, {"METRICS"}),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "True"}, None),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, {"METRICS"}),
        (ENDPOINT | {"OTEL_METRICS_EXPORTER": "console", "OTEL_TRACES_EXPORTER": "otlp"}, {"TRACES"}),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, {"TRACES", "METRICS"}),
    ],
)
def test_the_standard_variables_decide_what_is_exported(
    environment: Mapping[str, str],
    signals: set[str] | None,
    installed: list[tuple[Collection[str], str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    Telemetry.configure("tap-x")()
    assert installed == []
    Telemetry.configure("tap-x")
    assert installed == ([] if signals is None else [(signals, "tap-x")])


def test_a_protocol_we_do_not_speak_is_named(
    installed: list[Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}.items():
        monkeypatch.setenv(name, value)
    Telemetry.configure()
    assert installed == []
    assert [record.getMessage() for record in caplog.records] == [
        f"{signal} are not exported: OTLP protocol grpc; use http/protobuf"
        for signal in ("traces", "metrics")
    ]


# -- other processes: with a receiver, without the SDK ------------------------------------------------------


@dataclass
class Receiver:
    """An OTLP/HTTP receiver on loopback that keeps what it gets."""

    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    url: str = ""

    def spans(self) -> dict[str, Any]:
        return {
            span.name: span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }

    def points(self) -> dict[str, list[dict[str, str]]]:
        """The attributes of each data point, by the metric's name."""
        return {
            metric.name: [_attributes(p) for p in getattr(metric, metric.WhichOneof("data")).data_points]
            for request in self.metrics
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


def _attributes(holder: Any) -> dict[str, str]:
    return {entry.key: entry.value.string_value for entry in holder.attributes}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            kept.raw.append(body)
            if self.path == "/v1/traces":
                kept.traces.append(ExportTraceServiceRequest.FromString(body))
            elif self.path == "/v1/metrics":
                kept.metrics.append(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield kept
        server.shutdown()
        thread.join()


RUN = f"""
import logging
logging.basicConfig()
from offgridflow_common.errors import ErrorClass, NotFoundError
from offgridflow_common.observability import Telemetry
from offgridflow_common.redaction import register_secrets

register_secrets(["{SECRET}"])
telemetry = Telemetry("tap-x")
end = Telemetry.configure("tap-x")
try:
    with telemetry.span("sync"), telemetry.span("stream", stream="costs"):
        with telemetry.span("partition", month="2026-01"), telemetry.span("request", url="/?k={SECRET}"):
            raise NotFoundError(asked="GET {SECRET}", got="404", do="look elsewhere")
except NotFoundError as error:
    telemetry.failure("costs", error.error_class, 0.5)
telemetry.success("emissions", 12, 1.5, 6)
end()
end()
"""


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**clean, "NO_PROXY": "127.0.0.1", **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


def test_spans_arrive_at_an_otlp_receiver_as_one_chain(receiver: Receiver) -> None:
    done = run(RUN, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    assert (done.stdout, done.stderr) == ("", "")
    spans = receiver.spans()
    chain = [spans[name] for name in ("sync", "stream", "partition", "request")]
    assert chain[0].parent_span_id == b""
    for parent, child in itertools.pairwise(chain):
        assert child.parent_span_id == parent.span_id
        assert child.trace_id == parent.trace_id
    assert {_attributes(span)["connector"] for span in chain} == {"tap-x"}
    assert {_attributes(span)["error_class"] for span in chain} == {"not_found"}
    assert _attributes(chain[1])["stream"] == "costs"
    (resource,) = {_attributes(r.resource)["service.name"] for t in receiver.traces for r in t.resource_spans}
    assert resource == "tap-x"


def test_the_five_metrics_arrive_at_an_otlp_receiver_with_their_attributes(receiver: Receiver) -> None:
    run(RUN, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    good = {"connector": "tap-x", "stream": "emissions", "error_class": "none"}
    bad = {"connector": "tap-x", "stream": "costs", "error_class": "not_found"}
    assert receiver.points() == {
        "ingestion_success_total": [good],
        "ingestion_failure_total": [bad],
        "ingestion_items_total": [good],
        "ingestion_latency_seconds": [bad, good],
        "ingestion_batch_size": [good],
    }


def test_no_secret_goes_over_the_wire_to_the_receiver(receiver: Receiver) -> None:
    run(RUN, OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url)
    assert receiver.raw
    assert not [body for body in receiver.raw if SECRET.encode() in body]


def test_the_users_own_service_name_wins(receiver: Receiver) -> None:
    run(
        RUN,
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        OTEL_SERVICE_NAME="carbon-nightly",
        OTEL_METRICS_EXPORTER="none",
    )
    names = {_attributes(r.resource)["service.name"] for t in receiver.traces for r in t.resource_spans}
    assert names == {"carbon-nightly"}
    assert receiver.metrics == []


def test_a_receiver_that_is_gone_does_not_fail_the_run() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    done = run(RUN, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", OTEL_EXPORTER_OTLP_TIMEOUT="0.1")
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr


WITHOUT_SDK = """
import sys
for name in ("sdk", "exporter"):
    sys.modules["opentelemetry." + name] = None
"""

OVERHEAD = """
import timeit
from offgridflow_common.observability import Telemetry
telemetry = Telemetry("tap-x")
def one():
    with telemetry.span("request", operation="List"):
        telemetry.success("costs", 1, 1.0, 1)
print(min(timeit.repeat(one, number=1000, repeat=5)) / 1000)
"""


def test_without_the_sdk_a_run_works_and_says_what_is_missing() -> None:
    done = run(WITHOUT_SDK + RUN, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert "install the extra `otel`" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_the_sdk_and_without_endpoint_nothing_is_said() -> None:
    done = run(WITHOUT_SDK + RUN)
    assert (done.stdout, done.stderr) == ("", "")


def test_without_endpoint_the_sdk_is_not_even_imported() -> None:
    done = run(RUN + "import sys; print([m for m in sys.modules if m.startswith('opentelemetry.sdk')])")
    assert done.stdout == "[]\n"


def test_a_span_and_its_metrics_cost_next_to_nothing_without_the_sdk() -> None:
    # About 10 microseconds; a request takes a thousand times as long.
    assert float(run(WITHOUT_SDK + OVERHEAD).stdout) < 0.0005


# -- log fields ---------------------------------------------------------------------------------------------


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    """What the SDK's structured formatter makes of the lines of the logger `test.fields`."""
    kept: list[dict[str, Any]] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(json.loads(self.format(record)))

    handler = Keep()
    handler.setFormatter(StructuredFormatter())
    handler.addFilter(LogContextFilter())
    logger = logging.getLogger("test.fields")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield kept
    logger.removeHandler(handler)


def test_log_fields_nest_and_end_with_their_block(lines: list[dict[str, Any]]) -> None:
    logger = logging.getLogger("test.fields")

    def fail() -> None:
        with Telemetry.log_context(partition="2026-01", region="y"):
            logger.info("inner")
            raise RuntimeError

    with Telemetry.log_context(stream_name="costs", region="x"):
        with pytest.raises(RuntimeError):
            fail()
        logger.info("outer")
    logger.info("none")
    inner, outer, none = lines
    assert (inner["stream_name"], inner["extra"]) == ("costs", {"partition": "2026-01", "region": "y"})
    assert (outer["stream_name"], outer["extra"]) == ("costs", {"region": "x"})
    assert (none["stream_name"], none["extra"]) == (None, {})


def test_log_fields_never_replace_what_the_record_has(lines: list[dict[str, Any]]) -> None:
    with Telemetry.log_context(msg="forged", name="forged", rows=1):
        logging.getLogger("test.fields").info("true", extra={"rows": 2})
    assert (lines[0]["message"], lines[0]["logger_name"], lines[0]["extra"]) == (
        "true",
        "test.fields",
        {"rows": 2},
    )


def test_log_fields_of_one_thread_are_not_those_of_another(lines: list[dict[str, Any]]) -> None:
    with Telemetry.log_context(partition="here"):
        thread = threading.Thread(target=logging.getLogger("test.fields").info, args=("there",))
        thread.start()
        thread.join()
    assert lines[0]["extra"] == {}


def test_log_fields_survive_a_generator_that_another_thread_closes(lines: list[dict[str, Any]]) -> None:
    def blocks() -> Generator[int]:
        with Telemetry.log_context(partition="2026-01"):
            yield 1

    generator = blocks()
    next(generator)
    failed: list[BaseException] = []

    def close() -> None:
        try:
            generator.close()
        except BaseException as error:  # noqa: BLE001 - a thread's error is lost otherwise
            failed.append(error)

    thread = threading.Thread(target=close)
    thread.start()
    thread.join()
    assert (failed, lines) == ([], [])


def test_the_log_filter_is_installed_once_per_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    handler = logging.NullHandler()
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    install_log_context()
    install_log_context()
    assert [type(present) for present in handler.filters] == [LogContextFilter]


# -- progress -----------------------------------------------------------------------------------------------


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def progress_lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, logger="test.progress")
    return caplog


LOGGER = logging.getLogger("test.progress")


def test_short_work_says_nothing(clock: FakeClock, progress_lines: pytest.LogCaptureFixture) -> None:
    with Progress(LOGGER, "costs", clock=clock, total_files=2) as progress:
        for _ in range(2):
            clock.advance(4.9)
            progress.add(files=1, rows=10)
    assert progress_lines.messages == []


def test_progress_is_told_at_most_every_interval(
    clock: FakeClock, progress_lines: pytest.LogCaptureFixture
) -> None:
    progress = Progress(LOGGER, "costs", clock=clock)
    for _ in range(1000):
        clock.advance(0.1)
        progress.add(rows=1)
    assert 9 <= len(progress_lines.messages) <= 10


def test_a_line_has_files_bytes_rows_rate_and_time_left(
    clock: FakeClock, progress_lines: pytest.LogCaptureFixture
) -> None:
    with Progress(LOGGER, "2026-01", clock=clock, total_files=12, total_bytes=5_000_000_000) as progress:
        clock.advance(20)
        progress.add(files=3, bytes=1_000_000_000, rows=1_200_000)
        clock.advance(60)
        progress.add(files=9, bytes=4_000_000_000, rows=2_000_000)
        clock.advance(1)
    assert progress_lines.messages == [
        "2026-01: 3 of 12 files, 1.0 GB of 5.0 GB, 1,200,000 rows, 60,000 rows/s, about 1 min 20 s left",
        "2026-01: 12 of 12 files, 5.0 GB of 5.0 GB, 3,200,000 rows, 40,000 rows/s, about 0 s left",
        "2026-01: 12 of 12 files, 5.0 GB of 5.0 GB, 3,200,000 rows, 39,506 rows/s, took 1 min 21 s",
    ]
    first = progress_lines.records[0].__dict__
    assert (first["files"], first["rows_per_second"], first["seconds_left"]) == (3, 60_000, 80)


def test_time_left_is_told_by_files_where_bytes_are_not_known(
    clock: FakeClock, progress_lines: pytest.LogCaptureFixture
) -> None:
    progress = Progress(LOGGER, "costs", clock=clock, total_files=1000)
    clock.advance(30)
    progress.add(files=1, bytes=999, rows=5)
    assert progress_lines.messages == [
        "costs: 1 of 1,000 files, 999 B, 5 rows, 0 rows/s, about 8 h 19 min left"
    ]


@pytest.mark.parametrize("totals", [{}, {"total_files": 0}, {"total_files": 1}, {"total_bytes": 10}])
def test_totals_that_are_unknown_or_too_small_give_no_time_left(
    totals: dict[str, int], clock: FakeClock, progress_lines: pytest.LogCaptureFixture
) -> None:
    progress = Progress(LOGGER, "costs", clock=clock, **totals)
    clock.advance(10)
    progress.add(files=2, bytes=20)
    assert "left" not in progress_lines.text


def test_an_interval_of_nothing_divides_by_nothing(
    clock: FakeClock, progress_lines: pytest.LogCaptureFixture
) -> None:
    with Progress(LOGGER, "costs", clock=clock, interval=0) as progress:
        progress.add(rows=1)
    assert [line.split(", ")[3] for line in progress_lines.messages] == ["0 rows/s", "0 rows/s"]


def test_closing_twice_tells_the_end_once(clock: FakeClock, progress_lines: pytest.LogCaptureFixture) -> None:
    progress = Progress(LOGGER, "costs", clock=clock)
    clock.advance(10)
    progress.add(rows=1)
    progress.close()
    progress.close()
    assert len(progress_lines.messages) == 2


def test_threads_lose_no_count(clock: FakeClock, progress_lines: pytest.LogCaptureFixture) -> None:
    progress = Progress(LOGGER, "costs", clock=clock)

    def work() -> None:
        for _ in range(1000):
            progress.add(files=1, bytes=2, rows=3)
            time.sleep(0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clock.advance(10)
    progress.add()
    assert progress_lines.messages[0].startswith("costs: 8,000 files, 16.0 kB, 24,000 rows")
