"""One request and its reply, as an ASGI application sees them."""

import asyncio
import re
from collections.abc import Iterable
from typing import Any, Protocol

from fastapi import Response
from imc_contracts.errors import Refused
from starlette.types import ASGIApp, Message, Scope

from imc_service.current_call import HEADER, ID, choose_id
from imc_service.http import replies
from imc_service.http.guard import rules
from imc_service.http1.handed_over import EXTENSION, HandedOver
from imc_service.http1.head import Head, Header
from imc_service.http1.reply_heads import HeadStarts, head_of, lines_of
from imc_service.http1.targets import path_as_sent, read_target

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BAD_NAME = re.compile(rb"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_WITHOUT_BODY = (204, 304)


class Connection(Protocol):
    """What an exchange needs of its connection."""

    @property
    def head_starts(self) -> HeadStarts:
        """How the heads of replies begin."""
        ...

    def write(self, data: bytes) -> None:
        """Write to the client, without waiting."""
        ...

    async def drained(self) -> None:
        """Wait until the client has taken enough of what was written."""
        ...

    def on_body_read(self) -> None:
        """The application has taken all of the body that was received."""
        ...

    def on_replied(self) -> None:
        """The reply is complete."""
        ...

    def on_standby(self) -> None:
        """The application does nothing for the request but wait."""
        ...

    def hand_over(self, protocol: HandedOver) -> bool:
        """Give the connection to ``protocol``; returns False if it is closing."""
        ...

    def close(self) -> None:
        """Close the connection."""
        ...


class Exchange:
    """A request whose head is complete, and its reply."""

    # Defaults of the class: to set each of them would cost every request.
    refused: Refused | None = None
    """Why it is refused, if its head is at fault."""

    host: bytes | None = None
    """The host in its target, if there is one."""

    has_origin = False
    """Whether it has an Origin header."""

    task: asyncio.Task[None] | None = None
    buffered = 0
    """Bytes of the body that wait for the application."""

    is_whole = False
    """Whether the request is complete."""

    is_gone = False
    """Whether the client is gone."""

    has_begun = False
    """Whether some of the reply was written."""

    is_replied = False
    _is_head = _expects_continue = _all_read = _body_is_cut = _is_chunked = False
    _news: asyncio.Event | None = None
    _head = b""
    _left: int | None = None

    def __init__(self, connection: Connection, head: Head, stays: bool, scope: Scope) -> None:
        """``scope`` is a copy of `scope_of` for this request; ``stays`` is whether the connection does."""
        self._connection = connection
        self._parts: list[bytes] = []
        self.scope = scope
        self.keep_alive = stays and head.version == "1.1"
        method = head.method.decode("ascii")
        if method == "HEAD":
            # Answered as GET is, without the body (RFC 9110, section 9.3.2).
            method, self._is_head = "GET", True
        scope["http_version"], scope["method"], scope["headers"] = head.version, method, head.headers
        try:
            (scope["path"], scope["raw_path"], self.host), scope["query_string"] = read_target(head.target)
            hosts = 0
            for name, value in head.noted:
                if name == b"host":
                    hosts += 1
                elif name == b"expect" and value.lower() == b"100-continue":
                    self._expects_continue = head.version == "1.1"
                elif name == b"origin":
                    self.has_origin = True
                elif name == HEADER:
                    choose_id(scope, value)
            if hosts > 1:
                raise rules.several_hosts()
        except Refused as refused:
            self.refused = refused
            if scope["path"] is None:
                scope["path"] = path_as_sent(head.target)

    # What the connection calls.

    def feed(self, part: bytes) -> None:
        """Take some of the body. It is discarded once the reply is complete."""
        if not self.is_replied:
            self._parts.append(part)
            self.buffered += len(part)
            if self._news is not None:
                self._news.set()

    def end(self) -> None:
        """The request is complete."""
        self.is_whole = True
        if self._news is not None:
            self._news.set()

    def cut_body(self) -> None:
        """The rest of the body will not be sent. The client still waits for a reply."""
        self._body_is_cut = True
        self._wake()

    def leave(self) -> None:
        """The client is gone."""
        self.is_gone = True
        self._wake()

    def take_body(self) -> bytes:
        """The body that was received: all of it if the request is complete."""
        parts, self._parts, self.buffered = self._parts, [], 0
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def reply(self, reply: Response) -> None:
        """Answer with a complete reply, in one write."""
        if self.is_gone:
            return
        # What `send` does in steps: this is on the path of every hot call.
        connection = self._connection
        start = connection.head_starts.of(reply.status_code)
        lines = lines_of(reply.raw_headers)
        if ID in self.scope["state"]:
            lines.append(self._id_line())
        head = head_of(start, lines, stays=self.keep_alive)
        self.has_begun = self.is_replied = True
        self._parts, self.buffered = [], 0
        connection.write(head if self._is_head else head + bytes(reply.body))
        connection.on_replied()

    async def run(self, application: ASGIApp) -> None:
        """Let ``application`` answer. If it fails, the client is not told why."""
        self.scope["extensions"] = {EXTENSION: self}
        try:
            await application(self.scope, self.receive, self.send)
            if not self.is_replied and not self.is_gone:
                raise RuntimeError("the application ended without a whole reply")
        except Exception as error:
            if self.is_replied or self.is_gone:
                return  # FastAPI has logged and answered it, and raises it again
            reply = replies.fault(self.scope, error)
            if self.has_begun:
                self._connection.close()
            else:
                self.reply(reply)

    # What the application calls.

    @property
    def is_head(self) -> bool:
        """Whether only the head of the reply will be written, since the client has asked with HEAD."""
        return self._is_head

    def stand_by(self) -> None:
        """The request waits for something to happen: it is not one of those that are worked on."""
        self._connection.on_standby()

    def hand_over(self, protocol: HandedOver) -> bool:
        """Let ``protocol`` write the rest of a reply that has begun, and that ends with its connection.

        Returns False if the client is gone.
        """
        if self.is_gone:
            return False
        self.is_replied = True
        return self._connection.hand_over(protocol)

    async def receive(self) -> Message:
        """The next part of the body, or the message that the client is gone."""
        if self._expects_continue:
            self._expects_continue = False
            if not (self.is_whole or self._parts or self.is_gone):
                self._connection.write(_CONTINUE)
        while not (self.is_gone or self.is_replied):
            if self._parts or (self.is_whole and not self._all_read):
                body, self._all_read = self.take_body(), self.is_whole
                self._connection.on_body_read()
                return {"type": "http.request", "body": body, "more_body": not self.is_whole}
            if self._body_is_cut:
                break
            self._news = asyncio.Event()
            await self._news.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take a part of the reply. The head is written with the first part of the body."""
        await self._connection.drained()
        if self.is_gone:
            return
        kind = message["type"]
        if kind == "http.response.start" and not (self._head or self.has_begun):
            self._begin(message["status"], list(message.get("headers", ())))
        elif kind == "http.response.body" and (self._head or self.has_begun) and not self.is_replied:
            self._go_on(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"the application sent {kind} where it may not")

    def _begin(self, status: int, headers: Iterable[Header]) -> None:
        lines: list[bytes] = []
        self._left, self._is_chunked = None, False
        ends_with_connection = self.scope["http_version"] == "1.0"
        for name, value in headers:
            if _BAD_NAME.search(name) or _BAD_VALUE.search(value):
                raise RuntimeError("the application sent a header that is not valid")
            name = name.lower()
            if name == b"content-length":
                self._left = int(value)
            if name != b"connection":  # that one is for us to set
                lines.append(b"%b: %b\r\n" % (name, value))
            elif value == b"close":
                ends_with_connection = True
        if self._left is None and status not in _WITHOUT_BODY:
            if ends_with_connection:
                self.keep_alive = False  # the end of the connection is the end of the body
            else:
                self._is_chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
        if ID in self.scope["state"]:
            lines.append(self._id_line())
        self._head = head_of(self._connection.head_starts.of(status), lines, stays=self.keep_alive)

    def _go_on(self, body: bytes, *, more: bool) -> None:
        if self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the body of the reply is not as long as its Content-Length")
        elif self._is_chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body += b"" if more else b"0\r\n\r\n"
        if more:
            self._write(body)
        else:
            self._finish(body)

    def _finish(self, body: bytes) -> None:
        self._write(body)
        self.is_replied = True
        self._parts, self.buffered = [], 0
        self._wake()
        self._connection.on_replied()

    def _write(self, body: bytes) -> None:
        data = self._head if self._is_head else self._head + body
        self._head = b""
        if data:
            self.has_begun = True
            self._connection.write(data)

    def _id_line(self) -> bytes:
        return b"%b: %b\r\n" % (HEADER, self.scope["state"][ID].encode("ascii"))

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()


def scope_of(transport: asyncio.BaseTransport, asgi_version: str) -> dict[str, Any]:
    """The part of a scope that all requests of a connection share, with keys for the rest."""
    peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
    return {
        "type": "http",
        "asgi": {"version": asgi_version, "spec_version": "2.3"},
        "server": (own[0], own[1]) if own else None,
        "client": (peer[0], peer[1]) if peer else None,
        "scheme": "https" if transport.get_extra_info("sslcontext") else "http",
        "root_path": "",
        # Copying a dict and replacing its values is cheap; adding keys is not.
        **dict.fromkeys(("http_version", "method", "headers", "path", "raw_path", "query_string", "state")),
        "extensions": {},
    }


def whole(reply: Response, head_start: bytes) -> bytes:
    """The bytes of a reply that is the last of its connection. ``head_start`` is that of `HeadStarts`."""
    return head_of(head_start, lines_of(reply.raw_headers), stays=False) + bytes(reply.body)
