"""What every HTTP service measures of itself."""

import time
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class HttpMetrics:
    """ASGI middleware that counts and times requests by path template and status.

    A path that no route answers is counted as ``other``: clients must not be able to make series.
    """

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        self._requests = Counter(
            "imc_http_requests", "HTTP requests answered.", ["path", "status"], registry=registry
        )
        self._seconds = Histogram(
            "imc_http_request_seconds",
            "Time to answer an HTTP request.",
            ["path"],
            registry=registry,
            buckets=_BUCKETS,
        )
        # Finding a series by its labels costs more than counting: each is looked up once.
        self._requests_of = cache(self._requests.labels)
        self._seconds_of = cache(self._seconds.labels)

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
            self._requests_of(path, status).inc()
            self._seconds_of(path).observe(time.perf_counter() - begun)
