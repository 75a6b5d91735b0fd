"""Single connections of redis-py: all hooks of IMC into its insides, and those into hiredis for commands.

The server behind an address may be replaced, or become a replica, while connections to it stay. When a reply
shows that a connection leads to the wrong server, all connections of the client that are older than the reply
are renewed, each before its next use.

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
"""The least time between two renewals, so that a server that stays wrong is not flooded."""

P = TypeVar("P", bound=asyncio.BaseProtocol)


def packed(*command: str | bytes) -> bytes:
    """A command as it is written to Redis."""
    return cast(Any, hiredis).pack_command(command)


class _Refusals:
    """When a connection of a client was last found to lead to the wrong server."""

    def __init__(self) -> None:
        self.last = float("-inf")

    def add(self) -> None:
        now = time.monotonic()
        if now - self.last >= RENEW_SECONDS:
            self.last = now


class _TellingConnection:
    """A mixin for connection classes: renews a connection to the wrong server.

    Failures to connect raise `NotConnected`, which tells them from failures after a command was sent.
    """

    refusals: _Refusals
    """Those of all connections of the client."""

    _made_at: float | None = None

    def pack_command(self, *arguments: Any) -> list[bytes]:
        # redis-py's asyncio clients pack in Python, which takes longer than all other work of a large batch.
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
            # The pool would send a command to the wrong server, or to one that is known to be gone.
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
            # Not while connecting: after a change of the password, older connections still work.
            if self._made_at is not None and leads_elsewhere(error):
                self.refusals.add()
            raise

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        try:
            await super().send_packed_command(*arguments, **options)  # pyright: ignore
        except RuntimeError as error:
            # uvloop raises it when the peer has reset the connection. Callers expect a `RedisError`.
            await cast("AbstractConnection", self).disconnect(nowait=True)
            raise ConnectionFailed("the connection was reset") from error


async def _look_up(connection: AbstractConnection) -> None:
    """Raise `OSError` if the name of the server does not resolve in time.

    uvloop resolves names in a future of its own when it connects. After the deadline nobody awaits that
    future, and the event loop reports its failure.
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
    """Renew all connections of ``redis`` when one leads to the wrong server."""
    pool = redis.connection_pool
    plain: type[AbstractConnection] = pool.connection_class
    own = {"refusals": _Refusals()}
    pool.connection_class = type(f"Telling{plain.__name__}", (_TellingConnection, plain), own)


@contextlib.asynccontextmanager
async def taken_over(redis: Redis, make: Callable[[asyncio.Transport], P]) -> AsyncGenerator[P]:
    """A separate connection, made as those of ``redis``, with the protocol that ``make`` returns.

    redis-py connects (TLS, authentication, RESP3) and reads all replies to what it sends. Raises `RedisError`
    or `OSError`.
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
