"""What the ASGI applications of all services have in common."""

from fastapi import APIRouter, FastAPI
from fastapi.telemetry import TelemetryConfig
from prometheus_client import CollectorRegistry

from imc_service import health, openapi, pages, replies
from imc_service.access.gatekeeper import Gatekeeper
from imc_service.access.middleware import Authenticated
from imc_service.health import Readiness
from imc_service.metrics import HttpMetrics

TELEMETRY_OFF: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False}
"""For ``FastAPI(telemetry=…)``: otherwise it looks for OpenTelemetry at each request, which takes time."""


def equip(
    app: FastAPI,
    readiness: Readiness,
    registry: CollectorRegistry,
    *routers: APIRouter,
    gatekeeper: Gatekeeper | None = None,
) -> FastAPI:
    """Give ``app`` its routes, those of operations, replies in the envelope, and metrics; returns it.

    ``app`` is made without pages of its own (``docs_url=None, redoc_url=None``): it gets ours.
    With a ``gatekeeper`` every call but those of operations has a grant in its state. An ``app`` that answers
    nothing else needs none. Its ``state.readiness`` is for `server.serve`, which takes it out of service when
    it ends; its ``state.registry`` for `guarded`, which counts what it refuses.
    """
    app.state.readiness, app.state.registry = readiness, registry
    replies.install(app)
    for router in (*routers, health.routes(readiness, registry), pages.description_of(app)):
        app.include_router(router)
    if gatekeeper is not None:
        openapi.describe_tokens(app)
        app.add_middleware(Authenticated, gatekeeper=gatekeeper)
    # Last, so that it is outermost: what is refused for its token is counted too.
    app.add_middleware(HttpMetrics, registry=registry)
    return app
