"""The ASGI application of the projector: it answers no requests but those of monitors."""

import contextlib
from collections.abc import AsyncGenerator

from fastapi import FastAPI
from imc_service.command_line import Program
from imc_service.health import Readiness
from imc_service.http.application import Opened, build_app
from prometheus_client import CollectorRegistry

from imc_command_api.projector.bootstrap import open_projector
from imc_command_api.projector.settings import ProjectorSettings

PROGRAM = Program(
    name="imc-projector",
    package="imc-command-api",
    purpose="Copies the logs into the database.",
    settings=(ProjectorSettings,),
    example="IMC_REDIS_URL=redis://127.0.0.1:6379 IMC_DATABASE_URL=mysql://imc@127.0.0.1/imc imc-projector",
)


def create_app(settings: ProjectorSettings) -> FastAPI:
    """Build the application; the projector runs from its start to its end."""

    @contextlib.asynccontextmanager
    async def opening(readiness: Readiness, registry: CollectorRegistry) -> AsyncGenerator[Opened]:
        async with open_projector(settings, readiness, registry):
            yield Opened({})

    return build_app(PROGRAM, opening)
