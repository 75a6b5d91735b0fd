"""The event stream of a gateway (HTML Standard, section 9.2): a reply that lasts.

The node writes encoded events to the transport itself, to many gateways in one step, as it writes frames to
WebSockets. So an idle stream costs no task, and a push costs no await.
"""

import asyncio

from imc_contracts.codes import CloseCode
from imc_service.http1.handed_over import HandedOver

from imc_push_node.gateway import frames
from imc_push_node.gateway.gateway import SocketListener
from imc_push_node.gateway.keepalive import Keepalive, Pulse
from imc_push_node.gateway.peer_socket import PeerSocket

MEDIA_TYPE = "text/event-stream"

RETRY_MS = 1000
"""How long a client waits before it connects again by itself."""

START = b"retry: %d\n\n" % RETRY_MS
"""How each stream begins."""

HEARTBEAT = b":\n\n"
"""A comment, which clients ignore. It keeps proxies from ending a quiet stream."""

CLOSE_SECONDS = 5.0
"""How long a client may take to read the rest of a stream that has ended."""

ABNORMAL = (1006, "")
"""What stands for a close code where the client, or the network, has ended it."""


class EventStream(PeerSocket, HandedOver):
    """The `Socket` of a gateway that reads events. What its client sends is discarded."""

    is_paused = True
    """For `Pulse`: no answer to a heartbeat is ever read. That the peer's machine takes it must do."""

    def __init__(self, keepalive: Keepalive) -> None:
        self._keepalive = keepalive
        self._pulse = Pulse(self, HEARTBEAT)
        self._hang_up: asyncio.TimerHandle | None = None
        self.ending = ABNORMAL

    # What the node calls.

    def listen(self, listener: SocketListener, buffer_bytes: int, *, ignores_binary: bool = False) -> None:
        """Tell ``listener`` what happens from here on. There are no binary frames to be ignored."""
        self._listener = listener
        self._keepalive.join(self._pulse)
        self.transport.set_write_buffer_limits(high=buffer_bytes, low=buffer_bytes // 4)

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Write why it ends, after all that was written; hang up once that is read, or soon."""
        if self.has_ended:
            return
        self.ending = (code, reason)
        self.write(frames.closed(code, reason))
        self._end(code)
        self.transport.close()
        loop = asyncio.get_running_loop()
        self._hang_up = loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def pause_reading(self) -> None:
        """Do nothing: what the client sends is never handled."""

    def resume_reading(self) -> None:
        """Do nothing, as `pause_reading`."""

    # What the event loop and uvicorn call.

    def eof_received(self) -> None:
        """The client leaves. One that closes no more than its own side is told apart by nothing."""
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        super().connection_lost(exc)
        self._end(None)
        if self._hang_up is not None:
            self._hang_up.cancel()

    def shutdown(self) -> None:
        """The server ends."""
        self.close(CloseCode.NODE_RESTARTS)
        self.transport.close()

    def _end(self, code: CloseCode | None) -> None:
        if self.has_ended:
            return
        self.has_ended = True
        self._pulse.end()
        if self._listener is not None:
            self._listener.on_end(code)
