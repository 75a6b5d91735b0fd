"""What fails around a projector: others, the database, Redis. Nothing is lost or dead-lettered for it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from imc_command_api.migrations import migrate
from imc_contracts import names
from imc_service.database.database import open_database
from imc_testkit.processes import Process
from imc_testkit.servers import PrivateMariadb, PrivateRedis, private_mariadb, private_redis
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis


@pytest.fixture(scope="module")
async def own_mariadb() -> AsyncGenerator[PrivateMariadb]:
    """A server that tests stop and start."""
    async with private_mariadb() as server:
        await asyncio.to_thread(migrate, server.url)
        yield server


@pytest.fixture
async def shown(tables_of: Any, new_schema: str) -> AsyncGenerator[Any]:
    async with open_database(new_schema) as database:
        yield tables_of(database)


def environment(redis_url: str, database_url: str, **more: str) -> dict[str, str]:
    return {"IMC_REDIS_URL": redis_url, "IMC_DATABASE_URL": database_url, **more}


@pytest.mark.parametrize("end", ["kill", "pause"])
async def test_another_takes_over_and_a_zombie_undoes_nothing(
    end: str, projecting: Any, log_server: PrivateRedis, new_schema: str, feed: Any, history: Any, shown: Any
):
    messages = [history.message(content="secret") for _ in range(50)]
    settings = environment(log_server.url, new_schema, IMC_CLAIM_IDLE_SECONDS="3600")
    async with Process("imc-projector", settings) as victim:
        await victim.ready()
        async with shown.database.session() as session:
            # It gets as far as its first statement, and no farther.
            await session.execute("LOCK TABLES imc_chat_message WRITE")
            await feed.append([history.sent(message) for message in messages])
            await wait_until(lambda: _is_waiting(session))
            if end == "kill":
                await victim.kill()
            else:
                victim.pause()
            assert await feed.pending() == 50
            await session.execute("UNLOCK TABLES")
        async with projecting(database_url=new_schema, claim_idle_seconds=0.2):
            await feed.append([history.recalled(message) for message in messages])
            await feed.projected()
        if end == "pause":
            victim.resume()
            await feed.append([history.sent(history.message("later"))])
            await feed.projected()
        assert await feed.counters() == (await _length(feed), await _length(feed))
    rows = await shown.messages(history.app_id)
    assert {(row["status"], row["content"]) for row in rows if row["group_id"] == "g"} == {(0, "")}
    assert (await shown.groups(history.app_id))["g"][0] == 50


async def _is_waiting(session: Any) -> bool:
    waiting = await session.fetch_all(
        "SELECT 1 FROM information_schema.processlist WHERE state LIKE '%metadata lock%'"
    )
    return bool(waiting)


async def _length(feed: Any) -> int:
    return await feed.redis.xlen(names.log(feed.app_id))


async def test_the_database_goes_away_and_comes_back(
    own_mariadb: PrivateMariadb, log_server: PrivateRedis, feed: Any, history: Any, tables_of: Any
):
    settings = environment(log_server.url, own_mariadb.url, IMC_CLAIM_IDLE_SECONDS="0.5")
    async with Process("imc-projector", settings) as process:
        await process.ready()
        await feed.append([history.sent(history.message())])
        await feed.projected()
        await own_mariadb.kill()
        await feed.append([history.sent(history.message()) for _ in range(3000)])
        async with httpx.AsyncClient(base_url=process.url, trust_env=False) as client:
            await wait_until(lambda: _has(client, "/readyz", 503, "out of reach"))
            await wait_until(lambda: _has(client, "/metrics", 200, "imc_projector_lag_entries 3000.0"))
            assert await _has(client, "/livez", 200, "alive")
        assert await feed.counters() == (3001, 1)
        await own_mariadb.start()
        await feed.projected()
        await process.ready()
    async with open_database(own_mariadb.url) as database:
        tables = tables_of(database)
        assert (await tables.groups(history.app_id))["g"][0] == await tables.count(history.app_id) == 3001
    assert await feed.dead_letters() == []


async def _has(client: httpx.AsyncClient, path: str, status: int, text: str) -> bool:
    reply = await client.get(path)
    return reply.status_code == status and text in reply.text


async def test_it_starts_before_redis_and_the_database(
    own_mariadb: PrivateMariadb, feed_of: Any, history: Any
):
    redis_server = PrivateRedis()
    await own_mariadb.stop()
    try:
        async with Process("imc-projector", environment(redis_server.url, own_mariadb.url)) as process:
            async with httpx.AsyncClient(base_url=process.url, trust_env=False) as client:
                await wait_until(lambda: _answers(client))
                assert await _has(client, "/readyz", 503, "Redis is out of reach")
            await redis_server.start()
            await own_mariadb.start()
            await process.ready()
            async with Redis.from_url(redis_server.url) as redis:
                feed = feed_of(redis, history.app_id)
                await feed.append([history.sent(history.message())])
                await feed.projected()
    finally:
        await redis_server.close()


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/livez")).status_code == 200
    except httpx.TransportError:
        return False


async def test_redis_is_emptied_and_everything_after_it_flows(
    projecting: Any, log_redis: Redis, feed: Any, history: Any, mariadb: Any, tables_of: Any
):
    async with projecting():
        await feed.append([history.sent(history.message())])
        await feed.projected()
        await log_redis.flushall()
        await feed.append([history.sent(history.message()) for _ in range(3)])
        await feed.projected()
        assert await feed.counters() == (3, 3)
    assert await tables_of(mariadb).count(history.app_id) == 4


@pytest.mark.parametrize("fault", ["killed", "hung"])
async def test_redis_dies_or_hangs_and_everything_after_it_flows(
    fault: str, projecting: Any, feed_of: Any, history: Any, mariadb: Any, tables_of: Any
):
    async with private_redis("--appendfsync", "always") as server, projecting(redis_url=server.url):
        async with Redis.from_url(server.url) as redis:
            feed = feed_of(redis, history.app_id)
            await feed.append([history.sent(history.message())])
            await feed.projected()
        if fault == "killed":
            await server.kill()
            await server.start()
        else:
            server.pause()
            await asyncio.sleep(1.5)  # longer than a read waits
            server.resume()
        async with Redis.from_url(server.url) as redis:
            feed = feed_of(redis, history.app_id)
            await feed.append([history.sent(history.message()) for _ in range(3)])
            await feed.projected()
            assert await feed.counters() == (4, 4)
    assert (await tables_of(mariadb).groups(history.app_id))["g"][0] == 4
