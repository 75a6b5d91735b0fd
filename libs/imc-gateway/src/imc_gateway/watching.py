"""Looks after a connection while it is open: finds its end, and says when the loop over events is slow."""

import asyncio
import logging

from websockets.exceptions import ConnectionClosed

from imc_gateway.inbox import Inbox
from imc_gateway.sockets import GatewaySocket

logger = logging.getLogger("imc_gateway")

SLOW = (
    "the loop over events is slow: %d events wait for it, as many as `buffer` allows, for %.0f s now. "
    "IMC keeps the others and nothing is lost, but it closes (4408) a gateway that takes nothing for 30 s. "
    "Let the loop only hand events on, to tasks of your own or in batches"
)
CLOSED = (
    "the connection has ended. Nothing was read from it for %.0f s, since the loop over events is slow, and "
    "IMC closes (4408) a gateway that takes nothing for 30 s. Nothing is lost: the gateway connects again "
    "when the loop has taken what was read"
)

LOOK_SECONDS = 1.0
SILENCE_SECONDS = 45.0
"""IMC pings every 20 seconds. If nothing comes for so long, it is gone."""
FULL_SECONDS = 5.0
"""How long a loop may be slower than its events without a warning."""
UNREAD_SECONDS = 5.0
"""If nothing was read for so long, that is the likely reason of an end."""


async def watch(socket: GatewaySocket, inbox: Inbox) -> None:
    """Look at the connection once a second, until it ends."""
    has_told = False
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if inbox.full_seconds < FULL_SECONDS:
            has_told = has_told and inbox.full_seconds > 0
        elif not has_told:
            has_told = True
            logger.warning(SLOW, len(inbox), inbox.full_seconds)
        if socket.is_reading:
            if socket.silent_seconds > SILENCE_SECONDS:
                socket.transport.abort()
            continue
        # The end of a socket that is not read shows only when something is written to it.
        try:
            await socket.pong()
        except ConnectionClosed:
            if socket.silent_seconds > UNREAD_SECONDS:
                logger.warning(CLOSED, socket.silent_seconds)
            return
