"""The commands over HTTP: nothing but translation."""

from fastapi import APIRouter, FastAPI
from imc_service.hot_path import HotPath

from imc_command_api.http import messages, notices

_RESOURCES = (messages, notices)


def routes() -> APIRouter:
    """All calls of the command side."""
    router = APIRouter()
    for resource in _RESOURCES:
        router.include_router(resource.routes())
    return router


def add_hot_path(app: FastAPI) -> None:
    """Answer all of them before FastAPI's own stack. To be called before any other middleware is added."""
    app.add_middleware(HotPath, routers=[resource.routes() for resource in _RESOURCES])
