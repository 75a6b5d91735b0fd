"""Connections to the database: MariaDB or MySQL by aiomysql, SQLite by aiosqlite, pooled by ``databases``.

Statements are written once, with ``?`` for each bound value. Two failures are told apart, since one heals by
itself and the other never does:

- `StoreUnavailable`: no connection, no answer in time, no space, a lost deadlock. The same statement can
  succeed later.
- `StatementRefused`: the database will not take these values. It never will.
"""

import asyncio
import contextlib
import sqlite3
import warnings
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple

import databases
import pymysql.err
from databases.core import Connection

from imc_service import database_tls
from imc_service._mysql_rows import Row
from imc_service._sessions import MysqlSession, Session, SqliteSession, Values

__all__ = [
    "Database",
    "Row",
    "Session",
    "StatementRefused",
    "StoreUnavailable",
    "Values",
    "open_database",
]

CONNECT_SECONDS = 5
_SESSION_START = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO', "
    "SESSION time_zone = '+00:00'"
    # Gap locks of the default level make projectors that write side by side deadlock. MariaDB before 11.1 and
    # MySQL have no common name for this variable: each reads its own kind of comment as a statement.
    " /*M!100000 , SESSION tx_isolation = 'READ-COMMITTED' */"
    " /*!80000 , SESSION transaction_isolation = 'READ-COMMITTED' */"
    # A process that hangs inside a transaction must not hold its locks for as long as it hangs.
    " /*M!100300 , SESSION idle_transaction_timeout = 5 */"
)
_REFUSALS = (
    pymysql.err.DataError,
    pymysql.err.IntegrityError,
    pymysql.err.NotSupportedError,
    pymysql.err.Warning,
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
)
_OUTAGES = (pymysql.err.Error, sqlite3.Error, OSError, asyncio.IncompleteReadError)


class StoreUnavailable(Exception):
    """The database can't do this now."""


class StatementRefused(Exception):
    """The database will never take these values."""


class _Lent(NamedTuple):
    """A connection of the pools, and the session on it."""

    connection: Connection
    session: MysqlSession | SqliteSession


class Database:
    """A pool of connections. Use it inside `open_database`."""

    def __init__(
        self, pool: databases.Database, size: int, deadline: float, *, requires_tls: bool = False
    ) -> None:
        self._pool = pool
        self._requires_tls = requires_tls
        # The pool of aiomysql can lose a wake-up when a waiting task is cancelled; with a place for each
        # connection kept here, no task ever waits inside it.
        self._places = asyncio.Semaphore(size)
        self._size = size
        self._deadline = deadline
        # Handing a connection back to the pools and taking it again costs as much as a short SELECT.
        self._idle: list[_Lent] = []
        self.is_sqlite = pool.url.dialect == "sqlite"
        """Whether the few statements in which dialects differ are SQLite's."""

    def session(self) -> AbstractAsyncContextManager[Session]:
        """A connection for statements that each stand alone.

        A failure of the database becomes one of the two above as the block is left, here as in `transaction`.
        """
        return self._use()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Session]:
        """A connection in a transaction: committed at the end, undone if anything is raised.

        Start no tasks inside: the connection belongs to the task that entered.
        """
        async with self._use() as session:
            await session.execute(session.begin_sql)
            try:
                yield session
            except Exception:
                await session.execute("ROLLBACK")
                raise
            await session.execute("COMMIT")

    async def fetch_all(self, sql: str, values: Values = ()) -> list[Row]:
        """All rows of a SELECT, on a connection of its own."""
        async with self._use() as session:
            return await session.fetch_all(sql, values)

    async def reachable(self) -> str | None:
        """A readiness check: why the database can't be used, or None."""
        try:
            await self.fetch_all("SELECT 1")
        except (StoreUnavailable, StatementRefused) as error:
            return f"the database is out of reach ({error})"
        return None

    async def close(self) -> None:
        """Wait until every use has ended, at most the deadline, and let none begin any more.

        aiomysql's pool would wait for ever for one that ends in an abandoned connection.
        """
        for _ in range(self._size):
            await self._places.acquire()
        while self._idle:
            await self._idle.pop().connection.__aexit__()

    @contextlib.asynccontextmanager
    async def _use(self) -> AsyncGenerator[MysqlSession | SqliteSession]:
        # Sorted in this generator, since a second one around it would cost each use as much again.
        try:
            async with asyncio.timeout(self._deadline), self._places:
                lent = await self._take()
                session = lent.session
                try:
                    yield session
                except _REFUSALS:
                    raise  # the connection is as good as before
                except BaseException:
                    session.abandon()
                    raise
                finally:
                    if session.usable:
                        self._idle.append(lent)
                    else:
                        await lent.connection.__aexit__()
        except _REFUSALS as error:
            raise StatementRefused(type(error).__name__) from error
        except _OUTAGES as error:
            raise StoreUnavailable(type(error).__name__) from error

    async def _take(self) -> _Lent:
        while self._idle:
            lent = self._idle.pop()
            if lent.session.usable:
                return lent
            await lent.connection.__aexit__()
        # Not `Database.connection`, which keeps one for each task: nested uses would share it, and where a
        # deadline cut its return short, the task would never get another.
        connection = Connection(self._pool, self._pool._backend)  # pyright: ignore[reportPrivateUsage]
        await (_open_file(connection) if self.is_sqlite else connection.__aenter__())
        raw: Any = connection.raw_connection
        session = SqliteSession(raw) if self.is_sqlite else MysqlSession(raw)
        if self._requires_tls and not raw._secure:
            # aiomysql goes on in clear with a server, or somebody between, that says it has no TLS.
            session.abandon()
            await connection.__aexit__()
            raise ConnectionError("the server offers no TLS")
        return _Lent(connection, session)


async def _open_file(connection: Connection) -> None:
    """Open a file of SQLite; who is cancelled meanwhile waits until it is open, and closes it.

    aiosqlite opens it in a thread, and forgets what comes of that when its caller is cancelled.
    """
    opening = asyncio.ensure_future(connection.__aenter__())
    try:
        await asyncio.shield(opening)
    except asyncio.CancelledError:
        with contextlib.suppress(sqlite3.Error):
            await opening
            await connection.__aexit__()
        raise


@contextlib.asynccontextmanager
async def open_database(url: str, *, size: int = 10, deadline: float = 30.0) -> AsyncGenerator[Database]:
    """Open a pool of at most ``size`` connections; none is made before it is needed.

    ``deadline`` bounds each use of a connection, in seconds: connecting and waiting for a place included.
    """
    # Strict mode does not cover all silent changes of text: a warning of the database is an error for us.
    warnings.filterwarnings("error", category=pymysql.err.Warning)
    warnings.filterwarnings("ignore", message=".*VALUES function.*deprecated", category=pymysql.err.Warning)
    parsed = databases.DatabaseURL(url)
    tls = database_tls.context_of(url)
    options: dict[str, Any] = (
        {"timeout": deadline}
        if parsed.dialect == "sqlite"
        else {
            "min_size": 0,
            "max_size": size,
            "charset": "utf8mb4",
            "connect_timeout": CONNECT_SECONDS,
            "init_command": _SESSION_START,
            "ssl": tls,
        }
    )
    if parsed.dialect == "mariadb":
        parsed = parsed.replace(dialect="mysql")
    async with databases.Database(parsed, **options) as pool:
        database = Database(pool, size, deadline, requires_tls=tls is not None)
        try:
            yield database
        finally:
            await database.close()
