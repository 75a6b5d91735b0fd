"""Routes, one module a resource; nothing but translation."""

from fastapi import APIRouter

from imc_query_api.http import groups, log_changes, messages, notices

_RESOURCES = (messages, groups, notices)


def routes() -> APIRouter:
    """All calls of the query side that are for clients."""
    router = APIRouter()
    for resource in _RESOURCES:
        router.include_router(resource.routes())
    return router


def hot() -> list[APIRouter]:
    """The same calls, as what is answered before FastAPI's own stack."""
    return [resource.routes() for resource in _RESOURCES]


def internal_routes() -> APIRouter:
    """The calls that are for other services of ours alone."""
    return log_changes.routes()
