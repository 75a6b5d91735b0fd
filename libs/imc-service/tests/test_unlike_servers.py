"""Servers whose defaults are not what our SQL relies on, and accounts with odd names."""

import os
from collections.abc import AsyncGenerator
from urllib.parse import quote

import pytest
from imc_service.database.database import Database, StatementRefused, StoreUnavailable, open_database
from imc_testkit import databases
from imc_testkit.servers import PrivateMariadb, private_mariadb

TEXTS = ["😀", "a\\'b\\\\", '"quoted"', "'", "\0", "\\", "\u2028", "a||b", "ÿ", "x" * 65_535, "😀" * 16_383]
OPTIONS = (
    "--character-set-server=utf8mb3",
    "--collation-server=utf8mb3_general_ci",
    "--skip-character-set-client-handshake",
    "--explicit-defaults-for-timestamp=OFF",
    "--lc-messages=de_DE",
)
DEFAULTS = (
    "init_connect = 'SET NAMES utf8mb3; SET autocommit = 0; SET sql_select_limit = 2; START TRANSACTION'",
    "sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE'",
    *("tx_read_only = 1", "tx_isolation = 'SERIALIZABLE'", "completion_type = 'CHAIN'", "autocommit = 0"),
    *("max_error_count = 0", "max_sort_length = 64", "sql_safe_updates = 1", "sql_big_selects = 0"),
    *("max_join_size = 10", "unique_checks = 0", "wait_timeout = 1", "time_zone = '+09:00'"),
    *("default_storage_engine = 'Aria'", "max_allowed_packet = 262144", "old_mode = 'UTF8_IS_UTF8MB3'"),
)
"""Of new sessions, each as it could be in somebody's configuration."""

AS_ADMINISTRATOR = "SET SESSION tx_read_only = 0, autocommit = 1, completion_type = 0, sql_mode = ''"


@pytest.fixture(scope="module")
async def server() -> AsyncGenerator[PrivateMariadb]:
    async with private_mariadb(*OPTIONS) as server:
        await databases.run(
            server.url,
            "CREATE DATABASE imc",
            # An account of few rights: init_connect is not for those of many.
            "CREATE USER worker@'127.0.0.1' IDENTIFIED BY 'p'",
            "GRANT ALL ON imc.* TO worker@'127.0.0.1'",
            *(f"SET GLOBAL {default}" for default in DEFAULTS),
        )
        yield server


@pytest.fixture
async def database(server: PrivateMariadb) -> AsyncGenerator[Database]:
    async with open_database(f"mysql://worker:p@127.0.0.1:{server.port}/imc", size=1) as database:
        async with database.session() as session:
            await session.execute(
                "CREATE OR REPLACE TABLE kept (id BIGINT NOT NULL PRIMARY KEY,"
                " text MEDIUMTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL) ENGINE = InnoDB"
            )
        yield database


async def test_the_server_is_as_it_is_meant_to_be(server: PrivateMariadb) -> None:
    [(charset, mode, is_read_only, limit)] = await databases.run(
        f"mysql://worker:p@127.0.0.1:{server.port}/imc",
        "SELECT @@character_set_client, @@sql_mode, @@tx_read_only, @@sql_select_limit",
    )
    assert (charset, is_read_only, limit) == ("utf8mb3", 1, 2)
    assert "NO_BACKSLASH_ESCAPES" in mode


async def test_texts_are_kept_byte_for_byte(database: Database) -> None:
    rows = list(enumerate(TEXTS))
    async with database.transaction() as session:
        assert await session.execute_many("INSERT INTO kept (id, text) VALUES (?, ?)", rows) == len(rows)
        await session.execute("INSERT INTO kept (id, text) VALUES (?, ?)", (99, "\\😀'"))
    expected = [*rows, (99, "\\😀'")]
    assert await database.fetch_all("SELECT id, text FROM kept ORDER BY id") == expected
    stored = await database.fetch_all("SELECT id, HEX(text) FROM kept ORDER BY id")
    assert stored == [(id_, text.encode().hex().upper()) for id_, text in expected]
    for id_, text in expected:
        assert await database.fetch_all("SELECT id FROM kept WHERE text = ?", (text,)) == [(id_,)]


