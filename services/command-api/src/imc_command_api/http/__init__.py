"""The commands over HTTP, through two doors: ``/v1``, and the paths of the Java version."""

from fastapi import APIRouter

from imc_command_api.http.java_door import messages as java_messages
from imc_command_api.http.java_door import notices as java_notices
from imc_command_api.http.v1 import messages, notices

_RESOURCES = (messages, notices, java_messages, java_notices)


def routes() -> APIRouter:
    """All calls of command-api."""
    router = APIRouter()
    for resource in _RESOURCES:
        router.include_router(resource.routes())
    return router


def hot() -> list[APIRouter]:
    """The same calls for the hot path."""
    return [resource.routes() for resource in _RESOURCES]
