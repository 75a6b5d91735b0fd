"""Routes in an application, each built once.

`FastAPI.include_router` builds every route and its validators once more, at the first request: a twentieth of
a start. FastAPI builds a validator for each reply too, wherever a route is made.
"""

import functools
from collections.abc import Iterable
from types import ModuleType

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from imc_service.http.openapi import operation_id


@functools.cache
def routes_of(part: ModuleType) -> APIRouter:
    """What the function ``routes`` of ``part`` returns at its first call."""
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
