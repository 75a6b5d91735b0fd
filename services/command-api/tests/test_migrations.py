"""The tables: made, made twice, adopted from the Java version."""

import asyncio
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from imc_command_api import migrations
from imc_command_api.migrations import MigrationError, migrate
from imc_contracts.cursor import EntryId
from imc_service.database.database import open_database
from imc_testkit.databases import run
from imc_testkit.processes import Process, free_port, run_script

VERSIONS = Path(migrations.__file__).parent / "versions"
JAVA_MESSAGES = """
CREATE TABLE imc_chat_message (
    message_id VARCHAR(64), app_id VARCHAR(64), group_id VARCHAR(64), user_id VARCHAR(64),
    content {content}, create_time BIGINT, recall_time BIGINT, recall_cause VARCHAR(255),
    status INT, type INT
) ENGINE = {engine} DEFAULT CHARSET = {charset}
"""
JAVA_NOTICES = """
CREATE TABLE imc_notice_information (
    information_id VARCHAR(64), app_id VARCHAR(64), group_id VARCHAR(64), user_id VARCHAR(64),
    title VARCHAR(255), content TEXT, create_time VARCHAR(20), delete_time BIGINT, jump_url VARCHAR(255),
    status INT, type INT
) DEFAULT CHARSET = utf8 COLLATE utf8_general_ci
"""
SHAPE = """
SELECT table_name, column_name, column_type, is_nullable, column_default, collation_name
FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name <> 'imc_schema_version'
ORDER BY table_name, column_name
"""
INDEXES = """
SELECT table_name, index_name, seq_in_index, column_name, non_unique
FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name <> 'imc_schema_version'
ORDER BY table_name, index_name, seq_in_index
"""
STORAGE = """
SELECT table_name, engine, row_format, table_collation FROM information_schema.tables
WHERE table_schema = DATABASE() AND table_name <> 'imc_schema_version' ORDER BY table_name
"""
MESSAGE = "INSERT INTO imc_chat_message VALUES ({}, 'a', '{}', 'u', '{}', {}, {}, NULL, {}, NULL)"


async def shape_of(url: str) -> list[list[tuple[Any, ...]]]:
    return [await run(url, query) for query in (SHAPE, INDEXES, STORAGE)]


async def fails_with(url: str) -> str:
    with pytest.raises(MigrationError) as error:
        await asyncio.to_thread(migrate, url, 0)
    return str(error.value)


async def test_two_at_once_make_the_tables_once_and_a_third_changes_nothing(empty_database_url: str):
    environment = {"IMC_DATABASE_URL": empty_database_url}
    await asyncio.gather(run_script("imc-migrate", environment), run_script("imc-migrate", environment))
    shape = await shape_of(empty_database_url)
    assert {(row[0], row[1], row[2], row[3]) for row in shape[2]} == {
        (table, "InnoDB", "Dynamic", "utf8mb4_bin")
        for table in ("imc_chat_message", "imc_notice_information", "imc_group")
    }
    await asyncio.to_thread(migrate, empty_database_url.replace("mysql://", "mariadb+aiomysql://"))
    assert await shape_of(empty_database_url) == shape


async def test_sqlite_two_at_once(tmp_path: Any):
    url = f"sqlite:///{tmp_path / 'imc.db'}"
    environment = {"IMC_DATABASE_URL": url}
    await asyncio.gather(run_script("imc-migrate", environment), run_script("imc-migrate", environment))
    async with open_database(url) as database:
        assert await database.fetch_all("PRAGMA journal_mode") == [("wal",)]
        assert await database.fetch_all("SELECT version_num FROM imc_schema_version") == [("0002",)]


def test_what_is_up_to_date_is_found_so_without_alembic(tmp_path: Path):
    url = f"sqlite:///{tmp_path / 'imc.db'}"
    migrate(url)
    look = "import sys; from imc_command_api import migrations; migrations.migrate(sys.argv[1])"
    again = subprocess.run([sys.executable, "-X", "importtime", "-c", look, url], capture_output=True)
    assert again.returncode == 0
    assert b"sqlalchemy" in again.stderr
    assert b"alembic" not in again.stderr


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("*.py")), ids=lambda path: path.stem)
def test_the_file_of_a_change_bears_its_number(path: Path):
    change = import_module(f"imc_command_api.migrations.versions.{path.stem}")
    assert path.name.startswith(f"{change.revision}_")


async def test_the_greatest_ids_fit(empty_database_url: str):
    await asyncio.to_thread(migrate, empty_database_url)
    place = EntryId(9_999_999_999_999, 9_999_999_999).column
    await run(
        empty_database_url,
        f"INSERT INTO imc_chat_message VALUES "
        f"({2**63 - 1}, 'a', 'g', 'u', '', 0, 0, NULL, 1, NULL, '{place}', '{place}')",
    )
    rows = await run(empty_database_url, "SELECT message_id, log_id, last_log_id FROM imc_chat_message")
    assert rows == [(2**63 - 1, place, place)]


