"""What the projector reads of the logs, and how it moves their positions."""

import asyncio
from typing import Any

import pytest
from imc_command_api.projector import logs as logs_module
from imc_command_api.projector.logs import FailedEntry, ProjectedStretch
from imc_contracts import names
from redis.asyncio import Redis

ALL = range(names.SHARDS)


async def read(logs: Any, redis: Redis, app_id: str, ahead: Any = None) -> Any:
    """The one stretch of an app."""
    [stretch] = await logs.read(redis, [app_id], ahead or {})
    return stretch


async def move(logs: Any, stretch: Any, *letters: FailedEntry) -> bool:
    [moved] = await logs.advance([ProjectedStretch(stretch, letters)])
    return moved


async def test_an_entry_is_counted_when_it_is_moved_past_and_never_again(
    logs: Any, feed: Any, history: Any, log_redis: Redis
):
    ids = await feed.append([history.sent(history.message()) for _ in range(2500)])
    assert await feed.waiting() == 2500
    assert await logs.pending(ALL) == [feed.app_id]
    first = await read(logs, log_redis, feed.app_id)
    assert [entry.id for entry in first.entries] == ids[:1000]
    second = await read(logs, log_redis, feed.app_id, {feed.app_id: (first.epoch, first.end)})
    assert [entry.id for entry in second.entries] == ids[1000:2000]
    assert not await move(logs, second), "the first lies between"
    assert [await move(logs, first) for _ in range(2)] == [True, False]
    assert (await feed.waiting(), await feed.position()) == (1500, ids[999])
    oldest = await log_redis.zscore(names.pending(names.shard_of(feed.app_id)), feed.app_id)
    assert oldest == int(ids[1000].split(b"-")[0]), "since then the app waits"
    assert await move(logs, second)
    assert await move(logs, await read(logs, log_redis, feed.app_id))
    await feed.projected()
    assert await log_redis.hget(names.log_state(feed.app_id), "waiting_bytes") == b"0"  # pyright: ignore


async def test_only_the_owner_of_a_shard_moves_positions(
    logs: Any, feed: Any, history: Any, log_redis: Redis
):
    await feed.append([history.sent(history.message())])
    stretch = await read(logs, log_redis, feed.app_id)
    owner = names.owner(names.shard_of(feed.app_id))
    for other in ("another", None):
        await (log_redis.set(owner, other) if other else log_redis.delete(owner))
        assert not await move(logs, stretch, FailedEntry(stretch.end, "data", "a zombie says so"))
    assert await feed.position() == b"0-0"
    assert await feed.dead_letters() == []
    await log_redis.set(owner, "tester")
    assert await move(logs, stretch)


async def test_a_position_of_another_epoch_is_not_moved(logs: Any, feed: Any, history: Any, log_redis: Redis):
    await feed.append([history.sent(history.message())])
    stretch = await read(logs, log_redis, feed.app_id)
    await log_redis.delete(names.log(feed.app_id), names.log_state(feed.app_id))
    await feed.append([history.sent(history.message())])
    assert not await move(logs, stretch)
    assert await feed.waiting() == 1


async def test_positions_of_many_apps_are_moved_and_one_that_can_not_be_stops_none(
    logs: Any, log_redis: Redis, feed_of: Any, history_of: Any, app_id: str
):
    feeds = [feed_of(log_redis, f"{app_id}-{number}") for number in range(250)]
    for feed in feeds:
        history = history_of(feed.app_id)
        await feed.append([history.sent(history.message())])
    await log_redis.set(names.log("broken"), "no stream")
    await log_redis.zadd(names.pending(names.shard_of("broken")), {"broken": 1})
    waiting = await logs.pending(ALL)
    assert waiting[0] == "broken", "the one that waits longest comes first"
    stretches = await logs.read(log_redis, waiting, {})
    assert {stretch.app_id for stretch in stretches} == {feed.app_id for feed in feeds}
    await log_redis.hset(names.log_state(feeds[7].app_id), "projected", "1-1")  # pyright: ignore
    moved = await logs.advance([ProjectedStretch(stretch, []) for stretch in stretches])
    assert [stretch.app_id for stretch, each in zip(stretches, moved, strict=True) if not each] == [
        feeds[7].app_id
    ]
    for feed in (feeds[0], feeds[-1]):
        await feed.projected()


