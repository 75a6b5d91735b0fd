"""Redis and MariaDB die, hang, fill up or forget, under load."""

import contextlib
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest
from imc_testkit.checker import Report
from imc_testkit.deployment import Deployment
from imc_testkit.history import Answer, Attempt
from imc_testkit.load import Load
from imc_testkit.processes import Process
from imc_testkit.servers import PrivateMariadb, PrivateRedis
from imc_testkit.stores import Stores
from imc_testkit.waiting import wait_until

Judge = Callable[..., Awaitable[Report]]


def recalled(load: Load) -> int:
    return sum(recall.answer is Answer.ACKNOWLEDGED for recall in load.history.recalls)


def acknowledged_since(load: Load, began: float) -> list[Attempt]:
    """What was first sent after ``began`` and acknowledged; what was sent before may still be answered."""
    sends = [send for send in load.history.sends if send.attempts and send.attempts[0].began > began]
    return [each for send in sends for each in send.attempts if each.answer is Answer.ACKNOWLEDGED]


async def status_of(http: httpx.AsyncClient, process: Process) -> int:
    with contextlib.suppress(httpx.TransportError):
        return (await http.get(process.url + "/readyz")).status_code
    return 0


async def test_nothing_happens(load: Load, judge: Judge) -> None:
    """The load by itself is clean, or nothing here would mean anything."""
    await load.more(300)
    assert load.history.refusals == 0
    report = await judge(load)
    assert report.is_clean, report


async def test_redis_is_killed_and_restarted_with_its_file(
    load: Load, judge: Judge, own_redis: PrivateRedis
) -> None:
    for _ in range(3):
        await own_redis.kill()
        since, before = time.monotonic(), load.history.refusals
        await wait_until(lambda before=before: load.history.refusals >= before + 10)
        assert acknowledged_since(load, since) == []
        await own_redis.start()
        await load.more(60)
    report = await judge(load)
    assert report.is_clean, report


async def test_redis_hangs(
    load: Load,
    judge: Judge,
    own_redis: PrivateRedis,
    installation: Deployment,
    http: httpx.AsyncClient,
) -> None:
    """Who can't deliver says so within 5 seconds, and heals by itself."""
    dependent = [*installation.push_nodes, *installation.command_apis]
    own_redis.pause()
    try:
        for process in dependent:
            await wait_until(lambda process=process: _is(503, http, process), timeout=5)
    finally:
        own_redis.resume()
    for process in dependent:
        await process.ready(timeout=5)
    await load.more(60)
    report = await judge(load)
    assert report.is_clean, report


async def _is(status: int, http: httpx.AsyncClient, process: Process) -> bool:
    return await status_of(http, process) == status


async def test_redis_is_emptied(load: Load, judge: Judge, own_stores: Stores) -> None:
    """Rows are intact, and gateways are told at once, by a 4002, that the log is another one."""
    await load.pause()
    rows = {row.message_id for row in await own_stores.rows(load.app_ids)}
    assert rows
    async with own_stores.redis() as redis:
        await redis.flushall()  # pyright: ignore[reportUnknownMemberType]

    def told() -> bool:
        newest = [gateway.connection.frames[-1] for gateway in load.gateways if gateway.connection]
        return len(newest) == len(load.gateways) and all(frame.code == 4002 for frame in newest)

    await wait_until(told, timeout=5)
    load.begin()
    await load.more(100)
    report = await judge(load)
    assert report.is_clean, report
    assert {row.message_id for row in load.rows} > rows


async def test_redis_is_out_of_memory(
    load: Load, judge: Judge, own_stores: Stores, installation: Deployment
) -> None:
    """Sends are refused and leave nothing; the database still catches up."""
    await own_stores.projected(load.app_ids[:1], timeout=10)
    for projector in installation.projectors:
        projector.pause()
    await load.more(60)
    async with own_stores.redis() as redis:
        await redis.config_set("maxmemory", "1mb")  # pyright: ignore[reportUnknownMemberType]
        try:
            since, before = time.monotonic(), load.history.refusals
            await wait_until(lambda: load.history.refusals >= before + 30)
            assert acknowledged_since(load, since) == []
            for projector in installation.projectors:
                projector.resume()
            await own_stores.projected(load.app_ids, timeout=10)
        finally:
            await redis.config_set("maxmemory", "0")  # pyright: ignore[reportUnknownMemberType]
    await load.more(60)
    report = await judge(load)
    assert report.is_clean, report


async def test_mariadb_is_killed(load: Load, judge: Judge, own_mariadb: PrivateMariadb) -> None:
    for _ in range(3):
        with load.database_outage():
            await own_mariadb.kill()
            await own_mariadb.start()
            await load.more(60)
    report = await judge(load)
    assert report.is_clean, report


@pytest.mark.parametrize("way", ["gone", "hung"])
async def test_mariadb_is_away(load: Load, judge: Judge, own_mariadb: PrivateMariadb, way: str) -> None:
    """Sends, pushes and recalls go on; the history catches up, and nothing is put aside for it."""
    with load.database_outage():
        if way == "gone":
            await own_mariadb.kill()
        else:
            own_mariadb.pause()
        try:
            before = recalled(load)
            await load.more(250)
            await wait_until(lambda: recalled(load) >= before + 5)
        finally:
            if way == "gone":
                await own_mariadb.start()
            else:
                own_mariadb.resume()
        await load.more(60)
    report = await judge(load)
    assert report.is_clean, report
