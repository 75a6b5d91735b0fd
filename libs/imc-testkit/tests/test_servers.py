import asyncio

import pytest
from imc_testkit import databases, programs
from imc_testkit.programs import NotInstalled, program
from imc_testkit.servers import PrivateMariadb, PrivateRedis, private_mariadb, private_redis
from imc_testkit.sources import NoServer, shared_redis
from imc_testkit.waiting import wait_until
from redis.asyncio import Redis


def client(url: str) -> Redis:
    return Redis.from_url(url, decode_responses=True)  # pyright: ignore[reportUnknownMemberType]


async def test_redis_keeps_its_port_and_data_over_a_restart() -> None:
    async with private_redis() as server:
        async with client(server.url) as redis:
            await redis.set("kept", "yes")
        await server.restart()
        async with client(server.url) as redis:
            assert await redis.get("kept") == "yes"
    await assert_ended(server)


async def test_a_killed_redis_keeps_acknowledged_writes() -> None:
    async with private_redis() as server:
        async with client(server.url) as redis:
            await redis.set("kept", "yes")
        # Redis writes to the file before it replies; only fsync is deferred.
        await server.kill()
        await server.start()
        async with client(server.url) as redis:
            assert await redis.get("kept") == "yes"


async def test_a_paused_redis_hangs_until_it_is_resumed() -> None:
    async with private_redis() as server, client(server.url) as redis:
        await redis.set("kept", "yes")
        server.pause()
        asked = asyncio.ensure_future(redis.get("kept"))
        done, _ = await asyncio.wait({asked}, timeout=0.2)
        assert not done
        server.resume()
        assert await asked == "yes"


async def test_a_killed_mariadb_keeps_committed_rows() -> None:
    async with private_mariadb() as server, databases.new_database(server.url) as url:
        await databases.run(url, "CREATE TABLE kept (a INT)", "INSERT INTO kept VALUES (7)")
        await server.kill()
        await server.start()
        assert await databases.run(url, "SELECT a FROM kept") == [(7,)]
    await assert_ended(server)


async def test_a_new_database_is_dropped_at_the_end(database_server_url: str) -> None:
    async with databases.new_database(database_server_url) as url:
        name = url.rpartition("/")[2]
        assert (name,) in await databases.run(database_server_url, "SHOW DATABASES")
    assert (name,) not in await databases.run(database_server_url, "SHOW DATABASES")


async def test_options_reach_the_server() -> None:
    async with private_redis("--maxmemory", "9mb") as server, client(server.url) as redis:
        memory = await redis.info("memory")  # pyright: ignore[reportUnknownMemberType]
        assert memory["maxmemory"] == 9 * 2**20


async def test_a_server_that_exits_at_once_is_reported_with_its_log() -> None:
    with pytest.raises(AssertionError, match=r"(?s)it ended at once.*no-such-option"):
        async with private_redis("--no-such-option", "1"):
            pass


async def test_the_message_says_what_to_do_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMC_TEST_REDIS_URL", raising=False)
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setattr(programs, "search_path", lambda: "/nowhere")
    monkeypatch.setattr(programs, "_can_install", lambda: False)
    with pytest.raises(
        NoServer, match=r"install .*redis-server.*; or start a Docker.*set IMC_TEST_REDIS_URL"
    ):
        async with shared_redis():
            pass


async def test_the_server_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    monkeypatch.setenv("IMC_TEST_REDIS_URL", redis_url)
    async with shared_redis() as url:
        assert url == redis_url


def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_can_install", lambda: False)
    with pytest.raises(NotInstalled, match="no-such-program is not on the PATH: install mariadb-server"):
        program("no-such-program")


async def assert_ended(server: PrivateRedis | PrivateMariadb) -> None:
    await wait_until(lambda: server.process.exit_code is not None)
