"""What lies between processes and servers cuts, swallows, or delays."""

import asyncio

from imc_testkit.mishaps.site import Mishap, Site


async def _pubsub_cut(site: Site) -> None:
    async with site.load.stores.redis() as redis:
        for _ in range(5):
            await redis.client_kill_filter(_type="pubsub")  # pyright: ignore[reportUnknownMemberType]
            await asyncio.sleep(site.random.random())


async def _reset(site: Site) -> None:
    with site.load.database_away():
        for proxy in (site.to_redis, site.to_mariadb) * 3:
            proxy.cut()
            await asyncio.sleep(site.random.random())


async def _replies_lost(site: Site) -> None:
    site.to_redis.swallow_replies()
    await site.moment()
    site.to_redis.pass_replies()


async def _slow(site: Site) -> None:
    site.to_redis.delay(0.02)
    await site.moment()
    site.to_redis.delay(0)


MISHAPS: dict[str, Mishap] = {
    "pub/sub cut": _pubsub_cut,
    "connections reset": _reset,
    "replies of redis lost": _replies_lost,
    "redis far away": _slow,
}
"""By what happens."""
