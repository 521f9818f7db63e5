"""A collector of traces that keeps what it gets."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Span(NamedTuple):
    """A span as it arrived; ids in hexadecimal."""

    name: str
    process: str
    trace_id: str
    span_id: str
    parent_id: str
    status: int
    facts: Mapping[str, str]


class Collector:
    """
    Takes OTLP over HTTP.

    Attributes:
        raw: The bodies as they came.
    """

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.raw: list[bytes] = []

    def spans(self, name: str | None = None) -> list[Span]:
        """Read all spans so far, or those of one name."""
        found = [span for raw in self.raw for span in _spans(raw)]
        return [span for span in found if name in (None, span.name)]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.path == "/v1/traces"
            collector.raw.append(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(server.server_port)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


def _spans(raw: bytes) -> Iterator[Span]:
    for resource in ExportTraceServiceRequest.FromString(raw).resource_spans:
        facts = {each.key: each.value.string_value for each in resource.resource.attributes}
        assert facts["service.name"] == "flagstream"
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    name=span.name,
                    process=facts["flagstream.process"],
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    status=span.status.code,
                    facts={
                        each.key: each.value.string_value or str(each.value.int_value)
                        for each in span.attributes
                    },
                )
