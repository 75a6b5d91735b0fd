"""Logs are cut to their retention, never past what the database lacks."""

import asyncio
import time
from typing import Any

import pytest
from imc_command_api.projector.metrics import ProjectorMetrics
from imc_command_api.projector.reader import LogReader
from imc_command_api.projector.upkeep import Retention, Upkeep
from imc_contracts import names
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

GROUP = names.PROJECTOR_GROUP
HOUR = 3_600_000
MARGIN = 600_000


@pytest.fixture
def key(app_id: str) -> str:
    return names.log(app_id)


async def fill(redis: Redis, key: str, count: int, first_ms: int) -> list[bytes]:
    """Entries, one a millisecond."""
    async with redis.pipeline() as pipe:
        for number in range(count):
            pipe.xadd(key, {"k": "s", "v": "x" * 100}, id=f"{first_ms + number}-0")
        return await pipe.execute()


async def trimmed(log_group: Any, app_id: str, keep_ms: int, keep_entries: int) -> int:
    total = 0
    while removed := await log_group.trim(app_id, keep_ms, keep_entries):
        total += removed
    return total


async def first_of(redis: Redis, key: str) -> bytes:
    entries: Any = await redis.xrange(key, count=1)
    return entries[0][0]


async def deliver(redis: Redis, key: str, count: int) -> list[bytes]:
    reply: Any = await redis.xreadgroup(GROUP, "one", {key: ">"}, count=count)
    return [entry_id for entry_id, _ in reply[0][1]]


async def test_nothing_goes_without_a_group_or_before_it_is_delivered(
    log_group: Any, log_redis: Redis, key: str, app_id: str
):
    assert await trimmed(log_group, app_id, 0, 1) == 0
    await fill(log_redis, key, 500, 1)
    assert await trimmed(log_group, app_id, 0, 1) == 0
    await log_redis.xgroup_create(key, "another", "$")
    assert await trimmed(log_group, app_id, 0, 1) == 0
    await log_redis.xgroup_create(key, GROUP, "0")
    assert await trimmed(log_group, app_id, 0, 1) == 0


@pytest.mark.parametrize(("keep_ms", "keep_entries"), [(0, 10**9), (10**12, 1)], ids=["time", "count"])
async def test_what_is_pending_stays_and_all_after_it(
    log_group: Any, log_redis: Redis, key: str, app_id: str, keep_ms: int, keep_entries: int
):
    ids = await fill(log_redis, key, 1000, int(time.time() * 1000) - HOUR)
    await log_redis.xgroup_create(key, GROUP, "0")
    await deliver(log_redis, key, 900)
    await log_group.acknowledge({app_id: ids[:321]}, {})
    assert await trimmed(log_group, app_id, keep_ms, keep_entries) == 321
    assert await first_of(log_redis, key) == ids[321]
    await log_group.acknowledge({app_id: ids[321:900]}, {})
    # All that was delivered is in the database; the last of it stays as the mark of how far that is.
    assert await trimmed(log_group, app_id, keep_ms, keep_entries) == 899 - 321
    assert await first_of(log_redis, key) == ids[899]


