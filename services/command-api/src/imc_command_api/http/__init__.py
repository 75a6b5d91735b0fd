"""The commands over HTTP: nothing but translation."""

from fastapi import APIRouter

from imc_command_api.http import messages, notices


def routes() -> APIRouter:
    """All calls of the command side."""
    router = APIRouter()
    router.include_router(messages.routes())
    router.include_router(notices.routes())
    return router
