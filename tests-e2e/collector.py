"""A collector of traces, as tests need one: it takes spans by OTLP over HTTP, and keeps them."""

import contextlib
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class ReceivedSpan:
    """A span, with ids in hexadecimal. ``service`` and ``instance`` name the process that made it."""

    service: str
    instance: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    links: list[str]
    """The ids of the spans that it links to."""
    attributes: dict[str, Any]
    seconds: float
    has_failed: bool


@dataclass
class Collector:
    """The spans so far, in the order in which they came."""

    url: str
    spans: list[ReceivedSpan] = field(default_factory=list[ReceivedSpan])

    def of(self, trace_id: str, name: str | None = None) -> list[ReceivedSpan]:
        """The spans of one trace, those with one name if it is given."""
        return [each for each in self.spans if each.trace_id == trace_id and name in (None, each.name)]

    def take(self, body: bytes) -> None:
        """Take what a process has sent."""
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            about = {each.key: _value(each.value) for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans += [_received(about, span) for span in scope.spans]


@contextlib.contextmanager
def collecting() -> Generator[Collector]:
    """Listen on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            is_known = self.path == "/v1/traces"
            is_known = is_known and self.headers["content-type"] == "application/x-protobuf"
            if is_known:
                collector.take(body)
            self.send_response(200 if is_known else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    serving = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    serving.start()
    try:
        yield collector
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def _received(about: dict[str, Any], span: Any) -> ReceivedSpan:
    return ReceivedSpan(
        about["service.name"],
        about["service.instance.id"],
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        [link.span_id.hex() for link in span.links],
        {each.key: _value(each.value) for each in span.attributes},
        (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        span.status.code == 2,
    )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)
