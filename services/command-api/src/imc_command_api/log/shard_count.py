"""The number of shards that an installation began with: by another number, keys would not be found."""

from imc_contracts import names
from imc_service.redis.masters import Masters
from redis.asyncio import Redis
from redis.exceptions import RedisError


class ShardCount:
    """Notes the number of shards where there is none, and compares it."""

    def __init__(self, masters: Masters) -> None:
        self._masters = masters

    async def ready(self) -> str | None:
        """A readiness check: why this version may not work on this Redis, or None."""
        try:
            found = await self._masters.run(names.SHARD_COUNT, _noted)
        except (RedisError, OSError):
            return None  # told by the check of Redis
        return objection_to(found)


def objection_to(count: int) -> str | None:
    """Why this version may not work where the data has ``count`` shards, or None."""
    if count == names.SHARDS:
        return None
    return (
        f"Redis holds the data of {count} shards ({names.SHARD_COUNT}), this version has {names.SHARDS}: "
        "use the version that wrote it, or another Redis"
    )


async def _noted(redis: Redis) -> int:
    if (found := await redis.get(names.SHARD_COUNT)) is None:
        await redis.set(names.SHARD_COUNT, names.SHARDS, nx=True)
        found = await redis.get(names.SHARD_COUNT)
    return int(found or 0)
