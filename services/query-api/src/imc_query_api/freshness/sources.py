"""The databases that answer queries: the primary and, if one is set, a replica of it."""

import contextlib
from collections.abc import AsyncGenerator, Generator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from imc_contracts.codes import ErrorCode
from imc_contracts.errors import Refused
from imc_service.database.database import Database, Row, Session, Values
from prometheus_client import Histogram

from imc_query_api.freshness.positions import Positions
from imc_query_api.freshness.replica import Replica
from imc_query_api.queries.exports import Exports
from imc_query_api.queries.groups import Groups
from imc_query_api.queries.messages import Messages
from imc_query_api.queries.notices import Notices
from imc_query_api.queries.store import Store


@dataclass(frozen=True, slots=True)
class Queries:
    """The queries of clients by what they list, all on one database."""

    messages: Messages
    groups: Groups
    notices: Notices
    exports: Exports


class Primary:
    """The database that the logs are projected into."""

    name = "primary"
    may_answer = True

    def __init__(self, database: Database, seconds: Histogram) -> None:
        self.store = Store(database, seconds)
        self.positions = Positions(database)
        self.queries = _queries(self.store)

    def reading(self) -> AbstractAsyncContextManager[None]:
        """Nothing to do: what fails here fails."""
        return contextlib.nullcontext()


class ReadReplica:
    """A replica that is read while `Replica` says so."""

    name = "replica"

    def __init__(self, database: Database, seconds: Histogram, replica: Replica, primary: Primary) -> None:
        self.replica = replica
        self.store = _ReplicaStore(database, seconds, replica, primary.store)
        self.positions = Positions(database)
        self.queries = _queries(self.store)

    @property
    def may_answer(self) -> bool:
        """Whether queries may read it now."""
        return self.replica.may_answer

    def reading(self) -> AbstractAsyncContextManager[None]:
        """See `Replica.reading`."""
        return self.replica.reading()


Source = Primary | ReadReplica


@contextlib.contextmanager
def primary_is_next() -> Generator[None]:
    """Leave the block without an error if the replica that is read inside can't answer."""
    try:
        yield
    except TimeoutError:
        pass
    except Refused as refused:
        if refused.code is not ErrorCode.UNAVAILABLE:
            raise


class _ReplicaStore(Store):
    def __init__(self, database: Database, seconds: Histogram, replica: Replica, primary: Store) -> None:
        super().__init__(database, seconds)
        self._replica = replica
        self._primary = primary

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncGenerator[Session]:
        """As that of `Store`; also refused if the replica is too far behind."""
        async with super().session() as session:
            self._replica.require()  # only here: the wait for the connection may have been long
            yield session

    async def fetch_all(self, sql: str, values: Values) -> list[Row]:
        """As that of `Store`, from the primary if the replica can't answer.

        A long reply is read piece by piece. Another database can go on with it: the primary has every row
        that the replica had.
        """
        with primary_is_next():
            async with self._replica.reading():
                return await super().fetch_all(sql, values)
        return await self._primary.fetch_all(sql, values)


def _queries(store: Store) -> Queries:
    return Queries(Messages(store), Groups(store), Notices(store), Exports(store))
