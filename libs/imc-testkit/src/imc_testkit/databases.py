"""Databases for tests on a server that speaks the MySQL protocol."""

import contextlib
import secrets
from collections.abc import AsyncGenerator
from typing import Any
from urllib.parse import unquote, urlsplit

import aiomysql

ERRORS = (aiomysql.Error, OSError)
"""What a statement raises on a server that is away or refuses it."""


@contextlib.asynccontextmanager
async def connect(url: str) -> AsyncGenerator[Any]:
    """Open an aiomysql connection to ``url`` in autocommit mode."""
    parts = urlsplit(url)
    driver: Any = aiomysql
    connection = await driver.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        db=parts.path.lstrip("/") or None,
        charset="utf8mb4",
        autocommit=True,
    )
    try:
        yield connection
    finally:
        connection.close()


async def run(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements on a new connection; return the rows of the last one."""
    async with connect(url) as connection, connection.cursor() as cursor:
        for statement in statements:
            await cursor.execute(statement)
        return list(await cursor.fetchall())


async def answers(url: str) -> bool:
    """Whether the server answers now."""
    with contextlib.suppress(*ERRORS):
        await run(url, "SELECT 1")
        return True
    return False


@contextlib.asynccontextmanager
async def locked_rows(url: str, table: str) -> AsyncGenerator[None]:
    """Lock all rows of ``table`` in a transaction, so that writers wait."""
    async with connect(url) as connection, connection.cursor() as cursor:
        await cursor.execute("START TRANSACTION")
        await cursor.execute(f"SELECT * FROM {table} FOR UPDATE")  # noqa: S608 - a constant name
        yield
        await cursor.execute("ROLLBACK")


@contextlib.asynccontextmanager
async def new_database(server_url: str) -> AsyncGenerator[str]:
    """Create an empty database, yield its URL, and drop it at the end.

    Its character set is latin1, as on many servers in use: code that needs another one must ask for it.
    """
    name = f"imc_test_{secrets.token_hex(6)}"
    await run(server_url, f"CREATE DATABASE {name} CHARACTER SET latin1")
    try:
        yield urlsplit(server_url)._replace(path=f"/{name}").geturl()
    finally:
        await run(server_url, f"DROP DATABASE {name}")
