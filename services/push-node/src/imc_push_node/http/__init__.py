"""What push-node answers over HTTP, the handshake of gateways included: nothing but translation."""

from fastapi import APIRouter

from imc_push_node.http import broadcast, test_page


def routes() -> APIRouter:
    """All routes but those of operations."""
    router = APIRouter()
    router.include_router(broadcast.routes())
    router.include_router(test_page.routes())
    return router
