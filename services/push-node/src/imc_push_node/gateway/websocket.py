"""The WebSocket of a gateway, between uvicorn and the node.

uvicorn does the handshake and the parsing of frames. Pushes and what gateways write do not pass its queue
and ``send()``: the node writes encoded frames to the transport itself, for many gateways in one step, and
gets the texts of a wake-up as one list. So a gateway costs no task and no timer while it is idle, and no
await a push.
Serve with `imc_push_node.app.server_options`, or the sockets do not have what the node needs.
"""

from asyncio import Handle
from typing import Any, cast

from imc_contracts.codes import CloseCode
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State

from imc_push_node.gateway import frame_parser, tcp
from imc_push_node.gateway.broadcast_group import GroupMember
from imc_push_node.gateway.frame_rate_limit import FrameRateLimit
from imc_push_node.gateway.gateway import SocketListener
from imc_push_node.gateway.incoming_limits import IncomingLimits
from imc_push_node.gateway.keepalive import Keepalive, Pulse

EXTENSION = "imc.gateway_socket"
"""The key of ``scope["extensions"]`` under which the application finds the `GatewayWebSocket`."""

CLOSE_SECONDS = 5.0
"""How long a peer may take to answer a close frame, or to take the rest of what was written to it."""

TURN_WORK = 512
"""What of one gateway is handled before others have their turn: a frame counts as one, a text by its commas
too, since that many more values are in it."""

TURN_BYTES = 65_536
"""A read that is as large is the last of the turn."""

PART_BYTES = 2048
"""What came is parsed in parts of this size, so that a turn ends soon after its work is done."""

TINY_BYTES = 126
"""A fragment that is smaller carries too little to be worth its frame."""


