"""What MariaDB alone can do to us: other character sets, killed connections, a server that dies or hangs."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pymysql.err
import pytest
from imc_service.database._sessions import MysqlSession
from imc_service.database.database import Database, StatementRefused, StoreUnavailable, open_database
from imc_testkit import databases
from imc_testkit.processes import free_port
from imc_testkit.servers import PrivateMariadb, private_mariadb
from imc_testkit.waiting import wait_until


@pytest.fixture
async def database(empty_database_url: str) -> AsyncGenerator[Database]:
    async with open_database(empty_database_url, size=2, deadline=10) as database:
        yield database


@pytest.fixture
async def server() -> AsyncGenerator[PrivateMariadb]:
    """A MariaDB that a test may kill and hang."""
    async with private_mariadb() as server:
        yield server


async def test_sessions_are_strict_in_utc_and_read_what_is_committed(database: Database) -> None:
    [row] = await database.fetch_all(
        "SELECT @@tx_isolation, @@time_zone, @@character_set_client, @@sql_mode, @@autocommit"
    )
    assert row[:3] == ("READ-COMMITTED", "+00:00", "utf8mb4")
    assert "STRICT_ALL_TABLES" in row[3]
    assert row[4] == 1


@pytest.mark.parametrize("causal_reads", [False, True])
async def test_a_server_without_galera_is_set_up_all_the_same(
    empty_database_url: str, causal_reads: bool
) -> None:
    async with open_database(empty_database_url, causal_reads=causal_reads) as database:
        assert await database.fetch_all("SELECT 1") == [(1,)]


class OldServer:
    """A connection to a server that does not know the variables of Galera."""

    def __init__(self, number: int) -> None:
        self.number = number

    async def query(self, sql: str) -> None:
        if "wsrep" in sql:
            raise pymysql.err.OperationalError(self.number, "no such luck")


async def test_a_server_that_does_not_know_galera_is_set_up_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def packet_bytes(session: MysqlSession, sql: str) -> list[tuple[int]]:
        return [(16_777_216,)]

    monkeypatch.setattr(MysqlSession, "fetch_all", packet_bytes)
    await MysqlSession(OldServer(1193), causal_reads=True).start()
    with pytest.raises(pymysql.err.OperationalError, match="1227"):
        await MysqlSession(OldServer(1227), causal_reads=True).start()


async def test_a_text_that_would_be_changed_silently_is_refused(database: Database) -> None:
    # The columns of JSON_TABLE take the character set of the database, latin1 here, and strict mode lets the
    # emoji become a question mark with no more than a warning.
    rows = """SELECT * FROM JSON_TABLE(?, '$[*]' COLUMNS (text VARCHAR(9) PATH '$')) AS rows_"""
    assert await database.fetch_all(rows, ('["a"]',)) == [("a",)]
    with pytest.raises(StatementRefused, match=r"^warning: "):
        await database.fetch_all(rows, ('["😀"]',))


async def test_values_that_do_not_fit_are_refused(database: Database) -> None:
    async with database.session() as session:
        await session.execute("CREATE TABLE narrow (a TINYINT, b VARCHAR(2) CHARACTER SET latin1)")
    for values in [(300, ""), (0, "abc"), (0, "😀"), ("x", "")]:
        with pytest.raises(StatementRefused):
            async with database.session() as session:
                await session.execute("INSERT INTO narrow (a, b) VALUES (?, ?)", values)
    assert await database.fetch_all("SELECT * FROM narrow") == []


async def test_a_connection_is_kept_for_the_next_use(database: Database) -> None:
    one_after_the_other = {(await database.fetch_all("SELECT CONNECTION_ID()"))[0] for _ in range(5)}
    assert len(one_after_the_other) == 1


async def test_a_connection_left_in_a_transaction_is_not_kept(database: Database) -> None:
    async with database.session() as session:
        await session.execute("CREATE TABLE kept (id INTEGER)")
    for _ in range(3):
        async with database.session() as session:
            await session.execute("START TRANSACTION")
            await session.execute("INSERT INTO kept (id) VALUES (1)")
            used = await session.fetch_all("SELECT CONNECTION_ID()")
        assert await database.fetch_all("SELECT CONNECTION_ID()") != used
        assert await database.fetch_all("SELECT id FROM kept") == []


async def test_a_connection_killed_at_work_is_told_and_replaced(
    database: Database, database_server_url: str
) -> None:
    for _ in range(4):
        with pytest.raises(StoreUnavailable):
            async with database.transaction() as session:
                [(own_id,)] = await session.fetch_all("SELECT CONNECTION_ID()")
                await databases.run(database_server_url, f"KILL {own_id}")
                await session.fetch_all("SELECT 1")
    assert await database.fetch_all("SELECT 1") == [(1,)]


async def id_of_sleeper(server_url: str, name: str) -> int | None:
    """The connection on which the query of that name sleeps just now."""
    rows = await databases.run(
        server_url, f"SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT SLEEP%{name}%'"
    )
    return rows[0][0] if rows else None


async def test_a_query_killed_under_way_is_told(database: Database, database_server_url: str) -> None:
    querying = asyncio.create_task(database.fetch_all("SELECT SLEEP(60), 'to kill'"))
    its_id = await wait_until(lambda: id_of_sleeper(database_server_url, "to kill"))
    await databases.run(database_server_url, f"KILL {its_id}")
    with pytest.raises(StoreUnavailable):
        await querying
    assert await database.fetch_all("SELECT 1") == [(1,)]


async def test_an_idle_connection_that_was_killed_is_not_used_again(
    database: Database, database_server_url: str
) -> None:
    for _ in range(4):
        [(own_id,)] = await database.fetch_all("SELECT CONNECTION_ID()")
        await databases.run(database_server_url, f"KILL {own_id}")

        async def is_gone(own_id: int = own_id) -> bool:
            rows = await databases.run(database_server_url, "SELECT id FROM information_schema.processlist")
            return (own_id,) not in rows

        await wait_until(is_gone)
        assert await database.fetch_all("SELECT 1") == [(1,)]


async def test_uses_one_after_another_are_of_one_connection(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    connector = database._connector  # pyright: ignore[reportPrivateUsage]
    connect = connector.open

    async def counted() -> Any:
        made.append(await connect())
        return made[-1]

    monkeypatch.setattr(connector, "open", counted)
    ids = {(await database.fetch_all("SELECT CONNECTION_ID()"))[0][0] for _ in range(10)}
    async with database.transaction() as session:
        ids.add((await session.fetch_all("SELECT CONNECTION_ID()"))[0][0])
    async with database.session() as session:
        ids.add((await session.fetch_all("SELECT CONNECTION_ID()"))[0][0])
    assert len(ids) == 1
    assert len(made) <= 1, "one that was made before serves as well"


async def test_a_query_cancelled_under_way_does_not_answer_the_next_one(
    database: Database, database_server_url: str
) -> None:
    for name in ("first", "second", "third", "fourth"):
        querying = asyncio.create_task(database.fetch_all(f"SELECT SLEEP(60), '{name}'"))
        await wait_until(lambda name=name: id_of_sleeper(database_server_url, name))
        querying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await querying
        assert await database.fetch_all("SELECT 'new'") == [("new",)]


async def test_the_deadline_ends_a_query(empty_database_url: str) -> None:
    async with open_database(empty_database_url, size=1, deadline=0.3) as database:
        with pytest.raises(StoreUnavailable, match="no answer in time"):
            await database.fetch_all("SELECT SLEEP(60)")
        assert await database.fetch_all("SELECT 1") == [(1,)]


async def test_the_pool_closes_though_a_query_was_cancelled_meanwhile(
    empty_database_url: str, database_server_url: str
) -> None:
    async with asyncio.timeout(60):
        async with open_database(empty_database_url, size=2) as database:
            querying = asyncio.create_task(database.fetch_all("SELECT SLEEP(600), 'to cancel'"))
            await wait_until(lambda: id_of_sleeper(database_server_url, "to cancel"))
            asyncio.get_running_loop().call_soon(querying.cancel)
    assert querying.cancelled()


async def test_a_server_that_is_away_is_told_at_once() -> None:
    async with open_database(f"mysql://imc:imc@127.0.0.1:{free_port()}/imc", deadline=600) as database:
        async with asyncio.timeout(60):
            with pytest.raises(StoreUnavailable, match=r"^out of reach \(2003 .*'127.0.0.1'"):
                await database.fetch_all("SELECT 1")


async def test_the_pool_heals_when_the_server_comes_back(server: PrivateMariadb) -> None:
    async with open_database(server.url, size=2, deadline=10) as database:
        assert await database.fetch_all("SELECT 1") == [(1,)]
        await server.kill()
        with pytest.raises(StoreUnavailable):
            await database.fetch_all("SELECT 1")
        await server.start()
        assert await asyncio.gather(*(database.fetch_all("SELECT 1") for _ in range(5))) == [[(1,)]] * 5


async def test_a_hung_server_costs_the_deadline_and_nothing_after_it(server: PrivateMariadb) -> None:
    async with open_database(server.url, size=2, deadline=0.5) as database:
        assert await database.fetch_all("SELECT 1") == [(1,)]
        server.pause()
        used = await asyncio.gather(
            *(database.fetch_all("SELECT 1") for _ in range(3)), return_exceptions=True
        )
        assert [type(outcome) for outcome in used] == [StoreUnavailable] * 3
        server.resume()
        assert await database.fetch_all("SELECT 1") == [(1,)]


async def test_returning_a_connection_waits_for_nobody(server: PrivateMariadb) -> None:
    async with open_database(server.url, size=2, deadline=0.5) as database:
        connecting = asyncio.Event()

        async def connect() -> None:
            # It gets no answer, and keeps the pool's lock meanwhile.
            await connecting.wait()
            await database.fetch_all("SELECT 1")

        other = asyncio.create_task(connect())
        async with database.session() as session:
            [own] = await session.fetch_all("SELECT CONNECTION_ID()")
            server.pause()
            connecting.set()
            await asyncio.wait({other}, timeout=0.1)
        assert not other.done()
        with pytest.raises(StoreUnavailable):
            await other
        server.resume()
        assert await database.fetch_all("SELECT CONNECTION_ID()") == [own]
