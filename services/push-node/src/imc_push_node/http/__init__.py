"""The HTTP interface of push-node, with the handshakes of gateways. It translates, and decides nothing."""

from fastapi import APIRouter, FastAPI
from imc_service.http.routes import joined
from prometheus_client import CollectorRegistry

from imc_push_node.http import events, gateways, node, roster
from imc_push_node.http.gateway_paths import GatewayPaths
from imc_push_node.http.handshakes import HandshakeMetrics

__all__ = ["install", "routes"]


def routes() -> APIRouter:
    """All routes but those of operations."""
    return joined(part.routes() for part in (node, roster, events, gateways))


def install(app: FastAPI, registry: CollectorRegistry) -> None:
    """Add the middleware that `routes` need. Call it after all other middleware is added.

    So every handshake is counted, also one that other middleware refuses.
    """
    app.add_middleware(GatewayPaths)
    app.add_middleware(HandshakeMetrics, registry=registry)
