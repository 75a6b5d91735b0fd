"""Reading requests from the bytes of a connection."""

from collections.abc import Callable
from typing import Any, Protocol

import httptools
from imc_contracts.errors import Refused

from imc_service.http.guard import rules
from imc_service.http1.head import NOTED, Head, Header

PIECE_BYTES = 4096
"""The most bytes to feed at once, which bounds the memory of the heads in them."""

CHUNK_OVERHEAD = 16
"""How many bytes may surround each byte of a body in chunks, however small the chunks are."""


class Body(Protocol):
    """The receiver of the body of a request."""

    def feed(self, part: bytes) -> None:
        """Take some of it."""
        ...

    def end(self) -> None:
        """The body is complete."""
        ...


class Request(Head):
    """The request that is being read."""

    body: Body | None = None
    """The receiver of its body, once the head is complete."""

    body_bytes = 0
    around = 0
    """Its bytes, body included. A lower bound, if other requests were in the same piece."""

    deadline = 0.0
    """When the rest must be here, for the connection."""


class RequestReader:
    """Reads the requests of one connection, as httptools parses them.

    httptools stops at every request with an upgrade. That can't be turned off, and a body after such a head
    would be read as the next request. See `_take_upgrade`.
    """

    def __init__(
        self, max_header_bytes: int, take: Callable[[Head, bool], Body], *, has_websockets: bool
    ) -> None:
        """``take`` gets each head, and whether its connection stays; it returns the receiver of the body."""
        self._limit = max_header_bytes
        self._take = take
        self._has_websockets = has_websockets
        self._parser: Any = None
        self._fields: list[Header] = []
        self._noted: list[Header] = []
        self.request: Request | None = None
        """The request that is incomplete; None between requests."""
        self.heads = 0
        """How many heads were read."""
        self.handshake: bytes | None = None
        """The head of a handshake, if that came last, for the WebSocket protocol to read."""
        self._new_parser()

    def feed(self, piece: bytes | memoryview) -> None:
        """Read ``piece``. Raises `Refused` if nothing more can be read from the connection."""
        request, heads = self.request, self.heads
        try:
            self._parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._take_upgrade(bytes(piece[int(upgrade.args[0]) :]))
            return
        except httptools.HttpParserError as error:
            cause = error.__context__
            raise (cause if isinstance(cause, Refused) else rules.not_http()) from None
        # A piece that ends one request and begins another is not counted: it is only one.
        if self.request is not None and (self.request is request or self.heads == heads):
            self._count(self.request, len(piece))

    def piece_end(self, unread: bytes, begin: int) -> int:
        """The end of the next piece of ``unread``, which begins at ``begin``.

        A head is a piece of its own, so that its body comes in one piece. If only the body follows, the piece
        holds both.
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
        """Some of the target was read."""
        request = self.request
        assert request is not None
        request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header was read, or a trailer, which is no header (RFC 9110, section 6.5.1)."""
        name = name.lower()
        self._fields.append((name, value))
        if name in NOTED:
            self._noted.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is complete."""
        parser = self._parser
        if not parser.should_upgrade():  # else `HttpParserUpgrade` follows
            self._take_head(parser.should_keep_alive())

    def on_body(self, body: bytes) -> None:
        """Some of the body was read, or all of it."""
        request = self.request
        assert request is not None
        assert request.body is not None
        request.body_bytes += len(body)
        request.body.feed(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
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
        # What follows a request that closes its connection is ignored.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)

    def _take_upgrade(self, rest: bytes) -> None:
        """Take the head of a request with an upgrade, and the ``rest`` after it."""
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
        # Nearly all heads come in one piece, and are too small to be counted.
        if request.around + PIECE_BYTES > self._limit and _size(request) > self._limit:
            raise rules.headers_too_large(self._limit)
        self.heads += 1
        self._fields = self._noted = []  # for trailers
        request.body, request.deadline, request.around = self._take(request, stays), 0.0, 0

    def _count(self, request: Request, size: int) -> None:
        """Check the size of the head, and of what surrounds a body in chunks."""
        request.around += size
        beside = request.around - request.body_bytes * (1 + CHUNK_OVERHEAD)
        # A piece may hold the end of a head and the beginning of its body.
        if beside > self._limit + (0 if request.body is None else PIECE_BYTES + self._limit):
            raise rules.headers_too_large(self._limit)


def _size(head: Head) -> int:
    return len(head.target) + sum(len(name) + len(value) + 4 for name, value in head.headers)
