"""Hot calls that come whole, answered by the protocol itself.

uvicorn makes a stream of each request and each reply: an event to wait on, a message for each step, a write
for the head and one for the body, looks at each header. For a request that is here with its last byte in one
read, and a reply that is made at once, that is half of what answering costs. Such a request goes straight to
`HotPath`, and its reply out in one write. What comes in parts, behind another, or with any wish of its own
goes uvicorn's way, and is answered alike.
"""

import asyncio
from typing import Any, cast

from fastapi import Request, Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from imc_service import replies
from imc_service.bodies import WholeRequest
from imc_service.guard.protocol import GuardedProtocol
from imc_service.guard.rules import Guard
from imc_service.hot_path import HotCall, HotPath

_CLOSE = (b"connection", b"close")


class _NobodyWaits:
    """An event that nobody waits on."""

    def set(self) -> None:
        """Wake nobody."""


class _Exchange:
    """A request that is here whole: what uvicorn's protocol looks at of the one under way."""

    __slots__ = ("_body", "disconnected", "keep_alive", "response_complete", "response_started", "task")
    message_event = _NobodyWaits()

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.disconnected = False
        self.keep_alive = True
        self.response_started = False
        self.response_complete = False

    async def receive(self) -> dict[str, Any]:
        """The body, for whoever reads requests as ASGI has them."""
        return {"type": "http.request", "body": self._body, "more_body": False}


class HotProtocol(GuardedProtocol):
    """One connection of HTTP; hot calls are those of the application's ``state.hot_path``, if it has one."""

    def __init__(self, guard: Guard, *arguments: Any, **options: Any) -> None:
        super().__init__(guard, *arguments, **options)
        self._hot_path: HotPath | None = getattr(getattr(self.app, "state", None), "hot_path", None)
        self._call: HotCall | None = None  # of the request that is being read
        self._parts: list[bytes] = []
        self._default_headers: list[tuple[bytes, bytes]] = []
        self._lines, self._is_last = b"", False

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        super().data_received(data)
        if self._call is not None and self.parser is not None:
            self._leave_to_uvicorn()

    def begin(self) -> None:
        """The head of a request is here: wait for the rest of this read if it is a hot call."""
        path, _, query = self.url.partition(b"?")
        parser: Any = self.parser
        method: bytes = parser.get_method()
        call = self._find(method, path)
        if call is None or b"#" in query or not self._is_plain():
            super().begin()
            return
        self._call = call
        self._parts = []
        scope: Any = self.scope
        scope["method"], scope["path"] = method.decode("ascii"), call.route.path
        scope["raw_path"], scope["query_string"] = path, query

    def on_body(self, body: bytes) -> None:
        """Some of the body, or all of it."""
        if self._call is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """All of a request is here."""
        call, self._call = self._call, None
        if call is None:
            super().on_message_complete()
            return
        self.request_ended()
        body = b"".join(self._parts)
        exchange: Any = _Exchange(body)
        self.cycle = exchange
        request = WholeRequest(cast(Any, self.scope), exchange.receive, body)
        exchange.task = self.loop.create_task(self._converse(call, exchange, request))
        self.tasks.add(exchange.task)

    def _find(self, method: bytes, path: bytes) -> HotCall | None:
        if self._hot_path is None:
            return None
        return self._hot_path.find(method.decode("ascii"), path.decode("ascii", "replace"))

    def _is_plain(self) -> bool:
        """Whether the request asks for nothing but an answer, and the connection is free to give it."""
        parser: Any = self.parser
        cycle: Any = self.cycle
        return (
            (cycle is None or cycle.response_complete)
            and not self.flow.write_paused
            and not self.expect_100_continue
            and not parser.should_upgrade()
            and parser.should_keep_alive()
            and parser.get_http_version() == "1.1"
        )

    def _leave_to_uvicorn(self) -> None:
        """The request did not come whole: from here on it is one like any other."""
        self._call = None
        if self.transport.is_closing():
            return
        super().begin()
        for part in self._parts:
            super().on_body(part)

    async def _converse(self, call: HotCall, exchange: Any, request: Request) -> None:
        assert self._hot_path is not None
        try:
            reply = await self._hot_path.answer(call, request)
        except Exception as error:
            reply = replies.fault(call.route.path, error)
            exchange.keep_alive = False
        except asyncio.CancelledError:
            self.transport.close()  # the process ends, and nobody knows how far this came
            raise
        finally:
            # Rather than by a callback: that would be one more turn of the event loop for each request.
            self.tasks.discard(exchange.task)
        if not exchange.disconnected:
            self._write(exchange, reply)

    def _write(self, exchange: Any, reply: Response) -> None:
        exchange.response_started = exchange.response_complete = True
        head = self._default_lines()
        for header in reply.raw_headers:
            head += b"%b: %b\r\n" % header
        if self._is_last or _CLOSE in reply.raw_headers:
            exchange.keep_alive = False
        elif not exchange.keep_alive:
            head += b"connection: close\r\n"
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[reply.status_code], head, bytes(reply.body)))
        if not exchange.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def _default_lines(self) -> bytes:
        """What stands in each head; it changes with uvicorn's list, which is a new one each second."""
        headers = self.server_state.default_headers
        if headers is not self._default_headers:
            self._default_headers, self._is_last = headers, _CLOSE in headers
            self._lines = b"".join([b"%b: %b\r\n" % header for header in headers])
        return self._lines
