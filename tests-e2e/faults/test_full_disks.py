"""The disks of Redis and MariaDB become full under load."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from imc_testkit.checker import Report
from imc_testkit.databases import new_database
from imc_testkit.disks import NotPermitted, SmallDisk, small_disk
from imc_testkit.processes import run_script
from imc_testkit.servers import PrivateMariadb, PrivateRedis, private_mariadb, private_redis
from imc_testkit.stores import Stores
from imc_testkit.waiting import wait_until

Judge = Callable[..., Awaitable[Report]]
Make = Callable[..., Any]

REDIS_MEGABYTES, MARIADB_MEGABYTES = 64, 256


@dataclass(frozen=True)
class Servers:
    redis: PrivateRedis
    redis_disk: SmallDisk
    mariadb: PrivateMariadb
    mariadb_disk: SmallDisk
    database_url: str


@pytest.fixture
async def servers() -> AsyncGenerator[Servers]:
    async with AsyncExitStack() as stack:
        try:
            sizes = (REDIS_MEGABYTES, MARIADB_MEGABYTES)
            disks = [stack.enter_context(small_disk(megabytes)) for megabytes in sizes]
        except NotPermitted as reason:
            pytest.skip(str(reason))
        redis = await stack.enter_async_context(private_redis(folder=disks[0].folder))
        mariadb = await stack.enter_async_context(private_mariadb(folder=disks[1].folder))
        url = await stack.enter_async_context(new_database(mariadb.url))
        await run_script("imc-migrate", {"IMC_DATABASE_URL": url})
        yield Servers(redis, disks[0], mariadb, disks[1], url)


async def test_nothing_is_lost_when_disks_become_full(
    servers: Servers, small_on: Make, load_between: Make, judge: Judge
) -> None:
    stores = Stores(servers.redis.url, servers.database_url)
    async with (
        small_on(servers.redis.url, servers.database_url) as deployment,
        load_between(stores, deployment) as load,
    ):
        load.begin()
        await load.more(50)
        with servers.mariadb_disk.filled(), load.database_outage():
            # Sends continue without the database, and nothing is dead-lettered.
            await load.more(300)
        if servers.mariadb.process.exit_code is not None:
            await servers.mariadb.start()  # some versions exit on a full disk
        with servers.redis_disk.filled():
            # Redis refuses what it can't store.
            await wait_until(lambda: load.history.refusals >= 10, 30)
        await load.more(50, 30)
        report = await judge(load, 60)
        assert report.is_clean, report
