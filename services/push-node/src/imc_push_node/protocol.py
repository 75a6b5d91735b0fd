"""The WebSocket of a gateway, between uvicorn and the node.

uvicorn does the handshake and the parsing of frames. Pushes and what gateways write do not pass its queue
and ``send()``: the node writes encoded frames to the transport itself, for many gateways in one step, and
gets the texts of a wake-up as one list. So a gateway costs no task and no timer while it is idle, and no
await a push.
Serve with `server_options`, or the sockets do not have what the node needs.
"""

import fcntl
import struct
import termios
from typing import Any, cast

from imc_contracts.codes import CloseCode
from imc_service.guard.options import guarded
from imc_service.guard.settings import GuardSettings
from prometheus_client import CollectorRegistry
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.protocol import State

from imc_push_node.gateway import SocketListener
from imc_push_node.keepalive import Keepalive, Pulse
from imc_push_node.lane import LaneMember
from imc_push_node.settings import PushNodeSettings

EXTENSION = "imc.gateway_socket"
"""The key of ``scope["extensions"]`` under which the application finds the `GatewayProtocol`."""

CLOSE_SECONDS = 5.0
"""How long a peer may take to answer a close frame, or to take the rest of what was written to it."""


def server_options(
    settings: PushNodeSettings,
    registry: CollectorRegistry,
    keepalive: Keepalive | None = None,
    limits: GuardSettings | None = None,
) -> dict[str, Any]:
    """Options for `uvicorn.Config`; ``limits`` are those of the process, where it is not the node's own."""
    return {
        **guarded(limits or settings, registry, GatewayProtocol, keepalive=keepalive or Keepalive()),
        "ws_max_size": settings.max_frame_bytes,
        # Compressing costs a gateway's CPU and memory each, where the log's entries are small and go to all.
        "ws_per_message_deflate": False,
        "ws_ping_interval": None,  # see `Keepalive`
    }


