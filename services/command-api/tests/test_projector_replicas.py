"""A projector that waits for replicas: nothing is stored that a failover may still lose."""

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from imc_command_api.projector.bootstrap import open_projector
from imc_command_api.projector.logs import Logs, Retention
from imc_command_api.projector.settings import ProjectorSettings
from imc_contracts import names
from imc_contracts.policies import Policies
from imc_service.health import Readiness
from imc_service.redis.errors import NotReplicated
from imc_service.redis.masters import Masters
from imc_testkit.servers import PrivateRedis, private_redis
from imc_testkit.waiting import wait_until
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

OWNER = "tester"


@pytest.fixture
async def master() -> AsyncGenerator[PrivateRedis]:
    async with private_redis("--repl-diskless-sync-delay", "0") as master:
        yield master


@pytest.fixture
async def redis(master: PrivateRedis) -> AsyncGenerator[Redis]:
    async with Redis.from_url(master.url) as redis:  # pyright: ignore[reportUnknownMemberType]
        yield redis


@pytest.fixture
async def replica(master: PrivateRedis, redis: Any) -> AsyncGenerator[PrivateRedis]:
    """A replica of ``master``, in step with it. It goes on before it is closed."""
    async with private_redis("--replicaof", "127.0.0.1", str(master.port)) as replica:
        await redis.set("is it there", 1)
        await wait_until(lambda: redis.wait(1, 100))
        yield replica
        replica.resume()


@pytest.fixture
async def logs(redis: Redis) -> Logs:
    await redis.mset({names.owner(shard): OWNER for shard in range(names.SHARDS)})
    return Logs(Masters(redis), OWNER, Retention(10**6, 10**6, 10**6), ack_replicas=1)


@pytest.fixture
def feeds(redis: Redis, feed_of: Any, app_id: str) -> Any:
    """Some apps, whose entries are to be stored."""
    return [feed_of(redis, f"{app_id}-{number}") for number in range(20)]


async def fill(feeds: Any, history_of: Any) -> list[str]:
    for feed in feeds:
        history = history_of(feed.app_id)
        await feed.append([history.sent(history.message())])
    return [feed.app_id for feed in feeds]


async def waits(redis: Redis) -> int:
    stats: Any = await redis.info("commandstats")  # pyright: ignore[reportUnknownMemberType]
    return stats.get("cmdstat_wait", {"calls": 0})["calls"]


async def test_what_is_read_is_on_replicas_by_one_wait_for_all_apps(
    replica: PrivateRedis, redis: Redis, logs: Logs, feeds: Any, history_of: Any
):
    app_ids = await fill(feeds, history_of)
    await logs.read(redis, app_ids, {})  # which loads the script
    before = await waits(redis)
    assert len(await logs.read(redis, app_ids, {})) == len(app_ids)
    assert await waits(redis) == before + 1
    replica.pause()
    with pytest.raises(NotReplicated, match="0 of 1 replicas have it"):
        await logs.read(redis, app_ids, {})
    replica.resume()
    assert len(await logs.read(redis, app_ids, {})) == len(app_ids)


async def test_what_can_not_be_proven_is_not_read(
    replica: PrivateRedis, redis: Redis, logs: Logs, feeds: Any, history_of: Any
):
    """The write that replicas are waited for is only made by the owner of a shard."""
    app_ids = await fill(feeds, history_of)
    await redis.mset({names.owner(shard): "another" for shard in range(names.SHARDS)})
    assert await logs.read(redis, app_ids, {}) == []
    assert await redis.get(names.owner(names.shard_of(app_ids[0]))) == b"another"


async def test_nothing_is_stored_that_no_replica_has(
    master: PrivateRedis,
    replica: PrivateRedis,
    feeds: Any,
    history_of: Any,
    mariadb: Any,
    tables_of: Any,
    database_url: str,
):
    tables = tables_of(mariadb)
    settings = ProjectorSettings.model_validate(
        {"redis_url": master.url, "database_url": database_url, "ack_replicas": 1}
    )
    async with open_projector(settings, Readiness(), CollectorRegistry(), Policies()) as projector:
        await fill(feeds[:1], history_of)
        await wait_until(lambda: tables.count(feeds[0].app_id))
        replica.pause()
        await fill(feeds[1:2], history_of)

        async def says_why() -> bool:
            return "0 of 1 replicas have it" in (await projector.reading() or "")

        await wait_until(says_why, what="the projector to say what it waits for")
        assert await tables.count(feeds[1].app_id) == 0
        replica.resume()
        await wait_until(lambda: tables.count(feeds[1].app_id))
        assert await projector.reading() is None
