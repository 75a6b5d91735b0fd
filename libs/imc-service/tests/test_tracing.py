"""Spans: who is followed, what they follow from, and what bounds them."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_service.current_call import CURRENT, trace_of
from imc_service.health import Readiness
from imc_service.http import replies
from imc_service.http.application import assemble
from imc_service.tracing import tracing as module
from imc_service.tracing.tracing import MOST_LINKS, MOST_SPANS, Tracing
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import CollectorRegistry

SAMPLED = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Traced:
    """A `Tracing` whose spans stay here."""

    def __init__(self, ratio: float = 1, shut_down: Callable[[], object] = lambda: None) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(provider.get_tracer("test"), ratio, shut_down)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()


def context_of(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01"


def parent_of(span: ReadableSpan) -> str | None:
    return span.parent and f"00-{span.parent.trace_id:032x}-{span.parent.span_id:016x}-01"


def contexts(count: int) -> list[str]:
    return [f"00-{number:032x}-{number:016x}-01" for number in range(1, count + 1)]


def test_a_span_goes_on_from_its_parent() -> None:
    traced = Traced()
    root = traced.tracing.begin("root", SpanKind.SERVER)
    child = traced.tracing.begin("child", SpanKind.PRODUCER, root.context, attributes={"a": 1}, begun_ns=5)
    child.end({"b": "x"})
    child.end({"b": "too late"})
    root.end(has_failed=True)
    of_child, of_root = traced.spans
    assert (context_of(of_root), context_of(of_child)) == (root.context, child.context)
    assert parent_of(of_root) is None
    assert parent_of(of_child) == root.context
    assert dict(of_child.attributes or {}) == {"a": 1, "b": "x"}
    assert of_child.start_time == 5
    assert of_child.kind is SpanKind.PRODUCER
    assert (of_root.status.status_code, of_child.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)


@pytest.mark.parametrize(
    "context",
    [
        *["", "x", SAMPLED[:-1], SAMPLED.upper(), SAMPLED + "-more", "ff" + SAMPLED[2:], "\ufffd" * 55],
        *[f"00-{'0' * 32}-{'1' * 16}-01", f"00-{'1' * 32}-{'0' * 16}-01", SAMPLED + "\n"],
    ],
)
def test_what_is_no_context_begins_a_trace(context: str) -> None:
    traced = Traced()
    traced.tracing.begin("a", SpanKind.SERVER, context, [context]).end()
    [span] = traced.spans
    assert span.parent is None
    assert list(span.links) == []


def test_a_later_version_of_the_header_is_read() -> None:
    traced = Traced()
    traced.tracing.begin("a", SpanKind.SERVER, "01" + SAMPLED[2:] + "-more").end()
    assert parent_of(traced.spans[0]) == SAMPLED


def test_every_traced_message_of_a_batch_gets_a_span_in_its_trace() -> None:
    traced = Traced()
    some = contexts(3)
    traced.tracing.record("store", [*some, some[0]], 7, {"n": 4})
    assert [parent_of(span) for span in traced.spans] == some
    assert [span.start_time for span in traced.spans] == [7] * 3
    assert [list(span.links) for span in traced.spans] == [[]] * 3


def test_spans_and_links_of_a_batch_are_bounded() -> None:
    traced = Traced()
    many = contexts(MOST_SPANS + 500)
    traced.tracing.record("push", many, 7, {})
    assert [parent_of(span) for span in traced.spans] == many[:MOST_SPANS]
    links = [len(span.links) for span in traced.spans]
    assert links == [0] * (MOST_SPANS - 1) + [MOST_LINKS]
    assert traced.spans[-1].links[0].context.span_id == MOST_SPANS + 1


def routes() -> APIRouter:
    router = APIRouter(prefix="/v1")

    @router.get("/call")
    async def call(_request: Request) -> Response:
        return replies.success(trace_of(CURRENT.get()))

    @router.get("/refused")
    async def refused(_request: Request) -> Response:
        raise Refused(ErrorCode.QUOTA_USED_UP, "later")

    @router.get("/fault")
    async def fault(_request: Request) -> Response:
        raise ZeroDivisionError

    return router


def application(traced: Traced) -> FastAPI:
    hot = [routes()]
    return assemble(FastAPI(), Readiness(), CollectorRegistry(), *hot, hot=hot, tracing=traced.tracing)


@pytest.mark.parametrize(
    ("ratio", "given", "is_traced", "has_parent"),
    [
        (0, None, False, False),
        (1, None, True, False),
        (0, SAMPLED, True, True),
        (1, SAMPLED[:-1] + "0", False, False),  # its sender has decided
        (0, "nonsense", False, False),
        (1, "nonsense", True, False),
    ],
)
async def test_who_is_traced(
    calling: Any, ratio: float, given: str | None, is_traced: bool, has_parent: bool
) -> None:
    traced = Traced(ratio)
    async with calling(application(traced)) as client:
        reply = await client.get("/v1/call", headers={"traceparent": given} if given else {})
    assert len(traced.spans) == is_traced
    assert reply.json()["data"] == (context_of(traced.spans[0]) if is_traced else None)
    if is_traced:
        [span] = traced.spans
        assert span.name == "GET /v1/call"
        assert parent_of(span) == (SAMPLED if has_parent else None)
        attributes = {
            "http.request.method": "GET",
            "http.route": "/v1/call",
            "http.response.status_code": 200,
        }
        assert dict(span.attributes or {}) == attributes
    assert CURRENT.get() is None


@pytest.mark.parametrize(("path", "status", "code"), [("refused", 429, "UNSET"), ("fault", 500, "ERROR")])
async def test_a_call_that_fails_says_so(calling: Any, path: str, status: int, code: str) -> None:
    traced = Traced()
    async with calling(application(traced)) as client:
        await client.get(f"/v1/{path}")
    [span] = traced.spans
    assert (span.attributes or {})["http.response.status_code"] == status
    assert span.status.status_code.name == code


def test_the_share_of_what_is_traced_is_the_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    traced, thrown = Traced(0.25), iter([0.0, 0.2499, 0.25, 0.9])
    monkeypatch.setattr("random.random", lambda: next(thrown))
    begun = [traced.tracing.begin_some("frame", SpanKind.SERVER, {}) for _ in range(4)]
    assert [span is not None for span in begun] == [True, True, False, False]


async def test_the_last_spans_are_sent_at_the_end() -> None:
    calls: list[str] = []
    traced = Traced(shut_down=lambda: calls.append(threading.current_thread().name))
    async with traced.tracing.running():
        assert calls == []
    assert len(calls) == 1
    assert calls != [threading.main_thread().name]


async def test_nothing_waits_for_a_collector_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.01)
    answered = threading.Event()
    traced = Traced(shut_down=answered.wait)
    async with asyncio.timeout(60), traced.tracing.running():
        pass
    answered.set()
