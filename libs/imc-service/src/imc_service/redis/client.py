"""Clients of Redis."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from imc_service.redis.connections import CONNECT_SECONDS, Find, renew_when_misled
from imc_service.redis.errors import words_of

REPLY_SECONDS = 5.0


def connect(
    url: str,
    *,
    max_connections: int = 64,
    reply_seconds: float | None = None,
    find: Find | None = None,
    is_in_cluster: bool = False,
    is_asking: bool = False,
) -> Redis:
    """A pool of connections to one server that send each command once.

    A retry after a lost reply would run the command twice. Callers that may repeat a command do that
    themselves, and check `imc_service.redis.errors.was_not_run` first. A reply may take ``reply_seconds``, or
    else `REPLY_SECONDS`. The other arguments are those of `imc_service.redis.connections.renew_when_misled`.
    """
    redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]
        url,
        max_connections=max_connections,
        socket_timeout=reply_seconds or REPLY_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        # Redis needs neither, and both would need rights.
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    renew_when_misled(redis, find=find, is_in_cluster=is_in_cluster, is_asking=is_asking)
    return redis


def address_of(redis: Redis) -> str:
    """Where the server of ``redis`` is, in words: ``HOST:PORT``, or the path of a socket."""
    options = redis.connection_pool.connection_kwargs
    return str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")


async def reachable(redis: Redis) -> str | None:
    """Why Redis does not answer, or None. `imc_service.redis.health` checks whether it does the work."""
    try:
        await redis.ping()  # pyright: ignore[reportUnknownMemberType, reportGeneralTypeIssues]
    except (RedisError, OSError) as error:
        return f"Redis is out of reach: {words_of(error)}"
    return None
