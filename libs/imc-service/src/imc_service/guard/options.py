"""How a process is served behind its guard."""

from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry

from imc_service.guard.protocol import Present
from imc_service.guard.rules import Guard
from imc_service.guard.settings import GuardSettings
from imc_service.hot_protocol import HotProtocol

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
        present = type(f"Present{websocket.__name__}", (Present, websocket), {})
        sockets = partial(present, **websocket_options)
    return {
        "http": partial(HotProtocol, Guard(settings, registry)),
        "ws": sockets or "none",
        "headers": list(_HEADERS),
    }
