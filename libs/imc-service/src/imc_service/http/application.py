"""What the ASGI applications of all services have in common."""

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CollectorRegistry

from imc_service import background, health
from imc_service.auth.gatekeeper import Gatekeeper
from imc_service.auth.middleware import Authenticated
from imc_service.command_line import Program
from imc_service.health import Readiness
from imc_service.http import openapi, pages, replies
from imc_service.http.hot_path import HotPath, HotPathMiddleware
from imc_service.http.java_door import JavaPaths
from imc_service.metrics import HttpMetrics, HttpSeries

TELEMETRY_OFF: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""For ``FastAPI(telemetry=…)``: otherwise it looks for OpenTelemetry at each request, which takes time."""


@dataclass(frozen=True)
class Opened:
    """What an application works with while it runs."""

    state: Mapping[str, object]
    """What requests find in ``request.state``."""

    drain: Callable[[], Awaitable[None]] | None = None
    """What to do between the signal to stop and the end of the server; see `server.serve`."""


Open = Callable[[Readiness, CollectorRegistry], AbstractAsyncContextManager[Opened]]
"""Opens what an application works with, and closes it at its end."""


def build_app(
    program: Program,
    opening: Open,
    *routers: APIRouter,
    gatekeeper: Gatekeeper | None = None,
    hot: Iterable[APIRouter] = (),
) -> FastAPI:
    """The application of ``program``, furnished as `equip` says.

    ``opening`` is entered when it starts. While it runs, ``app.state.opened`` is what that gave.
    """
    readiness, registry = Readiness(), CollectorRegistry()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[Mapping[str, object]]:
        async with contextlib.AsyncExitStack() as stack:
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
    return equip(app, readiness, registry, *routers, gatekeeper=gatekeeper, hot=hot)


def equip(
    app: FastAPI,
    readiness: Readiness,
    registry: CollectorRegistry,
    *routers: APIRouter,
    gatekeeper: Gatekeeper | None = None,
    hot: Iterable[APIRouter] = (),
) -> FastAPI:
    """Give ``app`` its routes, those of operations, replies in the envelope, and metrics; returns it.

    ``app`` is made without pages of its own (``docs_url=None, redoc_url=None``): it gets ours.
    With a ``gatekeeper`` every call but those of operations has a grant in its state. An ``app`` that answers
    nothing else needs none. Calls of the routers ``hot`` are answered as `HotPath` says: by a protocol that
    finds it as ``state.hot_path``, or else by the outermost middleware. Its ``state.readiness`` is for
    `server.serve`, which takes it out of service when it ends; its ``state.registry`` for `guarded`, which
    counts what it refuses.
    """
    app.state.readiness, app.state.registry = readiness, registry
    replies.install(app)
    for router in (*routers, health.routes(readiness, registry), pages.routes(app)):
        app.include_router(router)
    openapi.name_schemas(app)
    if gatekeeper is not None:
        openapi.describe_tokens(app)
        app.add_middleware(Authenticated, gatekeeper=gatekeeper)
    series = HttpSeries(registry)
    # Outside of the one before, so that what is refused for its token is counted too.
    app.add_middleware(HttpMetrics, series=series)
    app.state.hot_path = HotPath(hot, series, gatekeeper)
    app.add_middleware(HotPathMiddleware, hot_path=app.state.hot_path)
    app.add_middleware(JavaPaths)
    return app
