"""The ASGI application of push-node."""

import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import FastAPI
from imc_service import presence
from imc_service.apps_file import AppsFile
from imc_service.auth.gatekeeper import gatekeeper_of
from imc_service.command_line import Program
from imc_service.health import Readiness
from imc_service.http.application import Opened, build_app
from imc_service.http.guard.options import guarded
from imc_service.http.guard.settings import GuardSettings
from imc_service.presence import Identity
from imc_service.tracing.otlp import tracing_of
from prometheus_client import CollectorRegistry

from imc_push_node import http
from imc_push_node.bootstrap import open_push_node
from imc_push_node.gateway.incoming_limits import IncomingLimits
from imc_push_node.gateway.keepalive import Keepalive
from imc_push_node.gateway.websocket import GatewayWebSocket
from imc_push_node.settings import PushNodeSettings

PROGRAM = Program(
    name="imc-push-node",
    package="imc-push-node",
    purpose="Holds the WebSockets of gateways and pushes the log to them.",
    settings=(PushNodeSettings,),
    example="IMC_AUTH=off IMC_REDIS_URL=redis://127.0.0.1:6379 "
    "IMC_COMMAND_API_URL=http://127.0.0.1:8001 IMC_QUERY_API_URL=http://127.0.0.1:8002 imc-push-node",
)


def create_app(settings: PushNodeSettings, keepalive: Keepalive | None = None) -> FastAPI:
    """Build the application; connections are opened when it starts.

    Serve it with `server_options`. ``keepalive`` pings event streams.
    """
    apps_file = AppsFile(settings.apps_file)
    gatekeeper = gatekeeper_of(settings, apps_file.policies)
    tracing = tracing_of(settings, PROGRAM.name, PROGRAM.version)

    @contextlib.asynccontextmanager
    async def opening(readiness: Readiness, registry: CollectorRegistry) -> AsyncGenerator[Opened]:
        address = settings.own_address or presence.address_at(settings.host, settings.port)
        identity = Identity(PROGRAM.name, PROGRAM.version, address)
        redis_url, policies = settings.redis_url.get_secret_value(), apps_file.policies
        async with (
            open_push_node(
                settings,
                readiness,
                registry,
                gatekeeper,
                policies,
                identity,
                keepalive=keepalive,
                tracing=tracing,
            ) as push_node,
            presence.announced(redis_url, identity, readiness),
        ):
            yield Opened({"push_node": push_node}, push_node.drain.run)

    app = build_app(
        PROGRAM, opening, http.routes(), gatekeeper=gatekeeper, apps_file=apps_file, tracing=tracing
    )
    http.install(app, app.state.registry)
    return app


def server_options(
    settings: PushNodeSettings,
    registry: CollectorRegistry,
    keepalive: Keepalive | None = None,
    limits: GuardSettings | None = None,
) -> dict[str, Any]:
    """Options for `uvicorn.Config`. ``limits`` are those of the process, if the node shares it."""
    incoming = IncomingLimits(
        settings.max_idle_frames_per_minute,
        settings.frame_seconds,
        settings.unfinished_node_bytes,
        registry,
    )
    return {
        **guarded(
            limits or settings,
            registry,
            GatewayWebSocket,
            keepalive=keepalive or Keepalive(),
            incoming=incoming,
        ),
        "ws_max_size": settings.max_frame_bytes,
        # Compression would cost CPU and memory for each gateway, while most pushes are small.
        "ws_per_message_deflate": False,
        "ws_ping_interval": None,  # see `Keepalive`
    }
