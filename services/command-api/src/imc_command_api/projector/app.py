"""The ASGI application of the projector: it answers no requests but those of monitors."""

import contextlib
from collections.abc import AsyncGenerator

from fastapi import FastAPI
from imc_service import presence
from imc_service.apps_file import AppsFile
from imc_service.command_line import Program
from imc_service.health import Readiness
from imc_service.http.application import Opened, build_app
from imc_service.presence import Identity
from imc_service.tracing.otlp import tracing_of
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
    tracing = tracing_of(settings, PROGRAM.name, PROGRAM.version)
    apps_file = AppsFile(settings.apps_file)

    @contextlib.asynccontextmanager
    async def opening(readiness: Readiness, registry: CollectorRegistry) -> AsyncGenerator[Opened]:
        address = presence.address_at(settings.host, settings.port)
        identity = Identity(PROGRAM.name, PROGRAM.version, address)
        redis_url = settings.redis_url.get_secret_value()
        async with (
            open_projector(settings, readiness, registry, apps_file.policies, tracing),
            presence.announced(redis_url, identity, readiness),
        ):
            yield Opened({})

    return build_app(PROGRAM, opening, apps_file=apps_file, tracing=tracing)
