"""Connections to Redis."""

from importlib.resources import files
from typing import Any, cast

import hiredis
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import (
    BusyLoadingError,
    MaxConnectionsError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as ConnectionFailed
from redis.exceptions import TimeoutError as TimedOut

CONNECT_SECONDS = 3.0
REPLY_SECONDS = 5.0


# What a server answers instead of running a command, by the first word of its reply.
_TURNED_AWAY = (
    "OOM",
    "READONLY",
    "MISCONF",
    "NOREPLICAS",
    "LOADING",
    "MASTERDOWN",
    "BUSY",
    "NOAUTH",
    "NOPERM",
)


class NotConnected(ConnectionFailed):
    """No connection could be made: the command was not sent."""


class _TellingConnection:
    """Mixed into a connection class: a failure to connect is told apart from one after a command was sent."""

    def pack_command(self, *arguments: Any) -> list[bytes]:
        # redis-py's asyncio clients pack in Python, which takes a large batch longer than all the rest of it.
        name, *rest = arguments
        words = name.split() if isinstance(name, str) else [name]  # "CONFIG GET" is two
        return [hiredis.pack_command((*words, *rest))]  # pyright: ignore

    async def connect(self, *arguments: Any, **options: Any) -> None:
        connection = cast("AbstractConnection", self)
        reader = connection._reader  # pyright: ignore[reportPrivateUsage]
        if reader is not None and (reader.at_eof() or reader.exception() is not None):
            # The pool would send a command to a server that is known to be gone.
            await connection.disconnect(nowait=True)
        try:
            await super().connect(*arguments, **options)  # pyright: ignore
        except (ConnectionFailed, TimedOut, OSError) as error:
            raise NotConnected(str(error)) from error

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        try:
            await super().send_packed_command(*arguments, **options)  # pyright: ignore
        except RuntimeError as error:
            # How uvloop says that the peer has reset the connection: no error that anybody here expects.
            await cast("AbstractConnection", self).disconnect(nowait=True)
            raise ConnectionFailed("the connection was reset") from error


def connect(url: str, *, max_connections: int = 64) -> Redis:
    """A pool of connections whose commands are sent once.

    A retry after a lost reply would run the command twice: whoever may repeat a command does so itself, and
    asks `was_not_run` first.
    """
    redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        url,
        max_connections=max_connections,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=REPLY_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return _telling(redis)


def was_not_run(error: Exception) -> bool:
    """Whether the command that raised ``error``, on a client of `connect`, certainly had no effect.

    False after a lost connection or a timeout: the server may have run it, or may yet.
    """
    if isinstance(error, ResponseError):
        return isinstance(error, OutOfMemoryError | ReadOnlyError) or str(error).startswith(_TURNED_AWAY)
    return isinstance(error, NotConnected | MaxConnectionsError | BusyLoadingError)


def connect_blocking(url: str) -> Redis:
    """A pool for commands that wait on the server: no deadline for a reply, callers set their own."""
    redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=None,
        retry=Retry(NoBackoff(), 0),
    )
    return _telling(redis)


def _telling(redis: Redis) -> Redis:
    pool = redis.connection_pool
    plain: type[AbstractConnection] = pool.connection_class
    pool.connection_class = type(f"Telling{plain.__name__}", (_TellingConnection, plain), {})
    return redis


async def reachable(redis: Redis) -> str | None:
    """A readiness check: why Redis can't be used, or None."""
    try:
        await redis.ping()  # pyright: ignore[reportUnknownMemberType, reportGeneralTypeIssues]
    except (RedisError, OSError) as error:
        return f"Redis is out of reach ({type(error).__name__})"
    return None


def script_in(redis: Redis, package: str, name: str) -> AsyncScript:
    """The Lua script ``name`` of ``package``, to be called with ``keys`` and ``args``.

    Reads a file: for the start of a process.
    """
    return redis.register_script(files(package).joinpath(name).read_text("utf-8"))
