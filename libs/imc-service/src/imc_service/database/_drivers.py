"""The drivers aiomysql and aiosqlite: how connections are made and ended, and all hooks into their insides.

What is used of them beyond their documentation: of aiomysql, ``Connection._secure``, ``_reader``,
``_writer``, ``_execute_command`` and ``server_status``; of aiosqlite, ``Connection._thread``. aiomysql writes
passwords as Latin-1, and asks for the name of the system's user when it is imported.
``tests-e2e/test_private_names.py`` fails when a new version changes that.
"""

import asyncio
import contextlib
import getpass
import os
import sqlite3
import ssl
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Protocol, cast

import aiosqlite
import pymysql.err
from pymysql.constants import COMMAND, CR

from imc_service.database.url import Host, MysqlServer, SqliteFile

CONNECT_SECONDS = 5
_CHUNK = 1 << 18
_NAME_VARIABLE = "LOGNAME"
"""What `getpass.getuser` looks at first."""


class Reply(Protocol):
    """Takes in the reply to a statement."""

    server_status: int

    def feed(self, received: bytes) -> bool:
        """Take in more of the reply; true once that was all of it."""
        ...


class MysqlDriver:
    """Makes connections of aiomysql to one database on one host."""

    def __init__(self, server: MysqlServer, host: Host, tls: ssl.SSLContext | None) -> None:
        """``host`` is one of ``server``, whose context ``tls`` is."""
        with _a_user_name():
            import aiomysql
        self._connect = cast("Callable[..., Awaitable[Any]]", aiomysql.connect)  # pyright: ignore
        self._options: dict[str, Any] = {
            "host": host.name,
            "port": host.port,
            "unix_socket": server.unix_socket,
            "user": server.user,
            # UTF-8, as the clients of MySQL send it: aiomysql makes the same bytes of this text again.
            "password": server.password.decode("latin1"),
            "db": server.database,
            "charset": "utf8mb4",
            "autocommit": True,
            "connect_timeout": CONNECT_SECONDS,
            "ssl": tls,
        }

    async def connect(self) -> Any:
        """A new connection; raises what aiomysql raises."""
        return await self._connect(**self._options)


class SqliteDriver:
    """Makes connections of aiosqlite to one file."""

    def __init__(self, file: SqliteFile, deadline: float) -> None:
        """A statement waits ``deadline`` seconds for a lock."""
        self._path = file.path
        self._deadline = deadline

    async def connect(self) -> Any:
        """A new connection, which commits by itself; raises what sqlite3 raises."""
        connection = aiosqlite.connect(self._path, isolation_level=None, timeout=self._deadline)
        # aiosqlite never closes a connection whose opening is cancelled. Opening takes no time.
        opening = asyncio.ensure_future(_opened(connection))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            with contextlib.suppress(sqlite3.Error):
                await (await opening).close()
            raise


async def _opened(connection: Any) -> Any:
    """Open a connection of aiosqlite. Once that has failed, its thread has ended."""
    try:
        return await connection.__aenter__()
    except Exception:
        # Its thread still has to tell this loop that it ends, and the loop may be closed after this error.
        await asyncio.to_thread(connection._thread.join)
        raise


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


def cut(raw: Any) -> None:
    """End a connection of aiomysql, even if its host hangs. Who waits for a reply gets an error."""
    if not raw.closed:
        transport = raw._writer.transport
        raw.close()
        transport.abort()


async def read_reply(raw: Any, statement: str, reply: Reply) -> None:
    """Run a statement on a connection of aiomysql, and feed the bytes that answer it to ``reply``.

    Raises what aiomysql raises, and what ``reply`` does.
    """
    await raw._execute_command(COMMAND.COM_QUERY, statement)
    read = raw._reader.read
    while not reply.feed(received := await read(_CHUNK)):
        if not received:
            raise pymysql.err.OperationalError(CR.CR_SERVER_LOST, "the connection broke during the reply")
    raw.server_status = reply.server_status


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
