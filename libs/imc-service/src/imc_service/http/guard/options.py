"""Options of a server with a guard."""

from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry

from imc_service.http.guard.rules import Guard
from imc_service.http.guard.settings import GuardSettings
from imc_service.http1.handshakes import CountedSocket
from imc_service.http1.protocol import HttpProtocol

_HEADERS = (("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"))
"""Sent with every reply: browsers must not guess types or keep replies."""


def guarded(
    settings: GuardSettings,
    registry: CollectorRegistry,
    websocket: type[Any] | None = None,
    **websocket_options: Any,
) -> dict[str, Any]:
    """Options for `uvicorn.Config`.

    Refusals are counted in ``registry``, which is in the state of an application that `assemble` has built.
    ``websocket`` is the protocol of WebSockets, and is made with ``websocket_options``.
    """
    sockets = None
    if websocket is not None:
        counted = type(f"Counted{websocket.__name__}", (CountedSocket, websocket), {})
        sockets = partial(counted, **websocket_options)
    return {
        "http": partial(HttpProtocol, Guard(settings, registry)),
        "ws": sockets or "none",
        "headers": list(_HEADERS),
    }
