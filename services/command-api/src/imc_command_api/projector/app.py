"""The ASGI application of the projector: it answers no requests but those of monitors."""

import contextlib
from collections.abc import AsyncGenerator

from fastapi import FastAPI
from imc_service import background, health, replies
from imc_service.health import Readiness
from prometheus_client import CollectorRegistry

from imc_command_api.projector.bootstrap import open_projector
from imc_command_api.projector.settings import ProjectorSettings


def create_app(settings: ProjectorSettings) -> FastAPI:
    """Build the application; the projector runs from its start to its end."""
    readiness, registry = Readiness(), CollectorRegistry()

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None]:
        async with (
            open_projector(settings, readiness, registry),
            background.running(readiness.keep_telling()),
        ):
            yield

    app = FastAPI(
        title="IMC projector",
        description="Copies the logs into the database.",
        version="0.1.0",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    app.state.registry = registry
    replies.install(app)
    app.include_router(health.routes(readiness, registry))
    return app
