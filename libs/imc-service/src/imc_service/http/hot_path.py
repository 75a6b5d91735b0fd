"""Calls answered before FastAPI's own stack.

FastAPI's routing, dependencies, exit stacks and middleware cost as much as reading a page of history, or as
two sends. A call that only takes a request and returns a reply needs none of them: its endpoint is called
directly. The routes stay registered with FastAPI, which describes them and answers other methods.
"""

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple, cast

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from imc_contracts.errors import Refused
from starlette.types import ASGIApp, Receive, Scope, Send

from imc_service.auth.gatekeeper import Gatekeeper
from imc_service.auth.middleware import admit
from imc_service.current_call import CURRENT, answering
from imc_service.http import java_door, replies
from imc_service.metrics import HttpSeries
from imc_service.tracing.tracing import Tracing

Endpoint = Callable[[Request], Awaitable[Response]]


class HotCall(NamedTuple):
    """One of the calls: its route, under which metrics count it, and its endpoint."""

    route: APIRoute
    endpoint: Endpoint


class HotPath:
    """The hot calls of a service. Tokens are checked and requests counted as for other calls.

    Routes in ``routers`` must have no parameters in their paths, and endpoints that take only the request.
    """

    def __init__(
        self,
        routers: Iterable[APIRouter],
        series: HttpSeries,
        gatekeeper: Gatekeeper | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._series = series
        self._tracing = tracing
        self._gatekeeper = gatekeeper
        self._calls = {
            (method, route.path): HotCall(route, cast(Endpoint, route.endpoint))
            for router in routers
            for route in router.routes
            if isinstance(route, APIRoute)
            for method in route.methods or ()
        }

    def find(self, scope: Scope) -> HotCall | None:
        """The call that a request is for, or None if FastAPI answers it."""
        method, path = scope["method"], scope["path"]
        call = self._calls.get((method, path))
        if call is None and path.endswith("/"):
            path, _ = java_door.without_slash(path, scope.get("raw_path") or b"")
            call = self._calls.get((method, path))
        return call

    async def answer(self, call: HotCall, request: Request) -> Response:
        """The reply to a call, refused or not. Other exceptions are raised."""
        begun, status = time.perf_counter(), 500
        scope = request.scope
        scope["route"] = call.route
        answered = CURRENT.set(scope)
        span = None if self._tracing is None else self._tracing.begin_call(scope, call.route.path)
        try:
            if self._gatekeeper is not None:
                await admit(scope, self._gatekeeper)
            reply = await call.endpoint(request)
            status = reply.status_code
        except Refused as refused:
            reply = replies.refusal_of(scope, refused)
            status = reply.status_code
        finally:
            seconds = time.perf_counter() - begun
            if span is None:
                self._series.note(call.route.path, status, seconds)
            else:
                self._series.note(call.route.path, status, seconds, span.trace_id)
                span.end({"http.response.status_code": status}, has_failed=status >= 500)
            CURRENT.reset(answered)
        return reply


class HotPathMiddleware:
    """ASGI middleware that answers hot calls which `imc_service.http1.protocol` has passed on."""

    def __init__(self, app: ASGIApp, hot_path: HotPath) -> None:
        self._app = app
        self._hot_path = hot_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a hot call, pass on all else."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call = self._hot_path.find(scope)
        if call is None:
            with answering(scope):
                await self._app(scope, receive, send)
            return
        reply = await self._hot_path.answer(call, Request(scope, receive))
        await reply(scope, receive, send)
