"""The commands over HTTP: nothing but translation."""

from fastapi import APIRouter

from imc_command_api.http import messages, notices

_RESOURCES = (messages, notices)


def routes() -> APIRouter:
    """All calls of the command side."""
    router = APIRouter()
    for resource in _RESOURCES:
        router.include_router(resource.routes())
    return router


def hot() -> list[APIRouter]:
    """The same calls, as what is answered before FastAPI's own stack."""
    return [resource.routes() for resource in _RESOURCES]
