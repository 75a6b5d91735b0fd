"""Builds the ASGI applications of all services."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CollectorRegistry

from imc_service import background, health
from imc_service.apps_file import AppsFile
from imc_service.auth.gatekeeper import Gatekeeper
from imc_service.auth.middleware import Authenticated
from imc_service.command_line import Program
from imc_service.health import Readiness
from imc_service.http import description, pages, replies
from imc_service.http.hot_path import HotPath, HotPathMiddleware
from imc_service.http.java_door import JavaPaths
from imc_service.http.routes import add_routes, joined
from imc_service.metrics import HttpMetrics, HttpSeries
from imc_service.tracing.tracing import Tracing

TELEMETRY_OFF: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""For ``FastAPI(telemetry=…)``: otherwise it looks for OpenTelemetry at each request, which takes time."""


@dataclass(frozen=True)
class Opened:
    """What an application opens at its start."""

    state: Mapping[str, object]
    """What requests find in ``request.state``."""

    drain: Callable[[], Awaitable[None]] | None = None
    """What to do between the signal to stop and the end of the server. See `server.serve`."""


Open = Callable[[Readiness, CollectorRegistry], AbstractAsyncContextManager[Opened]]
"""Opens what an application needs, and closes it when the application ends."""


def build_app(
    program: Program,
    opening: Open,
    *routers: APIRouter,
    gatekeeper: Gatekeeper | None = None,
    apps_file: AppsFile | None = None,
    hot: Iterable[APIRouter] = (),
    tracing: Tracing | None = None,
) -> FastAPI:
    """Build the application of ``program``, with what `assemble` adds.

    ``opening`` is entered when the application starts. Its result is then ``app.state.opened``.
    ``apps_file`` is kept in force while the application runs, and ``tracing`` closed after it.
    """
    readiness, registry = Readiness(), CollectorRegistry()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[Mapping[str, object]]:
        async with contextlib.AsyncExitStack() as stack:
            if tracing is not None:
                await stack.enter_async_context(tracing.running())
            if apps_file is not None:
                await stack.enter_async_context(apps_file.in_force(readiness, registry))
            if gatekeeper is not None:
                await stack.enter_async_context(gatekeeper.running(readiness))
            app.state.opened = await stack.enter_async_context(opening(readiness, registry))
            await stack.enter_async_context(background.running(readiness.keep_telling()))
            yield app.state.opened.state

    app = FastAPI(
        title=f"IMC {program.service}",
        description=program.purpose,
        version=program.version,
        lifespan=lifespan,
        telemetry=TELEMETRY_OFF,
        docs_url=None,
        redoc_url=None,
    )
    return assemble(app, readiness, registry, *routers, gatekeeper=gatekeeper, hot=hot, tracing=tracing)


def assemble(
    app: FastAPI,
    readiness: Readiness,
    registry: CollectorRegistry,
    *routers: APIRouter,
    gatekeeper: Gatekeeper | None = None,
    hot: Iterable[APIRouter] = (),
    tracing: Tracing | None = None,
) -> FastAPI:
    """Add routes, those of operations, replies in the envelope and metrics to ``app``; returns it.

    ``app`` must be made without pages of its own (``docs_url=None, redoc_url=None``): it gets ours.

    With a ``gatekeeper``, every call has a grant in its state, except those of operations. Calls of the
    routers ``hot`` are answered by the `HotPath` in ``state.hot_path``: by the protocol, or by a middleware.
    ``tracing`` makes spans of the hot calls.
    `server.serve` uses ``state.readiness``. `guarded` counts refusals in ``state.registry``.
    """
    app.state.readiness, app.state.registry = readiness, registry
    replies.install(app)
    operations = health.routes(readiness, registry, has_exemplars=tracing is not None)
    add_routes(app, joined((*routers, operations, pages.routes(app))))
    description.describe(app, needs_token=gatekeeper is not None)
    if gatekeeper is not None:
        app.add_middleware(Authenticated, gatekeeper=gatekeeper)
    series = HttpSeries(registry)
    # Outside of `Authenticated`, so that calls without a token are counted too.
    app.add_middleware(HttpMetrics, series=series)
    app.state.hot_path = HotPath(hot, series, gatekeeper, tracing)
    app.add_middleware(HotPathMiddleware, hot_path=app.state.hot_path)
    app.add_middleware(JavaPaths)
    return app
