"""Metrics of HTTP requests."""

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BOUNDS = (*map(str, _BUCKETS), "+Inf")


@dataclass(slots=True)
class _Times:
    """The requests for one path: how many fell into each bucket, and their seconds in all."""

    counts: list[int] = field(default_factory=lambda: [0] * len(_BOUNDS))
    seconds: float = 0.0
    exemplars: dict[int, Exemplar] = field(default_factory=dict[int, Exemplar])
    """Of each bucket the last request that was traced."""


class HttpSeries(Collector):
    """Counts and times of requests by path template and status.

    They are plain numbers until they are collected. prometheus-client's own series take a lock and walk over
    all buckets for each request, which would make a send a tenth more expensive.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._times: defaultdict[str, _Times] = defaultdict(_Times)
        registry.register(self)

    def note(self, path: str, status: int, seconds: float, trace_id: str | None = None) -> None:
        """Count one request that was answered ``status`` after ``seconds``.

        ``trace_id``: that of its trace, if it is traced.
        """
        self._requests[path, status] += 1
        times = self._times[path]
        bucket = bisect_left(_BUCKETS, seconds)
        times.counts[bucket] += 1
        times.seconds += seconds
        if trace_id is not None:
            times.exemplars[bucket] = Exemplar({"trace_id": trace_id}, seconds, time.time())

    def collect(self) -> Iterator[CounterMetricFamily | HistogramMetricFamily]:
        """The series as they are now, for the registry."""
        requests = CounterMetricFamily(
            "imc_http_requests", "HTTP requests answered.", labels=["path", "status"]
        )
        for (path, status), count in self._requests.items():
            requests.add_metric([path, str(status)], count)
        yield requests
        times = HistogramMetricFamily(
            "imc_http_request_seconds", "Time to answer an HTTP request.", labels=["path"]
        )
        for path, of_path in self._times.items():
            buckets: list[tuple[str, float] | tuple[str, float, Exemplar]] = [
                (bound, count, of_path.exemplars[at]) if at in of_path.exemplars else (bound, count)
                for at, (bound, count) in enumerate(zip(_BOUNDS, accumulate(of_path.counts), strict=True))
            ]
            times.add_metric([path], buckets, of_path.seconds)
        yield times


class HttpMetrics:
    """ASGI middleware that counts and times requests.

    Paths without a route are counted as ``other``, so that clients can't create series.
    """

    def __init__(self, app: ASGIApp, series: HttpSeries) -> None:
        self._app = app
        self._series = series

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and note its end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        begun = time.perf_counter()

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self._series.note(path, status, time.perf_counter() - begun)
