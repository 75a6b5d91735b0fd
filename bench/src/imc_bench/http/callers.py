"""A cheap HTTP load generator: callers send prepared bytes over sockets, one request at a time each.

Replies are not parsed during the measurement. Their bodies are kept, and checked afterwards.
"""

import asyncio
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import cast
from urllib.parse import urlsplit

from imc_bench.rows import InvalidRun

Requests = Callable[[int], Iterator[bytes]]
"""Returns the requests of a caller, by its number."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"
STATUS = slice(9, 12)
"""Where a reply has its status code."""

TIMEOUT_SECONDS = 60.0
"""How long to wait for replies after the end of a load."""


@dataclass
class Calls:
    """The outcome of a load: the replies of each caller, in order, with their latencies in seconds."""

    seconds: float
    replies: list[list[bytes]] = field(default_factory=list[list[bytes]])
    latencies: list[list[float]] = field(default_factory=list[list[float]])

    @property
    def count(self) -> int:
        """How many requests were answered."""
        return sum(map(len, self.replies))

    @property
    def all_latencies(self) -> list[float]:
        """The latencies of all callers."""
        return list(chain.from_iterable(self.latencies))


class _Caller(asyncio.Protocol):
    """One keep-alive connection. Sends the next request when it has the reply, until the time is over."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._ends = math.inf
        self._received = b""
        self._sent_at = 0.0
        self._transport: asyncio.WriteTransport | None = None
        self.replies: list[bytes] = []
        self.latencies: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; requests begin when all callers are connected."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def begin(self, ends: float) -> None:
        """Make one request after the other until the time ``ends``."""
        self._ends = ends
        self._send_next()

    def _send_next(self) -> None:
        assert self._transport is not None
        request = next(self._requests, None)
        if request is None:
            self._finish()
            return
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take a reply, or part of one."""
        data = self._received + data if self._received else data
        if (body := body_of(data)) is None:
            self._received = data
            return
        now = time.perf_counter()
        self._received = b""
        self.latencies.append(now - self._sent_at)
        self.replies.append(body)
        if data[STATUS] != b"200":
            self._fail(f"a request was answered with {data[:300]!r}")
        elif now < self._ends:
            self._send_next()
        else:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail: the server closed the connection."""
        self._fail(f"a connection was closed ({exc})")

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(InvalidRun(reason))


async def call(url: str, callers: int, seconds: float, requests: Requests) -> Calls:
    """Keep ``callers`` connections busy for ``seconds``, or until each has made all its requests.

    Waits for all replies. Raises `InvalidRun` for any status but 200, and for a missing reply.
    """
    place = urlsplit(url)
    host, port = place.hostname or "127.0.0.1", place.port or 80
    loop = asyncio.get_running_loop()
    connected: list[_Caller] = []
    try:
        for number in range(callers):
            _, caller = await loop.create_connection(
                lambda number=number: _Caller(requests(number)), host, port
            )
            connected.append(caller)
        begun = time.perf_counter()
        for caller in connected:
            caller.begin(begun + seconds)
        async with asyncio.timeout(seconds + TIMEOUT_SECONDS):
            await asyncio.gather(*(caller.done for caller in connected))
    except TimeoutError:
        raise InvalidRun("a request was not answered") from None
    finally:
        for caller in connected:
            caller.close()
    return Calls(
        time.perf_counter() - begun,
        [caller.replies for caller in connected],
        [caller.latencies for caller in connected],
    )


def body_of(data: bytes) -> bytes | None:
    """The body of an HTTP reply, or None if ``data`` is not a complete reply yet.

    Raises `InvalidRun` if the reply does not say how long it is.
    """
    end = data.find(_END_OF_HEAD)
    if end < 0:
        return None
    body = end + len(_END_OF_HEAD)
    length = _LENGTH.search(data, 0, body)
    if length is None:
        if _CHUNKED.search(data, 0, body) is None:
            raise InvalidRun(f"a reply without a length: {data[:300]!r}")
        return _joined_chunks(data, body)
    return data[body:] if len(data) >= body + int(length[1]) else None


def _joined_chunks(data: bytes, at: int) -> bytes | None:
    """The chunks that begin ``at`` (RFC 9112, section 7.1), or None if the last one is not there yet."""
    chunks: list[bytes] = []
    while (line := data.find(b"\r\n", at)) >= 0:
        size = int(data[at:line].partition(b";")[0], 16)
        begin, at = line + 2, line + 2 + size + 2
        if len(data) < at:
            return None
        if size == 0:
            return b"".join(chunks)
        chunks.append(data[begin : begin + size])
    return None


def post(path: str, body: bytes) -> bytes:
    """A POST request with a JSON body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: imc\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    return head.encode() + _END_OF_HEAD + body


def get(target: str) -> bytes:
    """A GET request."""
    return f"GET {target} HTTP/1.1\r\nHost: imc".encode() + _END_OF_HEAD


def endless(requests: Sequence[bytes]) -> Iterator[bytes]:
    """Repeat the requests forever."""
    while True:
        yield from requests