@pytest.mark.parametrize(
    ("charset", "content", "engine"),
    [
        ("latin1", "TEXT", "MyISAM"),
        ("utf8", "VARCHAR(2000)", "InnoDB"),
        ("utf8mb4 COLLATE utf8mb4_general_ci", "LONGTEXT", "InnoDB"),
    ],
)
async def test_tables_of_the_java_version_become_ours_and_keep_every_row(
    empty_database_url: str, database_url: str, charset: str, content: str, engine: str
):
    text = "caf\u00e9 \\\\ \\'x\\'" + (" \U0001f600\u2028" if "mb4" in charset else "")
    await run(
        empty_database_url,
        JAVA_MESSAGES.format(charset=charset, content=content, engine=engine),
        JAVA_NOTICES,
        MESSAGE.format("'999999999999999999'", "G", text, 5, "NULL", "NULL"),
        MESSAGE.format("'1000000000000000000'", "G", "taken back", 5, 9, 0),
        MESSAGE.format("'12'", "g", "old", 4, 0, 1),
        "INSERT INTO imc_chat_message VALUES ('13', 'a', NULL, NULL, NULL, NULL, NULL, NULL, 1, NULL)",
        "INSERT INTO imc_notice_information VALUES ('7', 'a', 'g', 'u', 't', 'c', '77', NULL, NULL, 1, NULL)",
    )
    await asyncio.to_thread(migrate, empty_database_url)
    assert await shape_of(empty_database_url) == await shape_of(database_url)
    rows = await run(empty_database_url, "SELECT * FROM imc_chat_message ORDER BY message_id")
    assert list(rows) == [
        (12, "a", "g", "u", "old", 4, 0, None, 1, None, None, None),
        (13, "a", "", "", "", 0, 0, None, 1, None, None, None),
        (
            999999999999999999,
            *("a", "G", "u", text.replace("\\\\", "\\").replace("\\'", "'")),
            *(5, 0, None, 1, None, None, None),
        ),
        # Content of a recalled message, which the Java version kept, is nowhere to be read any more.
        (1000000000000000000, "a", "G", "u", "", 5, 9, None, 0, None, None, None),
    ]
    notices = await run(empty_database_url, "SELECT * FROM imc_notice_information")
    assert list(notices) == [(7, "a", "g", "u", "t", "c", 77, 0, None, 1, None, None, None)]
    groups = await run(empty_database_url, "SELECT * FROM imc_group ORDER BY group_id")
    assert list(groups) == [
        ("a", "", 1, 13, 0),
        ("a", "G", 2, 1000000000000000000, 5),
        ("a", "g", 1, 12, 4),
    ]


async def test_what_stands_in_the_way_is_named_and_nothing_is_changed(empty_database_url: str):
    await run(
        empty_database_url,
        JAVA_MESSAGES.format(charset="latin1", content="LONGTEXT", engine="InnoDB"),
        JAVA_NOTICES,
        *(MESSAGE.format(id_, "g", "", 0, 0, 1) for id_ in ("'41'", "'41'", "'041'", "'42'", "'44'", "'44'")),
        MESSAGE.format("'nonsense'", "g", "", 0, 0, 1),
        MESSAGE.format("'9223372036854775808'", "g", "", 0, 0, 1),
        MESSAGE.format("NULL", "g", "", 0, 0, 1),
        "INSERT INTO imc_chat_message (message_id, content) VALUES ('50', REPEAT('\u00e9', 40000))",
        "INSERT INTO imc_notice_information (information_id, create_time) VALUES ('7', '2026-01-01')",
    )
    before = await shape_of(empty_database_url)
    rows = await run(empty_database_url, "SELECT * FROM imc_chat_message ORDER BY message_id")
    message = await fails_with(empty_database_url)
    assert "several rows with the same message_id: 41, 44" in message
    assert all(value in message for value in ("nonsense", "9223372036854775808", "null"))
    assert "content holds texts over the bound, where message_id is: 50" in message
    assert "create_time holds what is no whole number, where information_id is: 7" in message
    assert await shape_of(empty_database_url) == before
    assert await run(empty_database_url, "SELECT * FROM imc_chat_message ORDER BY message_id") == rows


async def test_a_migration_that_broke_off_is_completed(empty_database_url: str):
    await asyncio.to_thread(migrate, empty_database_url)
    shape = await shape_of(empty_database_url)
    await run(
        empty_database_url,
        "DROP TABLE imc_schema_version",
        "RENAME TABLE imc_group TO imc_group_filling",
        "DROP TABLE imc_notice_information",
        "ALTER TABLE imc_chat_message DROP INDEX imc_message_log",
    )
    await asyncio.to_thread(migrate, empty_database_url)
    assert await shape_of(empty_database_url) == shape


async def test_waits_for_a_server_but_not_for_ever():
    port = free_port()
    url = f"mysql://imc:secret@127.0.0.1:{port}/imc"
    async with Process("imc-migrate", {"IMC_DATABASE_URL": url, "IMC_MIGRATE_WAIT_SECONDS": "1"}) as process:
        assert await process.wait() == 1
        assert "waiting for the database" in process.log
        assert "out of reach" in process.log
        assert "secret" not in process.log


@pytest.mark.parametrize("name", ["0001_expand_tables", "0002_index_activity_of_groups"])
async def test_downgrades_are_not_offered(name: str):
    version = import_module(f"imc_command_api.migrations.versions.{name}")
    with pytest.raises(NotImplementedError, match="not offered"):
        version.downgrade()


async def test_an_index_that_an_interrupted_migration_has_created_is_kept(empty_database_url: str):
    environment = {"IMC_DATABASE_URL": empty_database_url}
    await run_script("imc-migrate", environment)
    await run(empty_database_url, "UPDATE imc_schema_version SET version_num = '0001'")
    await run_script("imc-migrate", environment)
    version = await run(empty_database_url, "SELECT version_num FROM imc_schema_version")
    assert [*version] == [("0002",)]
    found = await run(
        empty_database_url,
        "SELECT column_name FROM information_schema.statistics"
        " WHERE table_schema = DATABASE() AND index_name = 'imc_group_activity' ORDER BY seq_in_index",
    )
    assert [*found] == [("app_id",), ("newest_create_time",), ("newest_message_id",)]
