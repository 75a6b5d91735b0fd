"""Single connections of redis-py: all hooks of IMC into its insides, and those into hiredis for commands.

A connection outlives what it was made to: the server behind an address may be replaced, or become a replica,
while connections to it stay. What only another server than the right one answers makes all connections of
the client that are older than the answer be made anew, each before its next use.

What is used of redis-py beyond its documentation: ``AbstractConnection`` with ``_reader``, ``_writer``,
``connect``, ``disconnect``, ``pack_command``, ``read_response``, ``send_packed_command``; the pool's
``connection_class`` and ``make_connection``. ``tests-e2e/test_private_names.py`` fails when a new version
changes that.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any, TypeVar, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as ConnectionFailed
from redis.exceptions import RedisError

from imc_service.redis.errors import NotConnected, leads_elsewhere, words_of

CONNECT_SECONDS = 3.0

RENEW_SECONDS = 1.0
"""The least time between two renewals, so as not to storm a server that stays the wrong one."""

P = TypeVar("P", bound=asyncio.BaseProtocol)


def packed(*command: str | bytes) -> bytes:
    """A command as it is written to Redis."""
    return cast(Any, hiredis).pack_command(command)


class _Refusals:
    """When the connections of a client were last found to lead to the wrong server."""

    def __init__(self) -> None:
        self.last = float("-inf")

    def add(self) -> None:
        now = time.monotonic()
        if now - self.last >= RENEW_SECONDS:
            self.last = now


class _TellingConnection:
    """Mixed into a connection class: it is renewed when it leads to the wrong server, and a failure to
    connect is told apart from one after a command was sent."""

    refusals: _Refusals
    """Those of all connections of the client."""

    _made_at: float | None = None

    def pack_command(self, *arguments: Any) -> list[bytes]:
        # redis-py's asyncio clients pack in Python, which takes a large batch longer than all the rest of it.
        name, *rest = arguments
        words = name.split() if isinstance(name, str) else [name]  # "CONFIG GET" is two
        return [packed(*words, *rest)]

    async def connect(self, *arguments: Any, **options: Any) -> None:
        connection = cast("AbstractConnection", self)
        reader = connection._reader  # pyright: ignore[reportPrivateUsage]
        if reader is not None:
            is_old = self._made_at is not None and self._made_at <= self.refusals.last
            if not (is_old or reader.at_eof() or reader.exception() is not None):
                return
            # The pool would send a command to a server that is the wrong one, or known to be gone.
            await connection.disconnect(nowait=True)
        self._made_at = None
        try:
            await _look_up(connection)
            await super().connect(*arguments, **options)  # pyright: ignore
        except (RedisError, OSError) as error:
            raise NotConnected(words_of(error)) from error
        self._made_at = time.monotonic()

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*arguments, **options)  # pyright: ignore
        except RedisError as error:
            # Not while connecting: where a password was changed, the connections that are there still work.
            if self._made_at is not None and leads_elsewhere(error):
                self.refusals.add()
            raise

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        try:
            await super().send_packed_command(*arguments, **options)  # pyright: ignore
        except RuntimeError as error:
            # How uvloop says that the peer has reset the connection: no error that anybody here expects.
            await cast("AbstractConnection", self).disconnect(nowait=True)
            raise ConnectionFailed("the connection was reset") from error


async def _look_up(connection: AbstractConnection) -> None:
    """Raise `OSError` if the name of the server does not resolve in time.

    uvloop looks names up in a future of its own as it connects. Given up at the deadline, that future reports
    its failure to nobody but the event loop.
    """
    host: str | None = getattr(connection, "host", None)
    if host is None:
        return
    port: int = getattr(connection, "port", 0)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().getaddrinfo(host, port)
    except TimeoutError:
        raise TimeoutError(f"the name {host} was not resolved in time") from None
    except OSError as error:
        raise ConnectionFailed(f"the name {host} does not resolve: {error.strerror}") from error


def renew_when_misled(redis: Redis) -> None:
    """Let the connections of ``redis`` be renewed, all of them, when one leads to the wrong server."""
    pool = redis.connection_pool
    plain: type[AbstractConnection] = pool.connection_class
    own = {"refusals": _Refusals()}
    pool.connection_class = type(f"Telling{plain.__name__}", (_TellingConnection, plain), own)


@contextlib.asynccontextmanager
async def taken_over(redis: Redis, make: Callable[[asyncio.Transport], P]) -> AsyncGenerator[P]:
    """A connection of its own, made as ``redis`` makes its; ``make`` gives the protocol that it has then.

    redis-py connects (TLS, authentication, RESP3) and has read all replies to what it has sent. Raises
    `RedisError` or `OSError`.
    """
    connection: Any = redis.connection_pool.make_connection()
    try:
        await connection.connect()
        transport = connection._writer.transport
        protocol = make(transport)
        transport.set_protocol(protocol)
        if transport.is_closing():
            raise ConnectionFailed(
                "Redis closed the connection as it was made"
            )  # told to the protocol before
        yield protocol
    finally:
        await connection.disconnect(nowait=True)
