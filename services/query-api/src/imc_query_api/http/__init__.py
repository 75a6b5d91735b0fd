"""Routes, one module a resource; nothing but translation."""

from fastapi import APIRouter, FastAPI
from imc_service.hot_path import HotPath

from imc_query_api.http import groups, log_changes, messages, notices

_RESOURCES = (messages, groups, notices, log_changes)


def routes() -> APIRouter:
    """All calls of the query side."""
    router = APIRouter()
    for resource in _RESOURCES:
        router.include_router(resource.routes())
    return router


def add_hot_path(app: FastAPI) -> None:
    """Answer all of them before FastAPI's own stack. To be called before any other middleware is added."""
    app.add_middleware(HotPath, routers=[resource.routes() for resource in _RESOURCES])
