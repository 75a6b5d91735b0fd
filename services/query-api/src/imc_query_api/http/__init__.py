"""Routes: a package for each door, and the calls between services. They only translate."""

import functools
from types import ModuleType

from fastapi import APIRouter
from imc_service.http.routes import joined

from imc_query_api.http import console, java_door, log_changes, v1

_DOORS = (v1, java_door)


def routes() -> APIRouter:
    """The calls for clients, and the console."""
    return joined([console.routes(), *(_routes_of(door) for door in _DOORS)])


def hot() -> list[APIRouter]:
    """The calls for clients, for `imc_service.http.hot_path`."""
    return [_routes_of(door) for door in _DOORS]


def internal_routes() -> APIRouter:
    """The calls that only other services may make."""
    return log_changes.routes()


@functools.cache
def _routes_of(door: ModuleType) -> APIRouter:
    # Once: FastAPI builds a validator for each reply, which takes a noticeable part of the start.
    return door.routes()
