"""A database as the Java version makes it, and what an adoption of its rows must come to."""

import contextlib
import itertools
import json
import secrets
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from imc_testkit import databases

MESSAGES = """
CREATE TABLE imc_chat_message (
    id BIGINT AUTO_INCREMENT PRIMARY KEY, message_id VARCHAR(127) NOT NULL, app_id VARCHAR(127) NOT NULL,
    group_id VARCHAR(127) NOT NULL, user_id VARCHAR(127) NOT NULL, content TEXT NULL,
    create_time BIGINT NOT NULL, recall_time BIGINT NULL, recall_cause VARCHAR(255) NULL,
    status INT NULL, type INT NULL, UNIQUE (id)
)
"""
NOTICES = """
CREATE TABLE imc_notice_information (
    id BIGINT AUTO_INCREMENT PRIMARY KEY, information_id VARCHAR(127) NOT NULL, app_id VARCHAR(127) NOT NULL,
    group_id VARCHAR(127) NOT NULL, user_id VARCHAR(127) NOT NULL, title VARCHAR(255) NULL, content TEXT NULL,
    create_time BIGINT NULL, delete_time BIGINT NULL, jump_url TEXT NULL, status INT NULL, type INT NULL,
    UNIQUE (id)
)
"""
MESSAGE_COLUMNS = (
    *("message_id", "app_id", "group_id", "user_id", "content"),
    *("create_time", "recall_time", "recall_cause", "status", "type"),
)
NOTICE_COLUMNS = (
    *("information_id", "app_id", "group_id", "user_id", "title", "content"),
    *("create_time", "delete_time", "jump_url", "status", "type"),
)
TABLES = {
    "imc_chat_message": ("imc_message", MESSAGE_COLUMNS),
    "imc_notice_information": ("imc_notice", NOTICE_COLUMNS),
}
"""Each table of the Java version: the table of ours that it becomes, and its columns but for ``id``."""

_GROUPS_THAT_ARE = (
    "SELECT app_id, group_id, message_total, newest_create_time, newest_message_id FROM imc_group"
)
_NULLS = {"content": "", "create_time": 0, "recall_time": 0, "delete_time": 0, "status": 1}


@contextlib.asynccontextmanager
async def java_database(server_url: str, charset: str) -> AsyncGenerator[tuple[str, str]]:
    """An empty database of the Java version whose default is ``charset``, with a collation if need be.

    Yields its URL, and that of a user that may only read it, with a password.
    """
    name = f"java_{secrets.token_hex(6)}"
    await databases.run(server_url, f"CREATE DATABASE {name} CHARACTER SET {charset}")
    url = urlsplit(server_url)._replace(path=f"/{name}").geturl()
    try:
        await databases.run(url, MESSAGES, NOTICES)
        async with reader(url) as reader_url:
            yield url, reader_url
    finally:
        await databases.run(server_url, f"DROP DATABASE {name}")


@contextlib.asynccontextmanager
async def reader(url: str) -> AsyncGenerator[str]:
    """The URL for a new user that may only read the database of ``url``."""
    parts = urlsplit(url)
    name = f"reader_{secrets.token_hex(6)}"
    user = f"'{name}'@'127.0.0.1'"
    await databases.run(
        url, f"CREATE USER {user} IDENTIFIED BY 'p w'", f"GRANT SELECT ON {parts.path[1:]}.* TO {user}"
    )
    try:
        yield parts._replace(netloc=f"{name}:p%20w@{parts.hostname}:{parts.port}").geturl()
    finally:
        await databases.run(url, f"DROP USER {user}")


def message(id_: Any, **fields: Any) -> tuple[Any, ...]:
    """A row of messages, in the order of `MESSAGE_COLUMNS`."""
    row = dict.fromkeys(MESSAGE_COLUMNS) | {
        **{"message_id": str(id_), "app_id": "a", "group_id": "g", "user_id": "u", "content": "hello"},
        **{"create_time": 1_790_000_000_000, "recall_time": 0, "status": 1},
    }
    return tuple((row | fields).values())


