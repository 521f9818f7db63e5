"""
Traces of sampled requests: spans ``capture``, ``evaluate``, and ``fold`` where state changes.

Nothing of OpenTelemetry is imported, and nothing is wrapped, unless the settings name a collector.
What a request writes carries its trace along: in a record's header on Kafka; beside the embedded
log, whose records have none, in memory.
"""

import asyncio
import logging
import threading
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from functools import wraps
from itertools import islice
from random import random
from typing import Any

from aiohttp import web

import flagstream
from flagstream.errors import RequestError, SettingsError
from flagstream.ports import Append, Position, RecordSink
from flagstream.settings import Settings
from flagstream.topics import Topic

TRACEPARENT = "traceparent"
# Of a request with thousands of events, the first are enough to see how long folding takes.
_MAX_CARRIED_EACH = 100
_MAX_CARRIED = 10_000
_EXPORT_TIMEOUT_S = 2.0
_SERVER_ERROR = 500

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_Record = tuple[str, bytes, bytes]
_traceparent: ContextVar[str] = ContextVar(TRACEPARENT, default="")


def traceparent() -> str:
    """Tell the trace of the request under way, as W3C writes it; "" of one that is not sampled."""
    return _traceparent.get()


def headers() -> Sequence[tuple[str, bytes]]:
    """Tell the same as the headers of a record on Kafka."""
    present = _traceparent.get()
    return [(TRACEPARENT, present.encode())] if present else ()


