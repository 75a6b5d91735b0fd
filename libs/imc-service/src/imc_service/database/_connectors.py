"""Where connections come from. For `imc_service.database.database` only.

Of several hosts, one is in use: all new connections lead to it for as long as it serves. Once it fails, the
next one that serves is in use, and the connections to the other one end.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Protocol
from weakref import WeakSet

from imc_service import background
from imc_service.database import _drivers
from imc_service.database._drivers import MysqlDriver, SqliteDriver
from imc_service.database._sessions import MysqlSession, SqliteSession
from imc_service.database.errors import ERRORS, meaning_of
from imc_service.database.serving import QUESTIONS, Standing, standing
from imc_service.database.url import MysqlServer
from imc_service.logs import get_logger

logger = get_logger("database")

HOST_SECONDS = 1.0
"""How long one of several hosts may take to give a connection: less than any use of the pool may take."""

LOOK_SECONDS = 1.0
"""Between two looks at the host in use."""

LOOK_DEADLINE_SECONDS = 2.0
"""A host that does not answer for so long hangs."""


class Connector(Protocol):
    """Makes connections for a pool."""

    async def open(self) -> MysqlSession | SqliteSession:
        """A new connection, set up; raises one of `errors.ERRORS`."""
        ...

    async def watch(self) -> None:
        """See to it that connections to a server that serves no more end; until cancelled."""
        ...


class SqliteConnector:
    """Opens a file."""

    def __init__(self, driver: SqliteDriver) -> None:
        self._driver = driver

    async def open(self) -> SqliteSession:
        return SqliteSession(await self._driver.connect())

    async def watch(self) -> None:
        """Nothing to do: there is no server."""


class MysqlConnector:
    """Connects to a server, or to the one of several that is in use."""

    def __init__(self, server: MysqlServer, *, may_be_read_only: bool, causal_reads: bool) -> None:
        """Reads the certificates of ``server``."""
        tls = server.tls()
        self._names = [str(host) for host in server.hosts]
        self._drivers = [MysqlDriver(server, host, tls) for host in server.hosts]
        self._requires_tls = server.uses_tls
        self._may_be_read_only = may_be_read_only
        self._causal_reads = causal_reads
        self._sessions: list[WeakSet[MysqlSession]] = [WeakSet() for _ in server.hosts]
        self._preferred = 0
        self._in_use: int | None = None

    async def open(self) -> MysqlSession:
        """A new connection to the host in use.

        Raises one of `errors.ERRORS`: with several hosts one that says of each
        why it does not serve.
        """
        if len(self._drivers) == 1:
            return await self._connect(0)
        count, first = len(self._drivers), self._preferred
        objections: list[str] = []
        lagging: tuple[int, MysqlSession] | None = None
        for host in ((first + step) % count for step in range(count)):
            try:
                session, its = await self._try(host)
            except ERRORS as error:
                objections.append(f"{self._names[host]}: {meaning_of(error)}")
                self._pass_over(host)
                continue
            if its.is_in_step:
                await _end(lagging)
                return self._used(host, session)
            if lagging is None:
                lagging = host, session
            else:
                await session.end()
        if lagging is not None:
            return self._used(*lagging)
        raise ConnectionError(f"no host serves: {'; '.join(objections)}")

    async def watch(self) -> None:
        """Leave the host in use once it hangs, takes no statements, or lags while another does not."""
        if len(self._drivers) > 1:
            await background.lasting(self._watch)

    async def _watch(self) -> None:
        while True:
            await self._look_at(self._preferred)

    async def _look_at(self, host: int) -> None:
        """Look at ``host`` for as long as it is preferred, on a connection of its own."""
        try:
            async with self._own_connection(host) as session:
                while host == self._preferred:
                    async with asyncio.timeout(LOOK_DEADLINE_SECONDS):
                        its = await self._standing(session)
                    if its.objection is not None:
                        raise ConnectionError(its.objection)
                    if not its.is_in_step and await self._better_than(host):
                        raise ConnectionError("this Galera node is not in step, and another one is")
                    await asyncio.sleep(LOOK_SECONDS)
        except ERRORS as error:
            self._leave(host, str(meaning_of(error)))
            await asyncio.sleep(LOOK_SECONDS)

    @contextlib.asynccontextmanager
    async def _own_connection(self, host: int) -> AsyncGenerator[MysqlSession]:
        async with asyncio.timeout(LOOK_DEADLINE_SECONDS):
            session = await self._connect(host)
        try:
            yield session
        finally:
            session.cut()

    async def _better_than(self, host: int) -> bool:
        """Whether another host serves and is in step. It is preferred from now on."""
        for other in range(len(self._drivers)):
            with contextlib.suppress(*ERRORS):
                if other == host:
                    continue
                session, its = await self._try(other)
                await session.end()
                if its.is_in_step:
                    self._pass_over(host, other)
                    return True
        return False

    async def _try(self, host: int) -> tuple[MysqlSession, Standing]:
        """A connection to a host that serves; raises one of `ERRORS`."""
        async with asyncio.timeout(HOST_SECONDS):
            session = await self._connect(host)
            try:
                its = await self._standing(session)
                if its.objection is not None:
                    raise ConnectionError(its.objection)
            except BaseException:
                session.cut()
                raise
            return session, its

    async def _standing(self, session: MysqlSession) -> Standing:
        answer: list[tuple[Any, ...]] = []
        for question in QUESTIONS:
            answer += await session.fetch_all(question)
        return standing(((name, value) for name, value in answer), may_be_read_only=self._may_be_read_only)

    async def _connect(self, host: int) -> MysqlSession:
        connection = await self._drivers[host].connect()
        session = MysqlSession(connection, causal_reads=self._causal_reads)
        try:
            if self._requires_tls and not _drivers.is_secure(connection):
                # aiomysql goes on in clear with a server, or somebody between, that says it has no TLS.
                raise ConnectionError("the server offers no TLS")
            await session.start()
        except BaseException:
            session.cut()
            raise
        return session

    def _used(self, host: int, session: MysqlSession) -> MysqlSession:
        """Note that ``host`` is in use from now on, if it was not."""
        self._sessions[host].add(session)
        if self._in_use != host:
            if self._in_use is not None:
                self._retire(self._in_use)
            logger.info("a host of the database is in use", host=self._names[host])
        self._in_use = self._preferred = host
        return session

    def _pass_over(self, host: int, other: int | None = None) -> None:
        """Prefer the next host, or ``other``. Connections to ``host`` are used to the end of their use."""
        if self._preferred == host:
            self._preferred = (host + 1) % len(self._drivers) if other is None else other
            self._retire(host)

    def _leave(self, host: int, reason: str) -> None:
        """Prefer the next host, and end all connections to ``host``: who waits for a reply gets an error."""
        self._pass_over(host)
        if self._in_use == host:
            self._in_use = None
            logger.warning("a host of the database is left", host=self._names[host], reason=reason)
        for session in list(self._sessions[host]):
            session.cut()

    def _retire(self, host: int) -> None:
        for session in self._sessions[host]:
            session.retire()


async def _end(lagging: tuple[int, MysqlSession] | None) -> None:
    if lagging is not None:
        await lagging[1].end()
