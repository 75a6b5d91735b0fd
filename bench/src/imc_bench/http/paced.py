"""An HTTP load generator with a fixed rate of requests.

Replies are not parsed during the measurement. Their bodies are kept, and checked afterwards.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from imc_bench.http.callers import STATUS, TIMEOUT_SECONDS, Calls, Requests, body_of
from imc_bench.rows import InvalidRun


@dataclass(frozen=True)
class Pace:
    """A rate of requests, shared by a number of connections."""

    connections: int
    requests_per_second: float


@dataclass
class Answers:
    """The outcome of a paced load: the accepted calls, and the number of replies by status."""

    accepted: Calls
    statuses: Counter[int] = field(default_factory=Counter[int])


class _PacedCaller(asyncio.Protocol):
    """One connection. A request waits for the one before; its latency counts from when it was due."""

    def __init__(self, requests: Iterator[bytes], statuses: Counter[int]) -> None:
        self._requests = requests
        self._statuses = statuses
        self._received = b""
        self._due: list[float] = []
        self._transport: asyncio.WriteTransport | None = None
        self._is_last = False
        self.replies: list[bytes] = []
        self.latencies: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def request(self) -> None:
        """Send the next request now, or after the reply to the one before."""
        self._due.append(time.perf_counter())
        if len(self._due) == 1:
            self._write()

    def finish(self) -> None:
        """Send no more requests; ``done`` is set when all replies have arrived."""
        self._is_last = True
        self._end_if_answered()

    def data_received(self, data: bytes) -> None:
        """Take a reply, or part of one."""
        data = self._received + data if self._received else data
        if (body := body_of(data)) is None:
            self._received = data
            return
        self._received = b""
        taken, status = time.perf_counter() - self._due.pop(0), int(data[STATUS])
        self._statuses[status] += 1
        if status == 200:
            self.latencies.append(taken)
            self.replies.append(body)
        elif status != 429:
            self._fail(f"a request was answered with {data[:300]!r}")
        if self._due:
            self._write()
        self._end_if_answered()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"a connection was closed ({exc})")

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def _write(self) -> None:
        assert self._transport is not None
        self._transport.write(next(self._requests))

    def _end_if_answered(self) -> None:
        if self._is_last and not self._due and not self.done.done():
            self.done.set_result(None)

    def _fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(InvalidRun(reason))


async def call(url: str, pace: Pace, seconds: float, requests: Requests) -> Answers:
    """Make requests at this pace for ``seconds``, and wait for all replies.

    Raises `InvalidRun` for any status but 200 and 429, and for a missing reply.
    """
    place, loop = urlsplit(url), asyncio.get_running_loop()
    host, port = place.hostname or "127.0.0.1", place.port or 80
    statuses: Counter[int] = Counter()
    callers: list[_PacedCaller] = []
    try:
        for number in range(pace.connections):
            made = await loop.create_connection(
                lambda number=number: _PacedCaller(requests(number), statuses), host, port
            )
            callers.append(made[1])
        begun = time.perf_counter()
        await _keep_pace(callers, pace, seconds)
        for caller in callers:
            caller.finish()
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await asyncio.gather(*(caller.done for caller in callers))
    except TimeoutError:
        raise InvalidRun("a request was not answered") from None
    finally:
        for caller in callers:
            caller.close()
    taken = time.perf_counter() - begun
    replies, latencies = [each.replies for each in callers], [each.latencies for each in callers]
    return Answers(Calls(taken, replies, latencies), statuses)


async def _keep_pace(callers: list[_PacedCaller], pace: Pace, seconds: float) -> None:
    """Let the callers send in turn. After a pause that was too long, catch up at once."""
    begun = time.perf_counter()
    for number in range(int(seconds * pace.requests_per_second)):
        early = begun + number / pace.requests_per_second - time.perf_counter()
        if early > 0:
            await asyncio.sleep(early)
        callers[number % len(callers)].request()
