"""What happens to an installation in a soak: mishaps, each of which lasts a moment and is made good."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import Random

from imc_testkit.databases import new_database
from imc_testkit.deployment import Deployment, separate
from imc_testkit.load import Load, load_on
from imc_testkit.processes import Process, run_script
from imc_testkit.proxy import TcpProxy, tcp_proxy
from imc_testkit.servers import PrivateMariadb, PrivateRedis, private_mariadb, private_redis
from imc_testkit.settling import Stores

_SETTINGS = {"IMC_CLAIM_IDLE_SECONDS": "2", "IMC_DRAIN_SECONDS": "1", "IMC_LINGER_SECONDS": "2"}
_READY_SECONDS = 60.0


@dataclass(frozen=True)
class Site:
    """An installation under load, with servers of its own and proxies before them."""

    redis: PrivateRedis
    mariadb: PrivateMariadb
    to_redis: TcpProxy
    to_mariadb: TcpProxy
    deployment: Deployment
    load: Load
    random: Random

    def moment(self) -> Awaitable[None]:
        """How long a mishap lasts: now and then longer than anybody's patience with a reply."""
        return asyncio.sleep(self.random.choice((0.2, 1.0, 3.0, 7.0)))

    async def ready(self) -> None:
        """Wait until every process says that it is ready."""
        for process in self.deployment.processes:
            await process.ready(_READY_SECONDS)


Mishap = Callable[[Site], Awaitable[None]]


@asynccontextmanager
async def site(seed: int) -> AsyncGenerator[Site]:
    """Two command-apis, projectors and push-nodes, a query-api, and a load whose gateways are connected."""
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(private_redis())
        mariadb = await stack.enter_async_context(private_mariadb())
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
        yield Site(redis, mariadb, to_redis, to_mariadb, deployment, load, Random(seed))  # noqa: S311


async def _redis_killed(site: Site) -> None:
    await site.redis.kill()
    await site.moment()
    await site.redis.start()


async def _redis_hung(site: Site) -> None:
    site.redis.pause()
    await site.moment()
    site.redis.resume()


async def _redis_full(site: Site) -> None:
    async with site.load.stores.redis() as redis:
        await redis.config_set("maxmemory", "1mb")  # pyright: ignore[reportUnknownMemberType]
        await site.moment()
        await redis.config_set("maxmemory", "0")  # pyright: ignore[reportUnknownMemberType]


async def _redis_emptied(site: Site) -> None:
    """After a pause: what is not yet in the database would be lost with it, as it must."""
    await site.load.pause(_READY_SECONDS)
    async with site.load.stores.redis() as redis:
        await redis.flushall()  # pyright: ignore[reportUnknownMemberType]
    site.load.begin()


async def _pubsub_cut(site: Site) -> None:
    async with site.load.stores.redis() as redis:
        for _ in range(5):
            await redis.client_kill_filter(_type="pubsub")  # pyright: ignore[reportUnknownMemberType]
            await asyncio.sleep(site.random.random())


async def _mariadb_killed(site: Site) -> None:
    with site.load.database_away():
        await site.mariadb.kill()
        await site.moment()
        await site.mariadb.start()
        await site.ready()


async def _mariadb_hung(site: Site) -> None:
    with site.load.database_away():
        site.mariadb.pause()
        await site.moment()
        site.mariadb.resume()
        await site.ready()


async def _connections_reset(site: Site) -> None:
    with site.load.database_away():
        for proxy in (site.to_redis, site.to_mariadb) * 3:
            proxy.cut()
            await asyncio.sleep(site.random.random())


async def _replies_lost(site: Site) -> None:
    site.to_redis.swallow_replies()
    await site.moment()
    site.to_redis.pass_replies()


async def _network_slow(site: Site) -> None:
    site.to_redis.delay(0.02)
    await site.moment()
    site.to_redis.delay(0)


async def _rolling_restart(site: Site) -> None:
    for process in site.deployment.processes:
        await process.terminate()
        await process.start()
        await process.ready(_READY_SECONDS)


def _killed(processes: Callable[[Deployment], list[Process]]) -> Mishap:
    async def mishap(site: Site) -> None:
        process = site.random.choice(processes(site.deployment))
        await process.kill()
        await site.moment()
        await process.start()

    return mishap


def _hung(processes: Callable[[Deployment], list[Process]]) -> Mishap:
    async def mishap(site: Site) -> None:
        process = site.random.choice(processes(site.deployment))
        process.pause()
        await site.moment()
        process.resume()

    return mishap


MISHAPS: dict[str, Mishap] = {
    "redis killed": _redis_killed,
    "redis hung": _redis_hung,
    "redis out of memory": _redis_full,
    "redis emptied": _redis_emptied,
    "pub/sub cut": _pubsub_cut,
    "mariadb killed": _mariadb_killed,
    "mariadb hung": _mariadb_hung,
    "connections reset": _connections_reset,
    "replies of redis lost": _replies_lost,
    "redis far away": _network_slow,
    "command-api killed": _killed(lambda deployment: deployment.command_apis),
    "command-api hung": _hung(lambda deployment: deployment.command_apis),
    "projector killed": _killed(lambda deployment: deployment.projectors),
    "projector hung": _hung(lambda deployment: deployment.projectors),
    "push-node killed": _killed(lambda deployment: deployment.push_nodes),
    "push-node hung": _hung(lambda deployment: deployment.push_nodes),
    "query-api killed": _killed(lambda deployment: deployment.query_apis),
    "rolling restart": _rolling_restart,
}
"""By what happens."""


@dataclass(frozen=True)
class Episode:
    """A mishap that happened; times as in the history."""

    name: str
    began: float
    made_good: float
    recovered: float
    """When sends went on and every process was ready."""


async def suffer(site: Site, name: str) -> Episode:
    """Bring a mishap about, and wait until it is overcome. Raises `AssertionError` if it is not."""
    site.load.note(name)
    began = time.monotonic()
    await MISHAPS[name](site)
    made_good = time.monotonic()
    await site.load.more(20, _READY_SECONDS)
    await site.ready()
    recovered = time.monotonic()
    site.load.note(f"recovered from {name}")
    return Episode(name, began, made_good, recovered)
