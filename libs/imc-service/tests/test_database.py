"""One suite for MariaDB and SQLite: what every statement of ours relies on."""

import asyncio
import gc
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from imc_service.database.database import Database, Refusal, StatementRefused, StoreUnavailable, open_database

ALL_TEXTS = [
    "",
    " ",
    "\0",
    "a\0b",
    "'",
    '"',
    "\\",
    "\\'",
    "\\0",
    "\n\r\t\x08\x1a",
    "%s %d %",
    "?",
    "\u2028\u2029",
    "é",
    "😀",
    "\U0010ffff",
    "'); DROP TABLE kept; --",
    "x" * 65_535,
    "😀" * 16_383,
]


@pytest.fixture(params=["mariadb", "sqlite"])
def url(request: pytest.FixtureRequest, empty_database_url: str, tmp_path: Path) -> str:
    """An empty database of each kind."""
    return empty_database_url if request.param == "mariadb" else f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture
async def database(url: str) -> AsyncGenerator[Database]:
    """A pool of two connections, and in the database a table ``kept (id, text)``."""
    async with open_database(url, size=2, deadline=10) as database:
        async with database.session() as session:
            text = "TEXT" if database.is_sqlite else "MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
            await session.execute(f"CREATE TABLE kept (id BIGINT NOT NULL PRIMARY KEY, text {text} NOT NULL)")
        yield database


async def insert(database: Database, id_: int, text: str = "") -> int:
    async with database.session() as session:
        return await session.execute("INSERT INTO kept (id, text) VALUES (?, ?)", (id_, text))


async def ids(database: Database) -> list[int]:
    return [row[0] for row in await database.fetch_all("SELECT id FROM kept ORDER BY id")]


async def test_texts_are_kept_byte_for_byte(database: Database) -> None:
    for number, text in enumerate(ALL_TEXTS):
        await insert(database, number, text)
    rows = await database.fetch_all("SELECT text FROM kept ORDER BY id")
    assert [row[0] for row in rows] == ALL_TEXTS


async def test_many_rows_are_kept_byte_for_byte(database: Database) -> None:
    rows = list(enumerate(ALL_TEXTS))
    async with database.session() as session:
        assert await session.execute_many("INSERT INTO kept (id, text) VALUES (?, ?)", rows) == len(rows)
    assert await database.fetch_all("SELECT id, text FROM kept ORDER BY id") == rows


async def test_numbers_of_64_bits_are_kept(database: Database) -> None:
    await insert(database, 2**63 - 1)
    await insert(database, -(2**63))
    assert await ids(database) == [-(2**63), 2**63 - 1]


async def test_a_percent_sign_in_a_statement_is_only_that(database: Database) -> None:
    await insert(database, 7, "100%")
    assert await database.fetch_all("SELECT id % 4 FROM kept WHERE text LIKE '100%'") == [(3,)]
    assert await database.fetch_all("SELECT id % ? FROM kept", (4,)) == [(3,)]


async def test_the_rows_changed_are_counted(database: Database) -> None:
    async with database.session() as session:
        insert_row = "INSERT INTO kept (id, text) VALUES (?, ?)"
        assert await session.execute(insert_row, (1, "a")) == 1
        assert await session.execute_many(insert_row, [(2, "b"), (3, "c")]) == 2
        assert await session.execute_many(insert_row, []) == 0
        assert await session.execute("UPDATE kept SET text = ? WHERE id > ?", ("x", 1)) == 2
        assert await session.execute_many("DELETE FROM kept WHERE id = ?", [(1,), (2,), (9,)]) == 2
        assert await session.execute("DELETE FROM kept WHERE id = ?", (9,)) == 0


async def test_a_transaction_is_committed_as_a_whole(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute("INSERT INTO kept (id, text) VALUES (1, '')")
        await session.execute("INSERT INTO kept (id, text) VALUES (2, '')")
    assert await ids(database) == [1, 2]


async def test_a_transaction_is_undone_as_a_whole(database: Database) -> None:
    with pytest.raises(LookupError, match="of the caller"):
        async with database.transaction() as session:
            await session.execute("INSERT INTO kept (id, text) VALUES (1, '')")
            raise LookupError("of the caller")
    assert await ids(database) == []


async def test_a_refused_statement_undoes_its_transaction_and_costs_no_connection(database: Database) -> None:
    await insert(database, 2)
    words = "UNIQUE constraint failed: kept.id" if database.is_sqlite else "1062 Duplicate entry '…' for key"
    with pytest.raises(StatementRefused, match=words) as refused:
        async with database.transaction() as session:
            await session.execute("INSERT INTO kept (id, text) VALUES (1, '')")
            await session.execute("INSERT INTO kept (id, text) VALUES (2, '')")
    assert refused.value.kind is Refusal.DUPLICATE
    assert await ids(database) == [2]


async def test_an_uncommitted_row_is_seen_by_nobody_else(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute("INSERT INTO kept (id, text) VALUES (1, '')")
        assert await asyncio.create_task(ids(database)) == []
        # Also not by the same task, since each use is a connection of its own.
        assert await ids(database) == []
    assert await ids(database) == [1]


async def test_a_cancelled_transaction_is_undone_and_its_place_is_free_again(database: Database) -> None:
    for number in range(6):
        inside = asyncio.Event()

        async def write_and_wait(number: int = number, inside: asyncio.Event = inside) -> None:
            async with database.transaction() as session:
                await session.execute("INSERT INTO kept (id, text) VALUES (?, '')", (number,))
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(write_and_wait())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await insert(database, 100)
    assert await ids(database) == [100]


async def test_more_tasks_than_slots_wait_for_their_turn(database: Database) -> None:
    await asyncio.gather(*(insert(database, number) for number in range(30)))
    assert await ids(database) == list(range(30))


async def test_waiting_tasks_that_are_cancelled_cost_no_place(database: Database) -> None:
    async with database.session(), database.session():
        waiting = [asyncio.create_task(ids(database)) for _ in range(10)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.gather(*(insert(database, number) for number in range(10)))
    assert await ids(database) == list(range(10))


async def test_cancelling_at_any_moment_costs_no_place(database: Database) -> None:
    for steps in range(40):
        task = asyncio.create_task(ids(database))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(5):
        await asyncio.gather(*(ids(database) for _ in range(10)))
    # A connection that was left open warns as it is collected: here, rather than in a test that comes later.
    gc.collect()


async def test_the_deadline_covers_the_wait_for_a_place(url: str) -> None:
    async with open_database(url, size=1, deadline=0.2) as database:
        async with database._slots:  # pyright: ignore[reportPrivateUsage]
            with pytest.raises(StoreUnavailable, match="no answer in time"):
                await database.fetch_all("SELECT 1")
        assert await database.fetch_all("SELECT 1") == [(1,)]


async def test_a_statement_that_can_not_run_now_is_told_as_such(database: Database) -> None:
    with pytest.raises(StoreUnavailable, match="not_there_yet"):
        await database.fetch_all("SELECT * FROM not_there_yet")
    assert await ids(database) == []


async def test_what_the_caller_raises_passes_as_it_is(database: Database) -> None:
    with pytest.raises(KeyError):
        async with database.session():
            raise KeyError("of the caller")
