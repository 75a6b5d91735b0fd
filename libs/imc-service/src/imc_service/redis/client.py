"""Connections to Redis.

A connection outlives what it was made to: the server behind an address may be replaced, or become a replica,
while connections to it stay. What only another server than the right one answers makes all connections of
the client that are older than the answer be made anew, each before its next use.
"""

import asyncio
import time
from importlib.resources import files
from typing import Any, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import ConnectionError as ConnectionFailed
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from imc_service.redis.errors import NotConnected, leads_elsewhere, words_of

CONNECT_SECONDS = 3.0
REPLY_SECONDS = 5.0

RENEW_SECONDS = 1.0
"""The least time between two renewals, so as not to storm a server that stays the wrong one."""


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
        return [hiredis.pack_command((*words, *rest))]  # pyright: ignore

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


def connect(url: str, *, max_connections: int = 64) -> Redis:
    """A pool of connections whose commands are sent once.

    A retry after a lost reply would run the command twice: whoever may repeat a command does so itself, and
    asks `redis_errors.was_not_run` first.
    """
    return _telling(url, max_connections=max_connections, socket_timeout=REPLY_SECONDS)


def connect_blocking(url: str) -> Redis:
    """A pool for commands that wait on the server: no deadline for a reply, callers set their own."""
    return _telling(url, socket_timeout=None)


def _telling(url: str, **options: Any) -> Redis:
    redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        # Neither tells Redis anything that it needs, and both would need rights.
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **options,
    )
    pool = redis.connection_pool
    plain: type[AbstractConnection] = pool.connection_class
    own = {"refusals": _Refusals()}
    pool.connection_class = type(f"Telling{plain.__name__}", (_TellingConnection, plain), own)
    return redis


async def reachable(redis: Redis) -> str | None:
    """Why Redis does not answer, or None. What it then does is another matter: see `redis_health`."""
    try:
        await redis.ping()  # pyright: ignore[reportUnknownMemberType, reportGeneralTypeIssues]
    except (RedisError, OSError) as error:
        return f"Redis is out of reach: {words_of(error)}"
    return None


def database_of(redis: Redis) -> int:
    """The number of the database that a client's commands are for."""
    return int(redis.connection_pool.connection_kwargs.get("db") or 0)


def script_in(redis: Redis, package: str, *names: str) -> AsyncScript:
    """The Lua script in the files ``names`` of ``package``, one after the other.

    It is called with ``keys`` and ``args``. Reads files, so call this when a process starts.
    """
    return redis.register_script("".join(files(package).joinpath(name).read_text("utf-8") for name in names))
