"""A collector: takes OTLP over HTTP, or does what dead collectors do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True)
class Seen:
    """A span as it arrived; ids as hexadecimal texts, attributes as plain values."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    links: list[tuple[str, str, dict[str, Any]]]
    events: list[tuple[str, dict[str, Any]]]
    failed: bool
    resource: dict[str, Any]


@dataclass
class Sink:
    """What arrived. ``hold`` it, and no request is answered until it is released; ``refuse``, and all are refused."""

    raw: list[bytes] = field(default_factory=list)
    refuse: bool = False
    waiting: int = 0
    """Requests that are held."""
    url: str = ""
    _open: threading.Event = field(default_factory=threading.Event)

    def hold(self) -> None:
        self._open.clear()

    def release(self) -> None:
        self._open.set()

    def clear(self) -> None:
        self.raw.clear()
        self.refuse = False
        self.release()

    def take(self, body: bytes) -> int:
        """The status that answers it."""
        held = not self._open.is_set()
        self.waiting += 1
        self._open.wait()
        self.waiting -= 1
        if held or self.refuse:  # who was held belongs to a test that is over
            return 400  # unlike a 503 it is not tried again
        self.raw.append(body)
        return 200

    @property
    def spans(self) -> list[Seen]:
        """Everything so far, in the order in which it ended."""
        return [span for body in self.raw for span in _parse(body)]

    def named(self, name: str) -> list[Seen]:
        """Spans of which the name begins so."""
        return [span for span in self.spans if span.name.startswith(name)]


@contextmanager
def collecting() -> Iterator[Sink]:
    """A sink on a free port of this machine."""
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = sink.take(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    sink.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield sink
    sink.release()
    server.shutdown()
    server.server_close()
    thread.join()


def _parse(body: bytes) -> Iterator[Seen]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    span.name,
                    span.kind,
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    _plain(span.attributes),
                    [(link.trace_id.hex(), link.span_id.hex(), _plain(link.attributes)) for link in span.links],
                    [(event.name, _plain(event.attributes)) for event in span.events],
                    span.status.code == Status.STATUS_CODE_ERROR,
                    _plain(resource.resource.attributes),
                )


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: _value(one.value) for one in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(one) for one in value.array_value.values] if kind == "array_value" else getattr(value, kind)
