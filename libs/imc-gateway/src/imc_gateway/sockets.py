"""The WebSocket of a gateway: it takes little ahead, and knows for how long nothing was read."""

import asyncio
import socket as sockets
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import cast

from websockets.asyncio.client import ClientConnection, connect

OPEN_SECONDS = 10.0
CLOSE_SECONDS = 1.0
MAX_FRAME_BYTES = 1_048_576
RECEIVE_BYTES = 65_536
"""The receive buffer of the kernel, and that of TLS. They announce room in steps, which grow with their size.
A slow loop would need minutes for a step, and IMC closes a gateway that makes none."""


class GatewaySocket(ClientConnection):
    """A WebSocket whose peer sees in small steps that it is read."""

    _heard_at = 0.0

    @property
    def is_reading(self) -> bool:
        """Whether it takes what comes. If not, what it has read waits to be taken."""
        return self.transport.is_reading()

    @property
    def silent_seconds(self) -> float:
        """For how long nothing was read from the network."""
        return self.loop.time() - self._heard_at

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the buffers below it small."""
        self._heard_at = self.loop.time()
        transport.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, RECEIVE_BYTES)
        limit_buffer = getattr(transport, "set_read_buffer_limits", None)  # only TLS has one
        if limit_buffer is not None:
            limit_buffer(high=RECEIVE_BYTES)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Note that something came."""
        self._heard_at = self.loop.time()
        super().data_received(data)


def opened(url: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[GatewaySocket]:
    """A context manager that connects, and closes the connection. Raises as `websockets` does."""
    connecting = connect(
        url,
        additional_headers=headers,
        compression=None,
        max_size=MAX_FRAME_BYTES,
        open_timeout=OPEN_SECONDS,
        close_timeout=CLOSE_SECONDS,
        ping_timeout=None,  # a pong may lie behind frames that the loop has not taken yet: see `watching`
        create_connection=GatewaySocket,
    )
    return cast(AbstractAsyncContextManager[GatewaySocket], connecting)
