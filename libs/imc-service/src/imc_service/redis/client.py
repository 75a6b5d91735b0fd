"""Clients of Redis."""

from importlib.resources import files
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from imc_service.redis.connections import CONNECT_SECONDS, renew_when_misled
from imc_service.redis.errors import words_of

REPLY_SECONDS = 5.0


def connect(url: str, *, max_connections: int = 64) -> Redis:
    """A pool of connections that send each command once.

    A retry after a lost reply would run the command twice. Callers that may repeat a command do that
    themselves, and check `imc_service.redis.errors.was_not_run` first.
    """
    return _telling(url, max_connections=max_connections, socket_timeout=REPLY_SECONDS)


def connect_blocking(url: str) -> Redis:
    """A pool for commands that wait on the server. It has no deadline for replies; callers set their own."""
    return _telling(url, socket_timeout=None)


def _telling(url: str, **options: Any) -> Redis:
    redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        url,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        # Redis needs neither, and both would need rights.
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
        **options,
    )
    renew_when_misled(redis)
    return redis


async def reachable(redis: Redis) -> str | None:
    """Why Redis does not answer, or None. `imc_service.redis.health` checks whether it does the work."""
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
