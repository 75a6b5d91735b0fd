"""Connections to the database: MariaDB or MySQL by aiomysql, SQLite by aiosqlite.

Statements are written once, with ``?`` for each bound value. What fails raises `StoreUnavailable` (the same
statement can succeed later) or `StatementRefused` (the database does not take these values), with the
database's own words: see `imc_service.database.errors`.
"""

import asyncio
import contextlib
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import pymysql.err

from imc_service import background
from imc_service.database import url as database_url
from imc_service.database._connectors import Connector, MysqlConnector, SqliteConnector
from imc_service.database._drivers import SqliteDriver
from imc_service.database._mysql_rows import Row
from imc_service.database._mysql_text import Values
from imc_service.database._sessions import MysqlSession, Session, SqliteSession
from imc_service.database.errors import (
    ERRORS,
    Refusal,
    StatementRefused,
    StoreUnavailable,
    WriteConflict,
    is_certain,
    meaning_of,
)
from imc_service.database.url import SqliteFile
from imc_service.retry import Backoff

__all__ = [
    "Database",
    "Refusal",
    "Row",
    "Session",
    "StatementRefused",
    "StoreUnavailable",
    "Values",
    "WriteConflict",
    "open_database",
]

T = TypeVar("T")

MOST_CONFLICTS = 20
"""How often a transaction may lose before it is given up. The pauses between take some 2 s in all."""

_CONFLICT_PAUSE = Backoff(first=0.005, longest=0.2)


class Database:
    """A pool of connections. Use it inside `open_database`.

    The pool is our own. That of aiomysql can lose a wake-up when a waiting task is cancelled, and takes as
    long as a short SELECT to lend a connection.
    """

    def __init__(self, connector: Connector, size: int, deadline: float) -> None:
        """At most ``size`` connections of ``connector``, each use within ``deadline``."""
        self._connector = connector
        self._slots = asyncio.Semaphore(size)
        self._size = size
        self._deadline = deadline
        self._idle: list[MysqlSession | SqliteSession] = []
        self.is_sqlite = isinstance(connector, SqliteConnector)
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
                await session.execute("COMMIT")
            except Exception as error:
                # After other errors of the database the connection is given up, which undoes it too.
                if is_certain(error) or not isinstance(error, ERRORS):
                    await session.execute("ROLLBACK")
                raise

    async def commit(self, work: Callable[[Session], Awaitable[T]]) -> T:
        """The result of ``work``, done in a `transaction`, and done again each time another one was faster.

        Raises `WriteConflict` if that happens too often. Whether a COMMIT that raises `StoreUnavailable` has
        happened is unknown: ``work`` should do no harm if it is done twice.
        """
        lost = 0
        while True:
            try:
                async with self.transaction() as session:
                    return await work(session)
            except WriteConflict:
                lost += 1
                if lost == MOST_CONFLICTS:
                    raise
                await _CONFLICT_PAUSE.pause(lost)

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
        return await self._connector.open()


@contextlib.asynccontextmanager
async def open_database(
    url: str,
    *,
    size: int = 10,
    deadline: float = 30.0,
    may_be_read_only: bool = False,
    causal_reads: bool = False,
) -> AsyncGenerator[Database]:
    """Open a pool of at most ``size`` connections; none is made before it is needed.

    ``deadline`` bounds each use of a connection, in seconds: connecting and waiting for one included.
    Of several hosts in ``url``, the first that serves is used until it fails; one that is read-only serves
    only if it ``may_be_read_only``. With ``causal_reads`` a SELECT on a node of Galera waits until the node
    has all that the cluster had committed before.
    Raises `ValueError` for a URL that `imc_service.database.url` does not take.
    """
    # Strict mode does not cover all silent changes of text: a warning of the database is an error for us.
    warnings.filterwarnings("error", category=pymysql.err.Warning)
    warnings.filterwarnings("ignore", message=".*VALUES function.*deprecated", category=pymysql.err.Warning)
    server = database_url.parse(url)
    connector: Connector
    if isinstance(server, SqliteFile):
        await asyncio.to_thread(server.keep_private)
        connector = SqliteConnector(SqliteDriver(server, deadline))
    else:
        connector = MysqlConnector(server, may_be_read_only=may_be_read_only, causal_reads=causal_reads)
    database = Database(connector, size, deadline)
    async with background.running(connector.watch()):
        try:
            yield database
        finally:
            await database.close()