class GatewayProtocol(LaneMember, WebSocketsSansIOProtocol):
    """uvicorn's protocol, with a way past its queues."""

    def __init__(self, *args: Any, keepalive: Keepalive, **options: Any) -> None:
        super().__init__(*args, **options)
        # A process that ends lets its HTTP clients go by a header that no upgrade can bear.
        self.default_headers = [header for header in self.default_headers if header[0] != b"connection"]
        self._keepalive = keepalive
        self._pulse = Pulse(self)
        self.is_full = False
        self.has_ended = False
        self._listener: SocketListener | None = None
        self._texts: list[bytes] = []
        self._fragments = bytearray()

    # What the node calls.

    def listen(self, listener: SocketListener, buffer_bytes: int) -> None:
        """Tell ``listener`` what happens from here on; the socket then outlives the ASGI call."""
        self._listener = listener
        self._keepalive.join(self._pulse)
        self.transport.set_write_buffer_limits(high=buffer_bytes, low=buffer_bytes // 4)

    def write(self, frames: bytes) -> None:
        """Write encoded frames; never waits. Dropped once the socket has ended."""
        if not self.has_ended:
            self._written_apart += len(frames)
            self.transport.write(frames)

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Send a close frame after all that was written; hang up once it is answered, or soon."""
        if self.has_ended or self.close_sent:
            return
        if self.conn.state is not State.OPEN:
            return  # it broke the protocol, or closed, within the same read: that is handled next
        self._end(code)
        self.conn.send_close(code, reason)
        self._hang_up_later()

    @property
    def taken(self) -> int:
        """How many of the bytes written the peer's machine has acknowledged."""
        if self.transport.is_closing():
            return 0
        descriptor = self.transport.get_extra_info("socket").fileno()
        unacknowledged = fcntl.ioctl(descriptor, termios.TIOCOUTQ, b"\0\0\0\0")
        in_kernel: int = struct.unpack("i", unacknowledged)[0]
        return self.written - self.transport.get_write_buffer_size() - in_kernel

    def pause_reading(self) -> None:
        """Take nothing more from the peer, its pongs and its close frame included."""
        if not self.read_paused and not self.has_ended:
            self.read_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Take from the peer again."""
        if self.read_paused and not self.transport.is_closing():
            self.read_paused = False
            self.transport.resume_reading()

    # What uvicorn and the event loop call.

    async def run_asgi(self) -> None:
        """Let the application answer the handshake; go on without it if it listens then."""
        application = cast(Any, self.app)  # pyright: ignore[reportUnknownMemberType]
        extensions: dict[str, Any] = {**(self.scope.get("extensions") or {}), EXTENSION: self}
        self.scope["extensions"] = extensions
        try:
            await application(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except Exception:
            self.logger.exception("the application failed at a handshake")
            if self.handshake_complete:
                self.close(CloseCode.TRY_AGAIN_LATER)
            self.send_500_response()
        if self._listener is None and self.close_timer is None:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse what came; the texts in it are handed on together."""
        if self.conn.parser_exc is not None:
            return  # the peer broke the protocol: the rest is read only so that it can take our close frame
        # What came before is the request, which uvicorn hands over by itself.
        if self.handshake_initiated and self._pulse.hear(data):
            return
        self.conn.receive_data(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.handshake_complete = True  # too large a one: uvicorn would not write the library's answer
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()
            return
        # Before the fault, if there is one: what was well-formed ahead of it was sent in good faith.
        self.handle_events()
        texts, self._texts = self._texts, []
        if texts and self._listener is not None:
            self._listener.on_texts(texts)
        if self.conn.parser_exc is not None:
            self.handle_parser_exception()

    def handle_text(self, event: Frame) -> None:
        """A text, or the beginning of one."""
        if event.fin:
            self._take_text(event.data)
        else:
            self._fragments = bytearray(event.data)

    def handle_cont(self, event: Frame) -> None:
        """A further part of a text."""
        self._fragments += event.data
        if event.fin:
            fragments, self._fragments = self._fragments, bytearray()
            self._take_text(fragments)

    def handle_bytes(self, event: Frame) -> None:
        """Gateways write text only."""
        self.close(CloseCode.BINARY_FRAME, "frames must be text")

    def _take_text(self, text: bytes | bytearray | memoryview) -> None:
        if self.has_ended:
            return
        data = bytes(text)
        try:
            data.decode()
        except UnicodeDecodeError:
            self.close(CloseCode.BAD_UTF8, "the text is not UTF-8")
            return
        self._texts.append(data)

    def handle_parser_exception(self) -> None:
        """Say why and stop writing, but let the peer hang up: closing at once could lose our words to it."""
        if not self.has_ended:
            self._end(None)
            self._hang_up_later()
            self.transport.write_eof()

    def handle_close(self, event: Frame) -> None:
        """The peer closes, or answers our close frame."""
        super().handle_close(event)
        self._end(None)
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def pause_writing(self) -> None:
        """The transport's buffer is over its limit."""
        super().pause_writing()
        self.is_full = True
        if self._listener is not None and not self.has_ended:
            self._listener.on_full()

    def resume_writing(self) -> None:
        """The transport's buffer has room."""
        super().resume_writing()
        self.is_full = False
        if self._listener is not None and not self.has_ended:
            self._listener.on_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        super().connection_lost(exc)
        self._end(None)

    def shutdown(self) -> None:
        """The server ends: whoever is still here is sent away."""
        if not self.handshake_complete:
            super().shutdown()
            return
        self.close(CloseCode.NODE_RESTARTS)
        self.transport.close()

    def _end(self, code: CloseCode | None) -> None:
        if self.has_ended:
            return
        self.has_ended = True
        self._pulse.end()
        # For uvicorn, in case the application still waits for something within the handshake.
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code or CloseCode.GOING_AWAY})
        if self._listener is not None:
            self._listener.on_end(code)

    def _hang_up_later(self) -> None:
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)
        if self.read_paused:
            # The peer's answer to the close frame must be seen.
            self.read_paused = False
            self.transport.resume_reading()
