"""Connections to the database: MariaDB or MySQL by aiomysql, SQLite by aiosqlite.

Statements are written once, with ``?`` for each bound value. What fails raises `StoreUnavailable` (the same
statement can succeed later) or `StatementRefused` (the database does not take these values), with the
database's own words: see `imc_service.database.errors`.
"""

import asyncio
import contextlib
import warnings
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager

import pymysql.err

from imc_service.database import _drivers
from imc_service.database import url as database_url
from imc_service.database._drivers import MysqlDriver, SqliteDriver
from imc_service.database._mysql_rows import Row
from imc_service.database._sessions import SESSION, MysqlSession, Session, SqliteSession, Values
from imc_service.database.errors import (
    ERRORS,
    Refusal,
    StatementRefused,
    StoreUnavailable,
    is_certain,
    meaning_of,
)
from imc_service.database.url import SqliteFile

__all__ = [
    "SESSION",
    "Database",
    "Refusal",
    "Row",
    "Session",
    "StatementRefused",
    "StoreUnavailable",
    "Values",
    "open_database",
]


class Database:
    """A pool of connections. Use it inside `open_database`.

    The pool is our own. That of aiomysql can lose a wake-up when a waiting task is cancelled, and takes as
    long as a short SELECT to lend a connection.
    """

    def __init__(self, driver: MysqlDriver | SqliteDriver, size: int, deadline: float, *, tls: bool) -> None:
        """At most ``size`` connections of ``driver``, each use within ``deadline``; ``tls`` is required."""
        self._driver = driver
        self._requires_tls = tls
        self._slots = asyncio.Semaphore(size)
        self._size = size
        self._deadline = deadline
        self._idle: list[MysqlSession | SqliteSession] = []
        self.is_sqlite = isinstance(driver, SqliteDriver)
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
            except Exception as error:
                # After other errors of the database the connection is given up, which undoes it too.
                if is_certain(error) or not isinstance(error, ERRORS):
                    await session.execute("ROLLBACK")
                raise
            await session.execute("COMMIT")

    async def fetch_all(self, sql: str, values: Values = ()) -> list[Row]:
        """All rows of a SELECT, on a connection of its own."""
        async with self._use() as session:
            return await session.fetch_all(sql, values)

    async def close(self) -> None:
        """Wait until every use has ended, at most the deadline, and let none begin any more."""
        for _ in range(self._size):
            await self._slots.acquire()
        while self._idle:
            await self._idle.pop().end()

    @contextlib.asynccontextmanager
    async def _use(self) -> AsyncGenerator[MysqlSession | SqliteSession]:
        # Sorted in this generator, since a second one around it would cost each use as much again.
        try:
            async with asyncio.timeout(self._deadline), self._slots:
                session = await self._take()
                try:
                    yield session
                except BaseException as error:
                    if not is_certain(error):
                        session.abandon()
                    raise
                finally:
                    if session.usable:
                        self._idle.append(session)
                    else:
                        await session.end()
        except ERRORS as error:
            raise meaning_of(error) from error

    async def _take(self) -> MysqlSession | SqliteSession:
        while self._idle:
            session = self._idle.pop()
            if session.usable:
                return session
            await session.end()
        connection = await self._driver.connect()
        session = SqliteSession(connection) if self.is_sqlite else MysqlSession(connection)
        try:
            if self._requires_tls and not _drivers.is_secure(connection):
                # aiomysql goes on in clear with a server, or somebody between, that says it has no TLS.
                raise ConnectionError("the server offers no TLS")
            await session.start()
        except BaseException:
            await session.end()
            raise
        return session


@contextlib.asynccontextmanager
async def open_database(url: str, *, size: int = 10, deadline: float = 30.0) -> AsyncGenerator[Database]:
    """Open a pool of at most ``size`` connections; none is made before it is needed.

    ``deadline`` bounds each use of a connection, in seconds: connecting and waiting for one included.
    Raises `ValueError` for a URL that `imc_service.database.url` does not take.
    """
    # Strict mode does not cover all silent changes of text: a warning of the database is an error for us.
    warnings.filterwarnings("error", category=pymysql.err.Warning)
    warnings.filterwarnings("ignore", message=".*VALUES function.*deprecated", category=pymysql.err.Warning)
    server = database_url.parse(url)
    if isinstance(server, SqliteFile):
        await asyncio.to_thread(server.keep_private)
        database = Database(SqliteDriver(server, deadline), size, deadline, tls=False)
    else:
        database = Database(MysqlDriver(server), size, deadline, tls=server.uses_tls)
    try:
        yield database
    finally:
        await database.close()
