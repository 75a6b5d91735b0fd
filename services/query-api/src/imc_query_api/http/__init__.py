"""Routes: a package for each door, and the calls between services. They only translate."""

from fastapi import APIRouter
from imc_service.http.routes import joined, routes_of

from imc_query_api.http import console, java_door, log_changes, v1

_DOORS = (v1, java_door)


def routes() -> APIRouter:
    """The calls for clients, and the console."""
    return joined([console.routes(), *(routes_of(door) for door in _DOORS)])


def hot() -> list[APIRouter]:
    """The calls for clients, for `imc_service.http.hot_path`."""
    return [routes_of(door) for door in _DOORS]


def internal_routes() -> APIRouter:
    """The calls that only other services may make."""
    return log_changes.routes()
