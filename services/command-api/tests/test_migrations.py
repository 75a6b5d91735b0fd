"""The tables: made, made twice, made beside those of the Java version."""

import asyncio
import contextlib
import secrets
import sqlite3
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from imc_command_api import migrations
from imc_command_api.migrations import MigrationError, migrate
from imc_command_api.migrations.version import is_current
from imc_contracts import schema
from imc_contracts.cursor import EntryId
from imc_service.database.database import open_database
from imc_testkit import java_database
from imc_testkit.databases import run
from imc_testkit.processes import Process, free_port, run_script

VERSIONS = Path(migrations.__file__).parent / "versions"
JAVA_TABLES = (
    f"{java_database.MESSAGES} DEFAULT CHARSET = latin1",
    f"{java_database.NOTICES} DEFAULT CHARSET = utf8 COLLATE utf8_general_ci",
)
SHAPE = """
SELECT table_name, column_name, column_type, is_nullable, column_default, collation_name
FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name <> 'imc_schema_version'
ORDER BY table_name, column_name
"""
COLUMNS = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = DATABASE() AND table_name <> 'imc_schema_version'
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
PRIMARY_KEYS = """
SELECT table_name, GROUP_CONCAT(column_name ORDER BY seq_in_index) FROM information_schema.statistics
WHERE table_schema = DATABASE() AND index_name = 'PRIMARY' AND table_name <> 'imc_schema_version'
GROUP BY table_name
"""
COUNTING_COLUMNS = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = DATABASE() AND extra LIKE '%auto_increment%'
"""


async def shape_of(url: str) -> list[list[tuple[Any, ...]]]:
    return [await run(url, query) for query in (SHAPE, INDEXES, STORAGE)]


async def test_two_at_once_make_the_tables_once_and_a_third_changes_nothing(empty_database_url: str):
    environment = {"IMC_DATABASE_URL": empty_database_url}
    await asyncio.gather(run_script("imc-migrate", environment), run_script("imc-migrate", environment))
    shape = await shape_of(empty_database_url)
    assert {(row[0], row[1], row[2], row[3]) for row in shape[2]} == {
        (table, "InnoDB", "Dynamic", "utf8mb4_bin")
        for table in (
            *("imc_message", "imc_notice", "imc_group"),
            *("imc_projection", "imc_heartbeat", "imc_erasure"),
        )
    }
    await asyncio.to_thread(migrate, empty_database_url.replace("mysql://", "mariadb+aiomysql://"))
    assert await shape_of(empty_database_url) == shape


async def test_sqlite_two_at_once(tmp_path: Any):
    url = f"sqlite:///{tmp_path / 'imc.db'}"
    environment = {"IMC_DATABASE_URL": url}
    await asyncio.gather(run_script("imc-migrate", environment), run_script("imc-migrate", environment))
    async with open_database(url) as database:
        assert await database.fetch_all("PRAGMA journal_mode") == [("wal",)]
        assert await database.fetch_all("SELECT version_num FROM imc_schema_version") == [("0003",)]


@pytest.mark.parametrize("server", ["MariaDB", "SQLite"])
def test_what_is_up_to_date_is_found_so_by_the_driver_alone(server: str, database_url: str, tmp_path: Path):
    url = database_url if server == "MariaDB" else f"sqlite:///{tmp_path / 'imc.db'}"
    migrate(url)
    look = "import sys; from imc_command_api import migrations; migrations.migrate(sys.argv[1])"
    again = subprocess.run([sys.executable, "-X", "importtime", "-c", look, url], capture_output=True)
    assert again.returncode == 0
    assert b"imc_command_api.migrations.version" in again.stderr
    assert b"sqlalchemy" not in again.stderr
    assert b"alembic" not in again.stderr


async def test_who_may_not_read_the_version_is_told(empty_database_url: str):
    await asyncio.to_thread(migrate, empty_database_url)
    name = empty_database_url.rpartition("/")[2]
    await run(
        empty_database_url,
        f"CREATE USER {name}@'%' IDENTIFIED BY 'secret'",
        f"GRANT SELECT ON imc_message TO {name}@'%'",
    )
    try:
        server = urlsplit(empty_database_url)
        denied = f"mysql://{name}:secret@{server.hostname}:{server.port}/{name}"
        with pytest.raises(MigrationError, match=r"can't be looked at: .*1142, .SELECT command denied"):
            await asyncio.to_thread(is_current, denied)
        with pytest.raises(MigrationError, match=r"migration failed: .*1142, .SELECT command denied"):
            await asyncio.to_thread(migrate, denied)
    finally:
        await run(empty_database_url, f"DROP USER {name}@'%'")


def test_a_file_that_is_no_database_is_told(tmp_path: Path):
    file = tmp_path / "imc.db"
    file.write_text("no database " * 100)
    with pytest.raises(MigrationError, match="can't be looked at: file is not a database"):
        is_current(f"sqlite:///{file}")
    with pytest.raises(MigrationError, match="migration failed: file is not a database"):
        migrate(f"sqlite:///{file}")


def test_tables_of_another_release_are_left_alone(tmp_path: Path):
    file = tmp_path / "imc.db"
    migrate(f"sqlite:///{file}")
    with contextlib.closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE imc_schema_version SET version_num = '9999'")
    before = file.read_bytes()
    with pytest.raises(MigrationError, match="says 9999, unknown to this release"):
        migrate(f"sqlite:///{file}")
    assert file.read_bytes() == before


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("*.py")), ids=lambda path: path.stem)
def test_the_file_of_a_change_bears_its_number(path: Path):
    change = import_module(f"imc_command_api.migrations.versions.{path.stem}")
    assert path.name.startswith(f"{change.revision}_")


async def test_the_greatest_ids_fit(empty_database_url: str):
    await asyncio.to_thread(migrate, empty_database_url)
    place = EntryId(9_999_999_999_999, 9_999_999_999).column
    await run(
        empty_database_url,
        f"INSERT INTO imc_message VALUES "
        f"({2**63 - 1}, 'a', 'g', 'u', '', 0, 0, NULL, 1, NULL, '{place}', '{place}')",
    )
    rows = await run(empty_database_url, "SELECT message_id, log_id, last_log_id FROM imc_message")
    assert rows == [(2**63 - 1, place, place)]


@pytest.mark.parametrize("count", [0, 2])
async def test_tables_of_the_java_version_stay_as_they_are_beside_ours(
    empty_database_url: str, database_url: str, count: int
):
    await run(empty_database_url, *JAVA_TABLES)
    # Its messages may have one id.
    await java_database.insert(empty_database_url, "imc_chat_message", [java_database.message(41)] * count)
    stored = await run(empty_database_url, "SELECT * FROM imc_chat_message")
    assert len(stored) == count
    before = await shape_of(empty_database_url)
    await asyncio.to_thread(migrate, empty_database_url)
    after, ours = await shape_of(empty_database_url), await shape_of(database_url)
    assert [sorted(rows) for rows in after] == [
        sorted(old + new) for old, new in zip(before, ours, strict=True)
    ]
    assert await run(empty_database_url, "SELECT * FROM imc_chat_message") == stored
    assert await run(empty_database_url, "SELECT COUNT(*) FROM imc_message") == [(0,)]


@pytest.mark.parametrize(
    "undone",
    [
        ["DROP TABLE imc_notice", "DROP TABLE imc_heartbeat"],
        [
            "ALTER TABLE imc_message DROP INDEX imc_message_log",
            "ALTER TABLE imc_group DROP INDEX imc_group_activity",
        ],
    ],
    ids=["tables", "indexes"],
)
async def test_a_migration_that_broke_off_is_completed(empty_database_url: str, undone: list[str]):
    await asyncio.to_thread(migrate, empty_database_url)
    shape = await shape_of(empty_database_url)
    await run(empty_database_url, "DROP TABLE imc_schema_version", *undone)
    assert await shape_of(empty_database_url) != shape
    await asyncio.to_thread(migrate, empty_database_url)
    assert await shape_of(empty_database_url) == shape


async def test_a_database_may_have_the_longest_name(database_server_url: str):
    name = f"imc_test_{secrets.token_hex(8)}".ljust(64, "x")
    await run(database_server_url, f"CREATE DATABASE {name}")
    try:
        await asyncio.to_thread(migrate, database_server_url.rpartition("/")[0] + f"/{name}")
    finally:
        await run(database_server_url, f"DROP DATABASE {name}")


async def test_each_table_has_the_columns_that_the_contracts_name(database_url: str):
    found = await run(database_url, COLUMNS)
    columns: dict[str, set[str]] = {}
    for table, column in found:
        columns.setdefault(table, set()).add(column)
    assert columns == {
        schema.MESSAGES: {*schema.MESSAGE_VIEW_COLUMNS, *schema.LOG_COLUMNS},
        schema.NOTICES: {*schema.NOTICE_VIEW_COLUMNS, *schema.LOG_COLUMNS},
        schema.GROUPS: {*schema.GROUP_COLUMNS},
        schema.PROJECTIONS: {*schema.PROJECTION_COLUMNS, schema.REMOVED_TO},
        schema.HEARTBEATS: {*schema.HEARTBEAT_COLUMNS},
        schema.ERASURES: {*schema.ERASURE_COLUMNS, *schema.ERASURE_PROGRESS_COLUMNS},
    }


async def test_every_key_begins_with_the_app_and_none_counts_up(empty_database_url: str):
    await asyncio.to_thread(migrate, empty_database_url)
    keys = await run(empty_database_url, PRIMARY_KEYS)
    assert dict(keys) == {
        "imc_message": "app_id,message_id",
        "imc_notice": "app_id,information_id",
        "imc_group": "app_id,group_id",
        "imc_projection": "app_id",
        "imc_heartbeat": "id",
        "imc_erasure": "app_id,erasure_id",
    }
    assert await run(empty_database_url, COUNTING_COLUMNS) == []


async def test_waits_for_a_server_but_not_for_ever():
    port = free_port()
    url = f"mysql://imc:secret@127.0.0.1:{port}/imc"
    async with Process("imc-migrate", {"IMC_DATABASE_URL": url, "IMC_MIGRATE_WAIT_SECONDS": "1"}) as process:
        assert await process.wait() == 1
        assert "waiting for the database" in process.log
        assert "out of reach" in process.log
        assert "secret" not in process.log


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("*.py")), ids=lambda path: path.stem)
def test_downgrades_are_not_offered(path: Path):
    version = import_module(f"imc_command_api.migrations.versions.{path.stem}")
    with pytest.raises(NotImplementedError, match="not offered"):
        version.downgrade()
