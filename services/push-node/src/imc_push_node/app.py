"""The ASGI application of push-node."""

import contextlib
from collections.abc import AsyncGenerator

from fastapi import FastAPI
from imc_service.access.gatekeeper import gatekeeper_of
from imc_service.application import Opened, build_app
from imc_service.command_line import Program
from imc_service.health import Readiness
from prometheus_client import CollectorRegistry

from imc_push_node import http
from imc_push_node.bootstrap import open_push_node
from imc_push_node.settings import PushNodeSettings

PROGRAM = Program(
    name="imc-push-node",
    package="imc-push-node",
    purpose="Holds the WebSockets of gateways and pushes the log to them.",
    settings=(PushNodeSettings,),
    example="IMC_AUTH=off IMC_REDIS_URL=redis://127.0.0.1:6379 "
    "IMC_COMMAND_API_URL=http://127.0.0.1:8001 IMC_QUERY_API_URL=http://127.0.0.1:8002 imc-push-node",
)


def create_app(settings: PushNodeSettings) -> FastAPI:
    """Build the application; connections are opened when it starts.

    Serve it with `protocol.server_options`.
    """
    gatekeeper = gatekeeper_of(settings)

    @contextlib.asynccontextmanager
    async def opening(readiness: Readiness, registry: CollectorRegistry) -> AsyncGenerator[Opened]:
        async with open_push_node(settings, readiness, registry, gatekeeper) as push_node:
            yield Opened({"push_node": push_node}, push_node.drain.run)

    app = build_app(PROGRAM, opening, http.routes(), gatekeeper=gatekeeper)
    http.count_handshakes(app, app.state.registry)
    return app
