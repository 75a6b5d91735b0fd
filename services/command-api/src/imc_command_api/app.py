"""The ASGI application of command-api."""

import contextlib
from collections.abc import AsyncGenerator
from typing import TypedDict

from fastapi import FastAPI
from imc_service import background
from imc_service.access.gatekeeper import gatekeeper_of
from imc_service.access.service_tokens import COMMAND_API
from imc_service.application import TELEMETRY_OFF, equip
from imc_service.health import Readiness
from prometheus_client import CollectorRegistry

from imc_command_api import http
from imc_command_api.bootstrap import open_command_api
from imc_command_api.http.state import CommandApi
from imc_command_api.settings import CommandApiSettings


class State(TypedDict):
    """What requests find in ``request.state``."""

    command_api: CommandApi


def create_app(settings: CommandApiSettings) -> FastAPI:
    """Build the application; connections are opened when it starts."""
    readiness, registry = Readiness(), CollectorRegistry()
    gatekeeper = gatekeeper_of(settings, COMMAND_API)

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[State]:
        async with (
            gatekeeper.running(readiness),
            open_command_api(settings, readiness, registry) as command_api,
            background.running(readiness.keep_telling()),
        ):
            yield {"command_api": command_api}

    app = FastAPI(
        title="IMC command-api",
        description="Takes sends, recalls and notices.",
        version="0.1.0",
        lifespan=lifespan,
        telemetry=TELEMETRY_OFF,
        docs_url=None,
        redoc_url=None,
    )
    return equip(app, readiness, registry, http.routes(), gatekeeper=gatekeeper, hot=http.hot())
