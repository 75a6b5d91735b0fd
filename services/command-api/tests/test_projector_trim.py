"""Upkeep: logs are cut to their retention when it is due, never past what the database lacks."""

import time
from typing import Any

import pytest
from imc_command_api.projector.logs import ProjectedStretch
from imc_contracts import names
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis

HOUR = 3_600_000
MARGIN = 600_000
ALL = range(names.SHARDS)


def now_ms() -> int:
    return int(time.time() * 1000)


async def fill(redis: Redis, app_id: str, count: int, first_ms: int) -> list[bytes]:
    """Entries, one a millisecond."""
    async with redis.pipeline() as pipe:
        for number in range(count):
            pipe.xadd(names.log(app_id), {"k": "s", "v": "x" * 100}, id=f"{first_ms + number}-0")
        ids = await pipe.execute()
    await redis.hset(names.log_state(app_id), mapping={"epoch": "e", "last": ids[-1]})  # pyright: ignore
    await redis.zadd(names.apps(names.shard_of(app_id)), {app_id: 0})
    return ids


async def project(redis: Redis, app_id: str, upto: bytes) -> None:
    """As if the database had all up to this entry."""
    await redis.hset(names.log_state(app_id), "projected", upto)  # pyright: ignore


async def trimmed(logs: Any, app_id: str) -> int:
    total = 0
    while removed := (await logs.tidy(app_id))[0]:
        total += removed
    return total


async def first_of(redis: Redis, app_id: str) -> bytes:
    entries: Any = await redis.xrange(names.log(app_id), count=1)
    return entries[0][0]


async def due_in(redis: Redis, app_id: str) -> float:
    """Milliseconds until upkeep is due."""
    return (await redis.zscore(names.apps(names.shard_of(app_id)), app_id) or 0) - now_ms()


async def test_nothing_goes_that_the_database_lacks(logs_of: Any, log_redis: Redis, app_id: str):
    logs = logs_of(keep_ms=0, keep_entries=1)
    assert await trimmed(logs, app_id) == 0
    await fill(log_redis, app_id, 500, 1)
    assert await trimmed(logs, app_id) == 0
    await project(log_redis, app_id, b"1-0")
    assert await trimmed(logs, app_id) == 0


@pytest.mark.parametrize(("keep_ms", "keep_entries"), [(0, 10**9), (10**12, 1)], ids=["time", "count"])
async def test_what_follows_on_the_position_stays(
    logs_of: Any, log_redis: Redis, app_id: str, keep_ms: int, keep_entries: int
):
    logs = logs_of(keep_ms=keep_ms, keep_entries=keep_entries)
    ids = await fill(log_redis, app_id, 1000, now_ms() - HOUR)
    await project(log_redis, app_id, ids[320])
    assert await trimmed(logs, app_id) == 320
    assert await first_of(log_redis, app_id) == ids[320]
    await project(log_redis, app_id, ids[999])
    # The newest entry stays as the mark of how far the database is.
    assert await trimmed(logs, app_id) == 999 - 320
    assert await first_of(log_redis, app_id) == ids[999]


