"""The queries of the Java version, with its paths, parameters and replies."""

from fastapi import APIRouter

from imc_query_api.http.java_door import groups, messages, notices


def routes() -> APIRouter:
    """All queries of the Java door."""
    router = APIRouter()
    for resource in (messages, groups, notices):
        resource.add_routes(router)
    return router
