"""uvicorn's protocol of HTTP, with limits: on time, on the size of a head, on who comes and how often.

uvicorn itself waits for ever for a head or a body, and takes headers of any size. What is looked at here is
looked at once a read or once a request; timers exist only while a client has not sent all of a request.
"""

from typing import Any

from imc_contracts.errors import Refused
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from imc_service import replies
from imc_service.guard import rules
from imc_service.guard.rules import Guard

LINGER_SECONDS = 1.0
"""How long what a refused client still sends is thrown away before its connection is."""


class Present:
    """Mixed into a WebSocket protocol: its address counts until the connection is lost."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.guard: Guard | None = None
        self.address = ""

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        super().connection_lost(exc)  # pyright: ignore
        if self.guard is not None and self.address:
            self.guard.presence.leave(self.address)


class _Phase:
    # No Enum: in Python 3.11 a look at a member takes 0.1 µs, and each request takes ten.
    IDLE, HEAD, BODY = range(3)


class GuardedProtocol(HttpToolsProtocol):
    """One connection of HTTP."""

    def __init__(self, guard: Guard, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._guard = guard
        self._phase = _Phase.HEAD
        self._timed = _Phase.IDLE
        self._timer: Any = None
        self._stalled: Any = None
        self._head_bytes = 0
        self._address = ""
        self._proxy = ""
        self._refused: Refused | None = None
        self._is_over = False

    def connection_made(self, transport: Any) -> None:
        """Count the connection, and give it its time for the first head."""
        super().connection_made(transport)
        peer = self.client[0] if self.client else ""
        if peer in self._guard.proxies:
            self._proxy = peer  # whoever is behind it is counted request by request
        elif not self._enter(peer):
            self._answer(rules.too_many_connections())
            return
        self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        super().connection_lost(exc)
        self._leave()
        self._unset_timer()
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """Parse what came; a head that is too large is refused as soon as that is known."""
        if self._is_over:
            return
        if self._phase is not _Phase.BODY:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._phase is _Phase.HEAD and self._head_bytes > self._guard.max_header_bytes:
            self._answer(rules.headers_too_large(self._guard.max_header_bytes))
        if self._phase is not self._timed and not self._is_over:
            self._set_timer()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._phase = _Phase.HEAD
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Its head is here: this is where it is refused, without its body being read."""
        self._phase = _Phase.BODY
        self._refused = self._look()
        if self._refused is None:
            self.begin()
            return
        application = self.app
        self.app = _refusing(self._guard, self._refused)
        super().on_headers_complete()
        self.app = application

    def begin(self) -> None:
        """Carry the request out whose head is here."""
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is here."""
        self.request_ended()
        super().on_message_complete()

    def request_ended(self) -> None:
        """Nothing more of it is waited for."""
        self._phase = _Phase.IDLE
        self._head_bytes = 0

    def on_response_complete(self) -> None:
        """It was answered."""
        if self._proxy:
            self._leave()
        super().on_response_complete()

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection on; from here on it is the WebSocket's."""
        self._phase = _Phase.IDLE
        self._unset_timer()
        if self._refused is not None:
            self._answer(self._refused)
            return
        super().handle_websocket_upgrade()
        socket = self.transport.get_protocol()
        if isinstance(socket, Present):
            socket.guard, socket.address, self._address = self._guard, self._address, ""

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._answer(rules.not_http())

    def pause_writing(self) -> None:
        """The client does not take its reply as fast as it is made."""
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self._guard.body_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It has taken some."""
        super().resume_writing()
        self._go_on()

    # Limits.

    def _look(self) -> Refused | None:
        limit = self._guard.max_header_bytes
        if self._head_bytes > limit and _size(self.url, self.headers) > limit:
            return rules.headers_too_large(limit)
        if self._proxy and not self._enter(self._guard.proxies.client_of(self.headers, self._proxy)):
            return rules.too_many_connections()
        return self._guard.refuses(self.url, self.headers, len(self.tasks))

    def _enter(self, address: str) -> bool:
        self._leave()
        if not self._guard.presence.enter(address):
            return False
        self._address = address
        return True

    def _leave(self) -> None:
        address, self._address = self._address, ""
        if address:
            self._guard.presence.leave(address)

    def _set_timer(self) -> None:
        self._unset_timer()
        self._timed = self._phase
        if self._phase is _Phase.HEAD:
            self._timer = self.loop.call_later(self._guard.header_seconds, self._too_slow)
        elif self._phase is _Phase.BODY:
            self._timer = self.loop.call_later(self._guard.body_seconds, self._too_slow)

    def _unset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _go_on(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _too_slow(self) -> None:
        guard = self._guard
        if self._timed is _Phase.HEAD:
            self._answer(rules.too_slow("headers", guard.header_seconds))
        else:
            self._answer(rules.too_slow("body", guard.body_seconds))

    def _answer(self, refused: Refused) -> None:
        """Say why, unless an answer is on its way already, and hang up."""
        self._unset_timer()
        if self._is_over or self.transport.is_closing():
            return
        self._is_over = True
        cycle: Any = self.cycle
        if cycle is None or cycle.response_complete or not cycle.response_started:
            self._guard.count(refused)
            self.transport.write(_raw(refused))
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()
        # Closed while something comes, a connection is reset, and our words may be lost with it.
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)


def _refusing(guard: Guard, refused: Refused) -> Any:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        guard.count(refused)
        await replies.refusal(refused)(scope, receive, send)

    return application


def _raw(refused: Refused) -> bytes:
    """The reply as it goes over the wire, for where no application has been asked."""
    reply = replies.refusal(refused)
    reply.headers["Connection"] = "close"
    lines = (b"%b: %b\r\n" % header for header in reply.raw_headers)
    return b"%b%b\r\n%b" % (STATUS_LINE[reply.status_code], b"".join(lines), bytes(reply.body))


def _size(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)
