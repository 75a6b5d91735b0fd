"""The commands over HTTP, through two doors: ``/v1``, and the paths of the Java version."""

from fastapi import APIRouter
from imc_service.http.routes import joined, routes_of

from imc_command_api.http.java_door import messages as java_messages
from imc_command_api.http.java_door import notices as java_notices
from imc_command_api.http.v1 import dead_letters, erasures, messages, notices, operations

_OPERATIONS = (operations, dead_letters, erasures)
_RESOURCES = (messages, notices, java_messages, java_notices)


def routes() -> APIRouter:
    """All calls of command-api."""
    return joined(routes_of(resource) for resource in (*_RESOURCES, *_OPERATIONS))


def hot() -> list[APIRouter]:
    """The calls of clients once more, for the hot path."""
    return [routes_of(resource) for resource in _RESOURCES]