async def test_a_log_is_projected_although_redis_is_out_of_memory(
    logs: Any, feed: Any, history: Any, log_redis: Redis
):
    """Nothing else makes room again."""
    await feed.append([history.sent(history.message()) for _ in range(3)])
    await log_redis.config_set("maxmemory", "1")
    try:
        assert await logs.pending(ALL) == [feed.app_id]
        stretch = await read(logs, log_redis, feed.app_id)
        assert await move(logs, stretch, FailedEntry(stretch.entries[1].id, "data", "bad"))
        await logs.tidy(feed.app_id)
    finally:
        await log_redis.config_set("maxmemory", "0")
    await feed.projected()
    assert len(await feed.dead_letters()) == 1


async def test_an_app_that_waits_for_nothing_is_taken_off(
    logs: Any, feed: Any, history: Any, log_redis: Redis
):
    [entry] = await feed.append([history.sent(history.message())])
    await log_redis.xdel(names.log(feed.app_id), entry)
    stretch = await read(logs, log_redis, feed.app_id)
    assert stretch.entries == []
    assert await move(logs, stretch)
    assert await logs.pending(ALL) == []
    assert await feed.waiting() == 0


async def test_letters_are_copied_with_fields_that_are_repeated(logs: Any, feed: Any, log_redis: Redis):
    place = await feed.xadd({"k": "s"})
    await log_redis.delete(names.log(feed.app_id))
    fields = ("k", "s", "k", "r", "v", b"\r\n\x00")
    await log_redis.execute_command("XADD", names.log(feed.app_id), place, *fields)
    before = _milliseconds(await log_redis.time())
    assert await move(logs, await read(logs, log_redis, feed.app_id), FailedEntry(place, "malformed", "bad"))
    after = _milliseconds(await log_redis.time())
    [letter] = await feed.dead_letters()
    assert (letter[b"id"], letter[b"reason"]) == (place, b"bad")
    assert before <= int(letter[b"time"]) <= after, "by the clock of Redis, as all times of the log"
    script = "return redis.call('XRANGE', KEYS[1], '-', '+')[1][2]"
    kept = await log_redis.eval(script, 1, names.dead_letters(feed.app_id))  # pyright: ignore
    assert kept[:6] == [b"k", b"s", b"k", b"r", b"v", b"\r\n\x00"]


def _milliseconds(time: tuple[int, int]) -> int:
    seconds, microseconds = time
    return seconds * 1000 + microseconds // 1000


async def test_the_lag_is_what_the_database_lacks(
    logs: Any, log_redis: Redis, feed: Any, history: Any, feed_of: Any, history_of: Any
):
    async def lag() -> tuple[int, int, bool]:
        found = await logs.lag(log_redis, ALL)
        return found.entries, found.entries_of_one_app, found.seconds > 0

    assert await lag() == (0, 0, False)
    await feed.append([history.sent(history.message()) for _ in range(1010)])
    other = feed_of(log_redis, f"{feed.app_id}-other")
    await other.append([history_of(other.app_id).sent(history_of(other.app_id).message())] * 20)
    await asyncio.sleep(0.005)  # an age has to come about
    assert await lag() == (1030, 1010, True)
    assert await move(logs, await read(logs, log_redis, feed.app_id))
    assert await lag() == (30, 20, True)
    assert await move(logs, await read(logs, log_redis, feed.app_id))
    assert await move(logs, await read(logs, log_redis, other.app_id))
    assert await lag() == (0, 0, False)
    assert (await logs.lag(log_redis, [])).entries == 0


@pytest.mark.parametrize("count", [99, 101, 250])
async def test_no_app_of_a_shard_is_overlooked(logs: Any, log_redis: Redis, count: int):
    """However many wait, those that come first make room for the others."""
    apps = {f"app-{number}": number for number in range(99_999) if names.shard_of(f"app-{number}") == 7}
    some = dict(list(apps.items())[:count])
    assert len(some) == count
    await log_redis.zadd(names.pending(7), some)
    seen: list[str] = []
    while found := await logs.pending(ALL):
        seen += found
        await log_redis.zrem(names.pending(7), *found)
    assert sorted(seen) == sorted(some)


async def test_after_large_entries_fewer_are_read_at_once(
    logs: Any, feed: Any, history: Any, log_redis: Redis, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(logs_module, "READ_BYTES", 65_536)
    large, small = [[history.message(content="x" * size) for _ in range(40)] for size in (10_000, 10)]
    await feed.append([history.sent(message) for message in (*large, *small, *large)])
    stretch = await read(logs, log_redis, feed.app_id)
    assert len(stretch.entries) > 40, "as if they were small"
    for _ in range(2):
        stretch = await read(logs, log_redis, feed.app_id, {feed.app_id: (stretch.epoch, stretch.end)})
        assert 1 <= len(stretch.entries) <= 12, "a few small ones in between make little difference"
