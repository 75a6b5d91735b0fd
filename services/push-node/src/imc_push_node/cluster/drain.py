"""The end of a node: gateways are sent to other nodes a few at a time, so that those are not run over."""

import asyncio
import random

from imc_contracts.codes import CloseCode
from imc_service.logs import get_logger

from imc_push_node.forwarding.forwarder import Forwarder
from imc_push_node.stream.hub import Hub

logger = get_logger("drain")

SETTLE_SECONDS = 5.0
"""How long the last gateways may take for their close handshake, and command-api for what they sent."""

REASON = "the node restarts"


class Drain:
    """Takes the node out of service."""

    def __init__(self, hub: Hub, forwarder: Forwarder, seconds: float) -> None:
        self._hub = hub
        self._forwarder = forwarder
        self._seconds = seconds
        self.has_begun = False
        """Whether new gateways must go elsewhere."""

    async def ready(self) -> str | None:
        """A readiness check."""
        return REASON if self.has_begun else None

    async def run(self) -> None:
        """Send every gateway away with 1012; returns when they are gone, or have had their time."""
        self.has_begun = True
        gateways = self._hub.gateways
        random.shuffle(gateways)
        logger.info("gateways are sent away", count=len(gateways))
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for index, gateway in enumerate(gateways):
            due = begun + self._seconds * (index + random.random()) / len(gateways)  # noqa: S311
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            gateway.close_when_answered(CloseCode.NODE_RESTARTS, REASON)
        try:
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._forwarder.settled()
                await self._hub.emptied()
        except TimeoutError:
            logger.warning("gateways did not leave in time", count=len(self._hub.gateways))
