"""The ASGI application of command-api."""

import contextlib
from collections.abc import AsyncGenerator

from fastapi import FastAPI
from imc_service import presence
from imc_service.apps_file import AppsFile
from imc_service.auth.gatekeeper import gatekeeper_of
from imc_service.auth.service_tokens import COMMAND_API
from imc_service.command_line import Program
from imc_service.health import Readiness
from imc_service.http.application import Opened, build_app
from imc_service.presence import Identity
from imc_service.tracing.otlp import tracing_of
from prometheus_client import CollectorRegistry

from imc_command_api import http
from imc_command_api.bootstrap import open_command_api
from imc_command_api.settings import CommandApiSettings

PROGRAM = Program(
    name="imc-command-api",
    package="imc-command-api",
    purpose="Takes sends, recalls and notices.",
    settings=(CommandApiSettings,),
    example="IMC_AUTH=off IMC_REDIS_URL=redis://127.0.0.1:6379 "
    "IMC_DATABASE_URL=mysql://imc@127.0.0.1/imc imc-command-api",
)


def create_app(settings: CommandApiSettings) -> FastAPI:
    """Build the application; connections are opened when it starts."""
    apps_file = AppsFile(settings.apps_file)
    tracing = tracing_of(settings, PROGRAM.name, PROGRAM.version)

    @contextlib.asynccontextmanager
    async def opening(readiness: Readiness, registry: CollectorRegistry) -> AsyncGenerator[Opened]:
        address = presence.address_at(settings.host, settings.port)
        identity = Identity(PROGRAM.name, PROGRAM.version, address)
        redis_url, policies = settings.redis_url.get_secret_value(), apps_file.policies
        async with (
            open_command_api(
                settings, readiness, registry, policies, PROGRAM.version, tracing
            ) as command_api,
            presence.announced(redis_url, identity, readiness),
        ):
            yield Opened({"command_api": command_api})

    gatekeeper = gatekeeper_of(settings, apps_file.policies, COMMAND_API)
    return build_app(
        PROGRAM,
        opening,
        http.routes(),
        gatekeeper=gatekeeper,
        apps_file=apps_file,
        hot=http.hot(),
        tracing=tracing,
    )
