"""One connection of HTTP/1.1, for uvicorn: read with httptools, answered by an ASGI application.

uvicorn's own protocol waits without end for a head or a body, and takes headers of any size. It executes the
body of a request with an unknown upgrade as a request, and does not answer a client that half-closes. Here:

- Requests are answered in order, one at a time. While a request waits for its turn, nothing more is read.
- A hot call (`http.hot_path`) whose body is complete goes directly to its endpoint. The steps of ASGI would
  be half of its cost.
- Whatever the client has to send next has a deadline, which partial data does not move.
- What can't be read is refused after the requests before it, and the connection ends.
"""

import asyncio
from collections import deque
from typing import Any

from imc_contracts.errors import Refused

from imc_service.http import replies
from imc_service.http.bodies import WholeRequest
from imc_service.http.guard import rules
from imc_service.http.guard.addresses import Visitor
from imc_service.http.guard.rules import Guard
from imc_service.http.hot_path import HotCall, HotPath
from imc_service.http.replies import StreamedReply
from imc_service.http1.deadlines import Awaited, Deadline
from imc_service.http1.exchange import Exchange, scope_of, whole
from imc_service.http1.handed_over import HandedOver
from imc_service.http1.handshakes import refuses_handshake
from imc_service.http1.head import Head
from imc_service.http1.reply_heads import HeadStarts
from imc_service.http1.requests import PIECE_BYTES, RequestReader
from imc_service.http1.targets import path_as_sent

LINGER_SECONDS = 1.0
"""How long data of a refused client is discarded before its connection is closed."""

BODY_BUFFER_BYTES = 65_536
"""How much of a body may wait for the application before reading is paused."""