async def test_each_bound_of_the_retention_is_kept(log_group: Any, log_redis: Redis, key: str, app_id: str):
    now = int(time.time() * 1000)
    old = await fill(log_redis, key, 700, now - 2 * HOUR)
    young = await fill(log_redis, key, 777, now - HOUR // 2)
    await log_redis.xgroup_create(key, GROUP, "0")
    await deliver(log_redis, key, 2000)
    await log_group.acknowledge({app_id: old + young}, {})
    assert await trimmed(log_group, app_id, 10 * HOUR, 10_000) == 0
    assert await trimmed(log_group, app_id, HOUR, 10_000) == 700
    assert await first_of(log_redis, key) == young[0]
    assert await trimmed(log_group, app_id, HOUR, 555) == 222
    assert await log_redis.xlen(key) == 555


async def test_recall_marks_go_with_the_entries_that_they_are_about(
    log_group: Any, log_redis: Redis, key: str, app_id: str
):
    first = int(time.time() * 1000) - HOUR // 2
    ids = await fill(log_redis, key, 10, first)
    marks = {b"gone": first - MARGIN - 1, b"needed": first - MARGIN, b"young": first + 5}
    await log_redis.zadd(names.recalled(app_id), marks)
    await log_redis.xgroup_create(key, GROUP, "0")
    await deliver(log_redis, key, 10)
    await log_group.acknowledge({app_id: ids}, {})
    await trimmed(log_group, app_id, HOUR, 100)
    assert await log_redis.zrange(names.recalled(app_id), 0, -1) == [b"needed", b"young"]


async def test_nothing_is_lost_while_it_is_trimmed(
    log_group: Any, projecting: Any, feed: Any, history: Any, mariadb: Any, tables_of: Any
):
    async with projecting(log_retention_seconds=0, log_retention_entries=1):
        for _ in range(40):
            await feed.append([history.sent(history.message()) for _ in range(50)])
            await log_group.trim(history.app_id, 0, 1)
        await feed.projected()
        await trimmed(log_group, history.app_id, 0, 1)
        assert await feed.redis.xlen(names.log(history.app_id)) == 1
    assert await tables_of(mariadb).count(history.app_id) == 2000


async def test_upkeep_tidies_the_logs_of_all_apps(
    log_group: Any, log_redis: Redis, feed_of: Any, history_of: Any, app_id: str
):
    reader = LogReader(log_redis, log_redis, "one", 60_000)
    feeds = [feed_of(log_redis, f"{app_id}-{number}") for number in range(3)]
    for feed in feeds:
        history = history_of(feed.app_id)
        await feed.append([history.sent(history.message()) for _ in range(250)])
    ids: dict[str, list[bytes]] = {}
    for delivery in await reader.read():
        ids.setdefault(delivery.app_id, []).append(delivery.entry_id)
    await log_group.acknowledge(ids, {})
    registry = CollectorRegistry()
    upkeep = Upkeep(log_group, reader, Retention(HOUR, 10), ProjectorMetrics(registry))
    await upkeep.tidy()
    assert [await log_redis.xlen(names.log(feed.app_id)) for feed in feeds] == [10, 10, 10]
    assert registry.get_sample_value("imc_projector_trimmed_total") == 720


async def test_the_lag_is_what_the_database_lacks(
    log_group: Any, log_redis: Redis, key: str, app_id: str, feed: Any, history: Any
):
    async def lag() -> tuple[int, bool]:
        found = await log_group.lag([app_id, "nobody"])
        return found.entries, found.seconds > 0

    assert await lag() == (0, False)
    ids = await feed.append([history.sent(history.message()) for _ in range(10)])
    await log_redis.xgroup_create(key, GROUP, "0")
    await asyncio.sleep(0.005)  # an age has to come about
    assert await lag() == (10, True)
    await deliver(log_redis, key, 4)
    await log_group.acknowledge({app_id: ids[:2]}, {})
    assert await lag() == (8, True)
    await deliver(log_redis, key, 10)
    await log_group.acknowledge({app_id: ids}, {})
    assert await lag() == (0, False)


async def test_the_lag_of_the_app_that_is_furthest_behind_is_told_beside_the_sum(
    log_group: Any, log_redis: Redis, feed_of: Any, history_of: Any, app_id: str
):
    registry = CollectorRegistry()
    reader = LogReader(log_redis, log_redis, "one", 60_000)
    upkeep = Upkeep(log_group, reader, Retention(HOUR, 10), ProjectorMetrics(registry))
    await upkeep.measure()
    assert registry.get_sample_value("imc_projector_lag_entries_of_one_app") == 0
    for number, entries in enumerate((3, 7, 5)):
        feed = feed_of(log_redis, f"{app_id}-{number}")
        history = history_of(feed.app_id)
        await feed.append([history.sent(history.message()) for _ in range(entries)])
    await reader.read()
    await upkeep.measure()
    assert registry.get_sample_value("imc_projector_lag_entries") == 15
    assert registry.get_sample_value("imc_projector_lag_entries_of_one_app") == 7