class GatewayWebSocket(GroupMember, WebSocketsSansIOProtocol):
    """uvicorn's protocol, with a way past its queues."""

    def __init__(self, *args: Any, keepalive: Keepalive, incoming: IncomingLimits, **options: Any) -> None:
        super().__init__(*args, **options)
        # A process that ends lets its HTTP clients go by a header that no upgrade can bear.
        self.default_headers = [header for header in self.default_headers if header[0] != b"connection"]
        self._keepalive = keepalive
        self._pulse = Pulse(self)
        self.is_full = False
        self.has_ended = False
        self._listener: SocketListener | None = None
        self._unfinished = incoming.unfinished
        self._floods = incoming.floods
        self._idle_frames = FrameRateLimit(incoming.idle_frames_per_minute)
        self.is_paused = False
        """Whether nothing is taken from the peer, for reasons of the node."""
        self._is_reading = True
        self._is_deaf = False
        self._backlog = b""
        """What came and waits for its turn."""
        self._turn: Handle | None = None
        self._work = 0
        self._idle = 0
        self._texts: list[bytes] = []
        self._fragments = bytearray()
        self._is_within_message = False
        self._has_unfinished = False
        self._has_ended_message = False
        """Whether a message, or a frame that is part of none, has ended since what is left was noted."""

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
        if self.has_ended:
            return
        if self.conn.state is not State.OPEN:
            return  # it broke the protocol, or closed, within the same read: that is handled next
        self._end(code)
        self.conn.send_close(code, reason)
        self._hang_up_later()

    def fail(self, code: CloseCode, reason: str) -> None:
        """Close, and throw away what the peer has not completed and what still comes of it."""
        if not self.has_ended:
            self.conn.fail(code, reason)
        self._break_off(code)

    @property
    def taken(self) -> int:
        """How many of the bytes written the peer's machine has acknowledged."""
        if self.transport.is_closing():
            return 0
        in_kernel = tcp.unacknowledged_bytes(self.transport.get_extra_info("socket"))
        return self.written - self.transport.get_write_buffer_size() - in_kernel

    def is_unreachable(self, seconds: float) -> bool:
        """Whether the peer's machine has said nothing for so long, while something is on its way to it."""
        return tcp.is_unreachable(self.transport.get_extra_info("socket"), seconds)

    def pause_reading(self) -> None:
        """Take nothing more from the peer, its pongs and its close frame included."""
        if not self.has_ended:
            self._pulse.was_paused = self.is_paused = True
            self._read_or_not()

    def resume_reading(self) -> None:
        """Take from the peer again."""
        self.is_paused = False
        self._go_on()

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
        """Handle what came, as much of it as one turn allows."""
        if self._is_deaf:
            return  # it is read only so that the peer can take our close frame
        # What came before is the request, which uvicorn hands over by itself.
        if self.handshake_initiated and self._pulse.hear(data):
            self._bear_idle(1)
            return
        self._backlog += data
        self._take_turn()
        if len(data) >= TURN_BYTES:
            self._wait_for_a_turn()  # uvloop would read the same socket 32 times before any other
            self._read_or_not()

    def _take_turn(self) -> None:
        """Parse what came, until the work of a turn is done; the texts in it are handed on together."""
        self._turn = None
        self._work = self._idle = at = 0
        while at < len(self._backlog) and self._work < TURN_WORK and not self.is_paused:
            part = self._backlog[at : at + PART_BYTES]
            at += len(part)
            self.conn.receive_data(part)
            # Before the fault, if there is one: what was well-formed ahead of it was sent in good faith.
            self.handle_events()
            if self.conn.handshake_exc is not None or self.conn.parser_exc is not None:
                break
        self._backlog = self._backlog[at:]
        self._hand_on()
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.handshake_complete = True  # too large a one: uvicorn would not write the library's answer
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()
        elif self.conn.parser_exc is not None:
            self.handle_parser_exception()
        elif not self.has_ended:
            self._note_unfinished()
        self._go_on()

    def _hand_on(self) -> None:
        texts, self._texts = self._texts, []
        if texts and self._listener is not None:
            self._listener.on_texts(texts)
        if self._idle:
            self._bear_idle(self._idle)
        if self.has_ended or self.conn.state is State.OPEN:
            pongs = b"".join(self.conn.data_to_send())
            if pongs:
                self.write(pongs)

    def _bear_idle(self, count: int) -> None:
        if not self._idle_frames.bears(count) and not self._is_deaf:
            self._floods.inc()
            self.fail(CloseCode.BAD_REQUEST, "too many frames that carry no message")

    def _note_unfinished(self) -> None:
        """Tell what of a message is here, if its end is not."""
        if self._backlog:
            return  # its end may be there
        size = frame_parser.unfinished_bytes(self.conn) + len(self._fragments)
        if size or self._is_within_message or frame_parser.is_within_frame(self.conn):
            self._unfinished.note(self, size, is_new=self._has_ended_message)
            self._has_unfinished = True
        elif self._has_unfinished:
            self._unfinished.forget(self)
            self._has_unfinished = False
        self._has_ended_message = False

    def _go_on(self) -> None:
        """Read, or have another turn, unless something is against it."""
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
        """Handle what was parsed."""
        for event in self.conn.events_received():
            if isinstance(event, Frame):
                self._work += 1
                self._handle_frame(event)
            elif isinstance(event, Request):
                self.handle_connect(event)

    def handle_connect(self, event: Request) -> None:
        """A handshake: until the application has decided what becomes of it, nothing more is read."""
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
        data = bytes(text)
        self._work += data.count(b",")
        try:
            data.decode()
        except UnicodeDecodeError:
            self.close(CloseCode.BAD_UTF8, "the text is not UTF-8")
            return
        self._texts.append(data)

    def handle_parser_exception(self) -> None:
        """The library has failed the connection, for what the peer wrote."""
        self._break_off(None)

    def handle_close(self, event: Frame) -> None:
        """The peer closes, or answers our close frame."""
        super().handle_close(event)
        self._end(None)
        self._hang_up_in_time()

    def eof_received(self) -> None:
        """The peer writes no more; the transport closes once it has taken what was written, or soon."""
        self._end(None)
        self._hang_up_in_time()

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
        self._forget_incoming()

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

    def _break_off(self, code: CloseCode | None) -> None:
        """Say why and stop writing, but let the peer hang up: closing at once could lose our words to it."""
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
        self.resume_reading()  # the peer's answer to the close frame must be seen

    def _hang_up_in_time(self) -> None:
        if self.close_timer is None:
            self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)
