"""The ASGI application of standalone: every call of the contract at one origin."""

import contextlib
from collections.abc import AsyncGenerator, Mapping

import imc_command_api.http
import imc_push_node.http
import imc_query_api.http
from fastapi import FastAPI
from imc_service import health, replies
from imc_service.health import Readiness
from imc_service.metrics import HttpMetrics
from prometheus_client import CollectorRegistry

from imc_standalone.bootstrap import State, open_standalone
from imc_standalone.settings import StandaloneSettings


def create_app(settings: StandaloneSettings, environment: Mapping[str, str]) -> FastAPI:
    """Build the application; ``environment`` holds the settings of its parts."""
    readiness, registry = Readiness(), CollectorRegistry()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[State]:
        async with open_standalone(app, settings, environment, readiness, registry) as state:
            yield state

    app = FastAPI(
        title="IMC",
        description="The message center behind group chat, all in one process.",
        version="0.1.0",
        lifespan=lifespan,
    )
    replies.install(app)
    for part in (imc_command_api.http, imc_query_api.http, imc_push_node.http):
        app.include_router(part.routes())
    app.include_router(health.routes(readiness, registry))
    app.add_middleware(HttpMetrics, registry=registry)
    return app
