"""Reading requests from the bytes of a connection."""

from collections.abc import Callable
from typing import Any, Protocol

import httptools
from imc_contracts.errors import Refused

from imc_service.http.guard import rules
from imc_service.http1.head import NOTED, Head, Header

PIECE_BYTES = 4096
"""The most to feed at once: what the heads of the requests within may take of memory is bounded by it."""

CHUNK_OVERHEAD = 16
"""How many bytes may surround one of a body that comes in chunks, however small they are."""


class Body(Protocol):
    """Who takes the body of a request."""

    def feed(self, part: bytes) -> None:
        """Some of it."""
        ...

    def end(self) -> None:
        """All of it was fed."""
        ...


class Request(Head):
    """The request that is being read."""

    body: Body | None = None
    """Once its head is here."""

    body_bytes = 0
    around = 0
    """Bytes of it, the body included; at least, where others were in the same piece."""

    deadline = 0.0
    """For whoever waits for the rest of it."""


class RequestReader:
    """Reads the requests of one connection, as httptools parses them.

    httptools takes every request with an upgrade for the end of HTTP. That can't be turned off, and a body
    behind such a head is read as the next request. See `_take_upgrade`.
    """

    def __init__(
        self, max_header_bytes: int, take: Callable[[Head, bool], Body], *, has_websockets: bool
    ) -> None:
        """``take`` gets each head, and whether its connection stays; it returns who gets the body."""
        self._limit = max_header_bytes
        self._take = take
        self._has_websockets = has_websockets
        self._parser: Any = None
        self._fields: list[Header] = []
        self._noted: list[Header] = []
        self.request: Request | None = None
        """What is here in part; None between requests."""
        self.heads = 0
        """How many heads were read."""
        self.handshake: bytes | None = None
        """The head of a WebSocket's handshake, if that was the last: for its protocol to read again."""
        self._new_parser()

    def feed(self, piece: bytes | memoryview) -> None:
        """Read ``piece``; raises `Refused` where nothing more can be read from the connection."""
        request, heads = self.request, self.heads
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._take_upgrade(bytes(piece[int(upgrade.args[0]) :]))
            return
        except httptools.HttpParserError as error:
            cause = error.__context__
            raise (cause if isinstance(cause, Refused) else rules.not_http()) from None
        # A piece that ends one request and begins another is not counted: that is but one.
        if self.request is not None and (self.request is request or self.heads == heads):
            self._count(self.request, len(piece))

    def piece_end(self, unread: bytes, begin: int) -> int:
        """Where the piece of ``unread`` ends that is to be fed next, and begins at ``begin``.

        A head is a piece by itself, so that its body comes in one; with its body, if nothing is behind that.
        """
        request, end = self.request, begin + PIECE_BYTES
        if request is None or request.body is None:
            blank = unread.find(b"\r\n\r\n", begin, end)
            if blank < 0:
                return end
            head_end, all_end = blank + 4, len(unread)
            length = b"\r\ncontent-length: %d\r\n" % (all_end - head_end)
            is_all = length in unread[begin : blank + 2].lower()
            return all_end if is_all else head_end
        for name, value in request.headers:
            if name == b"content-length":
                return max(end, begin + int(value) - request.body_bytes)
        return end

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        request = self.request = Request()
        self._fields, self._noted = request.headers, request.noted

    def on_url(self, url: bytes) -> None:
        """Some of its target."""
        request = self.request
        assert request is not None
        request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a field behind a body in chunks, which is none (RFC 9110, section 6.5.1)."""
        name = name.lower()
        self._fields.append((name, value))
        if name in NOTED:
            self._noted.append((name, value))

    def on_headers_complete(self) -> None:
        """The head of a request is here."""
        parser = self._parser
        if not parser.should_upgrade():  # else `HttpParserUpgrade` follows
            self._take_head(parser.should_keep_alive())

    def on_body(self, body: bytes) -> None:
        """Some of its body, or all of it."""
        request = self.request
        assert request is not None
        assert request.body is not None
        request.body_bytes += len(body)
        request.body.feed(body)

    def on_message_complete(self) -> None:
        """All of it is here."""
        request = self.request
        assert request is not None
        if request.body is not None:
            self.request = None
            request.body.end()

    def _complete_head(self) -> Request:
        request, parser = self.request, self._parser
        assert request is not None
        request.method, request.version = parser.get_method(), parser.get_http_version()
        return request

    def _new_parser(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        # What comes behind a request that closes its connection is ignored.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _take_upgrade(self, rest: bytes) -> None:
        """The head of a request with an upgrade is here, and ``rest`` behind it."""
        head = self._complete_head()
        if head.method == b"CONNECT":
            raise rules.no_proxy()
        if not self._has_websockets or not head.asks_for_websocket():
            # Read the head once more, as if the upgrade were not asked for.
            self.request = None
            self._new_parser()
            self.feed(head.with_upgrade() + rest)
            return
        if rest:
            raise rules.frames_too_early()
        self.handshake = head.with_upgrade(b"websocket")
        self._take_head(False)
        self.on_message_complete()

    def _take_head(self, stays: bool) -> None:
        request = self._complete_head()
        if request.version not in ("1.1", "1.0"):
            raise rules.wrong_version(request.version)
        # Counted where it may be too much: nearly all heads come in one piece.
        if request.around + PIECE_BYTES > self._limit and _size(request) > self._limit:
            raise rules.headers_too_large(self._limit)
        self.heads += 1
        self._fields = self._noted = []  # for what comes behind the body
        request.body, request.deadline, request.around = self._take(request, stays), 0.0, 0

    def _count(self, request: Request, size: int) -> None:
        """Hold the head, and what is around a body in chunks, against the limit."""
        request.around += size
        beside = request.around - request.body_bytes * (1 + CHUNK_OVERHEAD)
        # Beside the end of a head there may be a beginning of a body in a piece.
        if beside > self._limit + (0 if request.body is None else PIECE_BYTES + self._limit):
            raise rules.headers_too_large(self._limit)


def _size(head: Head) -> int:
    return len(head.target) + sum(len(name) + len(value) + 4 for name, value in head.headers)