class Tracing:
    """
    Makes spans; what it costs is paid by sampled requests.

    A client decides which trace its request belongs to, and that it is not to be sampled, but not
    that it is: clients are strangers.
    """

    def __init__(self, provider: Any, sample_ratio: float) -> None:
        from opentelemetry import trace  # noqa: PLC0415 -- where it is wanted
        from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415 -- likewise

        self._trace = trace
        self._propagator = tracecontext.TraceContextTextMapPropagator()
        self._tracer = provider.get_tracer("flagstream", flagstream.__version__)
        self._sample_ratio = sample_ratio
        self._carried: dict[_Record, str] = {}

    def handler(self, name: str, handler: Handler) -> Handler:
        """Make a span of each sampled request that *handler* answers."""

        @wraps(handler)
        async def answer(request: web.Request) -> web.StreamResponse:
            if random() >= self._sample_ratio:  # noqa: S311 -- nobody is to be kept from guessing
                return await handler(request)
            parent = self._propagator.extract(request.headers)
            context = self._trace.get_current_span(parent).get_span_context()
            if context.is_valid and not context.trace_flags.sampled:
                return await handler(request)
            return await self._answer(name, handler, request, parent)

        return answer

    async def _answer(
        self, name: str, handler: Handler, request: web.Request, parent: Any
    ) -> web.StreamResponse:
        resource = request.match_info.route.resource
        facts = {
            "http.request.method": request.method,
            # With names instead of what stands for them, which may be a token.
            "http.route": "" if resource is None else resource.canonical,
        }
        with self._span(name, parent, self._trace.SpanKind.SERVER, facts) as span:
            carrier: dict[str, str] = {}
            self._propagator.inject(carrier)
            status = _SERVER_ERROR
            try:
                with belonging(carrier[TRACEPARENT]):
                    response = await handler(request)
                status = response.status
            except RequestError as error:
                status = error.status
                raise
            finally:
                span.set_attribute("http.response.status_code", status)
                if status >= _SERVER_ERROR:
                    span.set_status(self._trace.StatusCode.ERROR)
            return response

    def _span(self, name: str, parent: Any, kind: Any, facts: Mapping[str, Any]) -> Any:
        # What an error says may be what somebody has sent.
        return self._tracer.start_as_current_span(
            name, parent, kind, facts, record_exception=False, set_status_on_exception=False
        )

    def carry(self, appends: Iterable[Append], origin: str) -> None:
        """Note before records are appended to the embedded log which trace they are of."""
        for topic, key, value in islice(appends, _MAX_CARRIED_EACH):
            if topic is not Topic.EVENTS:
                self._carried[topic.value, key, value] = origin
        while len(self._carried) > _MAX_CARRIED:
            # What was not folded for long.
            del self._carried[next(iter(self._carried))]

    def fold(self, fold: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        """Make a span of each record that is folded and came with a trace."""

        async def fold_traced(message: Any, table: Any, *others: Any) -> None:
            origin = self._origin(message)
            if not origin:
                return await fold(message, table, *others)
            facts = {
                "flagstream.agent": str(table),
                "messaging.destination.name": message.topic,
                "messaging.destination.partition.id": str(message.partition),
                "messaging.kafka.offset": message.offset,
            }
            parent = self._propagator.extract({TRACEPARENT: origin})
            with self._span("fold", parent, self._trace.SpanKind.CONSUMER, facts):
                return await fold(message, table, *others)

        return fold_traced

    def _origin(self, message: Any) -> str:
        if message.headers:
            origin: bytes = dict(message.headers).get(TRACEPARENT, b"")
            return origin.decode("ascii", "replace")
        if not self._carried:
            return ""
        return self._carried.pop((message.topic, message.key, message.value), "")


class CarryingSink:
    """A sink of the embedded log, whose records know their traces until they are folded."""

    def __init__(self, sink: RecordSink, tracing: Tracing) -> None:
        self._sink = sink
        self._tracing = tracing

    async def append(self, appends: Sequence[Append]) -> Sequence[Position]:
        """Append, as :class:`flagstream.ports.RecordSink`."""
        origin = traceparent()
        if origin:
            self._tracing.carry(appends, origin)
        return await self._sink.append(appends)


@contextmanager
def belonging(origin: str) -> Iterator[None]:
    """Do something for a request of another process, whose trace that is."""
    token = _traceparent.set(origin)
    try:
        yield
    finally:
        _traceparent.reset(token)


@asynccontextmanager
async def exporting(settings: Settings, process: str) -> AsyncIterator[Tracing | None]:
    """
    Send spans to the collector that the settings name; None where they name none.

    They are sent by a thread, and thrown away where the collector does not take them.

    Raises:
        SettingsError: OpenTelemetry is not installed.
    """
    if not settings.otlp_endpoint:
        yield None
        return
    provider = _provider(settings, process)
    try:
        yield Tracing(provider, settings.trace_sample_ratio)
    finally:
        await _ended(provider)


def _provider(settings: Settings, process: str) -> Any:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 -- an extra
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 -- likewise
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 -- likewise
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 -- likewise
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415 -- likewise
    except ImportError as error:
        raise SettingsError(
            f"otlp_endpoint: expected OpenTelemetry to be installed (flagstream[otel]): {error}"
        ) from None
    # A collector that is gone is told by its exporter; not each span that is thrown away then.
    logging.getLogger("opentelemetry.sdk").setLevel(logging.ERROR)
    facts: Mapping[str, str] = {
        "service.name": "flagstream",
        "service.version": flagstream.__version__,
        "flagstream.process": process,
    }
    # Sampled is decided before there is a span.
    provider = TracerProvider(ALWAYS_ON, Resource.create(facts), shutdown_on_exit=False)
    endpoint = f"{settings.otlp_endpoint.rstrip('/')}/v1/traces"
    exporter = OTLPSpanExporter(endpoint, timeout=_EXPORT_TIMEOUT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


async def _ended(provider: Any) -> None:
    """Send what is left, for a moment: a collector that is gone must not hold up the end."""
    ended, loop = asyncio.Event(), asyncio.get_running_loop()

    def end() -> None:
        provider.shutdown()
        # The loop may be gone by then.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=end, name="traces", daemon=True).start()
    with suppress(TimeoutError):
        await asyncio.wait_for(ended.wait(), _EXPORT_TIMEOUT_S)