def notice(id_: Any, **fields: Any) -> tuple[Any, ...]:
    """A row of notices, in the order of `NOTICE_COLUMNS`."""
    row = dict.fromkeys(NOTICE_COLUMNS) | {
        **{"information_id": str(id_), "app_id": "a", "group_id": "g", "user_id": "u", "title": "t"},
        **{"content": "c", "create_time": 1_790_000_000_000, "delete_time": 0, "status": 1},
    }
    return tuple((row | fields).values())


def recall_of(ids: Iterable[int]) -> str:
    """How the Java version recalls: whatever rows have the id."""
    listed = ", ".join(f"'{id_}'" for id_ in ids)
    changes = "status = 0, recall_time = 8, recall_cause = 'x' WHERE COALESCE(status, 1) = 1"
    return f"UPDATE imc_chat_message SET {changes} AND message_id IN ({listed})"  # noqa: S608 - numbers


async def insert(url: str, table: str, rows: Iterable[Sequence[Any]]) -> None:
    """Add rows, each the values of the columns that `TABLES` has, as few statements as possible."""
    _, columns = TABLES[table]
    sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"  # noqa: S608
    async with databases.connect(url) as connection, connection.cursor() as cursor:
        remaining = iter(rows)
        while some := list(itertools.islice(remaining, 10_000)):
            await cursor.executemany(sql, some)


def rejected(path: Path) -> list[dict[str, Any]]:
    """The documents in a file of rejected rows."""
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


async def check_adopted(java_url: str, url: str, rejects: Path) -> Counter[str]:
    """Check that each row there is one of ours, or once in the file as it is there, and groups are right.

    Raises `AssertionError`. Returns how many rows of each table were found among ours.
    """
    found: Counter[str] = Counter()
    for table, (target, columns) in TABLES.items():
        named = ", ".join(columns)
        in_file = [document for document in rejected(rejects) if document["table"] == table]
        by_id = {document["id"]: document["row"] for document in in_file}
        assert len(by_id) == len(in_file), "a row is in the file twice"
        ours = {
            (row[1], row[0]): row
            for row in await databases.run(url, f"SELECT {named} FROM {target}")  # noqa: S608 - names
        }
        for id_, *values in await databases.run(java_url, f"SELECT id, {named} FROM {table}"):  # noqa: S608
            row = dict(zip(columns, values, strict=True))
            if id_ in by_id:
                assert by_id.pop(id_).items() >= _lasting(row).items(), f"{table} {id_} is not as it was"
                continue
            copied, expected = ours.get((row["app_id"], int(values[0]))), _expected(table, row)
            assert copied == expected, f"{table} {id_} became {copied} instead of {expected}"
            found[table] += 1
        assert not by_id, "the file has rows that are not there"
    await check_groups(url)
    return found


async def check_groups(url: str) -> None:
    """Check that the table of groups is what the table of messages says; raises `AssertionError`."""
    expected: dict[tuple[str, str], list[Any]] = {}
    rows = await databases.run(url, "SELECT app_id, group_id, create_time, message_id FROM imc_message")
    for app_id, group_id, *place in rows:
        known = expected.setdefault((app_id, group_id), [0, place])
        known[0] += 1
        known[1] = max(known[1], place)
    groups = await databases.run(url, _GROUPS_THAT_ARE)
    assert {(app_id, group_id): [total, place] for app_id, group_id, total, *place in groups} == expected


def _lasting(row: dict[str, Any]) -> dict[str, Any]:
    """What of a row the Java version never changes."""
    changing = {"status", "recall_time", "recall_cause", "delete_time"}
    return {name: value for name, value in row.items() if name not in changing}


def _expected(table: str, row: dict[str, Any]) -> tuple[Any, ...]:
    """The row of ours that a row of the Java version becomes."""
    expected = {name: _NULLS.get(name) if value is None else value for name, value in row.items()}
    if table == "imc_chat_message" and expected["status"] == 0:
        expected["content"] = ""
    first = next(iter(row))
    return tuple((expected | {first: int(row[first])}).values())
