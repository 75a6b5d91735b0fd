"""Connections to Redis."""

from importlib.resources import files

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

CONNECT_SECONDS = 3.0
REPLY_SECONDS = 5.0


def connect(url: str, *, max_connections: int = 64) -> Redis:
    """A pool of connections whose commands are sent once.

    A retry after a lost reply would run the command twice: whoever may repeat a command does so itself.
    """
    return Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        url,
        max_connections=max_connections,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=REPLY_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )


def connect_blocking(url: str) -> Redis:
    """A pool for commands that wait on the server: no deadline for a reply, callers set their own."""
    return Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=None,
        retry=Retry(NoBackoff(), 0),
    )


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
    return redis.register_script(files(package).joinpath(name).read_text())
