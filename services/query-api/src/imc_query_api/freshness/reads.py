"""Chooses the database that answers a query."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

from imc_contracts.codes import ErrorCode
from imc_contracts.cursor import Cursor, EntryId
from imc_contracts.errors import Refused, unavailable
from prometheus_client import CollectorRegistry, Counter, Gauge

from imc_query_api.freshness.sources import Primary, Queries, ReadReplica, Source, primary_is_next

Answer = TypeVar("Answer")

WAIT_SECONDS = 2.0
"""How long a query waits until a database has what its client has seen."""

_FIRST_PAUSE = 0.02
"""Each pause between looks is twice as long as the one before it."""

_TICK = 0.02
"""Pauses end at multiples of this time, so that queries for the same app share their looks."""

_READY_SECONDS = 1.0
"""A replica that hangs must not keep a primary that works from being asked."""


class Reads:
    """Answers queries from the replica if it is fresh enough, else from the primary."""

    def __init__(self, primary: Primary, replica: ReadReplica | None, registry: CollectorRegistry) -> None:
        self._primary = primary
        self._replica = replica
        self._sources: tuple[Source, ...] = (primary,) if replica is None else (replica, primary)
        answered = Counter(
            "imc_query_reads", "Queries that a database answered.", ["source"], registry=registry
        )
        self._answered = {source.name: answered.labels(source.name) for source in self._sources}
        if replica is not None:
            lag = Gauge(
                "imc_query_replica_lag_seconds",
                "The most seconds that the replica can be behind the primary; infinite if not known.",
                registry=registry,
            )
            lag.set_function(lambda: replica.replica.lag)

    async def read(
        self, query: Callable[[Queries], Awaitable[Answer]], app_id: str, min_cursor: Cursor | None = None
    ) -> Answer:
        """The answer of ``query``, from a database that has the app's log up to ``min_cursor``.

        Raises what ``query`` raises, and `Refused` (`UNAVAILABLE`) if no database has as much in time.
        """
        if min_cursor is None or min_cursor.is_unborn:
            source = next(source for source in self._sources if source.may_answer)
        else:
            source = await self._source_with(app_id, min_cursor.entry)
        if source is not self._primary:
            with primary_is_next():
                return await self._ask(source, query)
        return await self._ask(self._primary, query)

    async def ready(self) -> str | None:
        """A readiness check: why neither database can answer queries, or None."""
        behind = await self._trouble_of_replica()
        if self._replica is not None and behind is None:
            return None
        fault = await self._primary.store.ready()
        return fault if fault is None or behind is None else f"the primary: {fault}; the replica: {behind}"

    async def _ask(self, source: Source, query: Callable[[Queries], Awaitable[Answer]]) -> Answer:
        async with source.reading():
            answer = await query(source.queries)
        self._answered[source.name].inc()
        return answer

    async def _source_with(self, app_id: str, entry: EntryId) -> Source:
        """A database that has the app's log up to ``entry``. The id of the entry is enough.

        Ids of entries grow from epoch to epoch.
        """
        position, pause = entry.column, _FIRST_PAUSE
        found: bool | None = None
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    for source in self._sources:
                        found = source.may_answer and await source.positions.has(app_id, position)
                        if found:
                            return source
                    await asyncio.sleep(_until_tick(pause))
                    pause *= 2
        except TimeoutError:
            if found is None:
                raise unavailable("the store is out of reach") from None
            words = "the database does not have everything up to minCursor yet, try again"
            raise Refused(ErrorCode.UNAVAILABLE, words, retry_after=1) from None

    async def _trouble_of_replica(self) -> str | None:
        if self._replica is None:
            return None
        if (trouble := self._replica.replica.trouble()) is not None:
            return trouble
        try:
            async with asyncio.timeout(_READY_SECONDS):
                return await self._replica.store.ready()
        except TimeoutError:
            return "no answer in time"


def _until_tick(pause: float) -> float:
    """Seconds until the first tick that is at least ``pause`` away."""
    now = asyncio.get_running_loop().time()
    return math.ceil((now + pause) / _TICK) * _TICK - now
