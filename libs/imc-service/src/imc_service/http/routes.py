"""Routes in an application, each built once.

`FastAPI.include_router` builds every route and its validators once more, at the first request: a twentieth of
a start.
"""

import functools
from collections.abc import Iterable
from types import ModuleType

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from imc_service.http.openapi import operation_id


@functools.cache
def routes_of(part: ModuleType) -> APIRouter:
    """The routes of ``part``. They are built at the first call only, since each builds validators."""
    return part.routes()


def joined(routers: Iterable[APIRouter]) -> APIRouter:
    """The routes of all ``routers``, in their order."""
    return APIRouter(routes=[route for router in routers for route in router.routes])


def add_routes(app: FastAPI, router: APIRouter) -> None:
    """Let ``app`` answer the routes of ``router`` too. Each gets its name in the description."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            route.operation_id = route.operation_id or operation_id(route)
        app.routes.append(route)
