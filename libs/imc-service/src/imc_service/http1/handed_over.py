"""Connections whose replies an application writes itself, past ASGI.

A reply that lasts for hours would need a task of its own, and an await for each part of it. An application
that begins one may take the connection instead: see `Exchange.hand_over`.
"""

import asyncio
from typing import Any

from imc_service.http.guard.addresses import Visitor

EXTENSION = "imc.exchange"
"""The key of ``scope["extensions"]`` under which an application finds the `Exchange` of its request."""


class HandedOver(asyncio.Protocol):
    """The base of protocols that write the rest of a reply. The connection ends with the reply.

    It counts for its address, and the server waits for it at its end, until it is lost.
    """

    transport: Any
    _visitor: Visitor
    _connections: set[Any]

    def take(self, transport: Any, connections: set[Any], visitor: Visitor) -> None:
        """Take a connection, one of the server's ``connections``. Its head is written."""
        self.transport, self._connections, self._visitor = transport, connections, visitor
        connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop counting it."""
        self._connections.discard(self)
        self._visitor.leave()

    def shutdown(self) -> None:
        """The server ends: end the reply."""
        raise NotImplementedError
