"""The database as the queries see it, and the one place where its outage becomes a refusal."""

import contextlib
import time
from collections.abc import AsyncGenerator

from imc_contracts.errors import unavailable
from imc_contracts.schema import (
    GROUP_COLUMNS,
    GROUPS,
    MESSAGE_VIEW_COLUMNS,
    MESSAGES,
    NOTICE_VIEW_COLUMNS,
    NOTICES,
)
from imc_service.database.database import Database, Refusal, Session, StatementRefused, StoreUnavailable
from prometheus_client import CollectorRegistry, Histogram

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_TABLES = (
    (MESSAGES, MESSAGE_VIEW_COLUMNS),
    (NOTICES, NOTICE_VIEW_COLUMNS),
    (GROUPS, GROUP_COLUMNS),
)


class Store:
    """Reads only; a replica will do."""

    def __init__(self, database: Database, registry: CollectorRegistry) -> None:
        self._database = database
        self._through = "INDEXED BY {}" if database.is_sqlite else "FORCE INDEX ({})"
        self._sources: set[str] = set()
        self._seconds = Histogram(
            "imc_query_store_seconds",
            "Time that a query spent with the database, waiting for a connection included.",
            registry=registry,
            buckets=_BUCKETS,
        )

    def through(self, table: str, index: str) -> str:
        """``table`` as a FROM clause names it, to be read through ``index`` and no other way.

        Left to choose, MariaDB goes by samples of the average user and group, and of one that has half of all
        rows it takes an index that does not hold what is asked for, or reads it from its beginning.
        """
        source = f"{table} {self._through.format(index)}"
        self._sources.add(source)
        return source

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncGenerator[Session]:
        """A connection for the statements of one query; raises `Refused` (`UNAVAILABLE`).

        Raise nothing of your own inside: a connection is given up if anything but its result leaves it.
        """
        begun = time.perf_counter()
        try:
            async with self._database.session() as session:
                yield session
        except StatementRefused as error:
            if error.kind is not Refusal.UNKNOWN:
                raise  # a fault of the statement's
            raise unavailable("the store is out of reach") from error
        except StoreUnavailable as error:
            raise unavailable("the store is out of reach") from error
        finally:
            self._seconds.observe(time.perf_counter() - begun)

    async def ready(self) -> str | None:
        """A readiness check: why queries can't be answered, in the words of the database, or None.

        It names each table, column and index that queries do, and reads no row.
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