class HttpProtocol(asyncio.Protocol):
    """One connection. Its hot calls are those of the application's ``state.hot_path``, if it has one."""

    def __init__(
        self, guard: Guard, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None
    ) -> None:
        """``guard`` has the limits. uvicorn passes the rest to every HTTP protocol."""
        self._guard, self._config, self._server, self._state = guard, config, server_state, app_state
        self._app = config.loaded_app
        self._hot_path: HotPath | None = getattr(getattr(self._app, "state", None), "hot_path", None)
        self._loop: asyncio.AbstractEventLoop = _loop or asyncio.get_running_loop()
        self._transport: Any = None
        self._scope: dict[str, Any] = {}
        self._visitor = Visitor(guard.presence, guard.proxies, "")
        # What comes.
        has_websockets = config.ws_protocol_class is not None
        self._reader = RequestReader(guard.max_header_bytes, self._take, has_websockets=has_websockets)
        self._unread, self._read_to = b"", 0
        self._is_reading, self._paused_at = True, 0.0
        self._has_ended = self._is_over = False
        # What is answered.
        self._waiting: deque[Exchange] = deque()
        self._exchange: Exchange | None = None
        self._refused: Refused | None = None
        self._refused_target = b""
        self._drain: asyncio.Future[None] | None = None
        self.head_starts = HeadStarts(server_state)
        # What is waited for.
        self._awaited = Awaited.NOTHING
        self._deadline = Deadline(self._loop, self._on_deadline)
        self._keep_alive_seconds: float = config.timeout_keep_alive
        self._idle_until = 0.0

    # What the event loop and uvicorn call.

    def connection_made(self, transport: Any) -> None:
        """Count the connection, and set the deadline for the first head."""
        self._transport = transport
        self._server.connections.add(self)
        self._scope = scope_of(transport, self._config.asgi_version)
        client = self._scope["client"]
        self._visitor = Visitor(self._guard.presence, self._guard.proxies, client[0] if client else "")
        if not self._visitor.connect():
            self._refuse(rules.too_many_connections())
            return
        self._idle_until = self._loop.time() + self._guard.header_seconds
        self._await_next()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._server.connections.discard(self)
        self._is_over = True
        if self._exchange is not None:
            self._exchange.leave()
        self._waiting.clear()
        self._visitor.leave()
        self.resume_writing()
        self._awaited = Awaited.END
        self._deadline.end()

    def data_received(self, data: bytes) -> None:
        """Read what was received, as far as it has its turn."""
        if self._is_over:
            return
        if self._unread:
            self._unread, self._read_to = self._unread[self._read_to :] + data, 0
        elif len(data) > PIECE_BYTES:
            self._unread = data
        else:
            self._feed(data)
        self._go_on()

    def eof_received(self) -> bool:
        """The client sends no more. It still gets the replies that it waits for."""
        self._has_ended = True
        request = self._reader.request
        if request is not None and request.body is None:
            self._refuse(rules.cut_off())
        elif request is not None and isinstance(request.body, Exchange):
            request.body.cut_body()
            self._reader.request = None
        last = self._last()
        if last is not None and not self._is_over:
            last.keep_alive = False
        self._await_next()
        return last is not None

    def pause_writing(self) -> None:
        """The client takes its reply slower than it is made."""
        self._drain = self._loop.create_future()
        if self._awaited is not Awaited.END:
            self._await(Awaited.READING, self._loop.time() + self._guard.body_seconds)

    def resume_writing(self) -> None:
        """The client has taken enough of it."""
        drain, self._drain = self._drain, None
        if drain is not None:
            drain.set_result(None)
        if self._awaited == Awaited.READING:
            self._awaited = Awaited.NOTHING
        self._await_next()

    def shutdown(self) -> None:
        """The server ends: requests that were received are the last."""
        last = self._last()
        if last is not None:
            last.keep_alive = False
        elif not self._is_over:
            self.close()

    # Requests.

    def _go_on(self) -> None:
        """Read until a request has to wait, and answer the one that has its turn."""
        while self._unread and not self._is_over and self._wants_more():
            self._feed_piece()
        self._start_next()
        if self._waiting or self._unread or self._reader.request or not self._is_reading:
            self._mind_reading()
        self._await_next()

    def _wants_more(self) -> bool:
        """Whether no request waits, or only one whose body is being received."""
        request = self._reader.request
        body = None if request is None else request.body
        return not self._waiting or (len(self._waiting) == 1 and body is self._waiting[0])

    def _feed_piece(self) -> None:
        begin, end = self._read_to, self._reader.piece_end(self._unread, self._read_to)
        piece = memoryview(self._unread)[begin:end]
        if end < len(self._unread):
            self._read_to = end
        else:
            self._unread, self._read_to = b"", 0
        self._feed(piece)

    def _feed(self, piece: bytes | memoryview) -> None:
        try:
            self._reader.feed(piece)
        except Refused as refused:
            self._refuse(refused)

    def _take(self, head: Head, stays: bool) -> Exchange:
        """Queue a request whose head is complete."""
        scope = self._scope.copy()
        scope["state"] = self._state.copy()
        exchange = Exchange(self, head, stays, scope)
        self._waiting.append(exchange)
        return exchange

    def _start_next(self) -> None:
        """Begin to answer the request that has waited the longest."""
        if self._exchange is not None or self._transport.is_closing():
            return
        if not self._waiting:
            if self._refused is not None:
                self._hang_up()
            return
        exchange = self._exchange = self._waiting.popleft()
        refused = exchange.refused or self._guard.refuses(exchange, self._visitor, len(self._server.tasks))
        call = None
        handshake = None if self._waiting else self._reader.handshake
        if refused is None and handshake is not None:
            refused = refuses_handshake(handshake)
            if refused is None:
                self._hand_over(handshake)
                return
        if refused is None and self._hot_path is not None and exchange.is_whole:
            call = self._hot_path.find(exchange.scope)
        exchange.task = self._loop.create_task(self._answer(exchange, call, refused))
        self._server.tasks.add(exchange.task)

    async def _answer(self, exchange: Exchange, call: HotCall | None, refused: Refused | None) -> None:
        try:
            if call is not None and self._hot_path is not None:
                request = WholeRequest(exchange.scope, exchange.receive, exchange.take_body())
                try:
                    reply = await self._hot_path.answer(call, request)
                except Exception as error:
                    reply = replies.fault(exchange.scope, error)
                await exchange.run(reply) if isinstance(reply, StreamedReply) else exchange.reply(reply)
            elif refused is None:
                await exchange.run(self._app)
            else:
                self._guard.count(refused)
                exchange.reply(replies.refusal_at(exchange.scope["path"], refused))
        except asyncio.CancelledError:
            self._transport.close()  # the process ends, and the outcome is unknown
            raise
        finally:
            # A callback would take one more turn of the event loop for each request.
            self._server.tasks.discard(exchange.task)

    def _hand_over(self, head: bytes) -> None:
        """Make the connection a WebSocket."""
        if self._has_ended:
            self._transport.close()
            return
        self._release()
        protocol: Any = self._config.ws_protocol_class(
            config=self._config, server_state=self._server, app_state=self._state
        )
        protocol.visitor = self._visitor
        protocol.connection_made(self._transport)
        protocol.data_received(head)
        self._transport.set_protocol(protocol)

    def _release(self) -> None:
        """Let another protocol have the connection."""
        self._is_over, self._awaited = True, Awaited.END
        self._deadline.end()
        self._mind_reading()
        self._server.connections.discard(self)

    # What exchanges call.

    def write(self, data: bytes) -> None:
        """Write to the client, without waiting."""
        self._transport.write(data)

    async def drained(self) -> None:
        """Wait until the client has taken enough of what was written."""
        if self._drain is not None:
            await asyncio.shield(self._drain)

    def on_body_read(self) -> None:
        """The application has taken all of the body that was received."""
        if not self._is_reading:
            self._mind_reading()
            self._await_next()

    def on_replied(self) -> None:
        """The reply is complete: the next request has its turn."""
        exchange, self._exchange = self._exchange, None
        self._server.total_requests += 1
        self._visitor.end_request()
        if self.head_starts.say_close or (exchange is not None and not exchange.keep_alive):
            self.close()
        elif not self._transport.is_closing():
            self._idle_until = self._loop.time() + self._keep_alive_seconds
            if self._waiting or self._unread or self._is_over or self._reader.request or self._has_ended:
                self._go_on()
            elif self._drain is None:
                self._awaited = Awaited.REQUEST  # as nearly always
                self._deadline.set(self._idle_until)

    def on_standby(self) -> None:
        """A request that waits takes no part of what is worked on at once."""
        if self._exchange is not None:
            self._server.tasks.discard(self._exchange.task)

    def hand_over(self, protocol: HandedOver) -> bool:
        """Give the connection to ``protocol``. What the client has sent beyond its request is discarded."""
        if self._transport.is_closing():
            return False
        self._release()
        protocol.take(self._transport, self._server.connections, self._visitor)
        self._transport.set_protocol(protocol)
        return True

    def close(self) -> None:
        """Close once the client has taken what was written, or its time for that is over."""
        self._is_over, self._refused = True, None
        if self._reader.request is not None:
            self._hang_up()  # the rest of the request is still being received
            return
        self._transport.close()
        self._await(Awaited.END, self._loop.time() + self._guard.body_seconds)

    def _refuse(self, refused: Refused) -> None:
        """Read no more. Refuse after all earlier replies, unless that request has a reply, and close."""
        if self._is_over:
            return
        self._is_over, self._refused = True, refused
        self._awaited = Awaited.NOTHING
        request, self._reader.request = self._reader.request, None
        body = None if request is None else request.body
        self._refused_target = b"" if request is None else request.target
        if isinstance(body, Exchange):
            if self._waiting and body is self._waiting[-1]:
                self._waiting.pop()
            else:
                if body.has_begun:
                    self._refused = None
                body.leave()
                self._exchange = None
        if self._exchange is None and not self._waiting:
            self._hang_up()

    def _hang_up(self) -> None:
        """Close our side, and discard for a while what is still received."""
        refused, self._refused = self._refused, None
        if refused is not None:
            self._guard.count(refused)
            reply = replies.refusal_at(path_as_sent(self._refused_target), refused)
            self._transport.write(whole(reply, self.head_starts.of(reply.status_code)))
        # If it is closed while data arrives, the connection is reset, and our reply may be lost.
        self._transport.write_eof()
        self._mind_reading()
        is_taken = not self._transport.get_write_buffer_size()
        seconds = LINGER_SECONDS if is_taken else self._guard.body_seconds
        self._await(Awaited.END, self._loop.time() + seconds)

    # Limits.

    def _last(self) -> Exchange | None:
        return self._waiting[-1] if self._waiting else self._exchange

    def _mind_reading(self) -> None:
        """Read while nothing waits for its turn, and the application takes the body."""
        request = self._reader.request
        body = None if request is None else request.body
        is_behind = isinstance(body, Exchange) and body.buffered > BODY_BUFFER_BYTES
        wanted = self._is_over or not (self._waiting or self._unread or is_behind)
        if wanted is self._is_reading or self._has_ended or self._transport.is_closing():
            return
        self._is_reading = wanted
        if not wanted:
            self._paused_at = self._loop.time()
            self._transport.pause_reading()
            return
        if request is not None and request.deadline:
            request.deadline += self._loop.time() - self._paused_at  # the client was not the cause
        self._transport.resume_reading()

    def _await_next(self) -> None:
        """Set the deadline for what the client has to send next, if anything."""
        if self._is_over or self._drain is not None:
            return
        request, guard = self._reader.request, self._guard
        is_busy = request is None and self._exchange is not None
        if is_busy or self._has_ended or not self._is_reading:
            self._awaited = Awaited.NOTHING  # the timer stays: to cancel it would cost every request
            return
        is_first = not self._reader.heads
        if request is None:
            self._await(Awaited.HEAD if is_first else Awaited.REQUEST, self._idle_until)
        elif request.body is None:
            request.deadline = request.deadline or (
                self._idle_until if is_first else self._loop.time() + guard.header_seconds
            )
            self._await(Awaited.HEAD, request.deadline)
        else:
            request.deadline = request.deadline or self._loop.time() + guard.body_seconds
            self._await(Awaited.BODY, request.deadline)

    def _await(self, awaited: int, deadline: float) -> None:
        self._awaited = awaited
        self._deadline.set(deadline)

    def _on_deadline(self) -> None:
        if self._awaited == Awaited.HEAD:
            self._refuse(rules.too_slow("headers", self._guard.header_seconds))
        elif self._awaited == Awaited.BODY:
            self._refuse(rules.too_slow("body", self._guard.body_seconds))
        elif self._awaited == Awaited.REQUEST:
            self.close()
        elif self._awaited != Awaited.NOTHING:
            self._transport.abort()
