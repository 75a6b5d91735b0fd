"""Connections of the drivers below ``databases``: all that reaches into these packages is here.

What is relied on, beyond their documentation (test_drivers.py fails when a new version changes it):

- ``databases``: a `Connection` of its own for each use, `Database._backend`; `SQLitePool._database`, since
  the path in a URL can't hold bytes that are no text.
- aiomysql: `Connection._secure`, `_reader`, `_writer`; it asks for the name of the system's user when it is
  imported, and writes passwords as Latin-1.
"""

import asyncio
import contextlib
import getpass
import os
import sqlite3
from collections.abc import Generator
from typing import Any
from urllib.parse import quote

import databases
from databases.core import Connection

from imc_service.database.url import MysqlServer, SqliteFile

CONNECT_SECONDS = 5
_NAME_VARIABLE = "LOGNAME"
"""What `getpass.getuser` looks at first."""


def pool_of(place: MysqlServer | SqliteFile, size: int, deadline: float) -> databases.Database:
    """A pool that is not connected yet: of at most ``size`` connections, none before it is needed."""
    if isinstance(place, SqliteFile):
        pool = databases.Database("sqlite:///file", timeout=deadline)
        backend: Any = pool._backend  # pyright: ignore[reportPrivateUsage]
        backend._pool._database = place.path
        return pool
    # UTF-8, as the clients of MySQL send it: aiomysql makes the same bytes of this text again.
    password = place.password.decode("latin1")
    host = f"[{place.host}]" if ":" in place.host else place.host
    account = f"{quote(place.user, safe='')}:{quote(password, safe='')}"
    options: dict[str, Any] = {"unix_socket": place.unix_socket} if place.unix_socket else {}
    with _a_user_name():
        return databases.Database(
            f"mysql://{account}@{host}:{place.port}/{quote(place.database, safe='')}",
            min_size=0,
            max_size=size,
            charset="utf8mb4",
            connect_timeout=CONNECT_SECONDS,
            ssl=place.tls(),
            **options,
        )


async def connect(pool: databases.Database) -> Connection:
    """A connection of the pool, a new one if it has none left.

    Not `Database.connection`, which keeps one for each task: nested uses would share it, and where a deadline
    cut its return short, the task would never get another.
    """
    connection = Connection(pool, pool._backend)  # pyright: ignore[reportPrivateUsage]
    if pool.url.dialect != "sqlite":
        return await connection.__aenter__()
    # aiosqlite forgets a connection whose opening is cancelled, and never closes it. To open takes no time.
    opening = asyncio.ensure_future(connection.__aenter__())
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with contextlib.suppress(sqlite3.Error):
            await give_back(await opening)
        raise


async def give_back(connection: Connection) -> None:
    """Return the connection to its pool, which drops it if it is closed."""
    await connection.__aexit__()


def is_secure(raw: Any) -> bool:
    """Whether what is sent on a connection of aiomysql is encrypted, or stays on this machine."""
    return bool(raw._secure)


def is_open(raw: Any) -> bool:
    """Whether a connection of aiomysql can be used, and is in no transaction."""
    if raw.closed or raw.get_transaction_status():
        return False
    reader = raw._reader
    # MySQL 8 says that it closes a connection that was idle for too long before it does.
    return not (reader.at_eof() or reader.eof_received or reader.exception())


@contextlib.contextmanager
def _a_user_name() -> Generator[None]:
    """Let aiomysql be imported by a user without a name, as those of containers are.

    It asks at its import, for a default that we never use, and does not expect the OSError that Python raises
    from 3.13 on.
    """
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ[_NAME_VARIABLE] = "unknown"
        try:
            yield
        finally:
            del os.environ[_NAME_VARIABLE]
    else:
        yield
