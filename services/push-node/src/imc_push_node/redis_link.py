"""One connection to Redis for Pub/Sub: all that has come is taken in one step, without a task or an await.

redis-py connects (TLS, authentication, RESP3); from there on the socket is read and written here. Its own
reading costs, for each message, about half as much as writing to a hundred gateways does.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any, cast

import hiredis
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import InvalidResponse, ResponseError

_NOTHING = object()

Hear = Callable[[bytes, bytes, Any], None]
"""Hears what is pushed: its kind, its channel, and the payload of a message."""


class RedisLink(asyncio.Protocol):
    """A connection in use; see `connected`."""

    def __init__(self, transport: asyncio.Transport, hear: Hear) -> None:
        self._transport = transport
        self._hear = hear
        self._replies = hiredis.Reader(
            protocolError=InvalidResponse, replyError=ResponseError, notEnoughData=_NOTHING
        )
        self._pack: Callable[[tuple[str | bytes, ...]], bytes] = cast(Any, hiredis).pack_command
        self._loop = asyncio.get_running_loop()
        self._pings: deque[list[asyncio.Future[None]]] = deque()
        """Those that have no answer yet, each with those that wait for it."""
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self.heard_at = self._loop.time()

    def send(self, *command: str | bytes) -> None:
        """Write a command; never waits. Dropped once the connection has ended."""
        self._transport.write(self._pack(command))

    def ping(self, waiting: list[asyncio.Future[None]]) -> None:
        """Ping, and let ``waiting`` know of the answer. All that was published before is heard before."""
        self._pings.append(waiting)
        self.send("PING")

    async def ended(self) -> None:
        """Wait for the end of the connection; raises `RedisError` or `OSError`."""
        await asyncio.shield(self._ended)

    def release_waiting(self) -> None:
        """Let those that wait for an answer wait no more."""
        while self._pings:
            self._answer()

    # What the event loop calls.

    def data_received(self, data: bytes) -> None:
        """Take everything that has come."""
        self.heard_at = self._loop.time()
        try:
            self._replies.feed(data)
            while (reply := self._replies.gets()) is not _NOTHING:
                self._take(reply)
        except Exception as fault:
            self._end(fault)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._end(exc or Disconnected("Redis closed the connection"))

    def _take(self, reply: Any) -> None:
        if isinstance(reply, hiredis.PushNotification):
            kind, channel, payload = cast("list[Any]", reply)[:3]
            self._hear(kind, channel, payload)
        elif isinstance(reply, Exception):
            raise reply
        else:
            self._answer()

    def _answer(self) -> None:
        for waiting in self._pings.popleft():
            if not waiting.done():
                waiting.set_result(None)

    def _end(self, fault: Exception) -> None:
        if not self._ended.done():
            self._ended.set_exception(fault)
            self._ended.exception()  # looked at, also if nobody waits for the end any more
        self._transport.abort()


@contextlib.asynccontextmanager
async def connected(redis: Redis, hear: Hear) -> AsyncGenerator[RedisLink]:
    """A connection of its own, made as ``redis`` makes its. Raises `RedisError` or `OSError`."""
    connection: Any = redis.connection_pool.make_connection()
    try:
        await connection.connect()
        # All replies to what redis-py has sent were read: what comes from here on is for us.
        transport = connection._writer.transport
        link = RedisLink(transport, hear)
        transport.set_protocol(link)
        try:
            yield link
        finally:
            link.release_waiting()
    finally:
        await connection.disconnect(nowait=True)
