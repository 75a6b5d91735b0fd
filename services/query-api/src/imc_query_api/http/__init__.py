"""Routes, one module a resource; nothing but translation."""

from fastapi import APIRouter

from imc_query_api.http import groups, log_changes, messages, notices


def routes() -> APIRouter:
    """All calls of the query side."""
    router = APIRouter()
    for resource in (messages, groups, notices, log_changes):
        router.include_router(resource.routes())
    return router
