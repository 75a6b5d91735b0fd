"""The ASGI application of push-node."""

import contextlib
from collections.abc import AsyncGenerator
from typing import TypedDict

from fastapi import FastAPI
from imc_service.access.gatekeeper import gatekeeper_of
from imc_service.application import equip
from imc_service.health import Readiness
from prometheus_client import CollectorRegistry

from imc_push_node import http
from imc_push_node.bootstrap import PushNode, open_push_node
from imc_push_node.settings import PushNodeSettings


class State(TypedDict):
    """What requests find in ``request.state``."""

    push_node: PushNode


def create_app(settings: PushNodeSettings) -> FastAPI:
    """Build the application; connections are opened when it starts. Serve it with `protocol.server_options`.

    While it runs, ``app.state.push_node`` is the node, for whoever must drain it.
    """
    readiness, registry = Readiness(), CollectorRegistry()
    gatekeeper = gatekeeper_of(settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[State]:
        async with (
            gatekeeper.running(readiness),
            open_push_node(settings, readiness, registry, gatekeeper) as push_node,
        ):
            app.state.push_node = push_node
            yield {"push_node": push_node}

    app = FastAPI(
        title="IMC push-node",
        description="Holds the WebSockets of gateways and pushes the log to them.",
        version="0.1.0",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    equip(app, readiness, registry, http.routes(), gatekeeper=gatekeeper)
    http.count_handshakes(app, registry)
    return app
