"""Several hosts in one URL: one is in use for as long as it serves, then the next one that does."""

import asyncio
from collections.abc import AsyncGenerator

import pymysql.err
import pytest
from imc_service.database import blocking
from imc_service.database.database import Database, StoreUnavailable, open_database
from imc_service.database.url import MysqlServer, parse
from imc_testkit import databases
from imc_testkit.processes import free_port
from imc_testkit.servers import PrivateMariadb, private_mariadb
from imc_testkit.waiting import wait_until

SECRET = "secret-of-all"


@pytest.fixture(scope="module")
async def three() -> AsyncGenerator[list[PrivateMariadb]]:
    servers = [PrivateMariadb() for _ in range(3)]
    try:
        for server in servers:
            await server.start()
            await databases.run(
                server.url,
                "CREATE DATABASE imc",
                f"CREATE USER worker@'127.0.0.1' IDENTIFIED BY '{SECRET}'",
                "GRANT ALL ON imc.* TO worker@'127.0.0.1'",
            )
        yield servers
    finally:
        await asyncio.gather(*(server.close() for server in servers))


@pytest.fixture
async def servers(three: list[PrivateMariadb]) -> list[PrivateMariadb]:
    """Three servers that serve."""
    for server in three:
        server.resume()
        if server.process.exit_code is not None:
            await server.start()
        await databases.run(server.url, "SET GLOBAL read_only = 0")
    return three


def url_of(*ports: int) -> str:
    return f"mysql://worker:{SECRET}@{','.join(f'127.0.0.1:{port}' for port in ports)}/imc"


def ports_of(servers: list[PrivateMariadb]) -> list[int]:
    return [server.port for server in servers]


async def port_in_use(database: Database) -> int:
    [(port,)] = await database.fetch_all("SELECT @@port")
    return port


async def eventually(database: Database, wanted: int) -> None:
    async def leads_there() -> bool:
        try:
            return await port_in_use(database) == wanted
        except StoreUnavailable:
            return False

    await wait_until(leads_there, 30)


async def test_the_first_that_serves_is_used_by_all_connections(servers: list[PrivateMariadb]) -> None:
    nobody, (first, second, _) = free_port(), ports_of(servers)
    await databases.run(servers[0].url, "SET GLOBAL read_only = 1")
    async with open_database(url_of(nobody, first, second), size=5) as database:
        used = await asyncio.gather(*(database.fetch_all("SELECT @@port, SLEEP(0.1)") for _ in range(5)))
        assert used == [[(second, 0)]] * 5
    async with open_database(url_of(nobody, first, second), may_be_read_only=True) as database:
        assert await port_in_use(database) == first


async def test_one_that_was_killed_is_left_and_not_returned_to(servers: list[PrivateMariadb]) -> None:
    first, second, third = ports_of(servers)
    async with open_database(url_of(first, second, third)) as database:
        assert await port_in_use(database) == first
        await servers[0].kill()
        await eventually(database, second)
        await servers[0].start()
        assert await port_in_use(database) == second
        await servers[1].kill()
        await eventually(database, third)


async def test_who_waits_for_one_that_hangs_gets_an_error_long_before_the_deadline(
    servers: list[PrivateMariadb],
) -> None:
    first, second, _ = ports_of(servers)
    async with open_database(url_of(first, second), deadline=3600) as database, asyncio.timeout(60):
        assert await port_in_use(database) == first
        servers[0].pause()
        with pytest.raises(StoreUnavailable):
            await database.fetch_all("SELECT 1")
        assert await port_in_use(database) == second
        servers[0].resume()


async def test_one_that_becomes_read_only_is_left(servers: list[PrivateMariadb]) -> None:
    first, second, _ = ports_of(servers)
    async with (
        open_database(url_of(first, second)) as database,
        open_database(url_of(first, second), may_be_read_only=True) as reading,
    ):
        assert [await port_in_use(database), await port_in_use(reading)] == [first, first]
        await databases.run(servers[0].url, "SET GLOBAL read_only = 1")
        await eventually(database, second)
        assert await port_in_use(reading) == first


async def test_if_none_serves_it_is_told_of_each_why_and_no_password(servers: list[PrivateMariadb]) -> None:
    nobody, (read_only, foreign, _) = free_port(), ports_of(servers)
    await databases.run(servers[0].url, "SET GLOBAL read_only = 1")
    await databases.run(servers[1].url, "ALTER USER worker@'127.0.0.1' IDENTIFIED BY 'another'")
    url = url_of(nobody, read_only, foreign)
    reasons = [
        f"127.0.0.1:{nobody}: out of reach (2003 Can't connect",
        f"127.0.0.1:{read_only}: the server is read-only",
        f"127.0.0.1:{foreign}: 1045 Access denied for user 'worker'@'127.0.0.1'",
    ]
    try:
        async with open_database(url) as database:
            with pytest.raises(StoreUnavailable, match=r"^no host serves: ") as told:
                await database.fetch_all("SELECT 1")
        with pytest.raises(pymysql.err.OperationalError, match=r"^no host serves: ") as told_to_migrations:
            await asyncio.to_thread(blocking_port, url)
        for words in (str(told.value), str(told_to_migrations.value)):
            assert [reason in words for reason in reasons] == [True] * 3
            assert SECRET not in words
    finally:
        await databases.run(servers[1].url, f"ALTER USER worker@'127.0.0.1' IDENTIFIED BY '{SECRET}'")


async def test_migrations_choose_as_well(servers: list[PrivateMariadb]) -> None:
    nobody, (read_only, second, third) = free_port(), ports_of(servers)
    await databases.run(servers[0].url, "SET GLOBAL read_only = 1")
    assert await asyncio.to_thread(blocking_port, url_of(nobody, read_only, second, third)) == second


def blocking_port(url: str) -> int:
    server = parse(url)
    assert isinstance(server, MysqlServer)
    with blocking.connect(server) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@port")
        found = cursor.fetchone()
    assert found is not None
    return found[0]


async def test_an_address_of_ipv6() -> None:
    async with private_mariadb("--bind-address=127.0.0.1,::1") as server:
        await databases.run(server.url, "CREATE USER imc@'::1'")
        async with open_database(
            f"mysql://imc@[::1]:{free_port()},[::1]:{server.port}/information_schema"
        ) as database:
            assert await port_in_use(database) == server.port
