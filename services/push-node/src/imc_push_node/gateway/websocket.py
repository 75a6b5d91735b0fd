"""The WebSocket of a gateway, between uvicorn and the node.

uvicorn does the handshake and parses frames. Pushes and incoming texts do not go through its queue and its
``send()``. The node writes encoded frames to the transport itself, to many gateways in one step, and gets the
texts of a wake-up as one list. So an idle gateway costs no task and no timer, and a push costs no await.

The server must run with `imc_push_node.app.server_options`, which make its sockets of this class.
"""

from asyncio import Event, Handle, Queue
from typing import Any, cast

from imc_contracts.codes import CloseCode
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State

from imc_push_node.gateway import frame_parser
from imc_push_node.gateway.frame_rate_limit import FrameRateLimit
from imc_push_node.gateway.gateway import SocketListener
from imc_push_node.gateway.incoming_limits import IncomingLimits
from imc_push_node.gateway.keepalive import Keepalive, Pulse
from imc_push_node.gateway.peer_socket import PeerSocket

EXTENSION = "imc.gateway_socket"
"""The key of ``scope["extensions"]`` under which the application finds the `GatewayWebSocket`."""

ABNORMAL = 1006
"""What stands for a close code where there is none (RFC 6455, section 7.4.1)."""

CLOSE_SECONDS = 5.0
"""How long a peer may take to answer a close frame, or to take the rest of what was written to it."""

TURN_WORK = 512
"""How much is handled of one gateway before others have their turn. A frame counts as one, and a text also by
its commas: it holds about as many values."""

TURN_BYTES = 65_536
"""A read of this size ends the turn."""

PART_BYTES = 2048
"""Incoming bytes are parsed in parts of this size, so that a turn ends soon after its work is done."""

TINY_BYTES = 126
"""A smaller fragment counts as a frame that carries no message."""


class _Unread(Queue[Any]):
    """A queue that nobody reads, and so keeps nothing."""

    def put_nowait(self, item: Any) -> None:
        pass


_UNREAD = _Unread()
_UNAWAITED = Event()
"""An event that nobody waits for, so all sockets can share it."""


