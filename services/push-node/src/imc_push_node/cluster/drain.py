"""Drains a node that stops: it sends its gateways away a few at a time, so as not to overload other nodes."""

import asyncio
import random

from imc_contracts.codes import CloseCode
from imc_service.logs import get_logger

from imc_push_node.forwarding.forwarder import Forwarder
from imc_push_node.stream.hub import Hub

logger = get_logger("drain")

SETTLE_SECONDS = 5.0
"""How long command-api may take for the last sends, and the last gateways for their close handshake."""

REASON = "the node restarts"


class Drain:
    """Sends the gateways of a node away."""

    def __init__(self, hub: Hub, forwarder: Forwarder, seconds: float) -> None:
        self._hub = hub
        self._forwarder = forwarder
        self._seconds = seconds
        self.has_begun = False
        """Whether new gateways are refused."""

    async def run(self) -> None:
        """Close every gateway with 1012. Returns when all are gone, or their time is up."""
        self.has_begun = True
        gateways = self._hub.gateways
        random.shuffle(gateways)
        logger.info("draining gateways", count=len(gateways), seconds=self._seconds)
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
