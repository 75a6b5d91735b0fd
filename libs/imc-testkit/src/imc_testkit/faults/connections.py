"""Faults of connections between processes and servers: cut, losing replies, slow."""

import asyncio

from imc_testkit.faults.testbed import Fault, Testbed


async def _pubsub_cut(testbed: Testbed) -> None:
    async with testbed.load.stores.redis() as redis:
        for _ in range(5):
            await redis.client_kill_filter(_type="pubsub")  # pyright: ignore[reportUnknownMemberType]
            await asyncio.sleep(testbed.random.random())


async def _reset(testbed: Testbed) -> None:
    with testbed.load.database_outage():
        for proxy in (testbed.to_redis, testbed.to_mariadb) * 3:
            proxy.cut()
            await asyncio.sleep(testbed.random.random())


async def _replies_lost(testbed: Testbed) -> None:
    testbed.to_redis.swallow_replies()
    await testbed.moment()
    testbed.to_redis.pass_replies()


async def _slow(testbed: Testbed) -> None:
    testbed.to_redis.delay(0.02)
    await testbed.moment()
    testbed.to_redis.delay(0)


FAULTS: dict[str, Fault] = {
    "pub/sub cut": _pubsub_cut,
    "connections reset": _reset,
    "replies of redis lost": _replies_lost,
    "redis far away": _slow,
}
"""The faults of this module by name."""
