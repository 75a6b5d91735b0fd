"""The database that queries read. Here alone, an outage of the database becomes a refusal."""

import contextlib
import time
from collections.abc import AsyncGenerator

from imc_contracts.errors import unavailable
from imc_contracts.schema import (
    ERASURE_COLUMNS,
    ERASURES,
    GROUP_COLUMNS,
    GROUPS,
    MESSAGE_VIEW_COLUMNS,
    MESSAGES,
    NOTICE_VIEW_COLUMNS,
    NOTICES,
    PROJECTION_COLUMNS,
    PROJECTIONS,
    REMOVED_TO,
)
from imc_service.database.database import (
    Database,
    Refusal,
    Row,
    Session,
    StatementRefused,
    StoreUnavailable,
    Values,
)
from prometheus_client import CollectorRegistry, Histogram

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_TABLES = (
    (MESSAGES, MESSAGE_VIEW_COLUMNS),
    (NOTICES, NOTICE_VIEW_COLUMNS),
    (GROUPS, GROUP_COLUMNS),
    (PROJECTIONS, (*PROJECTION_COLUMNS, REMOVED_TO)),
    (ERASURES, ERASURE_COLUMNS),
)


def query_seconds(registry: CollectorRegistry | None) -> Histogram:
    """The metric of the time that queries take."""
    return Histogram(
        "imc_query_store_seconds",
        "Time that a query used the database, including the wait for a connection.",
        registry=registry,
        buckets=_BUCKETS,
    )


class Store:
    """A database that is only read. It may be a replica."""

    def __init__(self, database: Database, seconds: Histogram | None = None) -> None:
        """``seconds`` notes how long queries take, see `query_seconds`."""
        self._database = database
        self._is_sqlite = database.is_sqlite
        self._sources: set[str] = set()
        self._seconds = query_seconds(None) if seconds is None else seconds

    def through(self, table: str, index: str) -> str:
        """``table`` as a FROM clause names it, to be read through ``index`` and no other way.

        MariaDB chooses an index by samples of the average user and group. For a user or group with half of
        all rows, it would choose an index without the columns asked for, or read one from its beginning.
        """
        source = f"{table} INDEXED BY {index}" if self._is_sqlite else f"{table} FORCE INDEX ({index})"
        self._sources.add(source)
        return source

    @property
    def through_key(self) -> str:
        """What follows a table in a FROM clause, so that it is read through its primary key alone."""
        return "" if self._is_sqlite else "FORCE INDEX (PRIMARY)"

    def byte_length(self, text: str) -> str:
        """The expression for the bytes of the expression ``text``."""
        # LENGTH counts characters in SQLite, and only those before a NUL.
        return f"LENGTH(CAST({text} AS BLOB))" if self._is_sqlite else f"LENGTH({text})"

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncGenerator[Session]:
        """A connection for the statements of one query; raises `Refused` (`UNAVAILABLE`).

        Raise no exception of your own inside: the connection would be closed, not reused.
        """
        begun = time.perf_counter()
        try:
            async with self._database.session() as session:
                yield session
        except StatementRefused as error:
            if error.kind is not Refusal.UNKNOWN:
                raise  # the statement is at fault, not the database
            raise unavailable("the store is out of reach") from error
        except StoreUnavailable as error:
            raise unavailable("the store is out of reach") from error
        finally:
            self._seconds.observe(time.perf_counter() - begun)

    async def fetch_all(self, sql: str, values: Values) -> list[Row]:
        """All rows of a SELECT that is a query by itself; raises `Refused` (`UNAVAILABLE`)."""
        async with self.session() as session:
            return await session.fetch_all(sql, values)

    async def ready(self) -> str | None:
        """A readiness check: why queries can't be answered, in the words of the database, or None.

        It reads no row, but names each table, column and index that queries name.
        """
        selects = [f"SELECT {', '.join(columns)} FROM {table} WHERE 1 = 0" for table, columns in _TABLES]  # noqa: S608
        selects += [f"SELECT 1 FROM {source} WHERE 1 = 0" for source in sorted(self._sources)]  # noqa: S608
        try:
            async with self._database.session() as session:
                for select in selects:
                    await session.fetch_all(select)
        except (StoreUnavailable, StatementRefused) as error:
            return str(error)
        return None