class GatewayWebSocket(PeerSocket, WebSocketsSansIOProtocol):
    """uvicorn's protocol, without its queues."""

    def __init__(self, *args: Any, keepalive: Keepalive, incoming: IncomingLimits, **options: Any) -> None:
        super().__init__(*args, **options)
        # A process that ends adds `Connection: close` to its replies, which an upgrade can't have.
        self.default_headers = [header for header in self.default_headers if header[0] != b"connection"]
        self._keepalive = keepalive
        self._pulse = Pulse(self)
        self._ending: tuple[int, str] | None = None
        """How this node has closed it."""
        self._unfinished = incoming.unfinished
        self._floods = incoming.floods
        self._idle_frames = FrameRateLimit(incoming.idle_frames_per_minute)
        self.is_paused = False
        """Whether the node has paused reading."""
        self._is_reading = True
        self._is_deaf = False
        self._backlog = b""
        """The bytes that came and wait for their turn."""
        self._turn: Handle | None = None
        self._work = 0
        self._idle = 0
        self._texts: list[bytes] = []
        self._fragments = bytearray()
        self._is_within_message = False
        self._is_within_binary = False
        """Whether the message that goes on is a binary one, which is thrown away."""
        self._ignores_binary = False
        self._has_unfinished = False
        self._has_ended_message = False
        """Whether a message, or a control frame, has ended since `_note_unfinished` was called."""

    # What the node calls.

    def listen(self, listener: SocketListener, buffer_bytes: int, *, ignores_binary: bool = False) -> None:
        """Tell ``listener`` what happens from here on. The socket then outlives the ASGI call.

        A binary frame closes the socket, unless it is ignored.
        """
        self._listener = listener
        self._ignores_binary = ignores_binary
        self._keepalive.join(self._pulse)
        self.transport.set_write_buffer_limits(high=buffer_bytes, low=buffer_bytes // 4)

    def close(self, code: CloseCode, reason: str = "") -> None:
        """Send a close frame after all that was written; hang up once it is answered, or soon."""
        if self.has_ended:
            return
        if self.conn.state is not State.OPEN:
            return  # it broke the protocol, or closed, within the same read: that is handled next
        self._ending = (code, reason)
        self._end(code)
        self.conn.send_close(code, reason)
        self._hang_up_later()

    def fail(self, code: CloseCode, reason: str) -> None:
        """Close, and discard what the peer has not completed and what it still sends."""
        if not self.has_ended:
            self._ending = (code, reason)
            self.conn.fail(code, reason)
        self._break_off(code)

    @property
    def ending(self) -> tuple[int, str]:
        """The close code and the reason, once it has ended: ours, else the peer's, else 1006."""
        if self._ending is not None:
            return self._ending
        return (close.code, close.reason) if (close := self.conn.close_rcvd) else (ABNORMAL, "")

    def pause_reading(self) -> None:
        """Stop reading from the peer, also its pongs and its close frame."""
        if not self.has_ended:
            self._pulse.was_paused = self.is_paused = True
            self._read_or_not()

    def resume_reading(self) -> None:
        """Read from the peer again."""
        self.is_paused = False
        self._go_on()

    # What uvicorn and the event loop call.

    async def run_asgi(self) -> None:
        """Let the application answer the handshake. The socket stays open if it is listened to after that."""
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
        if self._listener is not None:
            self._forget_handshake()
        elif self.close_timer is None:
            self.transport.close()

    def _forget_handshake(self) -> None:
        """Give back what only the ASGI call needed: 8 of the 21 KB of an idle gateway."""
        self.queue, self.writable = _UNREAD, _UNAWAITED
        del self.scope, self.request, self.response

    def data_received(self, data: bytes) -> None:
        """Handle as much of the bytes as one turn allows."""
        if self._is_deaf:
            return  # it is read only so that the peer can read our close frame
        # The first bytes are the handshake, whose parts are no frames.
        if self.handshake_initiated and self._pulse.hear(data):
            self._count_idle(1)
            return
        self._backlog += data
        self._take_turn()
        if len(data) >= TURN_BYTES:
            self._wait_for_a_turn()  # uvloop would read the same socket 32 times before any other
            self._read_or_not()

    def _take_turn(self) -> None:
        """Parse until the work of a turn is done, and hand its texts on together."""
        self._turn = None
        self._work = self._idle = at = 0
        while at < len(self._backlog) and self._work < TURN_WORK and not self.is_paused:
            part = self._backlog[at : at + PART_BYTES]
            at += len(part)
            self.conn.receive_data(part)
            # Also if a fault follows: the well-formed frames ahead of it count.
            self.handle_events()
            if self.conn.parser_exc is not None:
                break
        self._backlog = self._backlog[at:]
        self._hand_on()
        if self.conn.parser_exc is not None:
            self.handle_parser_exception()
        elif not self.has_ended:
            self._note_unfinished()
        self._go_on()

    def _hand_on(self) -> None:
        texts, self._texts = self._texts, []
        if texts and self._listener is not None:
            self._listener.on_texts(texts)
        if self._idle:
            self._count_idle(self._idle)
        if self.has_ended or self.conn.state is State.OPEN:
            pongs = b"".join(self.conn.data_to_send())
            if pongs:
                self.write(pongs)

    def _count_idle(self, count: int) -> None:
        if not self._idle_frames.allows(count) and not self._is_deaf:
            self._floods.inc()
            self.fail(CloseCode.BAD_REQUEST, "too many frames that carry no message")

    def _note_unfinished(self) -> None:
        """Note how much of an unfinished message is here, if there is one."""
        if self._backlog:
            return  # its end may be in there
        size = frame_parser.unfinished_bytes(self.conn) + len(self._fragments)
        if size or self._is_within_message or frame_parser.is_within_frame(self.conn):
            self._unfinished.note(self, size, is_new=self._has_ended_message)
            self._has_unfinished = True
        elif self._has_unfinished:
            self._unfinished.forget(self)
            self._has_unfinished = False
        self._has_ended_message = False

    def _go_on(self) -> None:
        """Take another turn if bytes wait, and read if nothing is against it."""
        if self._backlog and not self.is_paused:
            self._wait_for_a_turn()
        self._read_or_not()

    def _wait_for_a_turn(self) -> None:
        if self._turn is None:
            self._turn = self.loop.call_soon(self._take_turn)

    def _read_or_not(self) -> None:
        reads = not self.is_paused and self._turn is None
        if reads is not self._is_reading and not self.transport.is_closing():
            self._is_reading = reads
            if reads:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def handle_events(self) -> None:
        """Handle the frames that were parsed."""
        for event in self.conn.events_received():
            if isinstance(event, Frame):
                self._work += 1
                self._handle_frame(event)
            elif isinstance(event, Request):
                self.handle_connect(event)

    def handle_connect(self, event: Request) -> None:
        """Take a handshake. Nothing more is read until the application has decided on it."""
        super().handle_connect(event)
        self.pause_reading()

    def _handle_frame(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode >= Opcode.CLOSE or self.has_ended or (not frame.fin and len(frame.data) < TINY_BYTES):
            self._idle += 1
        if opcode is Opcode.CLOSE:
            self.handle_close(frame)
        elif not self.has_ended and opcode < Opcode.CLOSE:
            self._is_within_message = not frame.fin
            if opcode is Opcode.TEXT:
                self.handle_text(frame)
            elif opcode is Opcode.CONT:
                self.handle_cont(frame)
            else:
                self.handle_bytes(frame)
        self._has_ended_message |= not self._is_within_message

    def handle_text(self, event: Frame) -> None:
        """Take a text, or its first fragment."""
        if event.fin:
            self._take_text(event.data)
        else:
            self._fragments = bytearray(event.data)

    def handle_cont(self, event: Frame) -> None:
        """Take a further fragment of a message."""
        if self._is_within_binary:
            self._ignore_binary(event)
            return
        self._fragments += event.data
        if event.fin:
            fragments, self._fragments = self._fragments, bytearray()
            self._take_text(fragments)

    def handle_bytes(self, event: Frame) -> None:
        """Take a binary message, or its first fragment."""
        if self._ignores_binary:
            self._ignore_binary(event)
        else:
            self.close(CloseCode.BINARY_FRAME, "frames must be text")

    def _ignore_binary(self, event: Frame) -> None:
        self._is_within_binary = not event.fin
        self._idle += 1

    def _take_text(self, text: bytes | bytearray | memoryview) -> None:
        data = bytes(text)
        self._work += data.count(b",")
        try:
            data.decode()
        except UnicodeDecodeError:
            self.close(CloseCode.BAD_UTF8, "the text is not UTF-8")
            return
        self._texts.append(data)

    def handle_parser_exception(self) -> None:
        """Break off: the peer broke the protocol, and the library has failed the connection."""
        self._break_off(None)

    def handle_close(self, event: Frame) -> None:
        """Take the peer's close frame, or its answer to ours."""
        super().handle_close(event)
        self._end(None)
        self._hang_up_in_time()

    def eof_received(self) -> None:
        """The peer writes no more. The transport closes once the peer has read the rest, or soon."""
        self._end(None)
        self._hang_up_in_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        super().connection_lost(exc)
        self._end(None)
        self._forget_incoming()

    def shutdown(self) -> None:
        """The server ends: close what is still open."""
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

    def _break_off(self, code: CloseCode | None) -> None:
        """Stop writing after the close frame, and let the peer hang up: else it could lose that frame."""
        if not self.has_ended:
            self._end(code)
            self._hang_up_later()
            self.transport.write_eof()
        self._is_deaf = True
        self._forget_incoming()

    def _forget_incoming(self) -> None:
        self._backlog, self._fragments = b"", bytearray()
        frame_parser.forget_unfinished(self.conn)
        self._unfinished.forget(self)

    def _hang_up_later(self) -> None:
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self._hang_up_in_time()
        self.resume_reading()  # to see the peer's answer to the close frame

    def _hang_up_in_time(self) -> None:
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)
