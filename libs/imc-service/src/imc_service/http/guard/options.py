"""How a process is served behind its guard."""

from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry

from imc_service.http.guard.rules import Guard
from imc_service.http.guard.settings import GuardSettings
from imc_service.http1.handshakes import CountedSocket
from imc_service.http1.protocol import HttpProtocol

_HEADERS = (("X-Content-Type-Options", "nosniff"), ("Cache-Control", "no-store"))
"""With every reply: nothing of ours is to be guessed at, or kept."""


def guarded(
    settings: GuardSettings,
    registry: CollectorRegistry,
    websocket: type[Any] | None = None,
    **websocket_options: Any,
) -> dict[str, Any]:
    """Options for `uvicorn.Config`.

    ``registry`` is told what is refused; an application that `equip` has furnished has it in its state.
    ``websocket`` is the protocol of those who ask for an upgrade, ``websocket_options`` what it is made with.
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
