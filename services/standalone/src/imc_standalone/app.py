"""The ASGI application of standalone: every call of the contract at one origin."""

import contextlib
from collections.abc import AsyncGenerator

import imc_command_api.http
import imc_push_node.http
import imc_query_api.http
from fastapi import FastAPI
from imc_service import presence
from imc_service.apps_file import AppsFile
from imc_service.auth.gatekeeper import gatekeeper_of
from imc_service.command_line import Program
from imc_service.health import Readiness
from imc_service.http import replies
from imc_service.http.application import TELEMETRY_OFF, Opened, build_app
from imc_service.http.routes import add_routes
from imc_service.presence import Identity
from imc_service.tracing.otlp import tracing_of
from prometheus_client import CollectorRegistry

from imc_standalone.bootstrap import open_standalone
from imc_standalone.settings import MADE_UP, PARTS, PartSettings, StandaloneSettings

PROGRAM = Program(
    name="imc-standalone",
    package="imc-standalone",
    purpose="The message center behind group chat, all in one process. "
    "With nothing but IMC_AUTH set it keeps its log and its database in a folder of its own.",
    settings=(StandaloneSettings, *PARTS),
    example="IMC_AUTH=off IMC_DATA_DIR=.imc-data imc-standalone",
    unread=MADE_UP,
)


def create_app(settings: StandaloneSettings, parts: PartSettings) -> FastAPI:
    """Build the application; log and database are opened when it starts."""
    apps_file = AppsFile(settings.apps_file)
    gatekeeper = gatekeeper_of(settings, apps_file.policies)
    tracing = tracing_of(settings, PROGRAM.name, PROGRAM.version)

    @contextlib.asynccontextmanager
    async def opening(readiness: Readiness, registry: CollectorRegistry) -> AsyncGenerator[Opened]:
        address = presence.address_at(settings.host, settings.port)
        identity = Identity(PROGRAM.name, PROGRAM.version, address)
        async with open_standalone(
            _own_calls(),
            settings,
            parts,
            readiness,
            registry,
            gatekeeper,
            apps_file.policies,
            identity,
            tracing,
        ) as state:
            yield Opened(state, state["push_node"].drain.run)

    app = build_app(
        PROGRAM,
        opening,
        *(part.routes() for part in (imc_command_api.http, imc_query_api.http, imc_push_node.http)),
        gatekeeper=gatekeeper,
        apps_file=apps_file,
        hot=[*imc_command_api.http.hot(), *imc_query_api.http.hot()],
        tracing=tracing,
    )
    imc_push_node.http.install(app, app.state.registry)
    return app


def _own_calls() -> FastAPI:
    """What the parts answer each other. It is at no address, so that nobody else can call it."""
    app = FastAPI(openapi_url=None, telemetry=TELEMETRY_OFF)
    replies.install(app)
    add_routes(app, imc_command_api.http.routes())
    add_routes(app, imc_query_api.http.internal_routes())
    return app