async def test_a_session_in_which_a_backslash_is_a_letter_is_left(database: Database) -> None:
    async with database.session() as session:
        await session.execute("SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'")
    with pytest.raises(StoreUnavailable, match="the session has lost its sql_mode"):
        await database.fetch_all("SELECT ?", ("\\",))
    assert await database.fetch_all("SELECT ?", ("\\",)) == [("\\",)]


async def test_statements_are_committed_and_sessions_kept(database: Database, server: PrivateMariadb) -> None:
    [own] = await database.fetch_all("SELECT CONNECTION_ID()")
    async with database.session() as session:
        await session.execute("INSERT INTO kept (id, text) VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    async with database.transaction() as session:
        await session.execute("INSERT INTO kept (id, text) VALUES (4, 'd')")
    # Seen by others, though the server's default is to commit nothing.
    others = await databases.run(server.url.replace("/mysql", "/imc"), "SELECT COUNT(*) FROM kept")
    assert others == [(4,)]
    async with database.session() as session:
        assert await session.execute("UPDATE kept SET text = 'e'") == 4
    assert await database.fetch_all("SELECT CONNECTION_ID()") == [own]


async def test_long_texts_are_sorted_by_all_they_have(database: Database) -> None:
    rows = [(number, "x" * 200 + str(9 - number)) for number in range(5)]
    async with database.session() as session:
        await session.execute_many("INSERT INTO kept (id, text) VALUES (?, ?)", rows)
    found = await database.fetch_all("SELECT id FROM kept ORDER BY text")
    assert [row[0] for row in found] == [4, 3, 2, 1, 0]


async def test_a_warning_is_still_an_error(database: Database) -> None:
    with pytest.raises(StatementRefused, match=r"^warning: "):
        await database.fetch_all("SELECT CAST('12x' AS INTEGER)")


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        *(
            (name, False)
            for name in ("密", "a@b", "a/b", "a#b", "a?b", "100%", "%41", "a b", "a:b", "a+b", "é")
        ),
        *((name, True) for name in ("密", "a b", "a+b", "é")),
    ],
)
async def test_users_passwords_and_databases_of_any_name(
    server: PrivateMariadb, name: str, raw: bool
) -> None:
    password = f"密码{name}"
    await databases.run(
        server.url,
        AS_ADMINISTRATOR,
        f"CREATE OR REPLACE DATABASE `{name}` CHARACTER SET utf8mb4",
        f"CREATE OR REPLACE USER `{name}`@'127.0.0.1' IDENTIFIED BY '{password}'",
        f"GRANT ALL ON `{name}`.* TO `{name}`@'127.0.0.1'",
    )
    write = str if raw else lambda text: quote(text, safe="")  # pyright: ignore
    place = f"127.0.0.1:{server.port}"
    async with open_database(f"mysql://{write(name)}:{write(password)}@{place}/{write(name)}") as database:
        [row] = await database.fetch_all("SELECT DATABASE(), SUBSTRING_INDEX(CURRENT_USER(), '@127', 1)")
        assert row == (name, name)


async def test_a_socket_in_the_file_system(server: PrivateMariadb) -> None:
    socket = os.path.join(server.folder, "socket")
    await databases.run(
        server.url,
        AS_ADMINISTRATOR,
        "CREATE OR REPLACE USER local@localhost IDENTIFIED BY '密码'",
        "GRANT ALL ON imc.* TO local@localhost",
    )
    async with open_database(f"mysql://local:密码@/imc?unix_socket={quote(socket)}") as database:
        assert await database.fetch_all("SELECT CURRENT_USER()") == [("local@localhost",)]
