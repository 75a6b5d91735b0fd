"""Faults of several Redis servers that stand in for one: a cluster, and a master that sentinels watch."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from random import Random

from imc_contracts import names
from redis.crc import key_slot

from imc_testkit.redis_cluster import ClusterNode, PrivateCluster
from imc_testkit.redis_sentinels import PrivateSentinels
from imc_testkit.servers import PrivateRedis

SetFault = Callable[[Sequence[str], Random, float], Awaitable[None]]
"""Gets the apps under load, what chooses, and how many seconds it lasts."""


def of_cluster(cluster: PrivateCluster) -> dict[str, SetFault]:
    """What may happen to a cluster, each for some seconds.

    A master that was killed comes back once its replica has taken over. Before that it would be the master
    again, with what is on its disk, and its replica would throw away what it has beyond that.
    """

    async def any_master(random: Random) -> ClusterNode:
        return random.choice(await cluster.masters())

    async def killed(app_ids: Sequence[str], random: Random, seconds: float) -> None:
        master = await any_master(random)
        await master.kill()
        await cluster.taken_over(master)
        await asyncio.sleep(seconds)
        await master.start()

    async def hung(app_ids: Sequence[str], random: Random, seconds: float) -> None:
        await _hung(await any_master(random), seconds)

    async def replica_killed(app_ids: Sequence[str], random: Random, seconds: float) -> None:
        await _killed(await cluster.replica_of(await any_master(random)), seconds)

    async def replica_hung(app_ids: Sequence[str], random: Random, seconds: float) -> None:
        await _hung(await cluster.replica_of(await any_master(random)), seconds)

    async def promoted(app_ids: Sequence[str], random: Random, seconds: float) -> None:
        await cluster.fail_over(await any_master(random))

    async def moved(app_ids: Sequence[str], random: Random, seconds: float) -> None:
        slot = key_slot(names.log(random.choice(app_ids)).encode())
        await cluster.move_slot(slot, await any_master(random), halfway=lambda: asyncio.sleep(seconds))

    return {
        "master killed": killed,
        "master hung": hung,
        "replica killed": replica_killed,
        "replica hung": replica_hung,
        "replica promoted": promoted,
        "slot moved": moved,
    }


def of_sentinels(sentinels: PrivateSentinels) -> dict[str, SetFault]:
    """What may happen to a master, its replica, and the sentinels that watch them."""

    async def replica() -> PrivateRedis:
        master = await sentinels.master()
        return next(server for server in sentinels.servers if server is not master)

    async def killed(app_ids: Sequence[str], random: Random, seconds: float) -> None:
        master = await sentinels.master()
        await master.kill()
        await sentinels.taken_over(master)
        await asyncio.sleep(seconds)
        await master.start()

    async def hung(app_ids: Sequence[str], random: Random, seconds: float) -> None:
        await _hung(await sentinels.master(), seconds)

    async def replica_killed(app_ids: Sequence[str], random: Random, seconds: float) -> None:
        await _killed(await replica(), seconds)

    async def replica_hung(app_ids: Sequence[str], random: Random, seconds: float) -> None:
        await _hung(await replica(), seconds)

    async def promoted(app_ids: Sequence[str], random: Random, seconds: float) -> None:
        await sentinels.fail_over()

    async def sentinel_killed(app_ids: Sequence[str], random: Random, seconds: float) -> None:
        await _killed(random.choice(sentinels.sentinels), seconds)

    return {
        "master killed": killed,
        "master hung": hung,
        "replica killed": replica_killed,
        "replica hung": replica_hung,
        "replica promoted": promoted,
        "sentinel killed": sentinel_killed,
    }


async def _killed(server: PrivateRedis, seconds: float) -> None:
    await server.kill()
    await asyncio.sleep(seconds)
    await server.start()


async def _hung(server: PrivateRedis, seconds: float) -> None:
    server.pause()
    await asyncio.sleep(seconds)
    server.resume()
