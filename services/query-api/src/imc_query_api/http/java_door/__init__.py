"""The queries of the Java version, with its paths, parameters and replies."""

from typing import Any

from fastapi import APIRouter
from imc_service.http import openapi

from imc_query_api.http.java_door import groups, messages, notices

_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {**openapi.REFUSALS[400], "description": "-1: a parameter is missing, malformed or out of bounds."},
    401: openapi.refusal("-1: the token is missing or not valid."),
    403: openapi.refusal("-1: the token does not cover this app or this action."),
    500: openapi.refusal("-1: our fault."),
    503: openapi.refusal("-1: the database is out of reach; `Retry-After` says when to retry."),
}


def routes() -> APIRouter:
    """All queries of the Java door."""
    router = APIRouter(tags=["Java door"], responses=_REFUSALS)
    for resource in (messages, groups, notices):
        resource.add_routes(router)
    return router
