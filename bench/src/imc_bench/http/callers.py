"""HTTP callers that cost less than what they call: prepared bytes over bare sockets, one at a time each.

Nothing is parsed while time is taken: bodies of replies are kept and read afterwards.
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

from imc_bench.rows import Faulty

Requests = Callable[[int], Iterator[bytes]]
"""Of the number of a caller the requests that it makes one after the other."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"
_STATUS = slice(9, 12)
PATIENCE_SECONDS = 60.0
"""How long after its time a load may take until all is answered."""


@dataclass
class Calls:
    """What came of a load: of each caller its replies, in order, and the seconds that each took."""

    seconds: float
    replies: list[list[bytes]] = field(default_factory=list[list[bytes]])
    latencies: list[list[float]] = field(default_factory=list[list[float]])

    @property
    def count(self) -> int:
        """How many requests were answered."""
        return sum(map(len, self.replies))

    @property
    def all_latencies(self) -> list[float]:
        """Seconds of every request."""
        return list(chain.from_iterable(self.latencies))


class _Caller(asyncio.Protocol):
    """One connection that is kept; asks again as soon as it is answered, until its time is over."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._ends = math.inf
        self._received = b""
        self._asked = 0.0
        self._transport: asyncio.WriteTransport | None = None
        self.replies: list[bytes] = []
        self.latencies: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing is asked before all callers are connected."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def begin(self, ends: float) -> None:
        """Make one request after the other, until the clock shows ``ends``."""
        self._ends = ends
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        request = next(self._requests, None)
        if request is None:
            self._finish()
            return
        self._asked = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Part of a reply, or all of it."""
        data = self._received + data if self._received else data
        end = data.find(_END_OF_HEAD)
        length = _LENGTH.search(data) if end >= 0 else None
        if length is None or len(data) < end + 4 + int(length[1]):
            self._received = data
            return
        now = time.perf_counter()
        self._received = b""
        self.latencies.append(now - self._asked)
        self.replies.append(data[end + 4 :])
        if data[_STATUS] != b"200":
            self._fail(f"a request was answered with {data[:300]!r}")
        elif now < self._ends:
            self._ask()
        else:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server hung up."""
        self._fail(f"a connection was closed ({exc})")

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def _fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(Faulty(reason))


async def call(url: str, callers: int, seconds: float, requests: Requests) -> Calls:
    """Keep ``callers`` connections busy for ``seconds``, or until each has made its requests.

    Every request that was begun is waited for. Raises `Faulty` for any reply but 200, and for one that does
    not come.
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
        async with asyncio.timeout(seconds + PATIENCE_SECONDS):
            await asyncio.gather(*(caller.done for caller in connected))
    except TimeoutError:
        raise Faulty("a request was not answered") from None
    finally:
        for caller in connected:
            caller.close()
    return Calls(
        time.perf_counter() - begun,
        [caller.replies for caller in connected],
        [caller.latencies for caller in connected],
    )


def post(path: str, body: bytes) -> bytes:
    """A POST of a JSON body."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: imc\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    return head.encode() + _END_OF_HEAD + body


def get(target: str) -> bytes:
    """A GET."""
    return f"GET {target} HTTP/1.1\r\nHost: imc".encode() + _END_OF_HEAD


def endless(requests: Sequence[bytes]) -> Iterator[bytes]:
    """The requests from the first to the last, again and again."""
    while True:
        yield from requests
