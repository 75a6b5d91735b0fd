"""Which projector owns which shards: all are owned, evenly, by one each, whoever comes or goes."""

import asyncio
import contextlib
from typing import Any

import pytest
from imc_command_api.projector.ownership import Ownership
from imc_contracts import names
from imc_service.redis.masters import Masters
from imc_testkit.processes import Process
from imc_testkit.servers import PrivateRedis
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis


@pytest.fixture
def ownership_of(log_redis: Redis) -> Any:
    masters = Masters(log_redis)

    def ownership_of(name: str, *, is_alone: bool = False) -> Ownership:
        return Ownership(masters, name, is_alone=is_alone)

    return ownership_of


async def die(redis: Redis, projector: str) -> None:
    """As if its lease had ended."""
    await redis.zadd(names.PROJECTORS, {projector: 1})


async def test_shards_are_shared_evenly_as_projectors_come_and_go(
    ownership_of: Any, log_redis: Redis, owned_by: Any
):
    one, two, three = [ownership_of(name) for name in ("one", "two", "three")]
    await one.renew()
    assert await owned_by(log_redis) == {"one": 256}
    for _ in range(2):
        await two.renew()
        await one.renew()
    await two.renew()
    assert await owned_by(log_redis) == {"one": 128, "two": 128}
    for _ in range(3):
        for each in (one, two, three):
            await each.renew()
    owned = await owned_by(log_redis)
    assert sum(owned.values()) == 256
    assert max(owned.values()) == 86
    assert one.shards | two.shards | three.shards == set(range(256))
    assert len(one.shards) + len(two.shards) + len(three.shards) == 256
    await two.release()
    for each in (one, three):
        await each.renew()
    assert await owned_by(log_redis) == {"one": 128, "three": 128}
    await die(log_redis, "one")
    await three.renew()
    assert await owned_by(log_redis) == {"three": 256}


async def test_projectors_that_begin_together_get_every_shard_once(
    ownership_of: Any, log_redis: Redis, owned_by: Any
):
    some = [ownership_of(f"p{number}") for number in range(5)]
    while not all(await asyncio.gather(*(each.renew() for each in some))):
        shards = [shard for each in some for shard in each.shards]
        assert len(set(shards)) == len(shards), "a shard has two owners"
    assert sum((await owned_by(log_redis)).values()) == 256


async def test_a_lease_that_was_lost_is_noticed(ownership_of: Any, log_redis: Redis):
    """The projector hung, another one took over what it had, and then it woke up."""
    one, two = ownership_of("one"), ownership_of("two")
    await one.renew()
    await die(log_redis, "one")
    await two.renew()
    assert len(two.shards) == 256
    await one.renew()
    assert one.shards == frozenset()
    await one.release()
    assert await log_redis.get(names.owner(7)) == b"two", "it gives up what is its own alone"


async def test_only_one_that_is_alone_takes_over_at_once(ownership_of: Any, log_redis: Redis, owned_by: Any):
    dead = ownership_of("dead")
    await dead.renew()
    await ownership_of("another").renew()
    assert await owned_by(log_redis) == {"dead": 256}
    await ownership_of("alone", is_alone=True).renew()
    assert await owned_by(log_redis) == {"alone": 256}
    assert await log_redis.zrange(names.PROJECTORS, 0, -1) == [b"alone"]


@pytest.mark.parametrize("fault", ["killed", "hung"])
async def test_another_takes_over_what_a_projector_owned(
    fault: str, projecting: Any, log_server: PrivateRedis, database_url: str, feed: Any, history: Any
):
    settings = {"IMC_REDIS_URL": log_server.url, "IMC_DATABASE_URL": database_url}
    async with Process("imc-projector", settings) as victim:
        await victim.ready()
        await feed.append([history.sent(history.message())])
        await feed.projected()
        if fault == "killed":
            await victim.kill()
        else:
            victim.pause()
        async with projecting():
            await feed.append([history.sent(history.message())])
            await feed.projected()
        if fault == "hung":
            victim.resume()


async def test_three_projectors_share_the_logs_and_write_each_entry_once(
    projecting: Any,
    log_redis: Redis,
    feed_of: Any,
    history_of: Any,
    app_id: str,
    mariadb: Any,
    tables_of: Any,
):
    """They come and go while entries are appended."""
    feeds = [feed_of(log_redis, f"{app_id}-{number}") for number in range(60)]
    histories = {feed.app_id: history_of(feed.app_id) for feed in feeds}
    rounds = 0

    async def more() -> None:
        nonlocal rounds
        rounds += 1
        for feed in feeds:
            history = histories[feed.app_id]
            await feed.append([history.sent(history.message())])

    async with contextlib.AsyncExitStack() as stack:
        first = await stack.enter_async_context(projecting())
        await more()
        second = await stack.enter_async_context(projecting())
        async with projecting() as third:
            await more()

            async def all_take_part() -> bool:
                await more()
                return all(
                    registry.get_sample_value("imc_projector_entries_total")
                    and registry.get_sample_value("imc_projector_shards") in (84, 85, 86)
                    for registry in (first, second, third)
                )

            await wait_until(all_take_part, 60)
        await more()
        for feed in feeds:
            await feed.projected()
    tables = tables_of(mariadb)
    for feed in feeds:
        assert (await tables.groups(feed.app_id))["g"][0] == await tables.count(feed.app_id) == rounds
