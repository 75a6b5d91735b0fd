"""What push-node answers over HTTP, the handshake of gateways included: nothing but translation."""

from fastapi import APIRouter

from imc_push_node.http import broadcast, node, test_page
from imc_push_node.http.handshakes import count_handshakes

__all__ = ["count_handshakes", "routes"]


def routes() -> APIRouter:
    """All routes but those of operations."""
    router = APIRouter()
    router.include_router(node.routes())  # first: to the next its path is a gateway's with a slash in its id
    router.include_router(broadcast.routes())
    router.include_router(test_page.routes())
    return router
