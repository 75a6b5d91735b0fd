"""What fails around a projector: others, the database, Redis. Nothing is lost or dead-lettered for it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest
from imc_command_api.migrations import migrate
from imc_contracts import names
from imc_service.database.database import open_database
from imc_testkit import databases
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
    settings = environment(log_server.url, new_schema)
    async with Process("imc-projector", settings) as victim:
        await victim.ready()
        async with shown.database.session() as session:
            # It gets as far as its first statement, and no farther.
            await session.execute("LOCK TABLES imc_message WRITE")
            await feed.append([history.sent(message) for message in messages])
            await wait_until(lambda: _is_waiting(session))
            if end == "kill":
                await victim.kill()
            else:
                victim.pause()
            assert await feed.waiting() == 50
            await session.execute("UNLOCK TABLES")
        async with projecting(database_url=new_schema):
            await feed.append([history.recalled(message) for message in messages])
            await feed.projected()
        if end == "pause":
            victim.resume()
            await feed.append([history.sent(history.message("later"))])
            await feed.projected()
    rows = await shown.messages(history.app_id)
    assert {(row["status"], row["content"]) for row in rows if row["group_id"] == "g"} == {(0, "")}
    assert (await shown.groups(history.app_id))["g"][0] == 50


async def _is_waiting(session: Any) -> bool:
    waiting = await session.fetch_all(
        "SELECT 1 FROM information_schema.processlist WHERE state LIKE '%metadata lock%'"
    )
    return bool(waiting)


async def test_the_database_goes_away_and_comes_back(
    own_mariadb: PrivateMariadb, log_server: PrivateRedis, feed: Any, history: Any, tables_of: Any
):
    settings = environment(log_server.url, own_mariadb.url)
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
        assert await feed.waiting() == 3000
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
            await asyncio.sleep(1.5)  # longer than its polls are apart
            server.resume()
        async with Redis.from_url(server.url) as redis:
            feed = feed_of(redis, history.app_id)
            await feed.append([history.sent(history.message()) for _ in range(3)])
            await feed.projected()
    assert (await tables_of(mariadb).groups(history.app_id))["g"][0] == 4


async def test_a_stale_replica_is_promoted_and_everything_is_projected(
    projecting: Any, log_redis: Redis, feed: Any, history: Any, mariadb: Any, tables_of: Any
):
    """State and log are as they were: what follows in them is written again, and counted once."""
    async with projecting():
        await feed.append([history.sent(history.message()) for _ in range(10)])
        await feed.projected()
        keys = [names.log(feed.app_id), names.log_state(feed.app_id)]
        older = [await log_redis.dump(key) for key in keys]
        await feed.append([history.sent(history.message()) for _ in range(10)])
        await feed.projected()
        for key, value in zip(keys, older, strict=True):
            await log_redis.restore(key, 0, value, replace=True)  # pyright: ignore[reportArgumentType]
        await feed.append([history.sent(history.message()) for _ in range(10)])
        await feed.projected()
    tables = tables_of(mariadb)
    assert (await tables.groups(history.app_id))["g"][0] == await tables.count(history.app_id) == 30


async def test_an_app_in_quarantine_is_read_again_after_redis_was_away(
    projecting: Any, new_schema: str, feed_of: Any, history: Any, shown: Any
):
    """The database refuses a row, Redis dies during its tries, and the row is taken by then."""
    narrow = (
        "ALTER TABLE imc_message MODIFY user_id VARCHAR({}) "
        "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL"
    )
    async with private_redis("--appendfsync", "always") as server:
        await databases.run(new_schema, narrow.format(20))
        try:
            async with projecting(redis_url=server.url, database_url=new_schema) as registry:
                async with Redis.from_url(server.url) as redis:
                    feed = feed_of(redis, history.app_id)
                    await feed.append([history.sent(history.message(userId="u" * 100))])
                await wait_until(lambda: registry.get_sample_value("imc_projector_refusals_total"))
                await server.kill()
                await databases.run(new_schema, narrow.format(127))
                await server.start()
                async with Redis.from_url(server.url) as redis:
                    feed = feed_of(redis, history.app_id)
                    await feed.append([history.sent(history.message())])
                    await feed.projected()
                    assert await feed.dead_letters() == []
        finally:
            await databases.run(new_schema, narrow.format(127))
    assert await shown.count(history.app_id) == 2
