"""Spans: what a process does for a message that is traced.

A trace begins with an HTTP request or with a frame of a gateway, and follows the message through the log.
What is handed on is the context of a span, as in the header ``traceparent`` (W3C Trace Context, section 3.2).
There is one only for a message that is traced: all others cost a comparison.
"""

import asyncio
import contextlib
import random
import re
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from imc_service import current_call

Attributes = Mapping[str, str | int | Sequence[str]]

MOST_SPANS = 32
"""The most traced messages of one batch that get a span each. The last span links to those beyond."""

MOST_LINKS = 128
"""The most links of one span."""

CLOSE_SECONDS = 3.0
"""How long the last spans may take to leave when the process ends."""

_CONTEXT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_TRACEPARENT = b"traceparent"


class Span:
    """A span that has begun."""

    def __init__(self, span: trace.Span) -> None:
        self._span: trace.Span | None = span
        context = span.get_span_context()
        self.trace_id = f"{context.trace_id:032x}"
        self.context = f"00-{self.trace_id}-{context.span_id:016x}-01"
        """What a span that follows from it is told."""

    def end(self, attributes: Attributes | None = None, *, has_failed: bool = False) -> None:
        """End it. Nothing happens if it has ended before."""
        span, self._span = self._span, None
        if span is None:
            return
        if attributes:
            span.set_attributes(attributes)
        if has_failed:
            span.set_status(StatusCode.ERROR)
        span.end()


class Tracing:
    """Makes the spans of one process."""

    def __init__(self, tracer: trace.Tracer, ratio: float, shut_down: Callable[[], object]) -> None:
        """``ratio``: the share of messages to trace. ``shut_down`` sends what is left, and may block."""
        self._tracer = tracer
        self._ratio = ratio
        self._shut_down = shut_down

    def begin(
        self,
        name: str,
        kind: SpanKind,
        parent: str | None = None,
        links: Iterable[str] = (),
        attributes: Attributes | None = None,
        begun_ns: int | None = None,
    ) -> Span:
        """Begin a span after the one whose context is ``parent``, or a trace.

        ``links`` are contexts too; ``begun_ns`` is in nanoseconds of Unix time, now if it is None.
        """
        context = Context()
        if parent is not None and (known := _read(parent)) is not None:
            context = trace.set_span_in_context(NonRecordingSpan(known), context)
        linked = [Link(known) for each in links if (known := _read(each)) is not None]
        span = self._tracer.start_span(
            name,
            context,
            kind,
            dict(attributes or {}),
            linked[:MOST_LINKS],
            time.time_ns() if begun_ns is None else begun_ns,
        )
        return Span(span)

    def begin_some(self, name: str, kind: SpanKind, attributes: Attributes) -> Span | None:
        """Begin a trace, for as many as the ratio wants."""
        return self.begin(name, kind, attributes=attributes) if self._is_chosen() else None

    def begin_call(self, scope: current_call.Scope, name: str) -> Span | None:
        """Begin the span of an HTTP call, if its client or the ratio wants it traced."""
        given = next((value for key, value in scope["headers"] if key == _TRACEPARENT), b"")
        parent = given.decode("latin-1")
        if _read(parent) is None:
            parent = None
        if not (self._is_chosen() if parent is None else _is_sampled(parent)):
            return None
        attributes = {"http.request.method": scope["method"], "http.route": name}
        span = self.begin(f"{scope['method']} {name}", SpanKind.SERVER, parent, attributes=attributes)
        current_call.follow(scope, span.context)
        return span

    def record(self, name: str, contexts: Iterable[str], begun_ns: int, attributes: Attributes) -> None:
        """Record what was done now for all traced messages of a batch: a span in the trace of each.

        ``begun_ns``: when it was begun, in nanoseconds of Unix time.
        """
        distinct = list(dict.fromkeys(contexts))
        for at, context in enumerate(distinct[:MOST_SPANS], 1):
            links = distinct[at:] if at == MOST_SPANS else ()
            self.begin(name, SpanKind.CONSUMER, context, links, attributes, begun_ns).end()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """At the end of the context, send what is left."""
        try:
            yield
        finally:
            await self._close()

    def _is_chosen(self) -> bool:
        return random.random() < self._ratio  # noqa: S311 - no secret

    async def _close(self) -> None:
        """Send the last spans, in a thread that nobody waits for if the collector does not answer."""
        loop, is_closed = asyncio.get_running_loop(), asyncio.Event()

        def close() -> None:
            self._shut_down()
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(is_closed.set)

        threading.Thread(target=close, daemon=True).start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await is_closed.wait()


def _read(context: str) -> SpanContext | None:
    """The context in a text; None if it is none, as of an entry that was made by hand."""
    match = _CONTEXT.fullmatch(context)
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        return None
    known = SpanContext(
        int(match[2], 16), int(match[3], 16), is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)
    )
    return known if known.is_valid else None


def _is_sampled(context: str) -> bool:
    match = _CONTEXT.fullmatch(context)
    return match is not None and bool(int(match[4], 16) & TraceFlags.SAMPLED)
