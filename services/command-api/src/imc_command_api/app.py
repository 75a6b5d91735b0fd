"""The ASGI application of command-api."""

import contextlib
from collections.abc import AsyncGenerator

from fastapi import FastAPI
from imc_service.auth.gatekeeper import gatekeeper_of
from imc_service.auth.service_tokens import COMMAND_API
from imc_service.command_line import Program
from imc_service.health import Readiness
from imc_service.http.application import Opened, build_app
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

    @contextlib.asynccontextmanager
    async def opening(readiness: Readiness, registry: CollectorRegistry) -> AsyncGenerator[Opened]:
        async with open_command_api(settings, readiness, registry) as command_api:
            yield Opened({"command_api": command_api})

    gatekeeper = gatekeeper_of(settings, COMMAND_API)
    return build_app(PROGRAM, opening, http.routes(), gatekeeper=gatekeeper, hot=http.hot())
