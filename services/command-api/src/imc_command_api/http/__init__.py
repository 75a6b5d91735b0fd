"""The commands over HTTP, through two doors: ``/v1``, and the paths of the Java version."""

from fastapi import APIRouter

from imc_command_api.http.java_door import messages as java_messages
from imc_command_api.http.java_door import notices as java_notices
from imc_command_api.http.v1 import dead_letters, erasures, messages, notices, operations

_OPERATIONS = (operations, dead_letters, erasures)
_RESOURCES = (messages, notices, java_messages, java_notices)


def routes() -> APIRouter:
    """All calls of command-api."""
    router = APIRouter()
    for resource in (*_RESOURCES, *_OPERATIONS):
        router.include_router(resource.routes())
    return router


def hot() -> list[APIRouter]:
    """The calls of clients once more, for the hot path."""
    return [resource.routes() for resource in _RESOURCES]
