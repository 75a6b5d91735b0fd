"""The testbed for faults: an installation under load, with its own servers, disks and proxies."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random

from imc_testkit.databases import new_database
from imc_testkit.deployment import Deployment, separate
from imc_testkit.disks import SmallDisk, small_disk
from imc_testkit.load import Load, load_on
from imc_testkit.processes import run_script
from imc_testkit.proxy import TcpProxy, tcp_proxy
from imc_testkit.servers import PrivateMariadb, PrivateRedis, private_mariadb, private_redis
from imc_testkit.stores import Stores

READY_SECONDS = 60.0
_SETTINGS = {"IMC_DRAIN_SECONDS": "1", "IMC_LINGER_SECONDS": "2"}
_REDIS_MEGABYTES, _MARIADB_MEGABYTES = 512, 1024


@dataclass(frozen=True)
class Testbed:
    """An installation under load, with its own servers and proxies in front of them."""

    redis: PrivateRedis
    mariadb: PrivateMariadb
    redis_disk: SmallDisk
    mariadb_disk: SmallDisk
    to_redis: TcpProxy
    to_mariadb: TcpProxy
    deployment: Deployment
    load: Load
    random: Random

    def moment(self) -> Awaitable[None]:
        """Sleep for as long as a fault lasts, which is sometimes longer than all reply timeouts."""
        return asyncio.sleep(self.random.choice((0.2, 1.0, 3.0, 7.0)))

    async def ready(self) -> None:
        """Wait until all processes are ready."""
        for process in self.deployment.processes:
            await process.ready(READY_SECONDS)


Fault = Callable[[Testbed], Awaitable[None]]


@asynccontextmanager
async def open_testbed(seed: int) -> AsyncGenerator[Testbed]:
    """Start two command-apis, projectors and push-nodes, one query-api, and a load with connected gateways.

    Raises `NotPermitted` if no disk can be mounted.
    """
    async with AsyncExitStack() as stack:
        redis_disk = stack.enter_context(small_disk(_REDIS_MEGABYTES))
        mariadb_disk = stack.enter_context(small_disk(_MARIADB_MEGABYTES))
        redis = await stack.enter_async_context(private_redis(folder=redis_disk.folder))
        mariadb = await stack.enter_async_context(private_mariadb(folder=mariadb_disk.folder))
        database_url = await stack.enter_async_context(new_database(mariadb.url))
        await run_script("imc-migrate", {"IMC_DATABASE_URL": database_url})
        to_redis, to_mariadb = [
            await stack.enter_async_context(tcp_proxy("127.0.0.1", server.port))
            for server in (redis, mariadb)
        ]
        deployment = await stack.enter_async_context(
            separate(
                redis.url.replace(str(redis.port), str(to_redis.port)),
                database_url.replace(str(mariadb.port), str(to_mariadb.port)),
                _SETTINGS,
            )
        )
        stores = Stores(redis.url, database_url)
        load = await stack.enter_async_context(load_on(deployment, stores, seed=seed, apps=3, gateways=4))
        random = Random(seed)  # noqa: S311 - repeatable, not secret
        yield Testbed(
            redis, mariadb, redis_disk, mariadb_disk, to_redis, to_mariadb, deployment, load, random
        )
