"""One connection to a master for Pub/Sub: all that has come is taken in one step, without a task or an await.

redis-py connects (TLS, authentication, RESP3); from there on the socket is read and written here. Its own
reading costs, for each message, about half as much as writing to a hundred gateways does. Other commands may
be asked on it too: their replies come in one order with what is published.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

import hiredis
from imc_contracts import names
from imc_service.redis.connections import packed, taken_over
from imc_service.redis.errors import code_of
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import InvalidResponse, ResponseError

_NOTHING = object()

_OF_A_KEY = frozenset({"WRONGTYPE", "ASK", "TRYAGAIN"})
"""Said of a key, never of a channel. While a slot moves, its master says ASK of keys that have gone."""

Hear = Callable[[bytes, bytes, Any], None]
"""Hears what is pushed: its kind, its channel, and the payload of a message."""


@lru_cache(names.SHARDS)
def _ping(shard: int) -> bytes:
    """A write that finds nothing to do. No PING: a replica, or a master of other shards, answers that too."""
    return packed("ZREM", names.gateways(names.no_app(shard)), "x")


@dataclass(slots=True)
class _Request:
    """Commands that were written, and the replies that have come so far."""

    count: int
    answered: asyncio.Future[list[Any]] | None
    """None if nobody waits for the replies."""
    replies: list[Any] = field(default_factory=list[Any])


class PubSubConnection(asyncio.Protocol):
    """A connection in use; see `connected`."""

    def __init__(self, transport: asyncio.Transport, hear: Hear) -> None:
        self._transport = transport
        self._hear = hear
        self._replies = hiredis.Reader(
            protocolError=InvalidResponse, replyError=ResponseError, notEnoughData=_NOTHING
        )
        self._loop = asyncio.get_running_loop()
        self._requests: deque[_Request] = deque()
        """Those that lack replies, in the order in which these come."""
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self.heard_at = self._loop.time()

    def send(self, *command: str | bytes) -> None:
        """Write a command that pushes alone answer; never waits. Dropped once the connection has ended."""
        self._write(packed(*command))

    def ping(self, shard: int) -> None:
        """Make Redis say something. The connection ends if what answers is not the master of ``shard``.

        A master that is giving the slot away says ASK, which is an answer as good as any.
        """
        self._requests.append(_Request(1, None))
        self._write(_ping(shard))

    async def ask(self, commands: bytes, count: int) -> list[Any]:
        """The replies to ``count`` commands, which are `packed` and joined.

        In the place of a reply stands the `ResponseError` of a key that is not what it should be, or has gone
        to the next master of its slot. What was published before the commands were carried out is heard
        before this returns. Raises `RedisError` or `OSError` if the connection ends first.
        """
        if self._ended.done():
            self._ended.result()
        answered: asyncio.Future[list[Any]] = self._loop.create_future()
        self._requests.append(_Request(count, answered))
        self._write(commands)
        return await answered

    async def prove(self, shard: int) -> None:
        """Ping, and wait for the answer; raises as `ask`, and `ResponseError`."""
        [reply] = await self.ask(_ping(shard), 1)
        if isinstance(reply, ResponseError) and code_of(reply) != "ASK":
            raise reply

    async def ended(self) -> None:
        """Wait for the end of the connection; raises `RedisError` or `OSError`."""
        await asyncio.shield(self._ended)

    # What the event loop calls.

    def data_received(self, data: bytes) -> None:
        """Take everything that has come."""
        self.heard_at = self._loop.time()
        try:
            self._replies.feed(data)
            while (reply := self._replies.gets()) is not _NOTHING:
                self._take(reply)
        except Exception as fault:
            self.end(fault)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.end(exc or Disconnected("Redis closed the connection"))

    def end(self, fault: Exception) -> None:
        """Give the connection up; whoever waits for something is told of ``fault``."""
        if not self._ended.done():
            self._ended.set_exception(fault)
            self._ended.exception()  # looked at, also if nobody waits for the end any more
        for request in self._requests:
            if request.answered is not None and not request.answered.done():
                request.answered.set_exception(fault)
        self._requests.clear()
        self._transport.abort()

    def _write(self, commands: bytes) -> None:
        # A closed transport raises what nobody expects, and a writer may be woken before whoever is told
        # of the end.
        if not self._transport.is_closing():
            self._transport.write(commands)

    def _take(self, reply: Any) -> None:
        if isinstance(reply, hiredis.PushNotification):
            kind, channel, payload = cast("list[Any]", reply)[:3]
            self._hear(kind, channel, payload)
        elif isinstance(reply, Exception) and code_of(reply) not in _OF_A_KEY:
            raise reply  # it may answer a subscription: which request the next reply belongs to is not known
        else:
            request = self._requests[0]
            request.replies.append(reply)
            if len(request.replies) == request.count:
                self._requests.popleft()
                if request.answered is not None and not request.answered.done():
                    request.answered.set_result(request.replies)


@contextlib.asynccontextmanager
async def connected(redis: Redis, hear: Hear) -> AsyncGenerator[PubSubConnection]:
    """A connection of its own, made as ``redis`` makes its. Raises `RedisError` or `OSError`."""
    async with taken_over(redis, lambda transport: PubSubConnection(transport, hear)) as connection:
        try:
            yield connection
        finally:
            connection.end(Disconnected("the connection was given up"))
