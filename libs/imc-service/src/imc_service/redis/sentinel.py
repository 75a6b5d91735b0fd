"""The master of a service that Redis Sentinel watches."""

from collections.abc import Awaitable, Sequence
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.exceptions import RedisError

from imc_service.redis.client import address_of
from imc_service.redis.errors import NotConnected, words_of
from imc_service.redis.url import Address


class SentinelService:
    """A service by its name, and the clients of the sentinels that watch it."""

    def __init__(self, name: str, sentinels: Sequence[Redis]) -> None:
        self._name = name
        self._sentinel = Sentinel([])
        self._sentinel.sentinels = list(sentinels)

    async def master(self) -> Address:
        """Where its master is now: the first sentinel that answers says it. Raises `NotConnected`."""
        discover = cast("Awaitable[Any]", self._sentinel.discover_master(self._name))  # pyright: ignore
        try:
            host, port = await discover
        except (MasterNotFoundError, RedisError, OSError):
            raise NotConnected(
                f"no sentinel knows a master of the service {self._name}: {await self._reasons()}"
            ) from None
        return (host.decode() if isinstance(host, bytes) else host, int(port))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._sentinel.aclose()

    async def _reasons(self) -> str:
        reasons: list[str] = []
        for redis in self._sentinel.sentinels:
            try:
                address: Any = await redis.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", self._name)  # pyright: ignore
                words = f"its master {address} is down" if address else "it does not watch this service"
            except (RedisError, OSError) as error:
                words = words_of(error)
            reasons.append(f"{address_of(redis)}: {words}")
        return "; ".join(reasons)