async def test_each_bound_of_the_retention_is_kept(logs_of: Any, log_redis: Redis, app_id: str):
    async def trim(keep_ms: int, keep_entries: int) -> int:
        logs = logs_of(keep_ms=keep_ms, keep_entries=keep_entries, keep_app_ms=99 * HOUR)
        return await trimmed(logs, app_id)

    now = now_ms()
    await fill(log_redis, app_id, 700, now - 2 * HOUR)
    young = await fill(log_redis, app_id, 777, now - HOUR // 2)
    await project(log_redis, app_id, young[-1])
    assert await trim(10 * HOUR, 10_000) == 0
    assert await trim(HOUR, 10_000) == 700
    assert await first_of(log_redis, app_id) == young[0]
    assert await trim(HOUR, 555) == 222
    assert await log_redis.xlen(names.log(app_id)) == 555


async def test_recall_marks_go_with_the_entries_that_they_are_about(
    logs_of: Any, log_redis: Redis, app_id: str
):
    first = now_ms() - HOUR // 2
    ids = await fill(log_redis, app_id, 10, first)
    marks = {b"gone": first - MARGIN - 1, b"needed": first - MARGIN, b"young": first + 5}
    await log_redis.zadd(names.recalled(app_id), marks)
    await project(log_redis, app_id, ids[-1])
    await trimmed(logs_of(keep_entries=100), app_id)
    assert await log_redis.zrange(names.recalled(app_id), 0, -1) == [b"needed", b"young"]


async def test_nothing_is_lost_while_it_is_trimmed(
    logs_of: Any, projecting: Any, feed: Any, history: Any, mariadb: Any, tables_of: Any
):
    logs = logs_of(keep_ms=0, keep_entries=1)
    async with projecting(log_retention_seconds=0, log_retention_entries=1):
        for _ in range(40):
            await feed.append([history.sent(history.message()) for _ in range(50)])
            await logs.tidy(history.app_id)
        await feed.projected()
        await trimmed(logs, history.app_id)
        assert await feed.redis.xlen(names.log(history.app_id)) == 1
    assert await tables_of(mariadb).count(history.app_id) == 2000


async def test_upkeep_is_due_when_the_oldest_entry_may_go(logs_of: Any, log_redis: Redis, app_id: str):
    logs = logs_of(keep_ms=HOUR, keep_app_ms=24 * HOUR)
    ids = await fill(log_redis, app_id, 10, now_ms() - HOUR // 2)
    assert await logs.due(ALL) == [app_id]
    assert await logs.due([(names.shard_of(app_id) + 1) % 256]) == []
    await project(log_redis, app_id, ids[-1])
    await logs.tidy(app_id)
    assert await logs.due(ALL) == []
    assert 0.45 * HOUR < await due_in(log_redis, app_id) < 0.55 * HOUR
    # With one entry left, all that is to come is that the app is forgotten.
    await log_redis.xtrim(names.log(app_id), maxlen=1, approximate=False)
    await logs.tidy(app_id)
    assert 23 * HOUR < await due_in(log_redis, app_id) < 24 * HOUR


async def test_upkeep_of_an_app_that_can_not_be_tidied_is_not_due_all_the_time(
    logs_of: Any, log_redis: Redis, app_id: str
):
    """The database is away, so that nothing may go."""
    logs = logs_of(keep_ms=1, keep_app_ms=HOUR)
    await fill(log_redis, app_id, 10, now_ms() - HOUR // 2)
    assert await logs.tidy(app_id) == (0, False)
    assert 50_000 < await due_in(log_redis, app_id) < 70_000


@pytest.mark.parametrize(("keep_entries", "expected"), [(5, "at once"), (500, "after the time")])
async def test_a_log_that_grows_brings_its_upkeep_forward(
    logs: Any, logs_of: Any, log_redis: Redis, feed: Any, history: Any, keep_entries: int, expected: str
):
    await feed.append([history.sent(history.message())])
    own = logs_of(keep_ms=HOUR, keep_entries=keep_entries, keep_app_ms=24 * HOUR)
    [stretch] = await own.read(log_redis, [feed.app_id], {})
    await own.advance([ProjectedStretch(stretch, [])])
    await own.tidy(feed.app_id)
    assert await due_in(log_redis, feed.app_id) > 23 * HOUR
    await feed.append([history.sent(history.message()) for _ in range(10)])
    [stretch] = await own.read(log_redis, [feed.app_id], {})
    await own.advance([ProjectedStretch(stretch, [])])
    if expected == "at once":
        assert await own.due(ALL) == [feed.app_id]
        assert await trimmed(own, feed.app_id) == 6
    else:
        assert 0.9 * HOUR < await due_in(log_redis, feed.app_id) <= HOUR


async def test_upkeep_tidies_the_logs_of_all_apps_and_counts(
    projecting: Any, log_redis: Redis, feed_of: Any, history_of: Any, app_id: str
):
    feeds = [feed_of(log_redis, f"{app_id}-{number}") for number in range(3)]
    for feed in feeds:
        history = history_of(feed.app_id)
        await feed.append([history.sent(history.message()) for _ in range(250)])

    async def lengths() -> list[int]:
        return [await log_redis.xlen(names.log(feed.app_id)) for feed in feeds]

    async def are_short() -> bool:
        return await lengths() == [10, 10, 10]

    async with projecting(log_retention_entries=10) as registry:
        await wait_until(are_short)
        await wait_until(lambda: registry.get_sample_value("imc_projector_trimmed_total") == 720)
