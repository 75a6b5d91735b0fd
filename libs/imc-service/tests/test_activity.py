"""What apps do is counted in memory, and added up in Redis minute by minute."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from imc_contracts import names
from imc_service import activity as module
from imc_service.activity import KEEP_MS, TIMES_MS, Activity, Backlog
from imc_service.redis import masters as redis_masters
from imc_service.redis.errors import NotConnected
from imc_service.redis.masters import Masters
from imc_testkit.virtual_time import VirtualTimeLoop

_MINUTES = itertools.count(1_000)


@pytest.fixture
def minute() -> int:
    """A minute that no other test counts in."""
    return next(_MINUTES)


async def of_app(redis: Any, app_id: str, minute: int) -> dict[bytes, bytes]:
    return await redis.hgetall(names.activity(names.shard_of(app_id), minute))


async def test_counts_of_all_processes_add_up(redis: Any, app_id: str, minute: int) -> None:
    for process in (Activity(Masters(redis)), Activity(Masters(redis))):
        process.sent(app_id, 2)
        process.refused(app_id)
        process.pushed(app_id, 10)
        process.took([(0.004, 2), (60, 1)])
        await process.flush(minute)
        await process.flush(minute)
    app = app_id.encode()
    assert await of_app(redis, app_id, minute) == {
        b"s:" + app: b"4",
        b"r:" + app: b"2",
        b"p:" + app: b"20",
    }
    assert await redis.hgetall(names.all_activity(minute)) == {
        **{b"s:": b"4", b"r:": b"2", b"p:": b"20"},
        **{b"t:%d" % TIMES_MS.index(5): b"4", b"t:%d" % len(TIMES_MS): b"2"},
    }
    for key in (names.all_activity(minute), names.activity(names.shard_of(app_id), minute)):
        assert 0 < await redis.pttl(key) <= KEEP_MS


async def test_times_count_by_themselves(redis: Any, minute: int) -> None:
    process = Activity(Masters(redis))
    process.took([(0.0005, 3)])
    await process.flush(minute)
    assert await redis.hgetall(names.all_activity(minute)) == {b"t:0": b"3"}


async def test_nothing_is_written_where_nothing_happened(redis: Any, minute: int) -> None:
    process = Activity(Masters(redis))
    process.pushed("app", 0)
    process.sent("app", 0)
    await process.flush(minute)
    assert not await redis.exists(names.all_activity(minute))


async def test_the_noisiest_apps_are_written_and_the_others_count_for_all(
    redis: Any, app_id: str, minute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_APPS", 2)
    monkeypatch.setattr(module, "MOST_COUNTED", 3)
    process = Activity(Masters(redis))
    counts = {"a": 5, "b": 1, "c": 7, "d": 100}
    for name, count in counts.items():
        process.sent(app_id + name, count)
    process.sent(app_id + "b", 1)
    await process.flush(minute)
    written = {name: await of_app(redis, app_id + name, minute) for name in counts}
    # The fourth came when three were counted already.
    counted = {name for name, fields in written.items() if f"s:{app_id}{name}".encode() in fields}
    assert counted == {"a", "c"}
    assert await redis.hget(names.all_activity(minute), "s:") == b"114"


async def test_what_redis_does_not_take_is_lost_and_the_next_is_not(
    redis: Any, app_id: str, minute: int
) -> None:
    away = redis_masters.connect("redis://127.0.0.1:1")
    process = Activity(away)
    process.sent(app_id, 1)
    await process.flush(minute)
    await away.aclose()
    process = Activity(Masters(redis))
    process.sent(app_id, 2)
    await process.flush(minute)
    assert await of_app(redis, app_id, minute) == {b"s:" + app_id.encode(): b"2"}


async def test_a_backlog_is_written_where_it_has_changed(redis: Any, app_id: str, minute: int) -> None:
    backlog, key = Backlog(Masters(redis), app_id), names.all_activity(minute)
    await backlog.flush(minute)
    assert not await redis.hexists(key, f"b:{app_id}")
    for entries in (5, 0):
        backlog.is_now(entries)
        await backlog.flush(minute)
        assert await redis.hget(key, f"b:{app_id}") == b"%d" % entries
    backlog.is_now(9)
    for other in (minute, minute + 500_000):
        await backlog.flush(other)
        assert await redis.hget(names.all_activity(other), f"b:{app_id}") == b"9"


async def test_a_backlog_that_redis_did_not_take_is_written_with_the_next_flush(
    redis: Any, app_id: str, minute: int
) -> None:
    class Away(Masters):
        async def each(self, commands: Any) -> list[Any]:
            return [NotConnected("away")] * len(commands) if is_away else await super().each(commands)

    backlog, is_away = Backlog(Away(redis), app_id), True
    backlog.is_now(5)
    await backlog.flush(minute)
    is_away = False
    await backlog.flush(minute)
    assert await redis.hget(names.all_activity(minute), f"b:{app_id}") == b"5"


@pytest.mark.parametrize("make", [Activity, lambda masters: Backlog(masters, "one")])
def test_a_flush_at_the_end_of_a_minute_counts_for_it(
    make: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed = list[tuple[float, int]]()

    def seconds() -> float:
        return asyncio.get_running_loop().time()

    async def flush(minute: int) -> None:
        flushed.append((seconds(), minute))

    async def run() -> None:
        process = make(None)
        process.flush = flush
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(75):
                await process.run()

    monkeypatch.setattr(module, "time", SimpleNamespace(time=lambda: 600 + seconds()))
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(run())
    assert flushed == [(10, 10), (20, 10), (30, 10), (40, 10), (50, 10), (60, 10), (70, 11)]
