"""The ASGI application of standalone: every call of the contract at one origin."""

import contextlib
from collections.abc import AsyncGenerator

import imc_command_api.http
import imc_push_node.http
import imc_query_api.http
from fastapi import FastAPI
from imc_service import replies
from imc_service.access.gatekeeper import gatekeeper_of
from imc_service.application import TELEMETRY_OFF, equip
from imc_service.health import Readiness
from prometheus_client import CollectorRegistry

from imc_standalone.bootstrap import State, open_standalone
from imc_standalone.settings import PartSettings, StandaloneSettings


def create_app(settings: StandaloneSettings, parts: PartSettings) -> FastAPI:
    """Build the application.

    While it runs, ``app.state.push_node`` is the node, for whoever must drain it.
    """
    readiness, registry = Readiness(), CollectorRegistry()
    gatekeeper = gatekeeper_of(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[State]:
        async with (
            gatekeeper.running(readiness),
            open_standalone(_own_calls(), settings, parts, readiness, registry, gatekeeper) as state,
        ):
            app.state.push_node = state["push_node"]
            yield state

    app = FastAPI(
        title="IMC",
        description="The message center behind group chat, all in one process.",
        version="0.1.0",
        lifespan=lifespan,
        telemetry=TELEMETRY_OFF,
        docs_url=None,
        redoc_url=None,
    )
    equip(
        app,
        readiness,
        registry,
        *(part.routes() for part in (imc_command_api.http, imc_query_api.http, imc_push_node.http)),
        gatekeeper=gatekeeper,
        hot=[*imc_command_api.http.hot(), *imc_query_api.http.hot()],
    )
    imc_push_node.http.count_handshakes(app, registry)
    return app


def _own_calls() -> FastAPI:
    """What the parts answer each other. It is at no address, so that nobody else can call it."""
    app = FastAPI(openapi_url=None)
    replies.install(app)
    app.include_router(imc_command_api.http.routes())
    app.include_router(imc_query_api.http.internal_routes())
    return app
